"""The rules of the database, held on the live catalog and on the files in sql/.

docs/architecture.md says why; most of them keep the road to a merchant per shard open.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import DictRow

from tests.conftest import Database

ROOT = Path(__file__).parents[2]
SQL = ROOT / "sql"

# bottom up: a schema uses only itself and those before it
LAYERS = ["merchant", "ledger", "webhook", "payout", "rail", "payrail", "audit"]
HOUSE = LAYERS

# tables that are not a merchant's: what is looked up before the merchant is known, and what is
# the same for all merchants
LOOKUP = {"merchant.api_keys", "merchant.sessions", "rail.instructions", "rail.filed_instructions"}
REFERENCE = {
    "merchant.instance",
    "ledger.currencies",
    "ledger.kinds",
    "payout.transitions",
    "payout.failure_codes",
    "webhook.event_types",
    "audit.loaded_definitions",
    # and what is a bank's
    "rail.rails",
    "rail.modes",
    "rail.fees",
    "rail.holidays",
    "rail.calls",
    "rail.notices",
    "rail.reports",
    "rail.report_lines",
    "rail.cases",  # some are about a booking that is nobody's
    "rail.proposals",
    "rail.payment_files",
    "rail.bank_files",
    # and what is the operators'
    "merchant.operators",
    "merchant.operator_sessions",
    "merchant.operator_tries",
    "merchant.operator_actions",
    "merchant.audit_runs",
}

# doors that are not about one merchant
ABOUT_ALL = {
    "authenticate",
    "authenticate_keys",
    # never wait for a lock
    "create_payouts_for_many",
    "claim_payouts_for_many",
    "record_answers_for_many",
    "open_session",
    "resume_session",
    "close_session",
    "changes",
    "open_payouts",
    "open_batches",
    "open_cases",
    "due_merchants",
    "due_endpoints",
    "webhook_work",
    "webhook_calls",
    "due_batches",
    "waiting_merchants",
    "prune",  # never waits for a lock
    "create_merchant",
    "audit_report",
    "run_audit",
    # banks: their word is about many merchants, who are locked in the order of their ids
    "declare_rail",
    "mode_hours",
    "set_mode",
    "remove_mode",
    "set_fee",
    "remove_fee",
    "set_holiday",
    "report_calls",
    "receive_notices",
    "queue_instructions",
    "cut_file",
    "store_file",
    "claim_file",
    "mark_file_sent",
    "receive_file",
    "ask_files",
    "reconciliation",
    "import_report",
    "propose_resolution",
    "decide_resolution",
    # the console
    "add_operator",
    "set_operator_password",
    "disable_operator",
    "try_operator",
    "open_operator_session",
    "resume_operator_session",
    "close_operator_session",
    "work",
    "throughput",
    "find_payouts",
    "troubled_payouts",
}
# and those that only say how something looks, or help a door
NO_DOORS = {
    "acting",
    "actor",
    "answer_requests",
    "apply_answers",
    "api_key_json",
    "bank_account_json",
    "event_json",
    "batch_json",
    "batch_line_json",
    "decide_approval",
    "ledger_entry_json",
    "payout_at",
    "payout_detail_json",
    "payout_json",
    "problem",
    "raise_effect",
    "rules_json",
    "status_details",
    "utc",
    "webhook_delivery_json",
    "webhook_endpoint_json",
    "webhook_field_problem",
}

Connection = psycopg.Connection[DictRow]


@pytest.fixture(scope="module")
def catalog(shared_database: Database) -> Iterator[Connection]:
    with shared_database.connect("admin") as connection:
        yield connection


def ask(catalog: Connection, query: str, *parameters: object) -> list[DictRow]:
    return catalog.execute(query.encode(), parameters or [HOUSE]).fetchall()


def functions(catalog: Connection) -> list[DictRow]:
    return ask(
        catalog,
        """
        SELECT n.nspname AS schema, p.proname AS name, n.nspname || '.' || p.proname AS function,
               CASE WHEN p.prosqlbody IS NULL THEN p.prosrc ELSE pg_get_function_sqlbody(p.oid) END
                   AS body,
               p.prosecdef AS definer, p.proconfig AS config, p.proargnames AS arguments,
               p.provolatile AS volatile, p.prorettype = 'trigger'::regtype AS is_trigger,
               l.lanname AS language, p.proretset AS is_set,
               obj_description(p.oid, 'pg_proc') AS comment,
               EXISTS (
                   SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                   WHERE a.grantee = 0
               ) AS public,
               pg_get_userbyid(p.proowner) AS owner
        FROM pg_proc p
        JOIN pg_namespace n ON n.oid = p.pronamespace
        JOIN pg_language l ON l.oid = p.prolang
        WHERE n.nspname = ANY (%s)
        ORDER BY 3
        """,
    )


def tables(catalog: Connection) -> list[DictRow]:
    return ask(
        catalog,
        """
        SELECT c.oid, n.nspname || '.' || c.relname AS name FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY (%s) ORDER BY 2
        """,
    )


def is_door(function: DictRow) -> bool:
    return function["schema"] == "payrail" and function["name"] not in NO_DOORS


def code(text: str) -> str:
    """Return SQL without its comments."""
    return re.sub(r"--[^\n]*", "", text)


def without_strings(text: str) -> str:
    """Return SQL without its comments and string constants."""
    return re.sub(r"'[^']*'", "''", code(text))


def statements(body: str) -> list[str]:
    return [part.strip() for part in code(body).split(";")]


# --------------------------------------------------------------------------------------- tables


def test_the_tables_that_belong_to_no_merchant_are_these(catalog: Connection) -> None:
    without = {
        row["name"]
        for row in ask(
            catalog,
            """
            SELECT n.nspname || '.' || c.relname AS name FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY (%s) AND NOT EXISTS (
                SELECT FROM pg_attribute a
                WHERE a.attrelid = c.oid AND a.attname = 'merchant_id'
                  AND a.atttypid = 'uuid'::regtype AND a.attnotnull
            )
            """,
        )
    }
    assert without == REFERENCE


def test_every_table_has_a_primary_key(catalog: Connection) -> None:
    keyed = {
        row["name"]
        for row in ask(
            catalog,
            "SELECT conrelid::regclass::text AS name FROM pg_constraint WHERE contype = 'p'"
            " AND connamespace::regnamespace::text = ANY (%s)",
        )
    }
    assert {row["name"] for row in tables(catalog)} == keyed


def test_every_unique_index_of_a_merchants_data_has_the_merchant(catalog: Connection) -> None:
    rows = ask(
        catalog,
        """
        SELECT i.indrelid::regclass::text AS "table", i.indexrelid::regclass::text AS index,
               i.indkey[0] = a.attnum AS first, a.attnum = ANY (i.indkey) AS has
        FROM pg_index i
        JOIN pg_class c ON c.oid = i.indrelid
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = 'merchant_id'
        WHERE c.relnamespace::regnamespace::text = ANY (%s)
          AND (i.indisunique OR i.indisprimary)
        """,
    )
    assert len(rows) > len(LAYERS)
    without = {row["index"] for row in rows if not row["has"]}
    apart = {*LOOKUP, "merchant.operator_actions", "rail.cases"}
    assert without == {f"{table}_pkey" for table in apart}
    # what only rises with time goes to the end of an index that begins with the payout
    assert {row["index"] for row in rows if not row["first"]} - without == {
        *("ledger.entries_once_per_payout", "webhook.events_once_per_version"),
        *("rail.attempts_pkey", "rail.evidence_pkey"),
    }


def test_every_foreign_key_of_a_merchants_data_has_the_merchant(catalog: Connection) -> None:
    rows = ask(
        catalog,
        """
        SELECT o.conrelid::regclass::text AS "from", o.confrelid::regclass::text AS "to",
               ARRAY(SELECT attname::text FROM pg_attribute
                     WHERE attrelid = o.conrelid AND attnum = ANY (o.conkey)) AS columns
        FROM pg_constraint o
        WHERE o.contype = 'f' AND o.connamespace::regnamespace::text = ANY (%s)
        """,
    )
    assert rows
    for row in rows:
        assert row["to"] in REFERENCE or "merchant_id" in row["columns"], row


def test_no_constraint_is_deferrable_and_no_trigger_a_constraint(catalog: Connection) -> None:
    assert not ask(
        catalog,
        "SELECT conname FROM pg_constraint WHERE connamespace::regnamespace::text = ANY (%s)"
        " AND (condeferrable OR condeferred OR contype = 't')",
    )


def test_deleting_never_changes_another_row(catalog: Connection) -> None:
    assert not ask(
        catalog,
        "SELECT conname FROM pg_constraint WHERE connamespace::regnamespace::text = ANY (%s)"
        " AND contype = 'f' AND (confdeltype <> 'a' OR confupdtype <> 'a')",
    )


def test_no_trigger_sees_many_rows_or_asks_for_the_table(catalog: Connection) -> None:
    triggers = ask(
        catalog,
        """
        SELECT tgname, tgnewtable, tgoldtable FROM pg_trigger t
        JOIN pg_class c ON c.oid = tgrelid
        WHERE NOT tgisinternal AND c.relnamespace::regnamespace::text = ANY (%s)
        """,
    )
    assert triggers
    assert not [t for t in triggers if t["tgnewtable"] or t["tgoldtable"]]
    for function in functions(catalog):
        assert not re.search(
            r"TG_(TABLE_NAME|TABLE_SCHEMA|RELID|RELNAME)", code(function["body"])
        ), function["function"]


def test_every_sequence_is_bigint(catalog: Connection) -> None:
    assert not ask(
        catalog,
        "SELECT seqrelid::regclass FROM pg_sequence s JOIN pg_class c ON c.oid = seqrelid"
        " WHERE c.relnamespace::regnamespace::text = ANY (%s) AND seqtypid <> 'bigint'::regtype",
    )


def test_ids_are_uuidv7(catalog: Connection) -> None:
    for row in ask(
        catalog,
        """
        SELECT c.oid::regclass || '.' || a.attname AS name, pg_get_expr(d.adbin, d.adrelid) AS value
        FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.adnum
        WHERE c.relnamespace::regnamespace::text = ANY (%s) AND a.atttypid = 'uuid'::regtype
        """,
    ):
        assert row["value"] == "uuidv7()", row["name"]
    assert "gen_random_uuid" not in "".join(f["body"] for f in functions(catalog))


def test_no_sum_is_a_float(catalog: Connection) -> None:
    assert not ask(
        catalog,
        """
        SELECT c.oid::regclass || '.' || a.attname FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace::regnamespace::text = ANY (%s) AND a.attnum > 0
          AND (a.atttypid IN ('real'::regtype, 'double precision'::regtype, 'money'::regtype)
               OR a.attname IN ('amount', 'available', 'held')
                  AND c.relkind = 'r' AND a.atttypid <> 'bigint'::regtype
                  AND NOT EXISTS (
                      SELECT FROM pg_type t
                      WHERE t.oid = a.atttypid AND t.typbasetype = 'bigint'::regtype
                  ))
        """,
    )


# --------------------------------------------------------------------------------------- doors


def test_every_door_has_a_comment(catalog: Connection) -> None:
    assert not [
        f["function"] for f in functions(catalog) if f["schema"] == "payrail" and not f["comment"]
    ]
    views = ask(
        catalog,
        "SELECT c.oid::regclass::text AS view FROM pg_class c WHERE relkind = 'v'"
        " AND c.relnamespace::regnamespace::text = ANY (%s)"
        " AND obj_description(c.oid, 'pg_class') IS NULL",
    )
    assert not views


def test_every_door_is_a_definer_with_a_pinned_search_path(catalog: Connection) -> None:
    for function in functions(catalog):
        if is_door(function) and function["name"] != "me_json":
            assert function["definer"], function["function"]
        if function["definer"]:
            assert function["config"][0] == "search_path=pg_catalog, pg_temp", function["function"]
            assert function["schema"] in {"payrail", "audit"}, function["function"]


def test_no_function_is_anybodys(catalog: Connection) -> None:
    assert not [f["function"] for f in functions(catalog) if f["public"]]
    assert {f["owner"] for f in functions(catalog)} == {"payrail_owner"}


def test_no_function_is_overloaded(catalog: Connection) -> None:
    names = [f["function"] for f in functions(catalog)]
    assert len(names) == len(set(names))


def test_a_door_takes_the_merchant_first(catalog: Connection) -> None:
    for function in functions(catalog):
        if is_door(function) and function["name"] not in ABOUT_ALL:
            assert function["arguments"][0] == "p_merchant_id", function["function"]


def test_a_door_that_writes_locks_the_merchant_first(catalog: Connection) -> None:
    """Directly, or by calling a door that does, before it reads or writes anything."""
    locking = {"merchant.lock_merchant", "payout.lock_payout", "webhook.lock_endpoint"}
    doors = {f["function"]: f for f in functions(catalog) if is_door(f) and f["volatile"] == "v"}
    pending = {name for name in doors if name.removeprefix("payrail.") not in ABOUT_ALL}
    pending -= {"payrail.claim_deliveries", "payrail.record_deliveries"}  # payouts never wait
    while pending:
        done = {name for name in pending if first_reference(doors[name]["body"]) in locking}
        assert done, pending
        locking |= done
        pending -= done


def first_reference(body: str) -> str:
    """Return the first function or table of a merchant's that a body names."""
    text = without_strings(body).partition("BEGIN")[2] or without_strings(body)
    for match in re.finditer(rf"\b((?:{'|'.join(LAYERS)})\.\w+)", text):
        name = match[1]
        # looking at currencies, or raising an error, isn't reading the merchant's rows
        if name not in REFERENCE and name.removeprefix("payrail.") not in NO_DOORS:
            return name
    return ""


