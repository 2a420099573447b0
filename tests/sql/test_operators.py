"""Operators of the console: who gets in, what they see, and that what they do is on record."""

from __future__ import annotations

import hashlib
import random
import secrets
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.desk import STATUSES, Desk
from tests.sql.test_dashboard import past

HASH = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0$aGFzaA"
OTHER = HASH.replace("aGFzaA", "b3RoZXI")
MINUTE = timedelta(minutes=1)
TABLES = ("operators", "operator_sessions", "operator_tries", "operator_actions")
ROLES = ("payrail_api", "payrail_worker", "payrail_operator", "payrail_auditor", "payrail_migrator")


def new_name() -> str:
    return f"asha-{secrets.token_hex(4)}"


@pytest.fixture
def name(desk: Desk) -> str:
    """An operator of the test's own."""
    name = new_name()
    ask(desk, "SELECT FROM payrail.add_operator(%s, %s, 'root')", name, HASH)
    return name


def ask(desk: Desk, query: str, *parameters: object, role: str = "payrail_operator") -> Any:
    """Return the only column of each row, or whole rows of several."""
    rows = desk.sql(role, query, list(parameters))
    return [next(iter(row.values())) if len(row) == 1 else row for row in rows]


def session(desk: Desk, name: str, password_hash: str = HASH) -> bytes:
    """Sign in, as far as the database is concerned; return the session's hash."""
    found = hashlib.sha256(secrets.token_bytes()).digest()
    opened = "SELECT payrail.open_operator_session(%s, %s, %s)"
    assert ask(desk, opened, name, password_hash, found) == [name]
    return found


def whose(desk: Desk, found: bytes) -> list[str]:
    names: list[str] = ask(desk, "SELECT payrail.resume_operator_session(%s)", found)
    return names


def tried(desk: Desk, name: str) -> list[str]:
    hashes: list[str] = ask(desk, "SELECT payrail.try_operator(%s)", name)
    return hashes


def log(desk: Desk, name: str) -> list[tuple[str, str, str]]:
    query = (
        "SELECT actor, action, object FROM payrail.operator_actions"
        " WHERE object = %s OR actor LIKE '%%:' || %s ORDER BY action_id"
    )
    rows = ask(desk, query, name, name)
    return [(row["actor"], row["action"], row["object"]) for row in rows]


