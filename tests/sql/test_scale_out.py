"""A merchant can become a shard: the rules that Citus asks for, on plain PostgreSQL.

The rules and why they are there: docs/scale-out.md. The lint reads what sql/ says, parsed by
PostgreSQL's own parser (pglast); the fence has each door do its work while row-level security
shows it one merchant only.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import psycopg
import pytest
from pglast import ast, parse_plpgsql, parse_sql
from pglast.visitors import Visitor
from psycopg.rows import DictRow

from pyapp.settings import ROOT
from tests.conftest import Database
from tests.desk import OPENING, Desk
from tests.sql import test_dashboard as dashboard
from tests.sql import test_keys as keys
from tests.sql import test_lifecycle as lifecycle
from tests.sql import test_operators as operators
from tests.sql import test_statements as statements
from tests.sql import test_webhooks as webhooks
from tests.sql.test_mutants import MUTANTS, Check

SQL: Final = ROOT / "sql"
DISTRIBUTE: Final = SQL / "scale-out" / "distribute.sql"
OURS: Final = ("merchant", "ledger", "payout", "webhook", "rail", "audit", "payrail")

# What nobody looks up by the merchant, and is not a shard's: see docs/scale-out.md.
COORDINATOR: Final = frozenset(
    {
        "audit.loaded_definitions",
        "merchant.audit_runs",
        "merchant.instance",
        "merchant.operator_actions",
        "merchant.operator_sessions",
        "merchant.operator_tries",
        "merchant.operators",
        "rail.bank_files",
        "rail.calls",
        "rail.cases",
        "rail.notices",
        "rail.payment_files",
        "rail.proposals",
        "rail.report_lines",
        "rail.reports",
    }
)

# ------------------------------------------------------------------------------- the one file


def placed(how: str) -> dict[str, str]:
    """Return the tables that distribute.sql places this way, and by which column."""
    found = re.findall(rf"SELECT {how}\('([\w.]+)'(?:, '(\w+)')?", DISTRIBUTE.read_text())
    return dict(found)


def shards() -> set[str]:
    places = placed("create_distributed_table").items()
    return {table for table, by in places if by == "merchant_id"}


def looked_up() -> set[str]:
    return {*placed("create_distributed_table")} - shards()


def test_each_table_has_one_place(database: Database) -> None:
    with database.connect("admin") as admin:
        rows = admin.execute(
            "SELECT schemaname || '.' || tablename AS name FROM pg_tables"
            " WHERE schemaname = ANY (%s)",
            [[*OURS]],
        ).fetchall()
    everywhere = {*placed("create_reference_table")}
    places = [shards(), looked_up(), everywhere, COORDINATOR]
    assert sorted(name for place in places for name in place) == sorted(r["name"] for r in rows)


def test_what_is_unique_in_a_shard_names_its_merchant(database: Database) -> None:
    """So do foreign keys, unless they lead to what every node has."""
    everywhere = {*placed("create_reference_table")}
    with database.connect("admin") as admin:
        unique = admin.execute(
            "SELECT i.indrelid::regclass::text AS name, i.indexrelid::regclass::text AS index,"
            " array_agg(a.attname) AS columns FROM pg_index i"
            " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)"
            " WHERE i.indisunique GROUP BY i.indexrelid, i.indrelid"
        ).fetchall()
        foreign = admin.execute(
            "SELECT c.conrelid::regclass::text AS name, c.confrelid::regclass::text AS into,"
            " c.confdeltype, c.condeferrable, array_agg(a.attname) AS columns FROM pg_constraint c"
            " JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)"
            " WHERE c.contype = 'f' AND c.connamespace::regnamespace::text = ANY (%s)"
            " GROUP BY c.oid",
            [[*OURS]],
        ).fetchall()
        keyless = admin.execute(
            "SELECT c.oid::regclass::text AS name FROM pg_class c"
            " WHERE c.relkind = 'r' AND c.relnamespace::regnamespace::text = ANY (%s)"
            " AND NOT EXISTS (SELECT FROM pg_constraint k"
            " WHERE k.conrelid = c.oid AND k.contype = 'p')",
            [[*OURS]],
        ).fetchall()
    assert keyless == []
    assert {one["name"] for one in unique} >= shards()
    for one in unique:
        if one["name"] in shards():
            assert "merchant_id" in one["columns"], one
    for one in foreign:
        if one["name"] in shards():
            assert one["into"] in everywhere or "merchant_id" in one["columns"], one
            assert one["into"] in everywhere | shards(), one
        elif one["into"] in shards():
            assert re.search(rf"ALTER TABLE {one['name']} DROP CONSTRAINT", DISTRIBUTE.read_text())
        assert one["confdeltype"] not in {b"n", b"d", "n", "d"}, one  # SET NULL, SET DEFAULT
        assert not one["condeferrable"], one


def test_no_trigger_of_a_shard_waits_or_sees_whole_statements(database: Database) -> None:
    with database.connect("admin") as admin:
        triggers = admin.execute(
            "SELECT tgrelid::regclass::text AS name, tgname, tgconstraint <> 0 AS of_constraint,"
            " tgdeferrable, tgnewtable, tgoldtable FROM pg_trigger WHERE NOT tgisinternal"
        ).fetchall()
    found = [one for one in triggers if one["name"] in shards()]
    assert {one["name"] for one in found} >= {"ledger.entries", "payout.payouts", "webhook.events"}
    for one in found:
        assert not one["of_constraint"], one
        assert not one["tgdeferrable"], one
        assert (one["tgnewtable"], one["tgoldtable"]) == (None, None), one


def test_the_functions_that_stay_on_the_coordinator_are_there(database: Database) -> None:
    kept = re.findall(r"^ {12}'(\w+)'", DISTRIBUTE.read_text(), re.MULTILINE)
    assert "claim_payouts" in kept
    with database.connect("admin") as admin:
        rows = admin.execute(
            "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'payrail'::regnamespace"
            " AND proargnames[1] = 'p_merchant_id' AND provolatile = 'v'"
        ).fetchall()
    assert {*kept} < {row["proname"] for row in rows}


# ----------------------------------------------------------------------------------- the lint

VOLATILE: Final = frozenset(
    {"clock_timestamp", "random", "gen_random_uuid", "uuidv7", "uuidv4", "nextval", "timeofday"}
)
SCHEMA: Final = re.compile(rf"\b({'|'.join(OURS)})\.")
ARRAY: Final = re.compile(rf"\b({'|'.join(OURS)})\.\w+\[\]")
FUNCTIONS: Final = re.compile(
    r"CREATE OR REPLACE FUNCTION.*?(?:\n\$\$;|\nEND;|\nRETURN .*?;\n)", re.DOTALL
)
ADVISORY: Final = re.compile(r"^pg_(try_)?advisory")


class Lint(Visitor):
    """Finds what a shard can not do, in one statement."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def visit(self, _: Any, node: Any) -> None:
        """Look at each node of the tree."""
        match node:
            case ast.SelectStmt():
                columns = {column(ref) for ref in below(node.whereClause, ast.ColumnRef)}
                if node.lockingClause and "merchant_id" not in columns:
                    self.found.append("a lock without its merchant")
            case ast.MergeStmt():
                self.found.append("MERGE")
            case ast.LockStmt():
                self.found.append("LOCK TABLE")
            case ast.VariableSetStmt():
                self.found.append("a setting of the session")
            case ast.FuncCall() if name(node) == "set_config":
                self.found.append("a setting of the session")
            case ast.FuncCall() if ADVISORY.match(name(node)):
                self.found.append("an advisory lock")
            case ast.UpdateStmt() | ast.OnConflictClause():
                if {name(call) for call in below(node.targetList, ast.FuncCall)} & VOLATILE:
                    self.found.append("a volatile function in SET")


