"""Reading a bank's report: understood as a whole, or refused with the place and the way out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyapp import reports
from pyapp.doors import ReportLine
from pyapp.reports import Report, ReportError
from pyapp.settings import ROOT

DAY: Final = date(2026, 11, 23)
MIDNIGHT: Final = datetime(2026, 11, 23, tzinfo=UTC)
FIELDS: Final = ("entry_ref", "rail_ref", "kind", "amount", "currency", "utr", "booked_at", "code")
ISO_REF: Final = "01a209840fab7cc88e4eec0c04710930"
ENTRY: Final = {
    "entry_ref": "E1",
    "rail_ref": "0" * 32,
    "kind": "payment",
    "amount": 6000,
    "currency": "INR",
    "utr": "SBXN1",
    "booked_at": "2026-11-23T10:00:00Z",
    "code": None,
}

texts = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1, max_size=40
)
maybe = st.none() | texts
moments = st.datetimes(
    datetime(2026, 11, 23),  # noqa: DTZ001  # the zone comes from timezones
    datetime(2026, 11, 24),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)
lines = st.lists(
    st.builds(
        ReportLine,
        entry_ref=maybe,
        rail_ref=maybe,
        kind=st.sampled_from(["payment", "return"]),
        amount=st.integers(1, 10**15),
        currency=st.sampled_from(["INR", "USD"]),
        utr=maybe,
        code=maybe,
        booked_at=moments,
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda line: line.entry_ref or id(line),
)


def entry(line: ReportLine) -> dict[str, Any]:
    booked_at = line.booked_at.isoformat() if line.booked_at else None
    return {name: getattr(line, name) for name in FIELDS} | {"booked_at": booked_at}


def totals(*entries: dict[str, Any]) -> dict[str, int]:
    """Return what entries come to, as the sandbox bank says it."""
    paid = [entry["amount"] for entry in entries if entry["kind"] == "payment"]
    returned = [entry["amount"] for entry in entries if entry["kind"] == "return"]
    return {
        "payments": len(paid),
        "amount_paid": sum(paid),
        "returns": len(returned),
        "amount_returned": sum(returned),
    }


def daily(*entries: dict[str, Any], **more: object) -> bytes:
    """Return a report of the sandbox bank."""
    document = {
        "date": DAY.isoformat(),
        "bank": "sandbox",
        "entries": entries,
        "totals": totals(*entries),
        **more,
    }
    return json.dumps(document, ensure_ascii=False).encode()


def sheet(*entries: dict[str, Any], columns: tuple[str, ...] = FIELDS) -> bytes:
    """Return a report as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(entries)
    return text.getvalue().encode()


def refusal(content: bytes, **period: datetime) -> str:
    with pytest.raises(ReportError) as caught:
        reports.read(content, **period)
    return str(caught.value)


# ------------------------------------------------------------------------------------------- whole


@given(lines)
def test_json_and_csv_say_the_same(booked: list[ReportLine]) -> None:
    entries = [entry(line) for line in booked]
    assert reports.read(daily(*entries)).lines == booked
    assert reports.read(sheet(*entries)).lines == booked
    assert reports.read(b"\xef\xbb\xbf" + sheet(*entries, columns=FIELDS[::-1])).lines == booked


@given(lines, st.data())
def test_totals_that_do_not_agree_are_refused(
    booked: list[ReportLine], data: st.DataObject
) -> None:
    entries = [entry(line) for line in booked]
    document = json.loads(daily(*entries))
    which = data.draw(st.sampled_from(sorted(document["totals"])))
    document["totals"][which] += data.draw(st.integers(-(10**16), 10**16).filter(bool))
    said = refusal(json.dumps(document).encode())
    assert said.startswith(f"totals/{which} says ")
    assert said.endswith("export it again as the bank gave it")


def test_an_entry_that_was_cut_out_is_noticed() -> None:
    document = json.loads(daily(ENTRY, {**ENTRY, "entry_ref": "E2", "amount": 1}))
    del document["entries"][1]
    assert refusal(json.dumps(document).encode()) == (
        "totals/payments says 2, and the entries come to 1: export it again as the bank gave it"
    )


@pytest.mark.parametrize("write", [daily, sheet])
def test_an_entry_that_is_there_twice_is_refused(write: Callable[..., bytes]) -> None:
    said = refusal(write(ENTRY, {**ENTRY, "entry_ref": "E2"}, ENTRY))
    assert said.startswith("entry_ref 'E1' is in the report more than once (entries 1 and 3)")
    assert len(reports.read(write(ENTRY, {**ENTRY, "entry_ref": "E2"})).lines) == 2


# ------------------------------------------------------------------------------------------ period