def test_every_statement_filters_by_merchant(catalog: Connection) -> None:
    data = {row["name"] for row in tables(catalog)} - REFERENCE
    views = {f"payrail.{name}" for name in ("balances", "payouts", "bank_accounts", "api_keys")}
    reads = re.compile(rf"\b(?:FROM|JOIN|UPDATE|INTO)\s+({'|'.join(sorted(data | views))})\b")
    exempt = {
        *("payrail.authenticate", "payrail.authenticate_keys"),  # look the merchant up
        # those that were asked for
        *("merchant.lock_merchants", "payrail.answer_requests"),
        "payrail.create_payouts_for_many",
        # find them all
        *(f"payrail.{name}" for name in ("due_merchants", "due_batches", "waiting_merchants")),
        # these count or look through them all
        *(f"payrail.open_{name}" for name in ("payouts", "batches", "cases")),
        *(f"payrail.{name}" for name in ("work", "throughput")),
        *(f"payrail.{name}" for name in ("find_payouts", "troubled_payouts")),
        *(f"payrail.{name}" for name in ("due_endpoints", "webhook_work", "webhook_calls")),
        "payrail.changes",  # looks at several that were asked for
        # find whom a bank's word is about
        *("rail.keep_notices", "payrail.receive_file", "payrail.ask_files"),
        "payrail.reconciliation",
        "payrail.prune",  # whosever it is that nobody needs any more
        # and to whom a bank is to send
        *("payrail.queue_instructions", "payrail.cut_file"),
        *(f"payrail.{verb}_session" for verb in ("open", "resume", "close")),  # look it up, too
        "audit.current_definitions",
        "payrail.audit_report",
    }
    seen = set()
    for function in functions(catalog):
        if function["function"] in exempt or function["schema"] == "audit":
            continue
        for statement in statements(function["body"]):
            if reads.search(statement):
                seen.add(function["function"])
                filtered = re.search(
                    r"merchant_id = \(*(\w+\.)?(p_|v_|NEW|OLD)", statement
                ) or re.search(
                    r"INSERT INTO [\w.]+( AS \w+)? \(\s*(key_hash, )?merchant_id", statement
                )
                assert filtered, (function["function"], statement)
    assert len(seen) > 10