def below(node: Any, kind: type) -> list[Any]:
    """Return the nodes of a kind in a tree, or in a list of trees."""
    found: list[Any] = []

    class Find(Visitor):
        def visit(self, _: Any, node: Any) -> None:
            if isinstance(node, kind):
                found.append(node)

    for one in node if isinstance(node, tuple) else (node,):
        if one is not None:
            Find()(one)
    return found


def name(call: Any) -> str:
    return str(call.funcname[-1].sval)


def column(ref: Any) -> str | None:
    found: str | None = getattr(ref.fields[-1], "sval", None)
    return found


def each(text: str) -> Iterator[str]:
    """Return each statement of a file, and each in the bodies of its functions."""
    yield FUNCTIONS.sub("", text)
    for made in FUNCTIONS.findall(text):
        if "LANGUAGE plpgsql" in made:
            head, begin, body = made.partition("\nBEGIN\n")
            # this parser knows the types of no schema, nor needs them
            plain = SCHEMA.sub("", ARRAY.sub("text[]", head))
            yield from queries(parse_plpgsql(plain + begin + body))
        elif "BEGIN ATOMIC" in made:
            yield made.partition("BEGIN ATOMIC")[2].removesuffix("END;")
        elif "AS $$" in made:
            yield made.partition("AS $$")[2].rpartition("$$")[0]
        else:
            yield "SELECT " + made.partition("\nRETURN ")[2]


