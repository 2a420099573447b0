"""What a demo consists of, and the way back to it."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Final, LiteralString
from uuid import UUID

import psycopg
from psycopg import errors, sql

from pyapp import doors, keys, passwords
from pyapp.bank.books import Books
from pyapp.database import Pool, open_pool
from pyapp.migrate import migrate
from pyapp.settings import Settings

BANK_ACCOUNT: Final = "demo-bank-account"
_ACCOUNT_NUMBER: Final = "501000000000"  # ending 0000: paid, refused or slow, as the dice fall
_IFSC: Final = "HDFC0000001"
_CREDIT: Final = "demo-opening-balance"
_TRIES: Final = 5

_SCHEMAS: Final[tuple[LiteralString, ...]] = (
    "merchant",
    "ledger",
    "webhook",
    "payout",
    "rail",
    "audit",
    "payrail",
    "sandbox",
    "procrastinate",
    "migrations",
)

# What sql/roles.sql makes, which only an administrator runs; payrail_migrator needs it to be there.
_MAY_CREATE: Final = "SELECT has_database_privilege(current_database(), 'CREATE')"

# A connection of before holds statements prepared with types that are gone: it would fail for ever.
_HANG_UP: Final = r"""
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE datname = current_database() AND usename LIKE 'payrail\_%' AND pid <> pg_backend_pid()
"""


class NotADemoError(Exception):
    """The database was not created as a demo, so the demo's data has no place in it."""


@dataclass(frozen=True, slots=True)
class DemoMerchant:
    """A merchant whose API key everybody knows; `credit` is in paise."""

    merchant_id: UUID
    name: str
    secret: str
    credit: int


MERCHANTS: Final = (
    DemoMerchant(
        UUID("01990000-0000-7000-8000-000000000001"),
        "Acme Agency",
        "api-key-acme-agency",
        10_000_00,
    ),
    DemoMerchant(
        UUID("01990000-0000-7000-8000-000000000002"),
        "Freelancer Fiaz",
        "api-key-freelancer-fiaz",
        5_000_00,
    ),
    DemoMerchant(
        UUID("01990000-0000-7000-8000-000000000003"),
        "Tiny Studio",
        "api-key-tiny-studio",
        100_00,
    ),
)


def environment(settings: Settings) -> str | None:
    """Return what the database was created as: `demo` or `live`; None if it is not migrated."""
    with psycopg.connect(settings.conninfo("admin")) as connection:
        return _environment(connection)


def create(settings: Settings, *, say: Callable[[str], None] = print) -> None:
    """Migrate, and add what the demo lacks; NotADemoError, and no change, on a live database."""
    _refuse_live(settings)
    migrate(settings, "demo", say=say)
    _refuse_live(settings)  # another process may have made it first
    asyncio.run(_seed(settings))


def reset(settings: Settings, *, say: Callable[[str], None] = print) -> None:
    """Drop everything and create the demo anew; NotADemoError if this is anything but a demo."""
    if settings.conninfo("admin") == settings.conninfo("payrail_operator"):
        message = "DATABASE_URL names one of PayRail's roles: a reset needs the administrator"
        raise NotADemoError(message)
    with psycopg.connect(settings.conninfo("admin"), autocommit=True) as guard:
        guard.execute("SELECT pg_advisory_lock(hashtextextended('payrail:migrate', 0))")
        with guard.transaction():
            found = _environment(guard)
        if found != "demo":
            reason = "is live" if found else "was never set up"
            message = f"this installation {reason}: only a demo can be reset"
            raise NotADemoError(message)
        _drop(guard)
        try:
            guard.execute(_HANG_UP)
        except errors.InsufficientPrivilege:  # an administrator who is no superuser
            say("restart the API and the workers: you may not end their connections")
    if settings.sandbox_bank_file.exists():
        with closing(Books(settings.sandbox_bank_file, seed=0, callbacks=False)) as books:
            books.forget()
    create(settings, say=say)


def _refuse_live(settings: Settings) -> None:
    if environment(settings) == "live":
        message = (
            "this installation is live, and the demo's keys are known to everybody: "
            "set PAYRAIL_HOME or DATABASE_URL to another one"
        )
        raise NotADemoError(message)


def _environment(connection: psycopg.Connection) -> str | None:
    """Read the mark, in the transaction that is open."""
    found = connection.execute(
        "SELECT FROM pg_class"
        " WHERE relnamespace = to_regnamespace('merchant') AND relname = 'instance'"
    )
    if found.rowcount == 0:
        return None
    connection.execute("SET LOCAL ROLE payrail_owner")
    row = connection.execute("SELECT environment FROM merchant.instance").fetchone()
    return row[0] if row else None


def _drop(connection: psycopg.Connection) -> None:
    """Drop our schemas as their owner, who can drop no others."""
    for attempt in range(1, _TRIES + 1):
        try:
            with connection.transaction():
                connection.execute("SET LOCAL ROLE payrail_owner")
                connection.execute("SET LOCAL lock_timeout = '5s'")
                connection.execute("SET LOCAL client_min_messages = warning")
                names = sql.SQL(", ").join(map(sql.Identifier, _SCHEMAS))
                connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(names))
                if connection.execute(_MAY_CREATE).fetchone() == (True,):
                    connection.execute("CREATE SCHEMA procrastinate")
                    connection.execute("CREATE SCHEMA migrations")
        except (errors.DeadlockDetected, errors.LockNotAvailable):  # lost to traffic
            if attempt == _TRIES:
                raise
        else:
            return


async def _seed(settings: Settings) -> None:
    conninfo = settings.conninfo("payrail_operator")
    async with open_pool(conninfo, name="payrail-demo", max_size=1) as db:
        for merchant in MERCHANTS:
            await doors.create_merchant(db, merchant.name, merchant.merchant_id)
            await doors.add_bank_account(
                db,
                merchant.merchant_id,
                BANK_ACCOUNT,
                holder_name=merchant.name,
                account_number=_ACCOUNT_NUMBER,
                ifsc=_IFSC,
                rail="sandbox",
            )
            await _add_key(db, merchant)
            await doors.credit_merchant(
                db,
                merchant.merchant_id,
                amount=merchant.credit,
                currency="INR",
                reference=_CREDIT,
            )


async def let_in(settings: Settings, name: str) -> str:
    """Give the demo's operator a new password and return it; nothing but its hash is kept."""
    password = secrets.token_urlsafe(12)
    digest = passwords.digest(password)
    conninfo = settings.conninfo("payrail_operator")
    async with open_pool(conninfo, name="payrail-demo", max_size=1) as db:
        if name in {operator.name for operator in await doors.operators(db)}:
            await doors.set_operator_password(db, name, digest, actor="demo")
        else:
            await doors.add_operator(db, name, digest, actor="demo")
    return password


async def _add_key(db: Pool, merchant: DemoMerchant) -> None:
    try:
        await doors.create_api_key(
            db,
            merchant.merchant_id,
            key_hash=hashlib.sha256(merchant.secret.encode()).digest(),
            prefix=merchant.secret[:12],
            name="demo",
            owner="demo",
            scopes=keys.SCOPES,
        )
    except psycopg.DatabaseError as exc:
        if exc.sqlstate != "PR207":  # it is there already
            raise
