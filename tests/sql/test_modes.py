"""How a bank moves money: bounds, hours and holidays are data, and what is too early waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.desk import Desk, detail

LAKH = 10_000_000  # paise
HOUR = timedelta(hours=1)
NUMBER = ["account_number"]
YEAR = "FROM generate_series(-1, 368) n"


@pytest.fixture
def rich(desk: Desk) -> Iterator[Desk]:
    desk.credit(10**12, "more")
    yield desk
    assert desk.violations() == {}


@pytest.fixture
def own(rich: Desk) -> Desk:
    """A merchant with an account, `own`, at a bank of its own that has no modes yet."""
    desk = rich
    desk.sql(
        "payrail_worker",
        "SELECT payrail.declare_rail(%s, TRUE, TRUE, 100, '1 hour')",
        [bank(desk)],
    )
    account = {"account_number": "12345678", "ifsc": "HDFC0000001", "rail": bank(desk)}
    desk.call(
        "payrail_operator",
        "add_bank_account",
        bank_account_id="own",
        holder_name="Asha Rao",
        **account,
    )
    return desk


def bank(desk: Desk) -> str:
    return f"m{desk.merchant_id.hex[-30:]}"


def set_mode(desk: Desk, mode: str = "NEFT", **more: Any) -> None:
    given = {
        "rail": bank(desk),
        "mode": mode,
        "currency": "INR",
        "accounts": NUMBER,
        "rank": 1,
        **more,
    }
    named = ", ".join(f"p_{name} => %({name})s" for name in given)
    casts = named.replace("%(days)s", "%(days)s::smallint[]")
    desk.sql("payrail_operator", f"SELECT * FROM payrail.set_mode({casts})", given)


def closed_today() -> list[int]:
    """Return the one day of the week that is furthest from now, whatever the time zone."""
    return [(datetime.now(UTC).isoweekday() + 2) % 7 + 1]


def see(desk: Desk, payout_id: Any) -> dict[str, Any]:
    (row,) = desk.sql(
        "payrail_api",
        "SELECT payrail.payout_json(p) AS shown FROM payrail.payouts p"
        " WHERE p.merchant_id = %s AND p.payout_id = %s",
        [desk.merchant_id, payout_id],
    )
    shown: dict[str, Any] = row["shown"]
    return shown


# ---------------------------------------------------------------------------------------- choosing


@pytest.mark.parametrize(
    ("amount", "asked", "mode"),
    [
        (1, None, "IMPS"),
        (5 * LAKH, "auto", "IMPS"),
        (5 * LAKH + 1, None, "RTGS"),
        (5 * LAKH, "NEFT", "NEFT"),
        (2 * LAKH, "RTGS", "RTGS"),
    ],
)
def test_a_mode_is_chosen_by_the_amount_or_asked_for(
    rich: Desk, amount: int, asked: str | None, mode: str
) -> None:
    answer = rich.create("k", amount, mode=asked)
    assert answer.json["mode"] == mode
    assert (answer.json["mode_reason"] == "asked for") == (asked == mode)
    assert rich.claim()[0]["payout_id"] == answer.payout_id


@pytest.mark.parametrize(
    ("amount", "mode"), [(5 * LAKH + 1, "IMPS"), (2 * LAKH - 1, "RTGS"), (1, "UPI"), (1, "CHEQUE")]
)
def test_what_a_mode_can_not_do_is_refused_for_good(rich: Desk, amount: int, mode: str) -> None:
    answer = rich.create("k", amount, mode=mode)
    assert (answer.status, answer.code) == (422, "mode_unavailable")
    assert answer.json["errors"][0]["pointer"] == "/mode"
    assert rich.create("k", amount, mode=mode).replayed
    assert rich.create("k", amount).code == "idempotency_key_reused"


def test_a_upi_address_takes_no_more_than_upi_does(rich: Desk) -> None:
    rich.call(
        "payrail_api",
        "add_bank_account",
        bank_account_id="upi",
        holder_name="Asha Rao",
        vpa="asha@bank",
    )
    assert rich.create("a", LAKH, bank_account_id="upi").json["mode"] == "UPI"
    assert rich.create("b", LAKH + 1, bank_account_id="upi").code == "mode_unavailable"


def test_an_iban_is_paid_by_sepa_in_euros(rich: Desk) -> None:
    rich.credit(1000, "euros", "EUR")
    rich.call(
        "payrail_api",
        "add_bank_account",
        bank_account_id="iban",
        holder_name="Asha Rao",
        iban="DE89370400440532013000",
    )
    answer = rich.create("k", 1000, bank_account_id="iban", currency="EUR")
    assert answer.json["mode"] == "SEPA"
    (claim,) = rich.claim()
    assert (claim["iban"], claim["currency"]) == ("DE89370400440532013000", "EUR")


def test_of_a_bank_that_says_nothing_there_is_no_mode(own: Desk) -> None:
    answer = own.create("a", bank_account_id="own")
    assert (answer.json["mode"], answer.json["mode_reason"]) == (None, None)
    assert own.create("b", bank_account_id="own", mode="IMPS").code == "mode_unavailable"
    assert own.claim()[0]["payout_id"] == answer.payout_id


def test_what_is_open_comes_before_what_opens_later(own: Desk) -> None:
    set_mode(own, "FAST", rank=1, days=closed_today())
    assert own.create("a", bank_account_id="own").json["mode"] == "FAST"
    set_mode(own, "SLOW", rank=2)
    answer = own.create("b", bank_account_id="own")
    assert answer.json["mode"] == "SLOW"
    assert "open" in answer.json["mode_reason"]
    own.sql("payrail_operator", "SELECT payrail.remove_mode(%s, 'SLOW', 'INR')", [bank(own)])
    assert own.create("c", bank_account_id="own").json["mode"] == "FAST"


def test_a_dry_run_of_a_batch_says_the_same(rich: Desk) -> None:
    line = ["INR", "demo-bank-account", None, None, None, None, None, None]
    said = rich.check(("a", 1, *line, "IMPS"), ("b", 1, *line, "UPI"), ("c", 1, *line, "auto"))
    assert [(row["line"], row["code"]) for row in said] == [(2, "mode_unavailable")]


# -------------------------------------------------------------------------------------- the hours


def test_a_payout_outside_the_hours_waits_and_says_until_when(own: Desk) -> None:
    set_mode(own, days=closed_today())
    answer = own.create("k", bank_account_id="own")
    assert answer.json["status"] == "pending"
    why = answer.json["status_details"]
    until = datetime.fromisoformat(why["expected_by"])
    assert why["code"] == "mode_closed"
    assert [until.isoweekday()] == closed_today()
    assert (until.hour, until.minute) == (0, 0)
    assert why["expected_by"] in why["next_step"]
    with own.unchanged():
        assert own.claim() == []
    assert own.balance()[1] == 1000
    assert own.cancel(answer.payout_id)["status"] == "cancelled"


def test_a_claim_looks_at_the_hours_again(own: Desk) -> None:
    set_mode(own)
    payout_id = own.create("k", bank_account_id="own").payout_id
    set_mode(own, days=closed_today())
    assert own.claim() == []
    assert see(own, payout_id)["status_details"]["code"] == "mode_closed"
    own.sql(
        "payrail_owner",
        "UPDATE payout.payouts SET next_action_at = clock_timestamp() WHERE payout_id = %s",
        [payout_id],
    )
    set_mode(own)
    assert see(own, payout_id)["status_details"] is None
    (claim,) = own.claim()
    assert claim["payout_id"] == payout_id


def test_more_than_a_claim_takes_wait_all_the_same(own: Desk) -> None:
    set_mode(own)
    made = [own.create(f"k{n}", 10, bank_account_id="own").payout_id for n in range(5)]
    set_mode(own, days=closed_today())
    for _ in range(4):
        assert own.claim(limit=2) == []
    waiting = [see(own, payout_id)["status_details"] for payout_id in made]
    assert [why and why["code"] for why in waiting] == ["mode_closed"] * 5


def test_what_has_left_is_asked_about_at_any_hour(own: Desk) -> None:
    set_mode(own)
    payout_id = own.create("k", bank_account_id="own").payout_id
    assert len(own.claim()) == 1
    set_mode(own, days=closed_today())
    own.make_due(payout_id)
    (claim,) = own.claim()
    assert claim["action"] == "enquire"


def test_a_mode_that_never_opens_holds_nothing_up(own: Desk) -> None:
    calendar = bank(own)
    set_mode(own)
    payout_id = own.create("k", bank_account_id="own").payout_id
    own.sql(
        "payrail_operator",
        f"SELECT payrail.set_holiday(%s, current_date + n, 'closed') {YEAR}",
        [calendar],
    )
    set_mode(own, calendar=calendar)
    assert own.claim() == []
    assert see(own, payout_id)["status_details"]["code"] == "mode_closed"
    assert own.create("l", bank_account_id="own").code == "mode_unavailable"
    own.sql(
        "payrail_operator",
        f"SELECT payrail.set_holiday(%s, current_date + n, NULL) {YEAR}",
        [calendar],
    )
    assert own.create("m", bank_account_id="own").json["status_details"] is None


def test_a_scheduled_payout_goes_by_the_mode_that_is_open_at_its_time(own: Desk) -> None:
    """Chosen when it is created, and for good: what somebody has approved is what is sent."""
    set_mode(own, "FAST", rank=1, days=closed_today())
    set_mode(own, "SLOW", rank=2)
    day = datetime.now(UTC).replace(hour=12, minute=0) + timedelta(days=3)
    assert own.create("now", bank_account_id="own").json["mode"] == "SLOW"
    for scheduled_at, mode in ((day, "FAST"), (day - timedelta(days=1), "SLOW")):
        answer = own.create(mode, bank_account_id="own", scheduled_at=scheduled_at)
        assert (answer.json["mode"], answer.json["status_details"]) == (mode, None)
        assert answer.json["mode_reason"].endswith("that is open and takes this amount")


OPENS_AT = (
    "SELECT rail.opens_at(ROW('r', 'M', 'INR', '{vpa}', 1, 1, 1, %s::time, %s::time,"
    " %s::smallint[], %s, %s)::rail.modes, %s) AS at"
)


@dataclass(frozen=True)
class Hours:
    """A mode's hours, and its calendar's holidays."""

    hours: tuple[int, int] | None
    days: list[int] | None
    zone: str
    closed: set[date]

    def is_open(self, instant: datetime) -> bool:
        there = instant.astimezone(ZoneInfo(self.zone))
        return (
            (self.days is None or there.isoweekday() in self.days)
            and (self.hours is None or self.hours[0] <= there.hour < self.hours[1])
            and there.date() not in self.closed
        )


HOURS = st.builds(
    Hours,
    hours=st.none() | st.tuples(st.integers(0, 11), st.integers(12, 23)),
    days=st.none() | st.sets(st.integers(1, 7), min_size=1).map(sorted),
    zone=st.sampled_from(["UTC", "Asia/Kolkata", "Europe/Brussels", "America/New_York"]),
    closed=st.sets(
        st.integers(0, 20).map(lambda n: date(2026, 3, 20) + timedelta(days=n)), max_size=6
    ),
)


@settings(max_examples=60, deadline=None)
@given(mode=HOURS, hours=st.integers(0, 500))
def test_the_next_opening_is_the_first_minute_that_is_open(
    shared_desk: Desk, mode: Hours, hours: int
) -> None:
    """Against a model that walks: every half hour of some weeks in which clocks are changed."""
    moment = datetime(2026, 3, 20, 0, 30, tzinfo=UTC) + hours * HOUR
    owner = shared_desk.connection("payrail_owner")
    with owner.transaction(force_rollback=True):
        for day in mode.closed:
            owner.execute("INSERT INTO rail.holidays VALUES ('model', %s, 'x')", [day])
        opens, closes = (f"{hour}:00" for hour in mode.hours) if mode.hours else (None, None)
        given_hours = [opens, closes, mode.days, mode.zone, "model", moment]
        found = owner.execute(OPENS_AT, given_hours).fetchone()
    assert found
    if mode.is_open(moment):
        assert found["at"] == moment
        return
    # Kolkata's hours begin at our half past
    later = (moment + timedelta(minutes=30 * n) for n in range(1, 48 * 40))
    assert found["at"] == next(instant for instant in later if mode.is_open(instant))


@pytest.fixture(scope="module")
def shared_desk(shared_database: Any) -> Iterator[Desk]:
    with Desk(shared_database) as desk:
        yield desk


# ------------------------------------------------------------------------------------- the doors


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"rail": "swift"}, "rail"),
        ({"mode": "imps"}, "mode"),
        ({"currency": "XYZ"}, "currency"),
        ({"accounts": ["cheque"]}, "accounts"),
        ({"accounts": []}, "accounts"),
        ({"rank": -1}, "rank"),
        ({"amount_min": 0}, "amount_min"),
        ({"amount_min": 5, "amount_max": 4}, "amount_max"),
        ({"opens": "09:00"}, "closes"),
        ({"opens": "09:00", "closes": "09:00"}, "closes"),
        ({"opens": "09:00", "closes": "24:00"}, "closes"),
        ({"days": [0]}, "days"),
        ({"days": []}, "days"),
        ({"time_zone": "Asia/Atlantis"}, "time_zone"),
        ({"calendar": ""}, "calendar"),
    ],
    ids=str,
)
def test_a_malformed_mode_is_refused(own: Desk, wrong: dict[str, Any], field: str) -> None:
    with own.refused("PR111") as caught:
        set_mode(own, **wrong)
    assert detail(caught.value) == {"field": field}


@pytest.mark.parametrize(
    ("holiday", "field"),
    [
        (("", date(2026, 1, 26), "x"), "calendar"),
        (("IN", None, "x"), "day"),
        (("IN", "infinity", "x"), "day"),
        (("IN", date(2026, 1, 26), ""), "name"),
    ],
    ids=str,
)
def test_a_malformed_holiday_is_refused(desk: Desk, holiday: tuple[Any, ...], field: str) -> None:
    with desk.refused("PR111") as caught:
        desk.sql("payrail_operator", "SELECT payrail.set_holiday(%s, %s::date, %s)", list(holiday))
    assert detail(caught.value) == {"field": field}