def queries(tree: Any) -> Iterator[str]:
    """Return the SQL in a parsed body, whose expressions are made statements."""
    if isinstance(tree, list):
        for one in tree:
            yield from queries(one)
    elif isinstance(tree, Mapping):
        if "PLpgSQL_expr" in tree:
            query = tree["PLpgSQL_expr"]["query"]
            # an assignment names its target first
            yield f"SELECT {query.partition(':=')[2]}" if ":=" in query else query
        for one in tree.values():
            yield from queries(one)


def broken(text: str) -> list[str]:
    """Return the rules that a file of SQL breaks."""
    found = ["a trigger by the name of its table"] if "TG_TABLE_NAME" in text else []
    for query in each(text):
        try:
            parsed = parse_sql(query)
        except Exception:  # noqa: BLE001  # an expression, not a statement
            parsed = parse_sql(f"SELECT {query}")
        lint = Lint()
        lint(parsed)
        found += lint.found
    return found


@cache
def money_paths() -> dict[str, str]:
    """Return the functions that a merchant's money goes through: what sql/load.txt loads."""
    files = [path for path in SQL.glob("*/*.sql") if path.parent.name not in {"scale-out", "audit"}]
    return {str(path.relative_to(SQL)): path.read_text() for path in sorted(files)}


def test_no_function_does_what_a_shard_can_not() -> None:
    found = {file: sorted({*broken(text)}) for file, text in money_paths().items()}
    assert {file: rules for file, rules in found.items() if rules} == EXCEPTIONS


# Each is in docs/scale-out.md with its reason.
EXCEPTIONS: Final[Mapping[str, list[str]]] = {
    "payrail/authenticate_keys.sql": ["a lock without its merchant"],
    "payrail/prune.sql": ["a lock without its merchant"],
    "payrail/remove_mode.sql": ["a lock without its merchant"],
    "payrail/set_fee.sql": ["a lock without its merchant"],
    "rail/wake_worker.sql": ["an advisory lock"],
}

BODY: Final = (
    "CREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$\nBEGIN\n{}\nEND\n$$;"
)


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("PERFORM FROM merchant.merchants m FOR UPDATE;", "a lock without its merchant"),
        (
            "PERFORM FROM payout.payouts p WHERE p.status = 'x' FOR UPDATE SKIP LOCKED;",
            "a lock without its merchant",
        ),
        ("LOCK TABLE payout.payouts;", "LOCK TABLE"),
        ("PERFORM pg_advisory_xact_lock(1);", "an advisory lock"),
        ("SET LOCAL lock_timeout = '1s';", "a setting of the session"),
        ("PERFORM set_config('a.b', 'c', TRUE);", "a setting of the session"),
        ("UPDATE payout.payouts p SET utr = random()::text;", "a volatile function in SET"),
        (
            "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = clock_timestamp();",
            "a volatile function in SET",
        ),
        ("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE;", "MERGE"),
        ("v := TG_TABLE_NAME;", "a trigger by the name of its table"),
    ],
)
def test_the_lint_finds_each_of_these(statement: str, rule: str) -> None:
    head = "DECLARE v text;\nBEGIN\n"
    body = BODY.format(statement).replace("BEGIN\n", head)
    assert broken(body) == [rule]
    assert broken(body.replace(statement, "v := 'x';")) == []


# ---------------------------------------------------------------------------------- the fence

FENCE: Final = """
CREATE POLICY fence ON {} USING (
    merchant_id = coalesce(nullif(current_setting('fence.merchant', TRUE), '')::uuid, merchant_id)
)
"""
# What these are about is between merchants, or shared by all: banks, operators, calls for many.
BETWEEN: Final = frozenset({"cases", "files", "races", "rails", "reports", "roles", "together"})
OTHERS: Final = frozenset(
    {
        "test_a_call_for_many_waits_for_no_lock",
        "test_a_key_that_has_ended_delays_none_of_the_others",
        "test_an_edge_writes_history_event_and_entry",  # looks for what else the audit finds
    }
)
MORE: Final[tuple[Check, ...]] = (
    dashboard.test_a_merchant_without_money_has_had_none,
    dashboard.test_what_has_moved_is_new,
    keys.test_archiving_twice_changes_nothing,
    keys.test_limits_are_an_operators_to_set,
    keys.test_me_shows_the_balances,
    lifecycle.test_a_rejection_has_a_reason_and_gives_the_money_back,
    statements.test_a_line_names_its_cause_and_the_banks_reference,
    statements.test_a_page_comes_after_the_number_of_the_one_before,
)


