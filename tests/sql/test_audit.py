"""The audit: empty over everything the doors do, and each invariant sees what breaks it.

Whoever tampers here is a superuser, who switches the guards off first.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg.rows import DictRow

from tests.conftest import Database
from tests.desk import ACCOUNT, OWN_STATUSES, STATUSES, Desk, violations
from tests.tampering import MINE, OTHER_VALUES, tampering

INVARIANTS = {
    "broken_batches",
    "broken_chain",
    "broken_history",
    "broken_idempotency",
    "broken_replay",
    "changed_definitions",
    "held_mismatch",
    "missing_books",
    "missing_events",
    "money_not_conserved",
    "negative_positions",
    "outcome_without_evidence",
    "overdue_work",
    "payout_entries",
    "unapproved",
    "unescalated",
    "unproven_status",
    "usage_mismatch",
}

# the hash that an entry would have if it were the first
REHASHED = (
    "ledger.entry_hash(NULL, e.merchant_id, e.currency, e.seq, e.kind, e.amount, e.available,"
    " e.held, e.payout_id, e.reference, e.created_at)"
)


@pytest.fixture(scope="module")
def rich(shared_database: Database) -> Iterator[Desk]:
    """Merchants with payouts in every state, rejections, replays, batches and contradictions."""
    with Desk(shared_database, 100_000) as desk:
        live(desk)
        live(desk.beside(100_000))
        yield desk
        assert desk.violations() == {}  # all tampering was rolled back


CHARGED = 5000  # a payout of so much, or more, has a fee


def live(desk: Desk) -> None:
    """Do a bit of everything."""
    made = [desk.payout(status) for status in STATUSES]
    made += [desk.payout(status) for status in OWN_STATUSES]
    desk.rule(approve_from=1)
    desk.approve(desk.create("approved").payout_id)
    desk.rule(daily_limit=10**6)
    desk.create("counted")
    desk.cancel(desk.create("given-back").payout_id)
    desk.create("poor", 10**12)
    desk.create("nowhere", 1, bank_account_id="unknown")
    desk.create("poor", 10**12)
    desk.create("bad", -1)
    desk.create_batch(*[(f"b{n}", 700, "INR", ACCOUNT, None, None) for n in range(4)])
    batch = desk.upload(*[(None, 700, "INR", ACCOUNT, None, None) for _ in range(3)]).json["id"]
    desk.advance(batch, limit=2)
    for payout_id in made:
        desk.settle_batch((payout_id, "LATE", {"said": "paid"}))
    desk.fee(amount_from=CHARGED, fixed=70, basis_points=25)
    for status in ("settled", "returned", "failed"):
        desk.payout(status, CHARGED)
    desk.claim(limit=2)
    desk.postpone(*[row["payout_id"] for row in desk.table("payouts")])
    desk.payout("processing", CHARGED)  # claims what is pending
    desk.payout()


def test_everything_the_doors_do_is_healthy(rich: Desk) -> None:
    assert rich.violations() == {}


def test_every_invariant_is_reported_with_its_promise(rich: Desk) -> None:
    for role in ("payrail_auditor", "payrail_operator"):
        rows = rich.sql(role, "SELECT * FROM payrail.audit_report()", [])
        assert {row["invariant"] for row in rows} == INVARIANTS
        assert all(row["promise"] and row["violations"] == 0 for row in rows)


@pytest.mark.parametrize("invariant", sorted(INVARIANTS))
def test_an_auditor_reads_each_invariant_in_full(rich: Desk, invariant: str) -> None:
    assert rich.sql("payrail_auditor", f"SELECT * FROM audit.{invariant}", []) == []


def test_tampering_that_does_nothing_is_no_violation(rich: Desk) -> None:
    with tampering(rich, "SELECT 1") as admin:
        assert violations(admin) == {}


def test_at_most_five_samples_are_shown(rich: Desk) -> None:
    with tampering(rich, "DELETE FROM webhook.events WHERE mod(seq, 2) = 1") as admin:
        (row,) = admin.execute(
            "SELECT * FROM payrail.audit_report() WHERE invariant = 'missing_events'"
        )
    assert row["violations"] > 5
    assert len(row["sample"]) == 5


def test_each_run_is_kept_with_what_it_found(rich: Desk) -> None:
    count = "SELECT count(*) AS count FROM payrail.audit_runs"
    for role in ("payrail_auditor", "payrail_operator"):
        before = rich.sql(role, count, [])[0]["count"]
        found = rich.sql(role, "SELECT * FROM payrail.run_audit('asha')", [])
        assert {row["invariant"]: row["violations"] for row in found} == dict.fromkeys(
            INVARIANTS, 0
        )
        assert rich.sql(role, count, [])[0]["count"] == before + 1
        (kept,) = rich.sql(
            role, "SELECT * FROM payrail.audit_runs ORDER BY run_id DESC LIMIT 1", []
        )
        assert (kept["actor"], kept["findings"]) == (f"{role}:asha", found)
        state = rich.sql("payrail_api", "SELECT * FROM payrail.audit_state", [])
        assert {row["invariant"]: row["violations"] for row in state} == dict.fromkeys(
            INVARIANTS, 0
        )
        assert {row["checked_at"] for row in state} == {kept["checked_at"]}


@pytest.mark.parametrize("role", ["payrail_owner", "admin"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE merchant.audit_runs SET findings = '[]'",
        "DELETE FROM merchant.audit_runs",
        "TRUNCATE merchant.audit_runs",
    ],
)
def test_what_the_audit_found_is_never_altered(rich: Desk, role: str, statement: str) -> None:
    rich.sql("payrail_auditor", "SELECT payrail.run_audit()", [])
    with rich.refused("PR501"):
        rich.sql(role, statement, [])


def test_all_invariants_see_the_same_moment(own_desk: Desk) -> None:
    """At REPEATABLE READ; a payout created meanwhile is not half there."""
    auditor = own_desk.connection("payrail_auditor")
    auditor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    before = own_desk.table("payouts")
    own_desk.payout("processing")
    assert own_desk.violations() == {}
    assert own_desk.table("payouts") == before == []
    auditor.execute("COMMIT")


ONE = (
    f"{MINE} AND payout_id = (SELECT min(payout_id::text)::uuid FROM payout.payouts"
    f" WHERE {MINE} AND status = '{{}}')"
)
PENDING, PROCESSING, SETTLED, FAILED, CANCELLED, RETURNED = (ONE.format(s) for s in STATUSES)
OF_FEE = f"{MINE} AND payout_id IN (SELECT payout_id FROM payout.payouts WHERE {MINE} AND fee > 0)"
SCHEDULED, REJECTED = ONE.format("scheduled"), ONE.format("rejected")

TAMPERINGS: list[tuple[str, str]] = [
    # positions
    (
        "broken_replay",
        f"UPDATE ledger.entries SET available = available + 1 WHERE {MINE} AND seq = 3",
    ),
    ("broken_replay", f"UPDATE ledger.entries SET held = held + 1 WHERE {MINE} AND seq = 3"),
    ("broken_replay", f"UPDATE ledger.entries SET amount = amount + 1 WHERE {MINE} AND seq = 1"),
    ("broken_replay", f"UPDATE ledger.entries SET kind = 'return' WHERE {MINE} AND seq = 3"),
    ("broken_replay", f"DELETE FROM ledger.entries WHERE {MINE} AND seq = 2"),
    # the chain
    ("broken_chain", f"DELETE FROM ledger.entries WHERE {MINE} AND seq = 1"),
    ("broken_chain", f"DELETE FROM ledger.entries WHERE {MINE} AND seq = 4"),
    ("broken_chain", f"UPDATE ledger.entries SET hash = sha256('x') WHERE {MINE} AND seq = 2"),
    (
        "broken_chain",
        f"UPDATE ledger.entries e SET hash = {REHASHED} WHERE {MINE} AND seq = 2",
    ),
    # signs
    (
        "negative_positions",
        (
            "ALTER DOMAIN ledger.balance DROP CONSTRAINT balance_never_negative;"
            f"UPDATE ledger.entries SET available = -1 WHERE {MINE} AND seq = 3"
        ),
    ),
    (
        "negative_positions",
        (
            "ALTER DOMAIN ledger.balance DROP CONSTRAINT balance_never_negative;"
            f"UPDATE ledger.entries SET held = -1 WHERE {MINE} AND seq = 3"
        ),
    ),
    # entries that fit the payouts
    ("payout_entries", f"DELETE FROM ledger.entries WHERE {SETTLED} AND kind = 'settle'"),
    ("payout_entries", f"DELETE FROM ledger.entries WHERE {FAILED} AND kind = 'release'"),
    ("payout_entries", f"UPDATE ledger.entries SET amount = 1 WHERE {PENDING}"),
    (
        "payout_entries",
        f"UPDATE ledger.entries SET kind = 'settle' WHERE {FAILED} AND kind = 'release'",
    ),
    ("payout_entries", f"UPDATE payout.payouts SET amount = amount + 1 WHERE {PENDING}"),
    ("payout_entries", f"DELETE FROM payout.payouts WHERE {PENDING}"),
    ("payout_entries", f"UPDATE ledger.entries SET payout_id = uuidv7() WHERE {CANCELLED}"),
    (
        "payout_entries",
        (
            "UPDATE payout.payouts SET status = 'settled', settled_at = now(), utr = 'U',"
            f" failure_code = NULL WHERE {FAILED}"
        ),
    ),
    # a fee that is another, none, or nowhere
    (
        "payout_entries",
        f"UPDATE payout.payouts SET fee = fee + 1 WHERE {OF_FEE} AND status = 'settled'",
    ),
    ("payout_entries", f"UPDATE payout.payouts SET fee = 1 WHERE {PENDING}"),
    (
        "payout_entries",
        f"UPDATE ledger.entries SET amount = amount + 1 WHERE {OF_FEE} AND kind = 'fee'",
    ),
    ("payout_entries", f"DELETE FROM ledger.entries WHERE {OF_FEE} AND kind = 'fee'"),
    (
        "held_mismatch",
        f"UPDATE payout.payouts SET fee = fee - 1 WHERE {OF_FEE} AND status = 'processing'",
    ),
    ("broken_replay", f"UPDATE ledger.entries SET amount = 1 WHERE {OF_FEE} AND kind = 'fee'"),
    (
        "money_not_conserved",
        f"UPDATE ledger.entries SET amount = 1 WHERE {OF_FEE} AND kind = 'fee'",
    ),
    ("payout_entries", f"UPDATE payout.payouts SET held_at = now() WHERE {SCHEDULED}"),
    ("payout_entries", f"UPDATE payout.payouts SET held_at = NULL WHERE {REJECTED}"),
    # approvals
    ("unapproved", f"DELETE FROM payout.approvals WHERE {MINE} AND decision = 'approved'"),
    ("unapproved", f"DELETE FROM payout.approvals WHERE {MINE} AND decision = 'rejected'"),
    ("unapproved", f"UPDATE payout.payouts SET approvals_required = 2 WHERE {SETTLED}"),
    (
        "unapproved",
        f"UPDATE payout.payouts SET created_by = 'Asha' WHERE {MINE} AND approvals_required = 1",
    ),
    # limits
    ("usage_mismatch", f"UPDATE payout.usage SET amount = amount + 1 WHERE {MINE}"),
    ("usage_mismatch", f"UPDATE payout.usage SET payouts = payouts - 1 WHERE {MINE}"),
    # held money
    ("held_mismatch", f"UPDATE payout.payouts SET amount = amount + 1 WHERE {PROCESSING}"),
    ("held_mismatch", f"DELETE FROM payout.payouts WHERE {PENDING}"),
    (
        "held_mismatch",
        (
            "UPDATE ledger.entries SET held = held + 1, available = available - 1"
            f" WHERE {MINE} AND seq = (SELECT max(seq) FROM ledger.entries WHERE {MINE})"
        ),
    ),
    (
        "held_mismatch",
        f"UPDATE payout.payouts SET status = 'cancelled', next_action_at = NULL WHERE {PENDING}",
    ),
    # money in = available + held + paid out
    (
        "money_not_conserved",
        (
            "UPDATE ledger.entries SET available = available + 1"
            f" WHERE {MINE} AND seq = (SELECT max(seq) FROM ledger.entries WHERE {MINE})"
        ),
    ),
    (
        "money_not_conserved",
        f"UPDATE ledger.entries SET amount = amount + 1 WHERE {MINE} AND seq = 1",
    ),
    ("money_not_conserved", f"DELETE FROM ledger.entries WHERE {SETTLED} AND kind = 'settle'"),
    # evidence
    (
        "outcome_without_evidence",
        f"DELETE FROM rail.evidence WHERE {SETTLED} AND effect = 'applied'",
    ),
    (
        "outcome_without_evidence",
        f"DELETE FROM rail.evidence WHERE {FAILED} AND effect = 'applied'",
    ),
    (
        "outcome_without_evidence",
        f"DELETE FROM rail.evidence WHERE {RETURNED} AND outcome = 'returned'",
    ),
    (
        "outcome_without_evidence",
        f"UPDATE rail.evidence SET effect = 'contradicted' WHERE {SETTLED} AND effect = 'applied'",
    ),
    ("outcome_without_evidence", f"UPDATE rail.evidence SET code = 'x' WHERE {SETTLED}"),
    ("outcome_without_evidence", f"UPDATE rail.evidence SET outcome = 'refused' WHERE {SETTLED}"),
    ("outcome_without_evidence", f"UPDATE rail.evidence SET payout_id = uuidv7() WHERE {FAILED}"),
    ("outcome_without_evidence", f"UPDATE payout.payouts SET utr = 'x' WHERE {SETTLED}"),
    (
        "outcome_without_evidence",
        f"UPDATE payout.payouts SET failure_code = 'account_frozen' WHERE {FAILED}",
    ),
    # history
    ("broken_history", f"DELETE FROM webhook.events WHERE {SETTLED} AND payout_version = 2"),
    ("broken_history", f"DELETE FROM webhook.events WHERE {SETTLED} AND payout_version = 3"),
    ("broken_history", f"DELETE FROM webhook.events WHERE {SETTLED}"),
    ("broken_history", f"DELETE FROM payout.payouts WHERE {SETTLED}"),
    (
        "broken_history",
        f"UPDATE webhook.events SET to_status = 'failed' WHERE {SETTLED} AND payout_version = 3",
    ),
    (
        "broken_history",
        f"UPDATE webhook.events SET from_status = 'pending' WHERE {SETTLED} AND payout_version = 3",
    ),
    ("broken_history", f"UPDATE payout.payouts SET version = 9 WHERE {PENDING}"),
    (
        "broken_history",
        f"UPDATE payout.payouts SET status = 'cancelled', next_action_at = NULL WHERE {PENDING}",
    ),
    (
        "broken_history",
        (
            "INSERT INTO webhook.events"
            " (merchant_id, seq, payout_id, payout_version, created_at, to_status, actor)"
            " SELECT %(merchant_id)s, max(seq) + 1, uuidv7(), 1, now(),"
            f" 'pending', 'me' FROM webhook.events WHERE {MINE}"
        ),
    ),
    # events
    ("missing_events", f"DELETE FROM webhook.events WHERE {SETTLED} AND payout_version = 2"),
    (
        "missing_events",
        (
            f"DELETE FROM webhook.events WHERE {MINE}"
            f" AND seq = (SELECT max(seq) - 1 FROM webhook.events WHERE {MINE})"
        ),
    ),
    ("missing_events", f"UPDATE webhook.events SET seq = seq + 1000 WHERE {PENDING}"),
    ("broken_history", f"UPDATE webhook.events SET payout_id = uuidv7() WHERE {PENDING}"),
    # idempotency
    ("broken_idempotency", f"DELETE FROM payout.idempotency_keys WHERE {PENDING}"),
    ("broken_idempotency", f"DELETE FROM payout.payouts WHERE {PENDING}"),
    (
        "broken_idempotency",
        f"UPDATE payout.idempotency_keys SET payout_id = uuidv7() WHERE {PENDING}",
    ),
    (
        "broken_idempotency",
        (
            "INSERT INTO payout.idempotency_keys"
            " (merchant_id, idempotency_key, fingerprint, payout_id, status, body)"
            " SELECT merchant_id, 'forged', fingerprint, payout_id, status, body"
            f" FROM payout.idempotency_keys WHERE {PENDING}"
        ),
    ),
    # batches
    ("broken_batches", f"DELETE FROM payout.batch_lines WHERE {MINE} AND line = 3"),
    ("broken_batches", f"DELETE FROM payout.batch_answers WHERE {MINE} AND line = 2"),
    ("broken_batches", f"UPDATE payout.batches SET accepted = 1 WHERE {MINE}"),
    ("broken_batches", f"UPDATE payout.batch_answers SET payout_id = uuidv7() WHERE {MINE}"),
    (
        "broken_batches",
        (
            "UPDATE payout.batches SET created_at = now() - interval '301 s',"
            f" advanced_at = now() - interval '301 s' WHERE {MINE}"
        ),
    ),
    ("missing_books", f"DELETE FROM ledger.books WHERE {MINE}"),
    # what a state must show
    ("unproven_status", f"UPDATE payout.payouts SET failure_code = 'odd' WHERE {FAILED}"),
    ("unproven_status", f"UPDATE payout.payouts SET utr = NULL WHERE {SETTLED}"),
    ("unproven_status", f"UPDATE payout.payouts SET failure_code = NULL WHERE {FAILED}"),
    ("unproven_status", f"UPDATE payout.payouts SET return_code = NULL WHERE {RETURNED}"),
    ("unproven_status", f"UPDATE payout.payouts SET next_action_at = NULL WHERE {PENDING}"),
    ("unproven_status", f"UPDATE payout.payouts SET send_before = NULL WHERE {PROCESSING}"),
    # work
    (
        "overdue_work",
        f"UPDATE payout.payouts SET next_action_at = now() - INTERVAL '301 s' WHERE {PENDING}",
    ),
    (
        "overdue_work",
        (
            "UPDATE payout.payouts SET unknown_reason = NULL, updated_at = now() - INTERVAL '301 s'"
            f" WHERE {PROCESSING}"
        ),
    ),
    (
        "unescalated",
        f"UPDATE payout.payouts SET send_before = now() - INTERVAL '1 day' WHERE {PROCESSING}",
    ),
]


@pytest.mark.parametrize(("invariant", "statements"), TAMPERINGS)
def test_tampering_with_records_is_found(rich: Desk, invariant: str, statements: str) -> None:
    before = rich.rows()
    with tampering(rich, statements) as admin:
        assert rich.rows() != before  # it did do something
        assert invariant in violations(admin)


def test_every_invariant_has_a_tampering() -> None:
    assert {invariant for invariant, _ in TAMPERINGS} == INVARIANTS - {"changed_definitions"}


def test_altering_any_column_of_an_old_ledger_row_is_found(rich: Desk) -> None:
    columns = rich.sql(
        "admin",
        "SELECT attname FROM pg_attribute"
        " WHERE attrelid = 'ledger.entries'::regclass AND attnum > 0",
        [],
    )
    assert {row["attname"] for row in columns} == {*OTHER_VALUES}
    for seq in (1, 3):  # a credit and a hold
        for column, value in OTHER_VALUES.items():
            if (column, seq) in {("payout_id", 1), ("reference", 3)}:
                continue  # a credit has no payout, a hold no reference
            moved = ", seq = 100000" if column == "merchant_id" else ""  # where there is room
            before = rich.rows()
            with tampering(
                rich,
                "DROP INDEX ledger.entries_credit_once;"
                f"UPDATE ledger.entries e SET {column} = {value}{moved}"
                f" WHERE {MINE} AND seq = {seq}",
            ) as admin:
                assert rich.rows() != before
                assert "broken_chain" in violations(admin), column


def test_a_row_rewritten_with_a_fitting_hash_is_still_found(rich: Desk) -> None:
    """Whoever alters a row must rewrite every later hash of that merchant."""
    with tampering(
        rich,
        f"UPDATE ledger.entries SET reference = 'x' WHERE {MINE} AND seq = 1;"
        f"UPDATE ledger.entries e SET hash = {REHASHED} WHERE {MINE} AND seq = 1",
    ) as admin:
        found = violations(admin)
    assert found.keys() == {"broken_chain"}
    assert [row["seq"] for row in found["broken_chain"]] == [2]


DEFINITIONS: list[tuple[str, str]] = [
    (
        "function merchant.lock_merchant(uuid)",
        (
            "CREATE OR REPLACE FUNCTION merchant.lock_merchant(p_merchant_id uuid)"
            " RETURNS timestamptz LANGUAGE sql RETURN now()"
        ),
    ),
    (
        "function payrail.cancel_payout(uuid,uuid,text,text)",
        "ALTER FUNCTION payrail.cancel_payout RESET search_path",
    ),
    (
        "function payrail.cancel_payout(uuid,uuid,text,text)",
        "ALTER FUNCTION payrail.cancel_payout SECURITY INVOKER",
    ),
    (
        "function payrail.cancel_payout(uuid,uuid,text,text)",
        "ALTER FUNCTION payrail.cancel_payout OWNER TO postgres",
    ),
    (
        "function payrail.cancel_payout(uuid,uuid,text,text)",
        "GRANT EXECUTE ON FUNCTION payrail.cancel_payout TO PUBLIC",
    ),
    (
        "function payrail.credit_merchant(uuid,bigint,text,text,text)",
        "GRANT EXECUTE ON FUNCTION payrail.credit_merchant TO payrail_api",
    ),
    ("function payrail.actor(text)", "DROP FUNCTION payrail.actor"),
    (
        "function payrail.mint()",
        "CREATE FUNCTION payrail.mint() RETURNS int LANGUAGE sql RETURN 1",
    ),
    (
        "trigger refuse_change on ledger.entries",
        "ALTER TABLE ledger.entries DISABLE TRIGGER refuse_change",
    ),
    (
        "trigger refuse_change on ledger.entries",
        "ALTER TABLE ledger.entries ENABLE TRIGGER refuse_change",
    ),
    ("trigger continue_chain on ledger.entries", "DROP TRIGGER continue_chain ON ledger.entries"),
    (
        "trigger apply_transition on payout.payouts",
        "ALTER TABLE payout.payouts DISABLE TRIGGER ALL",
    ),
    (
        "trigger spy on payout.payouts",
        (
            "CREATE TRIGGER spy AFTER INSERT ON payout.payouts"
            " EXECUTE FUNCTION merchant.refuse_change()"
        ),
    ),
    (
        "constraint payouts_merchant_id_bank_account_id_fkey on payout.payouts",
        (
            "ALTER TABLE payout.payouts ALTER CONSTRAINT payouts_merchant_id_bank_account_id_fkey"
            " NOT ENFORCED"
        ),
    ),
    (
        "constraint entries_pkey on ledger.entries",
        "ALTER TABLE ledger.entries DROP CONSTRAINT entries_pkey",
    ),
    ("index ledger.entries_once_per_payout", "DROP INDEX ledger.entries_once_per_payout"),
    (
        "constraint entries_amount_not_null on ledger.entries",
        "ALTER TABLE ledger.entries ALTER amount DROP NOT NULL",
    ),
    ("relation ledger.entries", "GRANT INSERT ON ledger.entries TO payrail_api"),
    ("relation ledger.entries", "ALTER TABLE ledger.entries OWNER TO postgres"),
    ("relation payrail.payouts", "GRANT SELECT ON payrail.payouts TO PUBLIC"),
    (
        "relation payrail.balances",
        (
            "CREATE OR REPLACE VIEW payrail.balances AS SELECT merchant_id, 'INR' AS currency,"
            " 1000000::bigint AS available, 0::bigint AS held FROM merchant.merchants"
        ),
    ),
    (
        "relation audit.broken_chain",
        (
            "CREATE OR REPLACE VIEW audit.broken_chain AS SELECT merchant_id, currency, seq"
            " FROM ledger.entries WHERE false"
        ),
    ),
    ("relation payout.side", "CREATE TABLE payout.side (a int)"),
    ("schema ledger", "GRANT USAGE ON SCHEMA ledger TO payrail_api"),
    ("edge failed to settled", "INSERT INTO payout.transitions VALUES ('failed', 'settled', NULL)"),
    (
        "edge pending to cancelled",
        "UPDATE payout.transitions SET ledger_kind = NULL WHERE to_status = 'cancelled'",
    ),
]

# Ways to bend the database that leave functions, triggers and tables' own grants alone.
BACK_DOORS: dict[str, str] = {
    "a bound that is gone": "ALTER DOMAIN ledger.balance DROP CONSTRAINT balance_never_negative",
    "a wider bound": (
        "ALTER DOMAIN ledger.amount DROP CONSTRAINT amount_bounded;"
        "ALTER DOMAIN ledger.amount ADD CONSTRAINT amount_bounded CHECK (VALUE > -100)"
    ),
    "a column's grant": "GRANT UPDATE (available) ON ledger.entries TO payrail_api",
    "a rule": "CREATE RULE forget AS ON INSERT TO webhook.events DO INSTEAD NOTHING",
    "a member of the owner": "GRANT payrail_owner TO payrail_api",
    "a role that can write all": "GRANT pg_write_all_data TO payrail_api",
    "a role's settings": "ALTER ROLE payrail_api SET synchronous_commit = off",
    "another final no": "INSERT INTO payout.failure_codes VALUES ('odd', 'rail', TRUE, 'x', 'x')",
    "another kind of entry": (
        "INSERT INTO ledger.kinds VALUES ('gift', 'external', 'available', FALSE)"
    ),
    "everybody's settings": (
        "DO $$ BEGIN EXECUTE"
        " 'ALTER DATABASE ' || current_database() || ' SET synchronous_commit = off'; END $$"
    ),
    "the job queue's code": (
        "CREATE FUNCTION procrastinate.more() RETURNS int LANGUAGE sql RETURN 1"
    ),
    "a grant on the job queue": "GRANT SELECT ON procrastinate.procrastinate_jobs TO PUBLIC",
}


@pytest.mark.parametrize(("thing", "statements"), DEFINITIONS)
def test_a_changed_definition_is_found(rich: Desk, thing: str, statements: str) -> None:
    assert thing in {row["object"] for row in changed(rich, statements)}


@pytest.mark.parametrize("statements", BACK_DOORS.values(), ids=BACK_DOORS.keys())
def test_a_back_door_is_found(rich: Desk, statements: str) -> None:
    assert changed(rich, statements)


def changed(desk: Desk, statements: str) -> list[DictRow]:
    """Return what the audit says of changed definitions after these statements, and undo them."""
    admin = desk.connection("admin")
    with admin.transaction(force_rollback=True):
        admin.execute(statements.encode())
        return admin.execute("SELECT * FROM audit.changed_definitions").fetchall()


def test_the_search_path_does_not_change_the_audit(rich: Desk) -> None:
    for role in ("payrail_auditor", "payrail_operator"):
        rich.sql(role, "SET search_path = payrail, audit, ledger, payout", [])
        assert violations(rich.connection(role)) == {}
        rich.sql(role, "RESET search_path", [])