def test_nothing_that_a_cluster_can_not_do(catalog: Connection) -> None:
    for function in functions(catalog):
        name, text = function["function"], code(function["body"]).upper()
        assert not re.search(r"\bMERGE\b", text), name
        assert not re.search(r"\bLOCK\s+TABLE\b", text), name
        assert not re.search(r"\b(SET_CONFIG|SET\s+LOCAL|SET\s+SESSION)\b", text), name
        assert not re.search(r"\bNOTIFY\b", text), name
        if name != "rail.wake_worker":
            assert "ADVISORY" not in text, name
        if name != "payrail.advance_batch":  # one a call, to take a whole batch back
            assert "EXCEPTION\n" not in text, name  # 64 subtransactions fall off a cliff


def test_rows_are_locked_with_a_merchant_filter(catalog: Connection) -> None:
    waiting = {
        "merchant.lock_merchant": "merchant_id = p_merchant_id",
        # of a bank's mode, which is no merchant's
        **{f"payrail.{door}": "m.rail = p_rail" for door in ("set_fee", "remove_mode")},
    }
    filters = {
        **waiting,
        # these never wait
        "merchant.lock_merchants": "merchant_id = ANY (v_merchant_ids)",
        "payrail.authenticate_keys": "key_hash = ANY (p_key_hashes)",
        "payrail.prune": "LIMIT p_limit",
    }
    locking = {}
    for function in functions(catalog):
        for statement in statements(function["body"]):
            if re.search(r"\bFOR (NO KEY )?UPDATE\b|\bFOR (KEY )?SHARE\b|SKIP LOCKED", statement):
                locking[function["function"]] = statement
    assert locking.keys() == filters.keys()
    for name, statement in locking.items():
        assert filters[name] in statement
        assert name in waiting or "SKIP LOCKED" in statement