class Fenced(Desk):
    """A desk whose connections see the shards' rows of its merchant only."""

    def connection(self, role: str) -> psycopg.Connection[DictRow]:
        if role not in self._connections and role != "admin":
            fence = f"-c fence.merchant={self.merchant_id}"
            opened = self.database.connect(role, options=fence)
            self._connections[role] = self._open.enter_context(opened)
        return super().connection(role)

    def beside(self, paise: int = OPENING) -> Desk:
        return self._open.enter_context(Fenced(self.database, paise))


@pytest.fixture
def fenced(database: Database) -> Database:
    """A database that shows a session the rows of one merchant, its owner too."""
    with database.connect("admin") as admin:
        for table in sorted(shards()):
            admin.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY".encode())
            admin.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY".encode())
            admin.execute(FENCE.format(table).encode())
        admin.execute((SQL / "audit" / "remember_definitions.sql").read_bytes())
        admin.execute(f"ALTER DATABASE {admin.info.dbname} SET track_functions = 'all'".encode())
    return database


def checks() -> Iterator[Check]:
    """Return what shows that a mutant is one, if it is of one merchant; and more of that kind."""
    seen: set[str] = set()
    for check in (*(check for mutant in MUTANTS for check in mutant.checks), *MORE):
        plain = inspect.unwrap(getattr(check, "func", check))
        kinds = {*inspect.get_annotations(plain).values()}
        module = plain.__module__.rpartition(".test_")[2]
        if "Desk" in kinds and module not in BETWEEN and plain.__name__ not in OTHERS | seen:
            seen.add(plain.__name__)
            yield check


def test_each_door_does_its_work_while_it_sees_one_merchant_only(fenced: Database) -> None:
    for check in checks():
        with Fenced(fenced) as desk:
            check(desk)
    with Fenced(fenced) as desk:
        asked = {*the_others(desk)}
    with fenced.connect("admin") as admin:
        doors = admin.execute(
            "SELECT DISTINCT p.proname, EXISTS (SELECT FROM pg_stat_user_functions s"
            " WHERE s.funcid = p.oid AND s.calls > 0) AS is_called FROM pg_proc p"
            " WHERE p.pronamespace = 'payrail'::regnamespace"
            " AND p.proargnames[1] = 'p_merchant_id'"
        ).fetchall()
    assert {one["proname"] for one in doors if not one["is_called"]} - asked == set()


def the_others(desk: Desk) -> Iterator[str]:
    """Call the doors that no check calls, or that PostgreSQL does not count."""
    settled, _ = desk.payout("settled"), desk.payout("awaiting_approval")
    its: dict[str, object] = {"endpoint_id": webhooks.endpoint(desk)}
    calls: list[tuple[str, dict[str, object]]] = [
        ("awaiting_approval", {}),
        ("balances_at", {"at": datetime.now(UTC)}),
        ("daily_payouts", {"days": 2}),
        ("is_under_review", {"payout_id": settled}),
        ("update_webhook_endpoint", {**its, "enabled": False}),
        ("replay_events", {**its, "from": 1, "to": 10}),
        ("archive_webhook_endpoint", its),
        (
            "revoke_api_key_by_key",
            {"by": keys.manager(desk), "api_key_id": keys.manager(desk)},
        ),
    ]
    for door, arguments in calls:
        assert desk.call("payrail_api", door, **arguments), door
        yield door
    name = operators.new_name()
    operators.ask(desk, "SELECT FROM payrail.add_operator(%s, %s, 'root')", name, operators.HASH)
    credited = operators.credit(desk, operators.session(desk, name))
    assert credited["seq"] > 1
    yield "credit_as_operator"
    yield from ("daily_balances", "me_json", "statement", "statement_lines")  # in MORE


def test_a_door_that_reads_other_merchants_is_seen_by_the_fence(fenced: Database) -> None:
    with fenced.connect("payrail_owner") as owner:
        owner.execute(
            "CREATE FUNCTION payrail.peek(p_merchant_id uuid) RETURNS bigint LANGUAGE sql"
            " SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS"
            " 'SELECT count(DISTINCT e.merchant_id) FROM ledger.entries e'"
        )
        owner.execute("GRANT EXECUTE ON FUNCTION payrail.peek TO payrail_api")
    with Fenced(fenced) as desk:
        desk.beside()
        (fenced_in,) = desk.call("payrail_api", "peek", "peek AS merchants")
        with fenced.connect("payrail_api") as free:
            (outside,) = free.execute(
                "SELECT payrail.peek(%s) AS merchants", [desk.merchant_id]
            ).fetchall()
    assert (fenced_in["merchants"], outside["merchants"]) == (1, 2)
