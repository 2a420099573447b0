"""ISO 20022 messages: what leaves fits the schema, and nothing is read into an answer."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree
from mockbank import messages, validate

from pyapp.rails import iso20022
from pyapp.rails.iso20022 import InvalidMessageError, Profile
from pyapp.rails.rail import Instruction
from tests.conftest import Database

SAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "iso20022"
WHEN = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
OURS = "PR01a2098411ec71d082adc8514d1bdfbf"
ONE, OTHER = "01a209840fab7cc88e4eec0c04710930", "01a209840fab7cc88e4eec0c04710931"
PROFILE = Profile(
    debtor_name="Example Payments Pvt Ltd",
    debtor_account="000405012345",
    debtor_agent="HDFC0000004",
    initiating_party="EXAMPLE",
    service_level="NURG",
)
ORDERS = [
    Instruction(ONE, 6000, "INR", "501002340001", "ICIC0000047", "Asha Rao", WHEN),
    Instruction(OTHER, 125050, "INR", "501002340101", "SBIN0000300", "Vikram Shah", WHEN),
]
TO_IBAN = replace(
    ORDERS[0],
    rail_ref=OTHER,
    account_number=None,
    ifsc=None,
    iban="DE89370400440532013000",
)


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


# ------------------------------------------------------------------------------------------- out


def test_the_sample_in_the_docs_is_what_is_written() -> None:
    written = etree.fromstring(iso20022.pain001(OURS, WHEN, 131_050, ORDERS, PROFILE))
    assert etree.tostring(written, method="c14n") == etree.tostring(
        etree.fromstring(sample("pain.001.xml"), etree.XMLParser(remove_blank_text=True)),
        method="c14n",
    )


def test_the_same_orders_are_the_same_bytes() -> None:
    first, second = (iso20022.pain001(OURS, WHEN, 131_050, ORDERS, PROFILE) for _ in range(2))
    assert first == second


# What the database lets in: see the constraints of merchant.bank_accounts.
orders = st.lists(
    st.builds(
        Instruction,
        rail_ref=st.uuids().map(lambda one: one.hex),
        amount=st.integers(1, 10**15),
        currency=st.just("INR"),
        account_number=st.from_regex(r"\A[A-Za-z0-9]{5,34}\Z"),
        ifsc=st.from_regex(r"\A[A-Z]{4}0[A-Z0-9]{6}\Z"),
        holder_name=st.text(
            st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=200
        ),
        valid_until=st.just(WHEN),
        mode=st.none() | st.sampled_from(["IMPS", "NEFT", "SEPA"]),
        narration=st.none() | st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9 ]{0,29}\Z"),
    ),
    min_size=1,
    max_size=4,
)


@given(orders)
@example([replace(ORDERS[0], account_number="DE89370400440532013000")])
@example([replace(ORDERS[0], account_number="DE00370400440532013000")])
@example([TO_IBAN])
@example([ORDERS[0], TO_IBAN])
def test_whatever_the_database_lets_in_can_be_written_and_others_read_it(
    given_orders: list[Instruction],
) -> None:
    total = sum(order.amount for order in given_orders)
    content = iso20022.pain001(OURS, WHEN, total, given_orders, PROFILE)
    assert validate.errors(validate.validate(content)) == []
    seen = messages.read_pain001(content)
    (block,) = seen.batches
    assert seen.ctrl_sum == block.ctrl_sum == Decimal(total) / 100
    assert [(one.end_to_end_id, one.amount, one.creditor_account) for one in block.payments] == [
        (order.rail_ref, order.amount, order.iban or order.account_number) for order in given_orders
    ]


def test_a_narration_is_written_as_unstructured_remittance_information() -> None:
    told = [replace(ORDERS[0], narration="Invoice 17"), ORDERS[1]]
    root = etree.fromstring(iso20022.pain001(OURS, WHEN, 131_050, told, PROFILE))
    first, second = root.iterfind(".//{*}CdtTrfTxInf")
    assert first.findtext("{*}RmtInf/{*}Ustrd") == "Invoice 17"
    assert second.find("{*}RmtInf") is None


def test_the_mode_is_a_local_instrument_of_the_bank_and_sepa_a_service_level() -> None:
    told = [replace(ORDERS[0], mode=mode) for mode in ("NEFT", "SEPA", None)]
    for level in (None, "NURG"):
        content = iso20022.pain001(OURS, WHEN, 1, told, replace(PROFILE, service_level=level))
        root = etree.fromstring(content)
        assert root.find(".//{*}PmtInf/{*}PmtTpInf") is None  # it is in one place or the other
        assert [
            (
                one.findtext("{*}PmtTpInf/{*}SvcLvl/{*}Cd"),
                one.findtext("{*}PmtTpInf/{*}LclInstrm/{*}Prtry"),
            )
            for one in root.iterfind(".//{*}CdtTrfTxInf")
        ] == [(level, "NEFT"), ("SEPA", None), (level, None)]
    root = etree.fromstring(
        iso20022.pain001(OURS, WHEN, 1, ORDERS, replace(PROFILE, service_level="NURG"))
    )
    assert root.findtext(".//{*}PmtInf/{*}PmtTpInf/{*}SvcLvl/{*}Cd") == "NURG"


def test_an_iban_is_written_as_one_and_names_its_bank_itself() -> None:
    root = etree.fromstring(iso20022.pain001(OURS, WHEN, 6000, [TO_IBAN], PROFILE))
    (one,) = root.iterfind(".//{*}CdtTrfTxInf")
    assert one.findtext("{*}CdtrAcct/{*}Id/{*}IBAN") == TO_IBAN.iban
    assert one.find("{*}CdtrAgt") is None


def test_a_currency_without_exponent_is_refused() -> None:
    with pytest.raises(ValueError, match="XXX"):
        iso20022.pain001(OURS, WHEN, 1, [replace(ORDERS[0], currency="XXX")], PROFILE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"debtor_agent": "not a BIC"},
        {"debtor_account": "0" * 35},
        {"service_level": "TOOLONG"},
        {"charge_bearer": "NONE"},
    ],
    ids=str,
)
def test_a_profile_that_the_schema_refuses_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"not a valid pain\.001\.001\.09: line"):
        iso20022.pain001(OURS, WHEN, 131_050, ORDERS, replace(PROFILE, **wrong))  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------- in


def test_the_samples_answers_are_read() -> None:
    accepted, refused = iso20022.read(sample("pain.002.xml")).entries
    assert (accepted.rail_ref, accepted.outcome) == (ONE, "pending")
    assert (refused.rail_ref, refused.outcome, refused.code) == (OTHER, "refused", "account_closed")
    (paid,) = iso20022.read(sample("camt.054.xml")).entries
    assert (paid.rail_ref, paid.outcome, paid.utr) == (ONE, "paid", "HDFCN52026112300047")
    assert (paid.amount, paid.currency) == (6000, "INR")


def status(code: str, reason: str | None = None) -> iso20022.Entry:
    """Return what a pain.002 is taken to say of the one payment that it tells of."""
    text = sample("pain.002.xml").decode()
    head, _, tail = text.partition("<TxInfAndSts>")
    why = f"<StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn></StsRsnInf>" if reason else ""
    one = (
        f"<TxInfAndSts><OrgnlEndToEndId>{ONE}</OrgnlEndToEndId><TxSts>{code}</TxSts>{why}"
        "</TxInfAndSts>"
    )
    (entry,) = iso20022.read((head + one + tail[tail.index("</OrgnlPmtInf") :]).encode()).entries
    return entry


@pytest.mark.parametrize("code", ["ACTC", "ACCP", "ACSP", "ACSC", "ACCC", "ACWC", "PDNG", "RCVD"])
def test_no_status_but_a_rejection_says_anything_final(code: str) -> None:
    assert status(code).outcome == "pending"


@pytest.mark.parametrize("reason", [None, "NARR", "DUPL", "AM05", "MS02", "ZZZZ"])
def test_a_rejection_without_a_listed_reason_leaves_the_outcome_unknown(
    reason: str | None,
) -> None:
    assert (status("RJCT", reason).outcome, status("RJCT", reason).code) == ("unknown", None)


@pytest.mark.parametrize("reason", iso20022.REASONS)
def test_a_rejection_with_a_listed_reason_is_a_refusal(reason: str) -> None:
    assert (status("RJCT", reason).outcome, status("RJCT", reason).code) == (
        "refused",
        iso20022.REASONS[reason],
    )


@pytest.mark.parametrize("other", ["DUPL", "ZZZZ"])
def test_a_rejection_is_final_only_if_each_of_its_reasons_is_listed(other: str) -> None:
    two = "AC04</Cd></Rsn></StsRsnInf><StsRsnInf><Rsn><Cd>"
    assert status("RJCT", f"{two}{other}").outcome == "unknown"
    assert status("RJCT", f"{two}AC06").code == "account_closed"


def test_a_status_that_names_no_payment_of_ours_stops_no_other() -> None:
    text = sample("pain.002.xml").decode()
    nameless = text.replace(f"<OrgnlEndToEndId>{ONE}</OrgnlEndToEndId>", "").replace(
        f"<OrgnlEndToEndId>{OTHER}</OrgnlEndToEndId>", ""
    )
    assert iso20022.read(nameless.encode()).entries == []
    (entry,) = iso20022.read(
        text.replace(f"<OrgnlEndToEndId>{ONE}</OrgnlEndToEndId>", "").encode()
    ).entries
    assert (entry.rail_ref, entry.code) == (OTHER, "account_closed")


def test_in_a_rejected_file_a_payment_without_a_status_of_its_own_is_rejected() -> None:
    text = sample("pain.002.xml").decode()
    for old, new in (
        ("<GrpSts>PART</GrpSts>", "<GrpSts>RJCT</GrpSts>"),
        ("<TxSts>ACSP</TxSts>", ""),
        ("<TxSts>RJCT</TxSts>", ""),
    ):
        assert old in text
        text = text.replace(old, new)
    why = "<StsRsnInf><Rsn><Cd>FF01</Cd></Rsn></StsRsnInf>"
    text = text.replace("<GrpSts>RJCT</GrpSts>", f"<GrpSts>RJCT</GrpSts>{why}")
    said = {entry.rail_ref: entry.code for entry in iso20022.read(text.encode()).entries}
    assert said == {ONE: "not_executed", OTHER: "account_closed"}


def bookings(*entries: str) -> list[iso20022.Entry]:
    """Return what a camt.054 with these entries says."""
    text = sample("camt.054.xml").decode()
    begin, end = text.index("<Ntry>"), text.rindex("</Ntry>") + len("</Ntry>")
    return [*iso20022.read((text[:begin] + "".join(entries) + text[end:]).encode()).entries]


def an_entry() -> str:
    text = sample("camt.054.xml").decode()
    return text[text.index("<Ntry>") : text.rindex("</Ntry>") + len("</Ntry>")]


def test_a_booking_is_the_same_one_in_every_statement_that_has_it() -> None:
    one = an_entry().replace("<AcctSvcrRef>HDFCN52026112300047</AcctSvcrRef>", "")
    other = one.replace(ONE, OTHER)
    (alone,) = bookings(one)
    assert [entry.entry_ref for entry in bookings(other, one)][1] == alone.entry_ref
    twice = [entry.entry_ref for entry in bookings(one, one)]
    assert len({*twice}) == 2
    with_id = [entry.replace("</Refs>", "<TxId>T1</TxId></Refs>") for entry in (one, other)]
    assert [entry.utr for entry in bookings(*with_id)] == ["T1", "T1"]


def batched(refs: str = "", amount: str = "") -> list[iso20022.Entry]:
    """Return what is said of two payments of INR 60.00 that a bank has booked as one."""
    entry = an_entry()
    one = entry[entry.index("<TxDtls>") : entry.index("</TxDtls>") + len("</TxDtls>")]
    own = '<Amt Ccy="INR">60.00</Amt>'
    assert own in one
    payment = one.replace("<Refs>", f"<Refs>{refs}").replace(own, "")
    payment = payment.replace("</CdtDbtInd>", f"</CdtDbtInd>{amount}")
    entry = entry.replace(one, payment + payment.replace(ONE, OTHER))
    return bookings(entry.replace(own, '<Amt Ccy="INR">120.00</Amt>', 1))


def test_the_reference_of_a_batch_is_none_of_its_payments() -> None:
    own = '<AmtDtls><TxAmt><Amt Ccy="INR">60.00</Amt></TxAmt></AmtDtls>'
    paid = batched("<AcctSvcrRef>BATCH</AcctSvcrRef>", own)
    assert [(entry.amount, entry.outcome) for entry in paid] == [(6000, "paid")] * 2
    assert len({entry.entry_ref for entry in paid}) == 2


def test_the_listed_reasons_are_in_the_catalogue(database: Database) -> None:
    with database.connect("payrail_auditor") as auditor:
        rows = auditor.execute("SELECT code FROM payrail.failure_codes").fetchall()
    assert {*iso20022.REASONS.values()} <= {row["code"] for row in rows}


@pytest.mark.parametrize(
    ("group", "reason", "whole"),
    [
        ("RJCT", "FF01", ("refused", "not_executed")),
        ("RJCT", "DUPL", ("unknown", None)),
        ("ACCP", "FF01", None),
        ("PART", "FF01", None),
    ],
)
def test_a_rejected_file_is_a_rejection_of_what_is_in_it(
    group: str, reason: str, whole: tuple[str, str | None] | None
) -> None:
    why = f"<GrpSts>{group}</GrpSts><StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn></StsRsnInf>"
    text = sample("pain.002.xml").decode().replace("<GrpSts>PART</GrpSts>", why)
    said = [(one.rail_ref, one.outcome, one.code) for one in iso20022.read(text.encode()).whole]
    assert said == ([(OURS, *whole)] if whole else [])


BOOKED = sample("camt.054.xml").decode()


def booking(*changes: tuple[str, str]) -> iso20022.Entry:
    text = BOOKED
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (entry,) = iso20022.read(text.encode()).entries
    return entry


CREDIT = ("DBIT", "CRDT")
RETURN = (
    "<CdtDbtInd>CRDT</CdtDbtInd>\n          </TxDtls>",
    "<CdtDbtInd>CRDT</CdtDbtInd><RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf></TxDtls>",
)


@pytest.mark.parametrize(
    ("changes", "outcome", "code"),
    [
        ([], "paid", "HDFCN52026112300047"),
        ([("BOOK", "PDNG")], "pending", None),
        ([("BOOK", "INFO")], "pending", None),
        ([CREDIT], "unknown", None),
        ([CREDIT, RETURN], "returned", "AC04"),
        ([("HDFCN52026112300047", "X" * 35)], "paid", "X" * 35),
        ([(f"<EndToEndId>{ONE}", "<EndToEndId>NOTPROVIDED")], "unknown", None),
    ],
)
def test_only_a_booking_pays_and_only_a_credit_with_a_reason_returns(
    changes: list[tuple[str, str]], outcome: str, code: str | None
) -> None:
    entry = booking(*changes)
    assert (entry.outcome, entry.code) == (outcome, code)


@pytest.mark.parametrize(
    ("said", "minor"),
    [("60.00", 6000), ("60", 6000), ("60.5", 6050), ("60.50000", 6050), ("0.01", 1)],
)
def test_an_amount_is_exact(said: str, minor: int) -> None:
    assert booking(("60.00", said)).amount == minor


@pytest.mark.parametrize("said", ["0.001", "60.005", "0.00", "-1.00", "1e3", "", "60,00"])
def test_an_amount_that_is_none_is_refused(said: str) -> None:
    with pytest.raises(InvalidMessageError):
        booking((">60.00<", f">{said}<"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not well-formed"),
        (b"{}", "not well-formed"),
        (sample("camt.054.xml")[:-20], "not well-formed"),
        (b"<Document/>", "namespace"),
        (sample("pain.001.xml"), "namespace"),
        (BOOKED.replace("001.08", "001.99").encode(), "camt.054.001.99 is not understood: use one"),
        (sample("pain.002.xml").replace(b"001.10", b"001.99"), "pain.002.001.99 is not understood"),
        (
            sample("pain.002.xml").replace(b"<TxSts>", b"<TxSts>x</TxSts><TxSts>"),
            "not a valid pain.002",
        ),
        (sample("pain.002.xml").replace(b"<MsgId>", b"<X/><MsgId>"), "not a valid pain.002"),
        (sample("pain.002.xml").replace(b"ACSP", b"TOO-LONG"), "not a valid pain.002"),
        (BOOKED.replace("<Sts>", "<Sts><Extra/>").encode(), "not a valid camt.054"),
        (BOOKED.replace("<Document", "<!DOCTYPE a><Document").encode(), "DOCTYPE"),
        (b"<" * 10_000, "not well-formed"),
        (b"<a>" * 100_000, "not well-formed"),
    ],
)
def test_what_is_not_exactly_as_it_should_be_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(InvalidMessageError, match=re.escape(why)):
        iso20022.read(content)


def test_no_entity_is_expanded_and_no_file_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("HDFC-SECRET")
    for entity in (f'SYSTEM "{secret}"', '"HDFC-SECRET"'):
        text = BOOKED.replace("<Document", f"<!DOCTYPE a [<!ENTITY x {entity}>]><Document")
        with pytest.raises(InvalidMessageError) as raised:
            iso20022.read(text.replace("HDFCN52026112300047", "&x;").encode())
        assert "SECRET" not in str(raised.value)


def test_a_bomb_of_entities_does_not_go_off() -> None:
    bomb = '<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12)
    )
    text = BOOKED.replace("<Document", f"<!DOCTYPE z [{bomb}]><Document")
    with pytest.raises(InvalidMessageError):
        iso20022.read(text.replace("HDFCN52026112300047", "&m;").encode())


@given(st.binary(max_size=200), st.integers(0, len(BOOKED)), st.integers(0, 50))
def test_no_bytes_raise_anything_else(noise: bytes, place: int, cut: int) -> None:
    for name in ("pain.002.xml", "camt.054.xml"):
        whole = sample(name)
        with suppress(InvalidMessageError):
            iso20022.read(whole[:place] + noise + whole[place + cut :])


def test_what_is_kept_as_evidence_has_no_account_and_no_name() -> None:
    parties = (
        "<RltdPties><Cdtr><Pty><Nm>Asha Rao</Nm></Pty></Cdtr><CdtrAcct><Id><Othr>"
        "<Id>501002340001</Id></Othr></Id></CdtrAcct></RltdPties></TxDtls>"
    )
    kept = json.dumps(booking(("</TxDtls>", parties)).raw)
    assert "Asha" not in kept
    assert "501002340001" not in kept
    assert ONE in kept


def test_a_banks_prose_shows_no_account() -> None:
    text = sample("pain.002.xml").decode()
    said = "Account 501002340101 (NL26MOCK0000000077) is closed since 2019"
    (_, refused) = iso20022.read(text.replace("The account is closed", said).encode()).entries
    assert refused.reason == "Account •••0101 (•••0077) is closed since 2019"
    assert "501002340101" not in json.dumps(refused.raw)


def test_the_docs_name_the_reasons_that_are_final() -> None:
    page = (SAMPLES.parents[1] / "iso20022.md").read_text()
    rows = re.findall(r"^\| ((?:`[A-Z0-9]{4}`(?:, )?)+) \| `(\w+)` \|$", page, re.MULTILINE)
    listed = {reason: code for reasons, code in rows for reason in re.findall(r"\w+", reasons)}
    assert listed == iso20022.REASONS