def test_nothing_volatile_is_computed_in_an_update(catalog: Connection) -> None:
    """It is computed into a variable first: a cluster refuses it, and a retry would differ."""
    volatile = {
        row["proname"]
        for row in ask(
            catalog,
            "SELECT DISTINCT proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
            " WHERE provolatile = 'v' AND (n.nspname = 'pg_catalog' OR n.nspname = ANY (%s))"
            " AND proname !~ '^(max|min|sum|count|text|date)$'",
        )
    }
    for function in functions(catalog):
        if function["schema"] == "sandbox":
            continue
        for statement in statements(function["body"]):
            for change in re.findall(
                r"(?s)\bUPDATE\s+[\w.]+(?:\s+\w+)?\s+SET\b(.*?)(?:\bWHERE\b|$)", statement
            ) + re.findall(r"(?s)\bDO UPDATE SET\b(.*)", statement):
                called = set(re.findall(r"(\w+)\s*\(", change))
                assert not called & volatile, (function["function"], called & volatile)


def test_no_subquery_inside_values(catalog: Connection) -> None:
    for function in functions(catalog):
        for statement in statements(function["body"]):
            assert not re.search(r"\bVALUES\s*\([^;]*\(\s*SELECT\b", statement), function[
                "function"
            ]


# --------------------------------------------------------------------------------------- files