# -------------------------------------------------------------------------------------- the roles


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("role", ROLES)
def test_no_role_touches_the_operators_tables(desk: Desk, role: str, table: str) -> None:
    for statement in (
        f"SELECT FROM merchant.{table}",
        f"INSERT INTO merchant.{table} DEFAULT VALUES",
        f"DELETE FROM merchant.{table}",
        f"TRUNCATE merchant.{table} CASCADE",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            desk.sql(role, statement, [])


@pytest.mark.parametrize("role", sorted({*ROLES} - {"payrail_operator"}))
def test_only_the_console_has_its_doors(desk: Desk, role: str) -> None:
    for call in (
        f"add_operator('mallory', '{HASH}')",
        f"set_operator_password('demo', '{HASH}')",
        "disable_operator('demo')",
        "try_operator('demo')",
        f"open_operator_session('demo', '{HASH}', sha256(''))",
        "resume_operator_session(sha256(''))",
        "close_operator_session(sha256(''))",
        f"credit_as_operator('{desk.merchant_id}', sha256(''), 1, 'INR', 'gift')",
        "work()",
        "throughput()",
        "find_payouts('x')",
        "troubled_payouts()",
    ):
        with desk.refused("42501", "3F000"):
            desk.sql(role, f"SELECT FROM payrail.{call}", [])


def test_nobody_reads_a_password_hash_but_who_is_signing_in(desk: Desk, name: str) -> None:
    (row,) = ask(desk, "SELECT o::text AS row FROM payrail.operators o WHERE name = %s", name)
    assert "argon2" not in row
    assert tried(desk, name) == [HASH]


# ---------------------------------------------------------------------------------- the operators


@pytest.mark.parametrize("name", [None, "", "Asha", "a b", "-a", "a\n", "ä", "a" * 65, "a:b"])
def test_a_name_that_is_not_plain_is_refused(desk: Desk, name: str | None) -> None:
    with desk.refused("PR106") as caught:
        ask(desk, "SELECT FROM payrail.add_operator(%s, %s)", name, HASH)
    assert '"field" : "name"' in (caught.value.diag.message_detail or "")


@pytest.mark.parametrize("digest", [None, "", "secret", "$argon2i$v=19$x", HASH + "x" * 255])
def test_a_password_that_is_no_hash_is_refused(desk: Desk, name: str, digest: str | None) -> None:
    with desk.refused("PR111"):
        ask(desk, "SELECT FROM payrail.add_operator(%s, %s)", new_name(), digest)
    with desk.refused("PR111"):
        ask(desk, "SELECT FROM payrail.set_operator_password(%s, %s)", name, digest)


def test_not_even_the_owner_stores_a_password_as_it_is(desk: Desk, name: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        ask(
            desk,
            "UPDATE merchant.operators SET password_hash = 'secret' WHERE name = %s",
            name,
            role="payrail_owner",
        )


def test_a_name_is_one_persons_for_ever(desk: Desk, name: str) -> None:
    with desk.refused("PR208"):
        ask(desk, "SELECT FROM payrail.add_operator(%s, %s)", name, OTHER)
    for statement in ("DELETE FROM merchant.operators", "TRUNCATE merchant.operators CASCADE"):
        with desk.refused("PR501"):
            ask(desk, statement, role="payrail_owner")
    assert tried(desk, name) == [HASH]


def test_who_is_not_there_can_not_be_changed(desk: Desk) -> None:
    for call in ("set_operator_password(%s, %s)", "disable_operator(%s, %s)"):
        with desk.refused("PR405"):
            ask(desk, f"SELECT FROM payrail.{call}", new_name(), HASH)


def test_who_is_disabled_is_out_at_once_and_stays_out(desk: Desk, name: str) -> None:
    found = session(desk, name)
    disable = "SELECT disabled_at FROM payrail.disable_operator(%s)"
    (when,) = ask(desk, disable, name)
    assert whose(desk, found) == []
    assert tried(desk, name) == []
    late = "SELECT payrail.open_operator_session(%s, %s, sha256('late'))"
    assert ask(desk, late, name, HASH) == []
    assert ask(desk, disable, name) == [when]
    assert [action for _, action, _ in log(desk, name)].count("operator_disabled") == 1


def test_a_new_password_ends_the_sessions_and_lets_back_in(desk: Desk, name: str) -> None:
    found = session(desk, name)
    ask(desk, "SELECT FROM payrail.disable_operator(%s)", name)
    ask(desk, "SELECT FROM payrail.set_operator_password(%s, %s)", name, OTHER)
    assert whose(desk, found) == []
    assert tried(desk, name) == [OTHER]
    late = "SELECT payrail.open_operator_session(%s, %s, sha256('old'))"
    assert ask(desk, late, name, HASH) == []  # it was compared with the old one
    assert whose(desk, session(desk, name, OTHER)) == [name]


def test_a_session_opened_while_the_password_is_set_is_worth_nothing(desk: Desk, name: str) -> None:
    """It read the old one, and its row comes after those that a change could have seen."""
    with desk.database.connect("payrail_operator") as slow:
        slow.autocommit = False
        found = hashlib.sha256(secrets.token_bytes()).digest()
        opened = "SELECT payrail.open_operator_session(%s, %s, %s)"
        assert slow.execute(opened, [name, HASH, found]).rowcount == 1
        ask(desk, "SELECT FROM payrail.set_operator_password(%s, %s)", name, OTHER)
        slow.commit()
    assert whose(desk, found) == []


# ------------------------------------------------------------------------------------ the sessions


def age(desk: Desk, table: str, column: str, by: timedelta, name: str) -> None:
    statement = f"UPDATE merchant.{table} SET {column} = now() - %s WHERE name = %s"
    ask(desk, statement, by, name, role="payrail_owner")


def test_a_session_is_its_operators_until_it_is_closed(desk: Desk, name: str) -> None:
    found, other = session(desk, name), session(desk, name)
    assert (whose(desk, found), whose(desk, other)) == ([name], [name])
    assert ask(desk, "SELECT payrail.close_operator_session(%s)", found) == [name]
    assert ask(desk, "SELECT payrail.close_operator_session(%s)", found) == []
    assert (whose(desk, found), whose(desk, other)) == ([], [name])


@pytest.mark.parametrize(
    ("column", "by", "lasts"),
    [
        ("seen_at", timedelta(minutes=29), True),
        ("seen_at", timedelta(minutes=30), False),
        ("created_at", timedelta(hours=11, minutes=59), True),
        ("created_at", timedelta(hours=12), False),
    ],
)
def test_a_session_lasts_half_an_hour_unused_and_twelve_at_most(
    desk: Desk, name: str, column: str, by: timedelta, *, lasts: bool
) -> None:
    found = session(desk, name)
    age(desk, "operator_sessions", column, by, name)
    assert whose(desk, found) == [name] * lasts


def test_a_page_keeps_the_session_open(desk: Desk, name: str) -> None:
    found = session(desk, name)
    for _ in range(3):
        age(desk, "operator_sessions", "seen_at", timedelta(minutes=20), name)
        assert whose(desk, found) == [name]


def test_signing_in_is_repeated_without_effect(desk: Desk, name: str) -> None:
    found = session(desk, name)
    again = "SELECT payrail.open_operator_session(%s, %s, %s)"
    assert ask(desk, again, name, HASH, found) == [name]
    assert [action for _, action, _ in log(desk, name)].count("signed_in") == 1


# ------------------------------------------------------------------------------------ the lockout


def test_ten_tries_and_then_a_name_has_to_wait(desk: Desk, name: str) -> None:
    assert [tried(desk, name) for _ in range(12)] == [[HASH]] * 10 + [[]] * 2
    age(desk, "operator_tries", "since", timedelta(minutes=9), name)
    assert tried(desk, name) == []
    age(desk, "operator_tries", "since", timedelta(minutes=10), name)
    assert tried(desk, name) == [HASH]


def test_who_signs_in_starts_anew(desk: Desk, name: str) -> None:
    for _ in range(3):
        assert [tried(desk, name) for _ in range(9)] == [[HASH]] * 9
        session(desk, name)


def test_one_name_does_not_lock_another(desk: Desk, name: str) -> None:
    other = new_name()
    ask(desk, "SELECT FROM payrail.add_operator(%s, %s)", other, OTHER)
    for _ in range(11):
        tried(desk, name)
    assert tried(desk, other) == [OTHER]


def test_a_name_that_is_nobodys_is_counted_alike(desk: Desk) -> None:
    name = new_name()
    for _ in range(11):
        assert tried(desk, name) == []
    ask(desk, "SELECT FROM payrail.add_operator(%s, %s)", name, HASH)
    assert tried(desk, name) == []


@pytest.mark.parametrize("name", [None, "", "A", "x" * 65, "' OR 1=1"])
def test_what_can_not_be_a_name_is_not_kept(desk: Desk, name: str | None) -> None:
    assert tried(desk, name) == []  # type: ignore[arg-type]
    kept = "SELECT count(*) FROM merchant.operator_tries WHERE name IS NOT DISTINCT FROM %s"
    assert ask(desk, kept, name, role="payrail_owner") == [0]


# ----------------------------------------------------------------------------------------- the log


def credit(desk: Desk, found: bytes, amount: int = 500, reference: str = "bank-1") -> Any:
    query = "SELECT seq, available FROM payrail.credit_as_operator(%s, %s, %s, 'INR', %s)"
    (row,) = ask(desk, query, desk.merchant_id, found, amount, reference)
    return row


def test_what_an_operator_does_is_logged_with_who_did_it(desk: Desk, name: str) -> None:
    credit(desk, session(desk, name), reference=f"for {name}")
    assert log(desk, name) == [
        ("payrail_operator:root", "operator_added", name),
        (f"payrail_operator:{name}", "signed_in", name),
        (f"payrail_operator:{name}", "merchant_credited", f"for {name}"),
    ]


def test_what_is_done_to_modes_and_holidays_is_logged_once_with_who_did_it(
    desk: Desk, name: str
) -> None:
    found = session(desk, name)
    calendar, rail = f"c-{name}", f"r{desk.merchant_id.hex[-12:]}"
    declared = "SELECT payrail.declare_rail(%s, TRUE, TRUE, 100, '1 hour')"
    desk.sql("payrail_worker", declared, [rail])
    mode = "SELECT payrail.set_mode(%s, 'NEFT', 'INR', '{vpa}', %s, p_session_hash => %s)"
    holiday = "SELECT payrail.set_holiday(%s, '2099-01-26', %s, p_session_hash => %s)"
    calls: list[tuple[str, list[object]]] = [
        (mode, [rail, 1]),
        (mode, [rail, 2]),
        (holiday, [calendar, "a day"]),
        (holiday, [calendar, None]),
        ("SELECT payrail.remove_mode(%s, 'NEFT', 'INR', p_session_hash => %s)", [rail]),
    ]
    for query, given in calls:
        for _ in range(2):  # repeated, it adds no row
            ask(desk, query, *given, found)
    key, day = f"{rail} NEFT INR", f"{calendar} 2099-01-26"
    assert log(desk, name)[2:] == [
        (f"payrail_operator:{name}", action, of)
        for action, of in (
            ("mode_set", key),
            ("mode_set", key),
            ("holiday_set", day),
            ("holiday_removed", day),
            ("mode_removed", key),
        )
    ]
    ask(desk, "SELECT payrail.close_operator_session(%s)", found)
    for query, given in calls:
        with desk.refused("PR503"):
            ask(desk, query, *given, found)
    assert len(log(desk, name)) == 7


def test_one_reference_is_one_credit_and_one_row(desk: Desk, name: str) -> None:
    found = session(desk, name)
    first = credit(desk, found)
    assert credit(desk, found) == first
    query = (
        "SELECT merchant_id, detail FROM payrail.operator_actions"
        " WHERE merchant_id = %s AND object <> 'opening'"
    )
    rows = ask(desk, query, desk.merchant_id)
    detail = {"amount": 500, "currency": "INR"}
    assert rows == [{"merchant_id": desk.merchant_id, "detail": detail}]


def test_a_credit_in_psql_is_in_the_log_too(desk: Desk, name: str) -> None:
    query = "SELECT FROM payrail.credit_merchant(%s, 500, 'INR', %s, p_actor => %s)"
    for _ in range(2):  # repeated, it adds no row
        ask(desk, query, desk.merchant_id, f"by {name}", name)
    ask(desk, query, desk.merchant_id, f"for {name}", None)
    assert log(desk, name)[1:] == [(f"payrail_operator:{name}", "merchant_credited", f"by {name}")]
    assert log(desk, f"for {name}") == [
        ("payrail_operator", "merchant_credited", f"for {name}"),
    ]


def test_who_repeats_anothers_credit_did_not_make_it(desk: Desk, name: str) -> None:
    desk.credit(500, "bank-1")
    credit(desk, session(desk, name))
    assert [action for _, action, _ in log(desk, name)] == ["operator_added", "signed_in"]


@pytest.mark.parametrize(
    ("state", "amount", "reference"),
    [("PR203", 501, "bank-1"), ("PR101", 0, "bank-2"), ("PR104", 1, "")],
)
def test_what_is_refused_is_not_logged(
    desk: Desk, name: str, state: str, amount: int, reference: str
) -> None:
    found = session(desk, name)
    credit(desk, found)
    before = log(desk, name)
    with desk.refused(state):
        credit(desk, found, amount, reference)
    assert log(desk, name) == before


def test_nobody_credits_without_a_session(desk: Desk, name: str) -> None:
    found = session(desk, name)
    ask(desk, "SELECT payrail.close_operator_session(%s)", found)
    for one in (found, hashlib.sha256(b"never").digest(), None):
        with desk.refused("PR503"):
            credit(desk, one)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("setting", "value", "state"),
    [
        ("synchronous_commit", "off", "PR901"),
        ("default_transaction_isolation", "serializable", "PR902"),
    ],
)
def test_no_operator_credits_unsafely(
    desk: Desk, name: str, setting: str, value: str, state: str
) -> None:
    found = session(desk, name)
    desk.sql("payrail_operator", f"SET {setting} = '{value}'", [])
    with desk.refused(state):
        credit(desk, found)


def test_a_merchant_that_is_not_there_is_not_credited(desk: Desk, name: str) -> None:
    query = "SELECT FROM payrail.credit_as_operator(%s, %s, 1, 'INR', 'r')"
    with desk.refused("PR401"):
        ask(desk, query, uuid4(), session(desk, name))


@pytest.mark.parametrize("replication", ["origin", "replica"])
@pytest.mark.parametrize("role", ["admin", "payrail_owner"])
def test_the_log_is_never_altered(own_desk: Desk, role: str, replication: str) -> None:
    """Not by a superuser either, nor with ordinary triggers switched off."""
    ask(own_desk, "SELECT FROM payrail.add_operator('asha', %s)", HASH)
    before = ask(own_desk, "SELECT * FROM payrail.operator_actions")
    connection = own_desk.connection("admin")
    connection.execute(f"SET session_replication_role = {replication}".encode())
    if role == "payrail_owner":
        connection.execute("SET ROLE payrail_owner")
    for statement in (
        "UPDATE merchant.operator_actions SET actor = 'payrail_operator:mallory'",
        "DELETE FROM merchant.operator_actions",
        "TRUNCATE merchant.operator_actions",
    ):
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(statement.encode())
        assert caught.value.diag.sqlstate == "PR501"
    assert ask(own_desk, "SELECT * FROM payrail.operator_actions") == before


# --------------------------------------------------------------------------------- what they see


def shift(desk: Desk, payout_id: UUID, **columns: timedelta) -> None:
    """Move times of a payout into the past, which takes an administrator."""
    changes = ", ".join(f"{name} = now() - %({name})s" for name in columns)
    past(
        desk,
        "payout.payouts",
        f"SET {changes} WHERE payout_id = %(payout_id)s",
        {"payout_id": payout_id, **columns},
    )


def found(desk: Desk, call: str, *parameters: object) -> list[tuple[UUID, list[str]]]:
    rows = ask(desk, f"SELECT payout_id, why FROM payrail.{call}", *parameters)
    return [(row["payout_id"], row["why"]) for row in rows]


def test_what_needs_attention_is_all_of_it_and_no_more(own_desk: Desk) -> None:
    for status in STATUSES:
        own_desk.payout(status, 100)
    assert found(own_desk, "troubled_payouts()") == []
    twice, overdue, slow = own_desk.payout("settled"), own_desk.payout(), own_desk.beside().payout()
    soon = own_desk.payout()
    own_desk.fail_batch((twice, "account_closed", None, None))
    own_desk.fail_batch((twice, "account_closed", None, None))
    own_desk.sql(
        "payrail_worker",
        "SELECT payrail.claim_payouts(m) FROM unnest(%s) m",
        [
            [
                row["merchant_id"]
                for row in own_desk.sql("payrail_operator", "TABLE payrail.merchants", [])
            ]
        ],
    )
    shift(own_desk, soon, next_action_at=timedelta(minutes=4), updated_at=timedelta(minutes=59))
    shift(own_desk, overdue, next_action_at=timedelta(minutes=5, seconds=1))
    shift(own_desk, slow, updated_at=timedelta(minutes=61), next_action_at=timedelta(minutes=6))
    assert found(own_desk, "troubled_payouts()") == [
        (twice, ["contradiction"]),
        (overdue, ["overdue"]),
        (slow, ["overdue", "slow"]),
    ]
    assert found(own_desk, "troubled_payouts(1)") == [(twice, ["contradiction"])]


def test_a_payout_is_found_among_all_merchants(own_desk: Desk) -> None:
    other = own_desk.beside()
    mine = own_desk.create("k", 100, reference="k").payout_id
    theirs = other.create("k", 100).payout_id
    own_desk.claim()
    own_desk.settle(mine, "k")
    assert found(own_desk, "find_payouts('k')") == [
        (theirs, ["idempotency_key"]),
        (mine, ["idempotency_key", "reference", "utr"]),
    ]
    assert found(own_desk, "find_payouts('', %s)", mine) == [(mine, ["id"])]
    for nothing in ("K", "k%", "", str(mine)):
        assert found(own_desk, "find_payouts(%s)", nothing) == []


def test_no_search_reads_a_whole_table(own_desk: Desk) -> None:
    """Nor does a list: there are indexes for what it asks, before the first ANALYZE as well."""
    own_desk.payout()
    scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relid = 'payout.payouts'::regclass"
    before = scanned(own_desk, scans)
    for call in ("find_payouts('k')", "troubled_payouts()", "work()", "throughput()"):
        ask(own_desk, f"SELECT FROM payrail.{call}")
    assert scanned(own_desk, scans) == before


def scanned(desk: Desk, query: str) -> Any:
    ask(desk, "SELECT pg_stat_force_next_flush()", role="admin")
    desk.connection("payrail_operator").execute("SELECT pg_stat_force_next_flush()")
    return ask(desk, query, role="admin")


@pytest.mark.parametrize("minutes", [1, 60])
def test_the_payouts_of_a_minute_are_those_requested_in_it(own_desk: Desk, minutes: int) -> None:
    desks = [own_desk, own_desk.beside()]
    for payout_id in [desk.payout(random.choice(STATUSES), 100) for desk in desks * 12]:
        past(
            own_desk,
            "payout.payouts",
            "SET payout_id = uuidv7(-age), created_at = created_at - age"
            " FROM (SELECT %s * INTERVAL '1 minute') a (age) WHERE payout_id = %s",
            [random.uniform(0, 90), payout_id],
        )
    made = [row for desk in desks for row in desk.table("payouts")]
    rows = ask(own_desk, "SELECT * FROM payrail.throughput(%s)", minutes)
    last = rows[-1]["minute"]
    assert [row["minute"] for row in rows] == [last - n * MINUTE for n in range(minutes)][::-1]
    for row in rows:
        then = [one for one in made if row["minute"] <= one["created_at"] < row["minute"] + MINUTE]
        within = [one["status"] for one in then]
        times = sorted(one["settled_at"] - one["created_at"] for one in then if one["settled_at"])
        assert within_reach(times, 0.5, row.pop("median_seconds"))
        assert within_reach(times, 0.95, row.pop("p95_seconds"))
        assert row == {
            "minute": row["minute"],
            "settled": within.count("settled"),
            "failed": sum(within.count(one) for one in ("failed", "returned", "cancelled")),
            "under_way": sum(within.count(one) for one in ("pending", "processing")),
        }


def within_reach(times: list[timedelta], part: float, seconds: float | None) -> bool:
    """Tell whether so many are below, between the two nearest that there are."""
    if seconds is None or not times:
        return seconds is None and not times
    place = part * (len(times) - 1)
    low, high = (times[number].total_seconds() for number in (int(place), -int(-place // 1)))
    return low - 1e-6 <= seconds <= high + 1e-6


@pytest.mark.parametrize(("asked", "given"), [(0, 0), (-1, 0), (1440, 1440), (10**9, 1440)])
def test_a_day_at_most(desk: Desk, asked: int, given: int) -> None:
    assert ask(desk, "SELECT count(*) FROM payrail.throughput(%s)", asked) == [given]


def test_what_is_due_is_counted_and_who_is_alive(own_desk: Desk) -> None:
    for status in STATUSES:
        own_desk.payout(status, 100)
    own_desk.payout()
    own_desk.beside().payout()
    work = "SELECT * FROM payrail.work()"
    assert ask(own_desk, work) == [{"due": 2, "workers": 0, "seen_at": None}]
    times = own_desk.sql(
        "admin",
        "INSERT INTO procrastinate.procrastinate_workers (last_heartbeat)"
        " SELECT now() - n * INTERVAL '12 s' FROM generate_series(0, 4) n RETURNING last_heartbeat",
        [],
    )
    seen = max(row["last_heartbeat"] for row in times)
    assert ask(own_desk, work) == [{"due": 2, "workers": 3, "seen_at": seen}]
