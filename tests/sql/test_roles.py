"""What each role may do, and what nobody may do: not the doors' callers, not a DBA."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from pyapp.keys import new_webhook_secret
from tests.conftest import Database
from tests.desk import ACCOUNT, OPENING, TABLES, Desk

ROOT = Path(__file__).parents[2]
LOGINS = (
    "payrail_api",
    "payrail_worker",
    "payrail_operator",
    "payrail_auditor",
    "payrail_migrator",
)
NOBODY: set[str] = set()
API, WORKER, OPERATOR, AUDITOR = (
    {f"payrail_{x}"} for x in ("api", "worker", "operator", "auditor")
)
READERS = API | OPERATOR | AUDITOR

SCHEMAS = {
    "payrail": API | WORKER | OPERATOR | AUDITOR,
    "audit": AUDITOR,
    "procrastinate": WORKER,
    "merchant": NOBODY,
    "ledger": NOBODY,
    "webhook": NOBODY,
    "payout": NOBODY,
    "rail": NOBODY,
    "migrations": NOBODY,
    "public": NOBODY,
}

FUNCTIONS = {
    # how rows look to a client
    "payrail.utc": READERS,
    "payrail.problem": READERS,
    "payrail.status_details": READERS,
    "payrail.payout_json": READERS,
    "payrail.payout_detail_json": READERS,
    "payrail.payout_at": READERS,
    "payrail.event_json": READERS,
    "payrail.webhook_endpoint_json": READERS,
    "payrail.webhook_delivery_json": READERS,
    "payrail.ledger_entry_json": READERS,
    "payrail.bank_account_json": READERS,
    "payrail.api_key_json": READERS,
    "payrail.me_json": READERS,
    "payrail.batch_json": READERS,
    "payrail.batch_line_json": READERS,
    "payrail.rules_json": READERS,
    # merchants
    "payrail.authenticate": API,
    "payrail.authenticate_keys": API,
    "payrail.create_payout": API | OPERATOR,
    "payrail.create_payouts": API | OPERATOR,
    "payrail.create_payouts_for_many": API,
    "payrail.cancel_payout": API | OPERATOR,
    "payrail.create_api_key_by_key": API,
    "payrail.roll_api_key_by_key": API,
    "payrail.revoke_api_key_by_key": API,
    # webhooks
    "payrail.create_webhook_endpoint": API | OPERATOR,
    "payrail.update_webhook_endpoint": API | OPERATOR,
    "payrail.roll_webhook_secret": API | OPERATOR,
    "payrail.archive_webhook_endpoint": API | OPERATOR,
    "payrail.send_test_event": API | OPERATOR,
    "payrail.replay_events": API | OPERATOR,
    "payrail.due_endpoints": WORKER,
    "payrail.claim_deliveries": WORKER,
    "payrail.record_deliveries": WORKER,
    "payrail.webhook_work": READERS,
    "payrail.webhook_calls": READERS,
    "payrail.webhook_field_problem": NOBODY,
    "payrail.check_payouts": API | OPERATOR,
    "payrail.create_batch": API | OPERATOR,
    "payrail.cancel_batch": API | OPERATOR,
    "payrail.approve_payout": API | OPERATOR,
    "payrail.reject_payout": API | OPERATOR,
    # the dashboard
    "payrail.open_session": API,
    "payrail.resume_session": API,
    "payrail.close_session": API,
    "payrail.daily_balances": API,
    "payrail.daily_payouts": API,
    "payrail.changes": API,
    "payrail.awaiting_approval": API,
    # statements
    "payrail.balances_at": READERS,
    "payrail.statement": READERS,
    "payrail.statement_lines": READERS,
    "payrail.is_under_review": API,
    "payrail.open_payouts": READERS,
    "payrail.open_batches": READERS,
    "payrail.open_cases": READERS,
    "ledger.position_at": NOBODY,
    # the worker
    "payrail.due_merchants": WORKER | OPERATOR,
    "payrail.due_batches": WORKER | OPERATOR,
    "payrail.advance_batch": WORKER | OPERATOR,
    "payrail.waiting_merchants": WORKER,
    "payrail.advance_payouts": WORKER | OPERATOR,
    "payrail.claim_payouts": WORKER,
    "payrail.claim_payouts_for_many": WORKER,
    "payrail.record_answers": WORKER,
    "payrail.record_answers_for_many": WORKER,
    "payrail.declare_rail": WORKER,
    "payrail.report_calls": WORKER,
    "payrail.receive_notices": WORKER | API,
    "payrail.queue_instructions": WORKER,
    "payrail.cut_file": WORKER,
    "payrail.store_file": WORKER,
    "payrail.claim_file": WORKER,
    "payrail.mark_file_sent": WORKER,
    "payrail.receive_file": WORKER,
    "payrail.ask_files": WORKER,
    "payrail.prune": WORKER,
    # operators
    "payrail.create_merchant": OPERATOR,
    "payrail.create_api_key": OPERATOR,
    "payrail.roll_api_key": OPERATOR,
    "payrail.revoke_api_key": OPERATOR,
    "payrail.limit_api_key": OPERATOR,
    "payrail.add_bank_account": API | OPERATOR,
    "payrail.archive_bank_account": API | OPERATOR,
    "payrail.credit_merchant": OPERATOR,
    "payrail.mode_hours": READERS,
    "payrail.set_mode": OPERATOR,
    "payrail.remove_mode": OPERATOR,
    "payrail.set_fee": OPERATOR,
    "payrail.remove_fee": OPERATOR,
    "payrail.set_holiday": OPERATOR,
    "payrail.settle_payout": OPERATOR,
    "payrail.settle_payouts": OPERATOR,
    "payrail.fail_payouts": OPERATOR,
    "payrail.import_report": OPERATOR,
    "payrail.reconciliation": OPERATOR | AUDITOR,
    "payrail.fail_payout": OPERATOR,
    "payrail.return_payout": OPERATOR,
    "payrail.set_rules": OPERATOR,
    "payrail.audit_report": OPERATOR | AUDITOR,
    "payrail.run_audit": OPERATOR | AUDITOR,
    # the console
    "payrail.add_operator": OPERATOR,
    "payrail.set_operator_password": OPERATOR,
    "payrail.disable_operator": OPERATOR,
    "payrail.try_operator": OPERATOR,
    "payrail.open_operator_session": OPERATOR,
    "payrail.resume_operator_session": OPERATOR,
    "payrail.close_operator_session": OPERATOR,
    "payrail.credit_as_operator": OPERATOR,
    "payrail.work": OPERATOR,
    "payrail.throughput": OPERATOR,
    "payrail.find_payouts": OPERATOR,
    "payrail.troubled_payouts": OPERATOR,
    "payrail.propose_resolution": OPERATOR,
    "payrail.decide_resolution": OPERATOR,
    # auditors
    "audit.current_definitions": AUDITOR,
    # inside
    "payrail.actor": NOBODY,
    "payrail.acting": NOBODY,
    "payrail.raise_effect": NOBODY,
    "merchant.is_iban": NOBODY,
    "payrail.decide_approval": NOBODY,
    "merchant.lock_merchant": NOBODY,
    "merchant.lock_merchants": NOBODY,
    "merchant.require_durability": NOBODY,
    "merchant.find_key_manager": NOBODY,
    "merchant.refuse_change": NOBODY,
    "webhook.add_event": NOBODY,
    "webhook.wants": NOBODY,
    "webhook.lock_endpoint": NOBODY,
    "payrail.answer_requests": NOBODY,
    "payrail.apply_answers": NOBODY,
    # what views call is called as whoever reads them
    "ledger.entry_hash": AUDITOR,
    "payout.has_its_proof": AUDITOR,
    "ledger.continue_chain": NOBODY,
    "payout.apply_transition": NOBODY,
    "payout.lock_payout": NOBODY,
    "payout.is_metadata": NOBODY,
    "payout.request_problem": NOBODY,
    "payout.request_fingerprint": NOBODY,
    "payout.period_start": NOBODY,
    "payout.count_usage": NOBODY,
    "payout.give_back_usage": NOBODY,
    "payout.recount_usage": NOBODY,
    "payout.limit_problem": NOBODY,
    "payout.approvals_needed": NOBODY,
    "rail.retry_problem": NOBODY,
    "payout.available_balance": NOBODY,
    "payout.has_queue": NOBODY,
    "payout.hold_payout": NOBODY,
    "payout.cost_in_words": NOBODY,
    "payout.start_scheduled": NOBODY,
    "payout.promote_queued": NOBODY,
    "rail.clock": NOBODY,
    "rail.record_evidence": NOBODY,
    "rail.keep_notices": NOBODY,
    "rail.open_case": NOBODY,
    "rail.close_answered_cases": NOBODY,
    "rail.note_contradiction": NOBODY,
    "rail.postpone_payout": NOBODY,
    "rail.sent_by": NOBODY,
    "rail.final_at": NOBODY,
    "rail.is_told_of": NOBODY,
    "rail.ask_bank": NOBODY,
    "rail.is_decided": NOBODY,
    "rail.is_given_back": NOBODY,
    "rail.note_bookings": NOBODY,
    "rail.is_of_sum": NOBODY,
    "rail.is_to_be_sent": NOBODY,
    "rail.opens_at": NOBODY,
    "rail.choose_mode": NOBODY,
    "rail.trials": NOBODY,
    "rail.dispatch_is_waiting": NOBODY,
    "rail.defer_dispatch": NOBODY,
    "rail.wake_worker": NOBODY,
}

SELECTS = {
    "payrail.instance": READERS,
    "payrail.merchants": READERS,
    "payrail.bank_accounts": READERS,
    "payrail.batches": READERS,
    "payrail.payout_batches": READERS,
    "payrail.batch_lines": READERS,
    "payrail.balances": READERS,
    "payrail.ledger_entries": READERS,
    "payrail.ledger_lines": READERS,
    "payrail.payouts": READERS,
    "payrail.payout_history": READERS,
    "payrail.approvals": READERS,
    "payrail.rules": READERS,
    "payrail.failure_codes": READERS,
    "payrail.events": READERS,
    "payrail.api_keys": READERS,
    "payrail.event_types": READERS,
    "payrail.webhook_endpoints": READERS,
    "payrail.webhook_deliveries": READERS,
    "payrail.webhook_attempts": READERS,
    "payrail.webhook_fleet": OPERATOR | AUDITOR,
    "payrail.attempts": READERS,
    "payrail.evidence": READERS,
    "payrail.rails": READERS,
    "payrail.modes": READERS,
    "payrail.fees": READERS,
    "payrail.holidays": READERS,
    "payrail.rail_calls": READERS,
    "payrail.notices": WORKER | OPERATOR | AUDITOR,
    "payrail.files": OPERATOR | AUDITOR,
    "payrail.file_items": OPERATOR | AUDITOR,
    "payrail.cases": OPERATOR | AUDITOR,
    "payrail.reports": OPERATOR | AUDITOR,
    "payrail.operators": OPERATOR | AUDITOR,
    "payrail.operator_actions": OPERATOR | AUDITOR,
    "payrail.audit_runs": OPERATOR | AUDITOR,
    "payrail.anchors": OPERATOR | AUDITOR,
    "payrail.audit_state": READERS,
    "audit.loaded_definitions": AUDITOR,
    "audit.broken_batches": AUDITOR,
    "audit.broken_chain": AUDITOR,
    "audit.broken_history": AUDITOR,
    "audit.broken_idempotency": AUDITOR,
    "audit.broken_replay": AUDITOR,
    "audit.changed_definitions": AUDITOR,
    "audit.held_mismatch": AUDITOR,
    "audit.missing_books": AUDITOR,
    "audit.missing_events": AUDITOR,
    "audit.money_not_conserved": AUDITOR,
    "audit.negative_positions": AUDITOR,
    "audit.outcome_without_evidence": AUDITOR,
    "audit.overdue_work": AUDITOR,
    "audit.payout_entries": AUDITOR,
    "audit.unapproved": AUDITOR,
    "audit.unescalated": AUDITOR,
    "audit.unproven_status": AUDITOR,
    "audit.usage_mismatch": AUDITOR,
    "merchant.instance": NOBODY,
    "merchant.merchants": NOBODY,
    "merchant.api_keys": NOBODY,
    "merchant.bank_accounts": NOBODY,
    "merchant.sessions": NOBODY,
    "merchant.rules": NOBODY,
    "merchant.operators": NOBODY,
    "merchant.operator_sessions": NOBODY,
    "merchant.operator_tries": NOBODY,
    "merchant.operator_actions": NOBODY,
    "merchant.audit_runs": NOBODY,
    "ledger.books": NOBODY,
    "ledger.currencies": NOBODY,
    "ledger.entries": NOBODY,
    "ledger.kinds": NOBODY,
    "webhook.events": NOBODY,
    "webhook.event_types": NOBODY,
    "webhook.endpoints": NOBODY,
    "webhook.deliveries": NOBODY,
    "webhook.attempts": NOBODY,
    "payout.transitions": NOBODY,
    "payout.failure_codes": NOBODY,
    "payout.payouts": NOBODY,
    "payout.history": NOBODY,
    "payout.idempotency_keys": NOBODY,
    "payout.batches": NOBODY,
    "payout.batch_lines": NOBODY,
    "payout.batch_answers": NOBODY,
    "payout.approvals": NOBODY,
    "payout.usage": NOBODY,
    "rail.evidence": NOBODY,
    "rail.attempts": NOBODY,
    "rail.calls": NOBODY,
    "rail.bank_files": NOBODY,
    "rail.cases": NOBODY,
    "rail.filed_instructions": NOBODY,
    "rail.instructions": NOBODY,
    "rail.notices": NOBODY,
    "rail.payment_files": NOBODY,
    "rail.proposals": NOBODY,
    "rail.rails": NOBODY,
    "rail.modes": NOBODY,
    "rail.fees": NOBODY,
    "rail.holidays": NOBODY,
    "rail.report_lines": NOBODY,
    "rail.reports": NOBODY,
}


@pytest.fixture
def fenced(database: Database) -> Iterator[Desk]:
    """A desk whose database has its own privileges: a copy of a template doesn't inherit them."""
    with database.connect("admin") as admin:
        admin.execute((ROOT / "sql" / "roles.sql").read_bytes())
    with Desk(database) as desk:
        yield desk