@pytest.mark.parametrize(
    ("generated_at", "until"),
    [
        (None, MIDNIGHT + timedelta(days=1)),
        ("2026-11-24T02:00:00Z", MIDNIGHT + timedelta(days=1)),
        ("2026-11-23T17:30:00+05:30", MIDNIGHT + timedelta(hours=12)),
    ],
)
def test_a_daily_report_covers_its_day_or_what_was_over_of_it(
    generated_at: str | None, until: datetime
) -> None:
    more = {} if generated_at is None else {"generated_at": generated_at}
    assert reports.read(daily(ENTRY, **more)) == Report(MIDNIGHT, until, [booked()])


def test_a_sheet_covers_the_days_in_it() -> None:
    late = {**ENTRY, "entry_ref": "E2", "booked_at": "2026-11-26T02:00:00+05:30"}
    read = reports.read(sheet(late, ENTRY))
    assert (read.since, read.until) == (MIDNIGHT, MIDNIGHT + timedelta(days=3))
    assert refusal(sheet()) == (
        "no line of the report says when it was booked: give --from and --until"
    )
    assert reports.read(sheet(), since=MIDNIGHT, until=late_moment()).lines == []


@pytest.mark.parametrize("write", [daily, sheet])
def test_a_period_that_is_given_is_the_period(write: Callable[..., bytes]) -> None:
    read = reports.read(write(ENTRY), since=MIDNIGHT - timedelta(days=9), until=late_moment())
    assert (read.since, read.until) == (MIDNIGHT - timedelta(days=9), late_moment())
    assert refusal(write(ENTRY), until=MIDNIGHT).startswith("the period ends at 2026-11-23T00:00")
    assert refusal(write(ENTRY), since=datetime(1, 1, 1, tzinfo=UTC)).startswith("--from is not")


def test_a_report_made_before_its_day_has_no_period() -> None:
    said = refusal(daily(ENTRY, generated_at="2026-11-22T23:00:00Z"))
    assert said.startswith("the period ends at 2026-11-22T23:00:00+00:00, which is not after")


def booked() -> ReportLine:
    fields: dict[str, Any] = {**ENTRY, "booked_at": MIDNIGHT + timedelta(hours=10)}
    return ReportLine(**fields)


def late_moment() -> datetime:
    return MIDNIGHT + timedelta(days=2)


# ----------------------------------------------------------------------------------------- hostile


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", 60.0),
        ("amount", "6e3"),
        ("amount", "60.00"),
        ("amount", "6,000"),
        ("amount", "٦"),
        ("amount", 0),
        ("amount", -1),
        ("amount", 10**15 + 1),
        ("amount", 10**40),
        ("amount", None),
        ("amount", True),
        ("kind", "refund"),
        ("kind", None),
        ("currency", "inr"),
        ("currency", "INR\n"),
        ("booked_at", "2026-11-23T10:00:00"),
        ("booked_at", "yesterday"),
        ("booked_at", "0001-01-01T00:00:00Z"),
        ("booked_at", "9999-12-31T23:59:59-12:00"),
        ("rail_ref", "a\0b"),
        ("rail_ref", "a\x1b[2Jb"),
        ("utr", "x" * 256),
        ("entry_ref", "a\nb"),
        ("code", 7 * "\u0085"),
    ],
)
@pytest.mark.parametrize("write", [daily, sheet])
def test_what_is_wrong_is_named_with_its_place(
    write: Callable[..., bytes], field: str, value: object
) -> None:
    good = {**ENTRY, "entry_ref": "E0"}
    if write is daily:
        text = json.loads(daily(good, ENTRY))
        text["entries"][1][field] = value
        said = refusal(json.dumps(text).encode())
        assert said.startswith((f"entries/1/{field}: ", f"entries/1: {field} "))
    elif value in {60.0, True} or str(value).strip() != str(value):
        return  # CSV has no such thing, or the spaces around a field mean nothing
    else:
        said = refusal(sheet(good, {**ENTRY, field: value}))
        assert f": {field}" in said
        assert said.startswith("line ")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the report is empty"),
        (b"\xef\xbb\xbf \n", "the report is empty"),
        (b"{", "the report is not whole JSON"),
        (b"{}", "Object missing required field `date`"),
        (daily(ENTRY)[:-20], "the report is not whole JSON"),
        (daily(ENTRY) + b"x", "the report is not whole JSON"),
        (b'{"x":' + b"[" * 100_000, "the report is not whole JSON"),
        (b'{"date":"2026-01-01","entries":[{"utr":"\xff"}]}', "the report is not whole JSON"),
        (daily(ENTRY, totals=None), "totals: Expected `object`, got `null`"),
        (daily(ENTRY, date="0001-01-01"), "date is not a time at which a bank books"),
        (daily(ENTRY, generated_at="9999-12-31T23:59:59-12:00"), "generated_at is not a time"),
        (b"PK\x03\x04", "the header line has no column entry_ref, or two"),
        (sheet(ENTRY, columns=FIELDS[1:]), "the header line has no column entry_ref, or two"),
        (sheet(ENTRY, columns=(*FIELDS, "utr")), "the header line has no column utr, or two"),
        (sheet(ENTRY) + b"E2,too,short\n", "line 3 has 3 fields and the header line has 8"),
        (sheet(ENTRY) + b'"open', "line 3 is not CSV"),
        (sheet(ENTRY) + b'"a"b', "line 3 is not CSV"),
        (sheet(ENTRY) + b"\xff\n", "line 3 is not UTF-8"),
        (b"x" * 200_000, "line 1 is not CSV"),
        (b"x" * (reports.MOST_BYTES + 1), "the report is larger than 128 MiB"),
        (
            sheet(ENTRY) + b"E,,payment,1,INR,,,\n" * reports.MOST_LINES,
            "the report has more than 100000 lines",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_is_no_report_is_said_so(content: bytes, said: str) -> None:
    assert refusal(content).startswith(said)


@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
    | st.text('{}[]":,0123456789eE.-\\u \n', max_size=80).map(lambda text: b"{" + text.encode())
    | st.text('entry_ref,"\r\n\0' + "".join(FIELDS), max_size=200).map(
        lambda text: sheet(ENTRY) + text.encode()
    )
)
def test_no_bytes_end_in_a_traceback(content: bytes) -> None:
    try:
        reports.read(content)
    except ReportError as exc:
        assert str(exc).isprintable()  # noqa: PT017  # most of it is refused, not all