def files() -> dict[str, str]:
    """Return the files that are loaded, in order."""
    lines = (SQL / "load.txt").read_text().splitlines()
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    assert len(names) == len(set(names))
    return {name: (SQL / name).read_text() for name in names}


CREATES = re.compile(
    r"^CREATE (?:OR REPLACE )?(FUNCTION|PROCEDURE|VIEW|MATERIALIZED VIEW|TABLE|TYPE) ([\w.]+)",
    re.MULTILINE,
)


def test_every_file_is_loaded() -> None:
    there = {str(path.relative_to(SQL)) for path in SQL.rglob("*.sql")}
    assert {*files()} == there - {"roles.sql", "scale-out/distribute.sql"}


def test_one_file_is_one_function_or_view() -> None:
    for name, text in files().items():
        created = [what for _, what in CREATES.findall(text)]
        expected = name.removesuffix(".sql").replace("/", ".")
        if name in {"grants.sql", "retired.sql", "audit/remember_definitions.sql"} or name.endswith(
            "refuse_change.sql"
        ):
            assert created in ([], [expected]), name
        else:
            assert created == [expected], name


def test_the_functions_are_the_files(catalog: Connection) -> None:
    in_files = {
        what
        for text in files().values()
        for kind, what in CREATES.findall(text)
        if kind == "FUNCTION"
    }
    assert {f["function"] for f in functions(catalog)} == in_files


def test_the_views_are_the_files(catalog: Connection) -> None:
    in_files = {
        what for text in files().values() for kind, what in CREATES.findall(text) if kind == "VIEW"
    }
    views = ask(
        catalog,
        "SELECT relnamespace::regnamespace || '.' || relname AS view FROM pg_class"
        " WHERE relkind IN ('v', 'm') AND relnamespace::regnamespace::text = ANY (%s)",
    )
    assert {row["view"] for row in views} == in_files


def test_triggers_and_tables_are_only_made_where_they_belong() -> None:
    for path in sorted((ROOT / "migrations").glob("*.sql")):
        text = code(path.read_text())
        dropped = r"DROP (FUNCTION|VIEW) IF EXISTS [^;]+;"  # whose shape has changed
        text = re.sub(dropped, "", text)
        assert not re.search(r"\b(FUNCTION|TRIGGER|VIEW|GRANT|REVOKE)\b", text), path.name
    for name, text in files().items():
        assert not re.search(r"\b(CREATE|DROP) (TABLE|INDEX|UNIQUE|TYPE|DOMAIN)\b", code(text)), (
            name
        )