# ------------------------------------------------------------------------------------ the matrix


def granted(desk: Desk, query: str) -> dict[str, set[str]]:
    """Return who (of the login roles, and public) has what the query asks about, per object."""
    rows = desk.sql("admin", query, {"roles": [*LOGINS, "public"]})
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["object"], set())
        if row["granted"]:
            found[row["object"]].add(row["role"])
    return found


def test_functions(desk: Desk) -> None:
    assert (
        granted(
            desk,
            """
        SELECT n.nspname || '.' || p.proname AS object, role,
               has_function_privilege(role, p.oid, 'EXECUTE') AS granted
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace,
            unnest(%(roles)s::name[]) AS role
        WHERE n.nspname IN
            ('merchant', 'ledger', 'webhook', 'payout', 'rail', 'audit', 'payrail', 'sandbox')
        """,
        )
        == FUNCTIONS
    )


def test_tables_and_views(desk: Desk) -> None:
    assert granted(desk, RELATIONS.format(check="has_any_column_privilege")) == SELECTS


@pytest.mark.parametrize("privilege", ["INSERT", "UPDATE", "REFERENCES"])
def test_nobody_writes_any_column(desk: Desk, privilege: str) -> None:
    found = granted(
        desk,
        RELATIONS.format(check="has_any_column_privilege").replace("SELECT')", f"{privilege}')"),
    )
    assert found == dict.fromkeys(SELECTS, NOBODY)