@pytest.mark.parametrize("kind", ["camt.054", "camt.053"])
def test_an_iso_20022_report_is_read(kind: str) -> None:
    report = reports.read(statement(kind))
    (line,) = report.lines
    assert (line.kind, line.amount, line.currency) == ("payment", 6000, "INR")
    assert (line.rail_ref, line.utr) == (ISO_REF, "HDFCN52026112300047")
    assert report.since == datetime(2026, 11, 23, tzinfo=UTC)
    assert report.until == datetime(2026, 11, 24, tzinfo=UTC)


def statement(kind: str, *changes: tuple[str, str]) -> bytes:
    """Return the docs' sample as a notification or as the statement of its day."""
    text = (ROOT / "docs/examples/iso20022/camt.054.xml").read_text()
    if kind == "camt.053":
        period = (
            "<FrToDt><FrDtTm>2026-11-23T00:00:00Z</FrDtTm><ToDtTm>2026-11-23T23:59:59Z</ToDtTm>"
            "</FrToDt><Acct>"
        )
        balance = (
            "</Acct><Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy='INR'>1.00</Amt>"
            "<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-11-23</Dt></Dt></Bal>"
        )
        changes = (
            ("camt.054", "camt.053"),
            ("BkToCstmrDbtCdtNtfctn", "BkToCstmrStmt"),
            ("Ntfctn>", "Stmt>"),
            ("<Acct>", period),
            ("</Acct>", balance),
            *changes,
        )
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text.encode()


def test_money_that_came_in_from_others_is_no_line_and_a_return_is_one() -> None:
    credit = ("DBIT", "CRDT")
    nobody = (f"<EndToEndId>{ISO_REF}</EndToEndId>", "<EndToEndId>NOTPROVIDED</EndToEndId>")
    why = (
        "</CdtDbtInd>\n          </TxDtls>",
        "</CdtDbtInd><RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf></TxDtls>",
    )
    assert reports.read(statement("camt.053", credit, nobody)).lines == []
    (line,) = reports.read(statement("camt.053", credit, why)).lines
    assert (line.kind, line.code) == ("return", "AC04")
    (debit,) = reports.read(statement("camt.053", nobody)).lines
    assert (debit.kind, debit.rail_ref) == ("payment", None)


def test_bookings_that_share_an_entry_are_told_apart() -> None:
    text = statement("camt.054").decode()
    one = text[text.index("<TxDtls>") : text.index("</TxDtls>") + 9]
    other = one.replace(ISO_REF, "f" * 32)
    found = reports.read(text.replace(one, one + other).encode()).lines
    assert [line.rail_ref for line in found] == [ISO_REF, "f" * 32]
    assert len({line.entry_ref for line in found}) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<a/>", "the report can't be read: the namespace"),
        (b"<a", "the report can't be read: not well-formed"),
        ((ROOT / "docs/examples/iso20022/pain.002.xml").read_bytes(), "a pain.002 tells of no"),
    ],
)
def test_what_is_no_iso_20022_report_is_said_so(content: bytes, said: str) -> None:
    assert refusal(content).startswith(said)


@given(
    st.sampled_from(FIELDS),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | moments.map(str),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    ),
)
def test_no_value_of_a_field_ends_in_a_traceback(field: str, value: object) -> None:
    for content in (daily_with(field, value), sheet({**ENTRY, field: value})):
        try:
            (line,) = reports.read(content).lines
        except (ReportError, UnicodeEncodeError) as exc:
            assert str(exc).isprintable()  # noqa: PT017
        else:
            assert type(line.amount) is int


def daily_with(field: str, value: object) -> bytes:
    document = json.loads(daily(ENTRY))
    document["entries"][0][field] = value
    return json.dumps(document).encode()
