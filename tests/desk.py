"""A merchant of its own, and every role's connection to call the doors with.

A test that takes nothing but a Desk is also a check: tests/sql/test_mutants.py runs such tests
against a database whose SQL has been damaged, and expects them to fail.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, LiteralString, Self
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from tests.conftest import Database, new_merchant

ACCOUNT: Final = "demo-bank-account"
OPENING: Final = 10_000

TABLES: Final[tuple[LiteralString, ...]] = (
    "merchant.merchants",
    "merchant.api_keys",
    "merchant.bank_accounts",
    "ledger.entries",
    "ledger.books",
    "webhook.events",
    "webhook.endpoints",
    "webhook.deliveries",
    "webhook.attempts",
    "payout.payouts",
    "payout.idempotency_keys",
    "payout.batches",
    "payout.batch_lines",
    "payout.batch_answers",
    "payout.approvals",
    "payout.usage",
    "merchant.rules",
    "rail.evidence",
)
STATUSES: Final = ("pending", "processing", "settled", "failed", "cancelled", "returned")
# and those of payouts that wait, or have ended, without a bank
OWN_STATUSES: Final = ("awaiting_approval", "scheduled", "queued", "rejected", "expired")

_ROWS: Final = " UNION ALL ".join(
    f"SELECT '{table}', to_jsonb(t)::text FROM {table} t WHERE t.merchant_id = %(merchant_id)s"
    for table in TABLES
)


@dataclass(frozen=True)
class Answer:
    """What create_payout answers; `body` is the text, byte for byte."""

    status: int
    body: str
    replayed: bool

    @property
    def json(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.body)
        return loaded

    @property
    def code(self) -> str:
        return str(self.json["code"])

    @property
    def payout_id(self) -> UUID:
        assert self.status == 201, self.body
        return UUID(self.json["id"])


class Desk:
    """One merchant with INR 100.00 (unless `paise` says otherwise), and all doors."""

    def __init__(self, database: Database, paise: int = OPENING) -> None:
        self.database = database
        merchant = new_merchant(database, paise)
        self.merchant_id = merchant.merchant_id
        self.secret = merchant.secret
        self._open = ExitStack()
        self._connections: dict[str, psycopg.Connection[DictRow]] = {}
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def beside(self, paise: int = OPENING) -> Desk:
        """Return another merchant's desk in the same database."""
        return self._open.enter_context(Desk(self.database, paise))

    def connection(self, role: str) -> psycopg.Connection[DictRow]:
        """Return this desk's connection as `role`; "payrail_owner" and "admin" work too."""
        if role not in self._connections:
            self._connections[role] = self._open.enter_context(self.database.connect(role))
        return self._connections[role]

    def sql(self, role: str, query: str, parameters: Any = None) -> list[DictRow]:
        """Run a statement as `role`; %(merchant_id)s is this merchant unless parameters say so."""
        if parameters is None:
            parameters = {"merchant_id": self.merchant_id}
        cursor = self.connection(role).execute(query.encode(), parameters)
        return cursor.fetchall() if cursor.description else []

    def call(
        self, role: str, door: str, select: str = "*", /, **arguments: object
    ) -> list[DictRow]:
        """Call a door as `role` with named arguments; the merchant is this one by default."""
        given = {"merchant_id": self.merchant_id, **arguments}
        named = ", ".join(f"p_{name} => %({name})s" for name in given)
        values = {k: Jsonb(v) if isinstance(v, Mapping) else v for k, v in given.items()}
        return self.sql(role, f"SELECT {select} FROM payrail.{door}({named})", values)

    # ------------------------------------------------------------------------------ merchants

    def create(self, key: str | None, amount: object = 1000, **fields: object) -> Answer:
        """Create a payout as the API does."""
        return ask(self.connection("payrail_api"), self.merchant_id, key, amount, **fields)

    def create_batch(self, *requests: Sequence[object]) -> list[Answer]:
        """Create payouts in one call; a request is (key, amount, currency, account, …)."""
        array, parameters = _composites("payout_request", requests)
        rows = self.sql(
            "payrail_api",
            "SELECT status, body::text AS body, replayed"
            f" FROM payrail.create_payouts(%s::uuid, {array}, p_owner => 'Asha')",
            [self.merchant_id, *parameters],
        )
        return [Answer(**row) for row in rows]

    def create_for_many(
        self,
        *asked: tuple[Desk, str, Sequence[object]],
        wait: bool = False,
        key_hash: bytes | None = None,
    ) -> list[Answer | None]:
        """Create payouts of many merchants in one call: (desk, owner, request) each."""
        nested = "ROW(%s::uuid, %s, %s, %s, ({}::payrail.payout_request[])[1])"
        rows, parameters = [], []
        for desk, owner, request in asked:
            array, given = _composites("payout_request", [request])
            rows.append(f"{nested.format(array)}::payrail.addressed_request")
            parameters += [desk.merchant_id, owner, owner, key_hash, *given]
        found = self.sql(
            "payrail_api",
            "SELECT status, body::text AS body, replayed"
            f" FROM payrail.create_payouts_for_many(ARRAY[{','.join(rows)}], %s)",
            [*parameters, wait],
        )
        return [Answer(**row) if row["status"] else None for row in found]

    def upload(
        self,
        *requests: Sequence[object],
        key: str = "batch",
        role: str = "payrail_api",
        **more: Any,
    ) -> Answer:
        """Leave a batch to the worker; its requests are as in create_batch."""
        array, parameters = _composites("payout_request", requests)
        named = "".join(f", p_{name} => %s" for name in more)
        (row,) = self.sql(
            role,
            "SELECT status, body::text AS body, replayed FROM payrail.create_batch("
            f"p_merchant_id => %s, p_idempotency_key => %s, p_requests => {array}{named})",
            [self.merchant_id, key, *parameters, *more.values()],
        )
        return Answer(**row)

    def check(self, *requests: Sequence[object]) -> list[DictRow]:
        """Return which of these requests would make no new payout."""
        array, parameters = _composites("payout_request", requests)
        return self.sql(
            "payrail_api",
            f"SELECT * FROM payrail.check_payouts(%s, {array})",
            [self.merchant_id, *parameters],
        )

    def advance(self, batch_id: object, limit: int = 100) -> DictRow:
        """Make the payouts of a batch's next lines, as a worker does; return the batch."""
        (row,) = self.call("payrail_worker", "advance_batch", batch_id=batch_id, limit=limit)
        return row

    def lines(self, batch_id: object) -> list[DictRow]:
        """Return the lines of a batch."""
        return self.sql(
            "payrail_api",
            "SELECT * FROM payrail.batch_lines WHERE merchant_id = %s AND batch_id = %s"
            " ORDER BY line",
            [self.merchant_id, batch_id],
        )

    def cancel(self, payout_id: UUID, **arguments: object) -> DictRow:
        (row,) = self.call("payrail_api", "cancel_payout", payout_id=payout_id, **arguments)
        return row

    def approve(self, payout_id: UUID, approver: object = "asha", **more: object) -> DictRow:
        (row,) = self.call(
            "payrail_api", "approve_payout", payout_id=payout_id, approver=approver, **more
        )
        return row

    def reject(
        self,
        payout_id: UUID,
        approver: object = "asha",
        reason: object = "not ours",
        **more: object,
    ) -> DictRow:
        (row,) = self.call(
            "payrail_api",
            "reject_payout",
            payout_id=payout_id,
            approver=approver,
            reason=reason,
            **more,
        )
        return row

    # -------------------------------------------------------------------------------- workers

    def go_on(self, **arguments: object) -> int:
        """Do what is due and needs no bank; return how many payouts were due."""
        (row,) = self.call("payrail_worker", "advance_payouts", **arguments)
        return int(row["advance_payouts"])

    def claim(self, **arguments: object) -> list[DictRow]:
        return self.call("payrail_worker", "claim_payouts", **arguments)

    def settle_batch(self, *settlements: Sequence[object]) -> list[DictRow]:
        """Record as a worker that the bank has paid; a settlement is (payout_id, utr, answer)."""
        said = ((one, "paid", None, utr, None, raw, None) for one, utr, raw in settlements)
        return self.record(*said)

    def fail_batch(self, *refusals: Sequence[object]) -> list[DictRow]:
        """Record final refusals as a worker; one is (payout_id, failure_code, reason, answer)."""
        said = ((p, "refused", code, None, why, raw, None) for p, code, why, raw in refusals)
        return self.record(*said)

    def record(self, *answers: Sequence[object]) -> list[DictRow]:
        """Record as a worker; (payout_id, outcome, code, utr, reason, answer, attempt)."""
        array, parameters = _composites("bank_answer", answers)
        return self.sql(
            "payrail_worker",
            f"SELECT * FROM payrail.record_answers(%s::uuid, {array})",
            [self.merchant_id, *parameters],
        )

    def say(self, payout_id: UUID, outcome: str, reason: str | None = None) -> DictRow:
        """Record as a worker that the bank has said nothing final of its newest attempt."""
        attempt = self.see(payout_id)["attempts"]
        (row,) = self.record((payout_id, outcome, None, None, reason, None, attempt))
        return row

    def postpone(self, *payout_ids: UUID, reason: str | None = None) -> list[DictRow]:
        """Record as a worker that the bank did not answer; return the payouts."""
        for payout_id in payout_ids:
            self.say(payout_id, "unknown", reason)
        return [self.see(payout_id) for payout_id in payout_ids]

    def make_due(self, payout_id: UUID) -> None:
        """Let the time come at which a processing payout is to be asked about."""
        self.sql(
            "payrail_owner",
            "UPDATE payout.payouts SET next_action_at = clock_timestamp()"
            " WHERE merchant_id = %s AND payout_id = %s AND status = 'processing'",
            [self.merchant_id, payout_id],
        )

    def let_bank_be_final(self, payout_id: UUID) -> None:
        """Let the time pass in which the bank may still execute what was sent last."""
        self.sql(
            "payrail_owner",
            "UPDATE payout.payouts SET send_before = clock_timestamp() - INTERVAL '91 days'"
            " WHERE merchant_id = %s AND payout_id = %s",
            [self.merchant_id, payout_id],
        )

    # ------------------------------------------------------------------------------ operators

    def settle(self, payout_id: UUID, utr: object = "UTR1", **arguments: object) -> DictRow:
        return self._operate("settle_payout", payout_id=payout_id, utr=utr, **arguments)

    def fail(self, payout_id: UUID, code: object = "account_closed", **more: object) -> DictRow:
        return self._operate("fail_payout", payout_id=payout_id, failure_code=code, **more)

    def give_back(self, payout_id: UUID, code: object = "R01", **arguments: object) -> DictRow:
        return self._operate("return_payout", payout_id=payout_id, return_code=code, **arguments)

    def credit(self, amount: object, reference: object, currency: object = "INR") -> DictRow:
        return self._operate(
            "credit_merchant", amount=amount, reference=reference, currency=currency
        )

    def rule(self, **rules: object) -> DictRow:
        """Set all rules for INR; without any, there are none. It is about noon: no day begins."""
        hours = datetime.now(UTC).hour - 12
        zone = f"Etc/GMT{hours:+d}"  # their signs are the other way round
        return self._operate("set_rules", **{"time_zone": zone, **rules})

    def fee(self, *, rail: object = "sandbox", mode: object = "IMPS", **fee: object) -> DictRow:
        """Set a fee; of the sandbox bank it is every merchant's of the database."""
        given = {"rail": rail, "mode": mode, "currency": "INR", **fee}
        named = ", ".join(f"p_{name} => %({name})s" for name in given)
        (row,) = self.sql("payrail_operator", f"SELECT * FROM payrail.set_fee({named})", given)
        return row

    def _operate(self, door: str, **arguments: object) -> DictRow:
        (row,) = self.call("payrail_operator", door, **arguments)
        return row

    # -------------------------------------------------------------------------------- looking

    def payout(self, status: str = "pending", amount: int = 1000) -> UUID:
        """Return a new payout, brought to `status` through the doors."""
        if status in OWN_STATUSES:
            return self._waiting(status, amount)
        payout_id = self.create(f"payout-{next(self._numbers)}", amount).payout_id
        if status in {"processing", "settled", "failed", "returned"}:
            assert payout_id in {row["payout_id"] for row in self.claim(limit=1000)}
        if status in {"settled", "returned"}:
            self.settle(payout_id, f"UTR-{payout_id.hex[-20:]}")
        if status == "failed":
            self.fail_batch((payout_id, "account_closed", None, None))
        if status == "cancelled":
            self.cancel(payout_id)
        if status == "returned":
            self.give_back(payout_id)
        return payout_id

    def _waiting(self, status: str, amount: int) -> UUID:
        key = f"payout-{next(self._numbers)}"
        if status == "scheduled":
            return self.create(key, amount, scheduled_at=in_an_hour()).payout_id
        if status in {"queued", "expired"}:
            if not any(row["status"] == "queued" for row in self.table("payouts")):
                self.create(f"{key}-first", 10**15, queue_if_low_balance=True)
            payout_id = self.create(key, amount, queue_if_low_balance=True).payout_id
        else:
            self.rule(approve_from=1)
            payout_id = self.create(key, amount).payout_id
            self.rule()
        if status == "rejected":
            self.reject(payout_id)
        if status == "expired":
            self.sql(  # as payrail.advance_payouts does, in a month
                "payrail_owner",
                "UPDATE payout.payouts SET status = 'expired', next_action_at = NULL"
                " WHERE merchant_id = %s AND payout_id = %s",
                [self.merchant_id, payout_id],
            )
        return payout_id

    def see(self, payout_id: UUID) -> DictRow:
        """Return a payout as the public view shows it."""
        (row,) = self.sql(
            "payrail_api",
            "SELECT * FROM payrail.payouts WHERE merchant_id = %s AND payout_id = %s",
            [self.merchant_id, payout_id],
        )
        return row

    def balance(self) -> tuple[int, int]:
        """Return what is available and what is held."""
        (row,) = self.sql(
            "payrail_api",
            "SELECT available, held FROM payrail.balances"
            " WHERE merchant_id = %(merchant_id)s AND currency = 'INR'",
        )
        return row["available"], row["held"]

    def table(self, view: str) -> list[DictRow]:
        """Return this merchant's rows of a public view."""
        role = "payrail_auditor"
        rows = self.sql(role, f"SELECT * FROM payrail.{view} WHERE merchant_id = %(merchant_id)s")
        return sorted(rows, key=lambda row: (str(row.get("payout_id")), row.get("seq", 0)))

    def rows(self) -> list[tuple[str, str]]:
        """Return everything that is stored of this merchant."""
        found = self.sql("admin", f"SELECT * FROM ({_ROWS}) AS r (place, content)")
        return sorted((row["place"], row["content"]) for row in found)

    def violations(self) -> dict[str, Any]:
        """Return the invariants that are broken, with a sample of what breaks them.

        Not work that is overdue: a module's tests share a database, no worker is there, and
        what one of them leaves undone would be late for all that come five minutes after it.
        """
        found = violations(self.connection("payrail_auditor"))
        found.pop("overdue_work", None)
        return found

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Expect that nothing of this merchant changes."""
        before = self.rows()
        yield
        assert self.rows() == before

    @contextmanager
    def refused(self, *states: str) -> Iterator[pytest.ExceptionInfo[psycopg.Error]]:
        """Expect an error with (one of) these SQLSTATEs, and that nothing changes."""
        with self.unchanged(), pytest.raises(psycopg.Error) as caught:
            yield caught
        assert caught.value.diag.sqlstate in states, caught.value


def in_an_hour() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def ask(
    connection: psycopg.Connection[DictRow],
    merchant_id: UUID,
    key: str | None,
    amount: object,
    **fields: object,
) -> Answer:
    """Create a payout on this connection."""
    given = {"bank_account_id": ACCOUNT, **fields}
    named = ", ".join(f"p_{name} => %({name})s" for name in given)
    values = {k: Jsonb(v) if isinstance(v, Mapping) else v for k, v in given.items()}
    query = (
        "SELECT status, body::text AS body, replayed FROM payrail.create_payout("
        "p_merchant_id => %(merchant_id)s, p_idempotency_key => %(key)s, p_amount => %(amount)s,"
        f" {named})"
    )
    row = connection.execute(
        query.encode(), {"merchant_id": merchant_id, "key": key, "amount": amount, **values}
    ).fetchone()
    assert row is not None
    return Answer(**row)


def violations(connection: psycopg.Connection[DictRow]) -> dict[str, Any]:
    """Return the invariants of the audit that are broken, with a sample of what breaks them."""
    rows = connection.execute("SELECT * FROM payrail.audit_report()").fetchall()
    assert rows
    return {row["invariant"]: row["sample"] for row in rows if row["violations"]}


def detail(error: psycopg.Error) -> dict[str, Any]:
    """Return the JSON that every error of a door carries as its DETAIL."""
    loaded: dict[str, Any] = json.loads(error.diag.message_detail or "{}")
    return loaded


def _composites(kind: str, items: Sequence[Sequence[object]]) -> tuple[str, list[object]]:
    if kind == "payout_request":  # NULL for the fields that are left out
        items = [[*item, *[None] * (11 - len(item))] for item in items]
    rows = ", ".join(f"ROW({', '.join(['%s'] * len(item))})::payrail.{kind}" for item in items)
    values = [Jsonb(v) if isinstance(v, Mapping) else v for item in items for v in item]
    return f"ARRAY[{rows}]::payrail.{kind}[]", values