@pytest.mark.parametrize("privilege", ["DELETE", "TRUNCATE", "TRIGGER", "MAINTAIN"])
def test_nobody_changes_any_table(desk: Desk, privilege: str) -> None:
    found = granted(
        desk, RELATIONS.format(check="has_table_privilege").replace("SELECT')", f"{privilege}')")
    )
    assert found == dict.fromkeys(SELECTS, NOBODY)


RELATIONS = """
    SELECT n.nspname || '.' || c.relname AS object, role, {check}(role, c.oid, 'SELECT') AS granted
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, unnest(%(roles)s::name[]) AS role
    WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND n.nspname IN
        ('merchant', 'ledger', 'webhook', 'payout', 'rail', 'audit', 'payrail', 'sandbox')
"""


def test_schemas(desk: Desk) -> None:
    schemas = """
        SELECT n.nspname AS object, role, has_schema_privilege(role, n.oid, '{}') AS granted
        FROM pg_namespace n, unnest(%(roles)s::name[]) AS role
        WHERE n.nspname !~ '^(pg_|information_schema)'
    """
    assert granted(desk, schemas.format("USAGE")) == SCHEMAS
    assert granted(desk, schemas.format("CREATE")) == dict.fromkeys(SCHEMAS, NOBODY)


def test_the_job_queue_is_the_workers(desk: Desk) -> None:
    queue = """
        SELECT c.relname AS object, role, has_table_privilege(role, c.oid, '{}') AS granted
        FROM pg_class c, unnest(%(roles)s::name[]) AS role
        WHERE c.relnamespace = 'procrastinate'::regnamespace AND c.relkind = 'r'
          AND c.relname LIKE 'procrastinate%%'
    """
    for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE"):
        for table, roles in granted(desk, queue.format(privilege)).items():
            assert roles == WORKER, (privilege, table)