def test_every_function_says_what_it_promises_and_raises() -> None:
    for name, text in files().items():
        kinds = [kind for kind, _ in CREATES.findall(text)]
        if "FUNCTION" not in kinds:
            continue
        header = "\n".join(
            line for line in text.partition("CREATE")[0].splitlines() if line.startswith("--")
        )
        assert "Promises:" in header or "State machine" in header or "Promises" in header, name
        raised = set(re.findall(r"ERRCODE = '(\w+)'", text))
        assert raised <= set(re.findall(r"\bPR\d{3}\b", header)), name


def test_every_error_is_constant_and_tells_the_field() -> None:
    for name, text in files().items():
        for raised in re.findall(r"(?s)RAISE EXCEPTION (.*?);", code(text)):
            assert re.match(r"'[^%]*'\s+USING ERRCODE = 'PR\d{3}'", raised), name
            state = re.search(r"PR\d{3}", raised)
            assert state is not None
            if state[0] < "PR5":
                assert re.search(r"DETAIL = json_build_object\(\s*'field'", raised), (
                    name,
                    state[0],
                )


def test_schemas_use_only_those_below_them(catalog: Connection) -> None:
    views = ask(
        catalog,
        "SELECT relnamespace::regnamespace::text AS schema, oid::regclass::text AS name,"
        " pg_get_viewdef(oid) AS body FROM pg_class WHERE relkind = 'v'"
        " AND relnamespace::regnamespace::text = ANY (%s)",
    )
    users: list[dict[str, Any]] = [*views]
    users += [{**f, "name": f["function"]} for f in functions(catalog)]
    for user in users:
        used = set(re.findall(rf"\b({'|'.join(HOUSE)})\.\w+", without_strings(user["body"])))
        if user["name"] == "payrail.audit_report":
            used -= {"audit"}  # the door of the audit
        below = set(LAYERS[: LAYERS.index(user["schema"]) + 1])
        assert used <= below, (user["name"], used - below)


def test_the_job_queue_is_used_in_one_place(catalog: Connection) -> None:
    users = {f["function"] for f in functions(catalog) if "procrastinate" in code(f["body"])}
    # and the audit looks at its definitions
    users.remove("audit.current_definitions")
    # and the console at whether a worker is alive
    users.remove("payrail.work")
    assert users == {"rail.wake_worker", "rail.defer_dispatch", "rail.dispatch_is_waiting"}


# -------------------------------------------------------------------------------------- Python


def strings(path: Path) -> Iterator[str]:
    """Yield the string constants of a module, docstrings excepted."""
    tree = ast.parse(path.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
        ):
            yield node.value


# what an administrator does to the database as a whole, not to its money
ADMINISTRATION = {"migrate.py", "embedded.py", "reset.py"}


def test_python_names_no_table() -> None:
    inside = "|".join(set(HOUSE) - {"payrail", "audit"})
    events = "".join(path.read_text() for path in (ROOT / "migrations").glob("*.sql"))
    types = re.findall(r"^\('([a-z]+\.[a-z_]+)',", events, re.MULTILINE)
    event = re.compile("|".join(map(re.escape, types)))
    for path in sorted((ROOT / "pyapp").rglob("*.py")):
        if path.name in ADMINISTRATION:
            continue
        for text in strings(path):
            named = event.sub("", text)
            assert not re.search(rf"\b({inside})\.(?!html\b)[a-z_]+\b(?!\.py)", named), (
                path.name,
                text,
            )


def test_only_doors_holds_sql() -> None:
    sql = re.compile(
        r"\b(SELECT\s+.+\s+FROM|INSERT\s+INTO|UPDATE\s+\S+\s+SET|DELETE\s+FROM)\b", re.DOTALL
    )
    holders = {
        path.name
        for path in sorted((ROOT / "pyapp").rglob("*.py"))
        if any(sql.search(text) for text in strings(path))
    }
    # the demo prints a command to paste, and the sandbox bank has books of its own
    assert holders - ADMINISTRATION - {"demo.py", "books.py"} == {"doors.py"}