def test_the_database(fenced: Desk) -> None:
    database = """
        SELECT '{0}' AS object, role,
               has_database_privilege(role, current_database(), '{0}') AS granted
        FROM unnest(%(roles)s::name[]) AS role
    """
    assert granted(fenced, database.format("CONNECT")) == {"CONNECT": {*LOGINS}}
    assert granted(fenced, database.format("TEMP")) == {"TEMP": NOBODY}
    assert granted(fenced, database.format("CREATE")) == {"CREATE": NOBODY}


def test_no_role_is_more_than_a_role(desk: Desk) -> None:
    rows = desk.sql(
        "admin",
        "SELECT * FROM pg_roles WHERE rolname LIKE 'payrail%%'"
        " AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)",
        {},
    )
    assert rows == []
    (owner,) = desk.sql(
        "admin", "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'payrail_owner'", []
    )
    assert not owner["rolcanlogin"]


def test_only_the_migrator_can_become_the_owner(desk: Desk) -> None:
    members = desk.sql(
        "admin",
        "SELECT member::regrole::text AS member, roleid::regrole::text AS role,"
        " inherit_option, set_option, admin_option FROM pg_auth_members"
        " WHERE member::regrole::text LIKE 'payrail%%' OR roleid::regrole::text LIKE 'payrail%%'",
        {},
    )
    assert members == [
        {
            "member": "payrail_migrator",
            "role": "payrail_owner",
            "inherit_option": False,
            "set_option": True,
            "admin_option": False,
        }
    ]


@pytest.mark.parametrize("role", ["payrail_api", "payrail_worker", "payrail_operator"])
def test_no_session_waits_for_ever(desk: Desk, role: str) -> None:
    (row,) = desk.sql(
        role,
        "SELECT current_setting('statement_timeout') AS statement,"
        " current_setting('lock_timeout') AS lock,"
        " current_setting('idle_in_transaction_session_timeout') AS idle",
        [],
    )
    assert row == {"statement": "5s", "lock": "2s", "idle": "5s"}


# ------------------------------------------------------------------------- what each role can't do


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("role", LOGINS)
def test_no_role_touches_a_table(desk: Desk, role: str, table: str) -> None:
    for statement in (
        f"SELECT FROM {table}",
        f"INSERT INTO {table} DEFAULT VALUES",
        f"UPDATE {table} SET merchant_id = merchant_id",
        f"DELETE FROM {table}",
        f"TRUNCATE {table} CASCADE",
        f"ALTER TABLE {table} DISABLE TRIGGER ALL",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            desk.sql(role, statement, [])


@pytest.mark.parametrize("role", LOGINS)
def test_no_role_can_make_or_bend_anything(fenced: Desk, role: str) -> None:
    for statement in (
        "CREATE TEMP TABLE entries (available bigint)",
        "CREATE TEMP VIEW balances AS SELECT 1",
        "CREATE FUNCTION pg_temp.now() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA evil",
        "CREATE TABLE public.evil ()",
        "CREATE TABLE payrail.evil ()",
        "CREATE FUNCTION payrail.evil() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE VIEW payrail.payouts AS SELECT 1",
        "DROP FUNCTION payrail.create_payout",
        "ALTER FUNCTION payrail.credit_merchant SECURITY INVOKER",
        "GRANT SELECT ON merchant.api_keys TO PUBLIC",
        "SET session_replication_role = replica",
        "SET SESSION AUTHORIZATION postgres",
        "SET ROLE postgres",
        "ALTER SYSTEM SET fsync = off",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('postgresql.conf')",
    ):
        with pytest.raises(psycopg.Error) as caught:
            fenced.sql(role, statement, [])
        assert caught.value.diag.sqlstate in {"42501", "3F000"}, statement


@pytest.mark.parametrize("role", sorted({*LOGINS} - {"payrail_migrator"}))
def test_no_service_can_become_the_owner(desk: Desk, role: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        desk.sql(role, "SET ROLE payrail_owner", [])


def test_the_owner_can_not_log_in(desk: Desk) -> None:
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        psycopg.connect(desk.database.conninfo("payrail_owner"))


def test_the_migrator_is_nothing_until_it_becomes_the_owner(desk: Desk) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        desk.sql("payrail_migrator", "SELECT FROM payrail.payouts", [])
    desk.sql("payrail_migrator", "SET ROLE payrail_owner", [])
    desk.sql("payrail_migrator", "SELECT FROM payrail.payouts", [])


def test_the_api_can_not_move_money_by_itself(desk: Desk) -> None:
    payout_id = desk.payout("processing")
    calls: list[tuple[str, dict[str, Any]]] = [
        ("credit_merchant", {"amount": 1, "currency": "INR", "reference": "r"}),
        ("settle_payout", {"payout_id": payout_id, "utr": "U"}),
        ("fail_payout", {"payout_id": payout_id, "failure_code": "account_closed"}),
        ("return_payout", {"payout_id": payout_id, "return_code": "R"}),
        ("claim_payouts", {}),
    ]
    for door, arguments in calls:
        with desk.refused("42501"):
            desk.call("payrail_api", door, **arguments)


def test_the_worker_can_not_ask_for_money(desk: Desk) -> None:
    for door, arguments in (
        ("create_payout", {"idempotency_key": "k", "amount": 1, "bank_account_id": ACCOUNT}),
        ("create_batch", {"idempotency_key": "k", "requests": []}),
        ("cancel_payout", {"payout_id": uuid4()}),
        ("credit_merchant", {"amount": 1, "currency": "INR", "reference": "r"}),
        ("return_payout", {"payout_id": uuid4(), "return_code": "R"}),
    ):
        with desk.refused("42501"):
            desk.call("payrail_worker", door, **arguments)


def test_views_can_not_be_written_through(desk: Desk) -> None:
    for role in ("payrail_api", "payrail_operator", "payrail_auditor"):
        for view in ("payouts", "merchants", "events", "payout_history"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                desk.sql(role, f"DELETE FROM payrail.{view}", [])


# -------------------------------------------------------------------------- what not even a DBA can

APPEND_ONLY = (
    "ledger.entries",
    "webhook.events",
    "payout.idempotency_keys",
    "payout.batch_lines",
    "payout.batch_answers",
    "rail.evidence",
    "webhook.attempts",
)
NEVER_DELETED = (
    "webhook.endpoints",
    "webhook.deliveries",
    "payout.payouts",
    "payout.batches",
    "merchant.merchants",
    "merchant.bank_accounts",
    "merchant.api_keys",
)


@pytest.fixture
def full(own_desk: Desk) -> Desk:
    """A merchant with a row in every table."""
    own_desk.payout("settled")
    own_desk.payout("failed")
    batch = own_desk.upload(*[(None, 100, "INR", ACCOUNT, None, None)] * 2).json["id"]
    own_desk.advance(batch, limit=1)
    tell(own_desk)
    return own_desk


def tell(desk: Desk) -> None:
    """Send an event to a webhook endpoint, in vain."""
    (endpoint,) = desk.call(
        *("payrail_api", "create_webhook_endpoint"),
        url="https://shop.example/",
        secret=new_webhook_secret(),
    )
    endpoint_id = endpoint["endpoint_id"]
    desk.call("payrail_api", "send_test_event", endpoint_id=endpoint_id)
    (claimed,) = desk.call("payrail_worker", "claim_deliveries", endpoint_id=endpoint_id)
    desk.sql(
        "payrail_worker",
        "SELECT payrail.record_deliveries(%s, %s, %s, ARRAY[ROW(%s, now(), FALSE, 500, '1 s',"
        " 'no', NULL, NULL)::payrail.delivery_result])",
        [desk.merchant_id, endpoint_id, claimed["claim"], claimed["seq"]],
    )


@pytest.mark.parametrize("replication", ["origin", "replica"])
@pytest.mark.parametrize("role", ["admin", "payrail_owner"])
@pytest.mark.parametrize("table", [*APPEND_ONLY, *NEVER_DELETED])
def test_a_record_is_never_removed(full: Desk, role: str, table: str, replication: str) -> None:
    """As superuser, and with ordinary triggers switched off, too."""
    pretend(full, role, replication)
    for statement in (
        f"DELETE FROM {table} WHERE merchant_id = %(merchant_id)s",
        f"TRUNCATE {table} CASCADE",
    ):
        with full.refused("PR501"):
            full.sql(role, statement)


@pytest.mark.parametrize("replication", ["origin", "replica"])
@pytest.mark.parametrize("role", ["admin", "payrail_owner"])
@pytest.mark.parametrize("table", APPEND_ONLY)
def test_a_record_is_never_altered(full: Desk, role: str, table: str, replication: str) -> None:
    pretend(full, role, replication)
    with full.refused("PR501"):
        full.sql(
            role,
            f"UPDATE {table} SET merchant_id = merchant_id WHERE merchant_id = %(merchant_id)s",
        )


@pytest.mark.parametrize("replication", ["origin", "replica"])
@pytest.mark.parametrize("role", ["admin", "payrail_owner"])
@pytest.mark.parametrize(
    ("table", "assignment"),
    [
        ("merchant.merchants", "merchant_id = uuidv7()"),
        ("merchant.bank_accounts", "account_number = '99999999'"),
        ("merchant.bank_accounts", "ifsc = 'EVIL0000001'"),
        ("merchant.bank_accounts", "vpa = 'mallory@bank'"),
        ("merchant.bank_accounts", "iban = 'GB33BUKB20201555555555'"),
        ("merchant.bank_accounts", "holder_name = 'Mallory'"),
        ("merchant.api_keys", "scopes = scopes[:1]"),
        ("merchant.api_keys", "owner = 'mallory'"),
        ("merchant.api_keys", "key_hash = sha256('known')"),
        ("webhook.endpoints", "merchant_id = uuidv7()"),
        ("webhook.endpoints", "cursor = cursor - 1"),
        ("webhook.deliveries", "queued_at = now()"),
        ("payout.batches", "mode = 'all_or_nothing'"),
        ("payout.batches", "accepted = 0"),
        ("payout.batches", "answer = '{}'"),
    ],
)
def test_where_money_goes_and_who_may_ask_is_never_rewritten(
    full: Desk, role: str, table: str, assignment: str, replication: str
) -> None:
    pretend(full, role, replication)
    with full.refused("PR501"):
        full.sql(role, f"UPDATE {table} SET {assignment} WHERE merchant_id = %(merchant_id)s")


@pytest.mark.parametrize("replication", ["origin", "replica"])
@pytest.mark.parametrize("table", ["ledger.entries", "payout.payouts"])
def test_a_dba_moves_no_money_past_the_doors(full: Desk, table: str, replication: str) -> None:
    pretend(full, "admin", replication)
    with full.refused("PR502"):
        full.sql("admin", INSERTS[table])


INSERTS = {
    "ledger.entries": "INSERT INTO ledger.entries (merchant_id, currency, kind, amount, reference)"
    " VALUES (%(merchant_id)s, 'INR', 'credit', 1000000, 'gift')",
    "payout.payouts": "INSERT INTO payout.payouts"
    " (merchant_id, payout_id, status, amount, currency, bank_account_id, next_action_at, actor)"
    " VALUES (%(merchant_id)s, uuidv7(), 'pending', 1, 'INR', 'demo-bank-account', now(), 'me')",
    "webhook.events": "INSERT INTO webhook.events"
    " (merchant_id, seq, payout_id, payout_version, created_at, to_status, actor)"
    " VALUES (%(merchant_id)s, 1000, uuidv7(), 1, now(), 'pending', 'me')",
    "payout.idempotency_keys": "INSERT INTO payout.idempotency_keys"
    " (merchant_id, idempotency_key, fingerprint, status, body)"
    " VALUES (%(merchant_id)s, 'forged', '', 422, '{}')",
    "rail.evidence": "INSERT INTO rail.evidence"
    " (merchant_id, payout_id, outcome, effect, code, actor)"
    " VALUES (%(merchant_id)s, uuidv7(), 'paid', 'applied', 'U', 'me')",
}


@pytest.mark.parametrize("replication", ["origin", "replica"])
def test_a_dba_moves_no_payout_past_the_doors(desk: Desk, replication: str) -> None:
    desk.payout("settled")
    payout_id = desk.payout("failed")
    pretend(desk, "admin", replication)
    for assignment in (
        "status = 'settled', settled_at = now(), utr = 'U', failure_code = NULL",
        "amount = amount + 1",
        "next_action_at = now()",
    ):
        with desk.refused("PR502"):
            desk.sql(
                "admin",
                f"UPDATE payout.payouts SET {assignment} WHERE payout_id = %s",
                [payout_id],
            )


def pretend(desk: Desk, role: str, replication: str) -> None:
    """Switch off ordinary triggers for this connection, which only a superuser can."""
    if role == "payrail_owner":
        desk.sql("payrail_owner", "SET ROLE NONE", [])
    desk.sql(role, f"SET session_replication_role = {replication}", [])
    if role == "payrail_owner":
        desk.sql("payrail_owner", "SET ROLE payrail_owner", [])


def test_every_guard_is_always_on(desk: Desk) -> None:
    rows = desk.sql(
        "admin",
        "SELECT tgrelid::regclass || ' ' || tgname AS trigger FROM pg_trigger t"
        " JOIN pg_class c ON c.oid = tgrelid"
        " WHERE NOT tgisinternal AND tgenabled <> 'A'"
        " AND c.relnamespace::regnamespace::text = ANY (%s)",
        [["merchant", "ledger", "webhook", "payout", "rail"]],
    )
    assert rows == []


# -------------------------------------------------------------------------------- the money doors

DOORS: dict[str, tuple[str, str]] = {
    "create_payout": ("payrail_api", "%(merchant_id)s, 'k', 1, 'demo-bank-account'"),
    "create_payouts": (
        "payrail_api",
        (
            "%(merchant_id)s, ARRAY[ROW('k', 1, 'INR', 'demo-bank-account', NULL, NULL,"
            " NULL, FALSE, NULL, NULL, NULL)::payrail.payout_request]"
        ),
    ),
    "create_payouts_for_many": (
        "payrail_api",
        (
            "ARRAY[ROW(%(merchant_id)s, NULL, NULL, NULL, ROW('k', 1, 'INR', 'demo-bank-account',"
            " NULL, NULL, NULL, FALSE, NULL, NULL, NULL)::payrail.payout_request"
            ")::payrail.addressed_request]"
        ),
    ),
    "cancel_payout": ("payrail_api", "%(merchant_id)s, %(pending)s"),
    "approve_payout": ("payrail_api", "%(merchant_id)s, %(awaiting_approval)s, 'asha'"),
    "reject_payout": ("payrail_api", "%(merchant_id)s, %(awaiting_approval)s, 'asha', 'why'"),
    "advance_payouts": ("payrail_worker", "%(merchant_id)s"),
    "claim_payouts": ("payrail_worker", "%(merchant_id)s"),
    "claim_payouts_for_many": ("payrail_worker", "ARRAY[%(merchant_id)s::uuid]"),
    "settle_payouts": (
        "payrail_operator",
        "%(merchant_id)s, ARRAY[ROW(%(processing)s, 'U', NULL)::payrail.settlement]",
    ),
    "fail_payouts": (
        "payrail_operator",
        (
            "%(merchant_id)s,"
            " ARRAY[ROW(%(processing)s, 'account_closed', NULL, NULL)::payrail.refusal]"
        ),
    ),
    "record_answers": (
        "payrail_worker",
        (
            "%(merchant_id)s, ARRAY[ROW(%(processing)s, 'paid', NULL, 'U', NULL, NULL, 1)"
            "::payrail.bank_answer]"
        ),
    ),
    "record_answers_for_many": (
        "payrail_worker",
        (
            "ARRAY[ROW(%(merchant_id)s, %(processing)s, 'paid', NULL, 'U', NULL, NULL, 1)"
            "::payrail.addressed_answer]"
        ),
    ),
    "settle_payout": ("payrail_operator", "%(merchant_id)s, %(processing)s, 'U'"),
    "fail_payout": ("payrail_operator", "%(merchant_id)s, %(processing)s, 'account_closed'"),
    "return_payout": ("payrail_operator", "%(merchant_id)s, %(settled)s, 'R'"),
    "credit_merchant": ("payrail_operator", "%(merchant_id)s, 1, 'INR', 'r'"),
}
MOVED = ("settled", "processing", "pending", "awaiting_approval")
UNSAFE = [
    ("synchronous_commit", "off", "PR901"),
    ("synchronous_commit", "local", "PR901"),
    ("synchronous_commit", "remote_write", "PR901"),
    ("default_transaction_isolation", "repeatable read", "PR902"),
    ("default_transaction_isolation", "serializable", "PR902"),
]


def test_the_money_doors_are_all_here() -> None:
    moving = {name.removeprefix("payrail.") for name in FUNCTIONS if "payout" in name}
    inside = {"payout_json", "payout_detail_json", "daily_payouts", "open_payouts"}
    inside |= {"find_payouts", "troubled_payouts", "payout_at", "check_payouts"}
    assert {*DOORS} == {n for n in moving if "." not in n} - inside | {
        "credit_merchant",
        "record_answers",
        "record_answers_for_many",
    }


@pytest.mark.parametrize(("setting", "value", "state"), UNSAFE)
@pytest.mark.parametrize("door", DOORS)
def test_no_money_moves_unsafely(
    desk: Desk, door: str, setting: str, value: str, state: str
) -> None:
    """Neither without a durable commit, nor by a snapshot older than the lock."""
    role, arguments = DOORS[door]
    payouts = {status: desk.payout(status) for status in MOVED}
    if door.startswith("fail"):
        desk.let_bank_be_final(payouts["processing"])
    query = f"SELECT * FROM payrail.{door}({arguments})"
    desk.sql(role, f"SET {setting} = '{value}'", [])
    with desk.refused(state):
        desk.sql(role, query, {"merchant_id": desk.merchant_id, **payouts})
    desk.sql(role, f"RESET {setting}", [])
    assert desk.sql(role, query, {"merchant_id": desk.merchant_id, **payouts})


# -------------------------------------------------------------------------------------- hijacking


def test_objects_of_the_session_do_not_get_between(fenced: Desk) -> None:
    """Temporary tables in the shape of ours, first in the search_path, change nothing."""
    admin = fenced.connection("admin")
    admin.execute(f"GRANT TEMP ON DATABASE {admin.info.dbname} TO payrail_api".encode())
    api = fenced.connection("payrail_api")
    for name in ("merchants", "entries", "balances", "payouts", "idempotency_keys", "transitions"):
        api.execute(
            sql.SQL(
                "CREATE TEMP TABLE {} (merchant_id uuid, available bigint, currency text)"
            ).format(sql.Identifier(name))
        )
    api.execute("CREATE DOMAIN pg_temp.bigint AS pg_catalog.int2")
    api.execute("SET search_path = pg_temp, pg_catalog")
    check_balance_is_enforced(fenced)


def test_operators_of_the_session_do_not_get_between(fenced: Desk) -> None:
    """A `<` that is never true, ahead of pg_catalog's, does not make money."""
    fenced.connection("admin").execute(
        """
        CREATE SCHEMA evil;
        CREATE FUNCTION evil.never(bigint, bigint) RETURNS boolean LANGUAGE sql RETURN false;
        CREATE FUNCTION evil.always(uuid, uuid) RETURNS boolean LANGUAGE sql RETURN true;
        CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql
            RETURN 'epoch'::timestamptz;
        CREATE FUNCTION evil.uuidv7() RETURNS uuid LANGUAGE sql
            RETURN '00000000-0000-7000-8000-000000000000'::uuid;
        CREATE OPERATOR evil.< (FUNCTION = evil.never, LEFTARG = bigint, RIGHTARG = bigint);
        CREATE OPERATOR evil.= (FUNCTION = evil.always, LEFTARG = uuid, RIGHTARG = uuid);
        GRANT USAGE ON SCHEMA evil TO PUBLIC;
        """
    )
    for role in ("payrail_api", "payrail_operator", "payrail_worker"):
        fenced.sql(role, "SET search_path = evil, pg_catalog", [])
    check_balance_is_enforced(fenced)


def check_balance_is_enforced(desk: Desk) -> None:
    assert desk.create("over", OPENING + 1).code == "insufficient_funds"
    first = desk.create("k", 6000)
    assert desk.create("k", 6000).body == first.body
    assert desk.create("l", 6000).code == "insufficient_funds"
    assert desk.beside().create("k").payout_id != first.payout_id
    desk.claim()
    desk.let_bank_be_final(first.payout_id)
    desk.fail(first.payout_id)
    (balance,) = desk.table("balances")
    assert (balance["available"], balance["held"]) == (OPENING, 0)
    assert desk.violations() == {}
