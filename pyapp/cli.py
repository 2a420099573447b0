"""The command line, `payrail`.

Operators work here as payrail_operator, through the same doors as everybody else. Tables show
money as INR 10,000.00; arguments and --json are minor units (paise), always whole numbers. Every
command may be repeated; `payout create` with the same --idempotency-key.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import hashlib
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias
from uuid import UUID

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import PoolTimeout

from pyapp import (
    database,
    demo,
    doors,
    embedded,
    exports,
    keys,
    migrate,
    passwords,
    reports,
    reset,
    settings,
)
from pyapp.errors import CATALOG, Problem, problem_of
from pyapp.rails.files import InvalidProfileError
from pyapp.settings import ROLES, Settings
from pyapp.tables import Record, details, table

if TYPE_CHECKING:
    from pyapp.uploads import Upload

Arguments: TypeAlias = argparse.Namespace

_STATUSES: Final = (
    *("awaiting_approval", "scheduled", "queued", "pending", "processing"),
    *("settled", "failed", "cancelled", "rejected", "expired", "returned"),
)
_RULES: Final = (
    *("currency", "approve_from", "second_approval_from", "payout_limit", "daily_limit"),
    *("account_daily_limit", "hourly_payouts", "over_limit", "time_zone", "used_today"),
    "payouts_this_hour",
)
_KINDS: Final = ("account_number", "vpa", "iban")
_PAYOUT: Final = (
    *("id", "status", "amount", "fee", "bank_account_id"),
    *("reference", "utr", "created_at"),
)
_KEY: Final = (
    *("api_key_id", "prefix", "name", "owner", "scopes"),
    *("expires_at", "revoked_at", "last_used_at"),
)
_LINE: Final = ("created_at", "kind", "reference", "utr", "change", "available", "held")
_OPERATOR: Final = ("name", "created_at", "disabled_at")
_ACCOUNT: Final = (
    *("id", "holder_name", "account_number", "ifsc", "vpa", "iban"),
    *("rail", "archived_at"),
)
_RAIL: Final = ("rail", "breaker", "failures", "trial_at", "succeeded_at", "failed_at", "error")
_FILE: Final = (
    *("file_id", "direction", "rail", "kind", "name", "items", "amount"),
    *("noted_at", "sent_at", "error"),
)
_MODE: Final = (
    *("rail", "mode", "currency", "accounts", "amount_min", "amount_max"),
    *("rank", "hours", "days", "time_zone", "calendar"),
)
_FEE: Final = ("rail", "mode", "currency", "amount_from", "fixed", "basis_points")
_CASE: Final = ("case_id", "kind", "amount", "rail_ref", "merchant_name", "status", "opened_at")
_DIFFERENCE: Final = (
    *("line", "result", "kind", "rail_ref", "status"),
    *("amount", "bank_amount", "utr", "bank_utr"),
)
_BATCH: Final = (
    *("id", "status", "mode", "name", "lines", "accepted", "rejected"),
    *("created_at", "completed_at"),
)
_BATCH_LINE: Final = ("line", "amount", "bank_account_id", "reference", "code", "detail")
_LINE_ERROR: Final = ("line", "field", "code", "detail")
_FAULTS: Final = {
    "broken": "the first entry that does not continue the one before it",
    "rewritten": "the first anchor whose entry has another hash now",
    "missing": "the first anchor whose entry is gone",
    "withheld": "the first anchor whose chain is in no later file",
}
_SHOWN: Final = 20  # lines of a batch that are refused
_PATIENT: Final = "-c statement_timeout=2min"  # a report may have 100,000 lines
_MOST_HOURS: Final = 720  # as payrail.roll_api_key has it
_MOST_PROCESSES: Final = 64
_PER_SECOND: Final = f"in a second; default: {keys.PER_SECOND}"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")  # stands for a byte that is not UTF-8


_ENDPOINT: Final = ("id", "status", "event_types", "url", "description", "succeeded_at")
_DELIVERY: Final = ("number", "type", "status", "tries", "last", "queued_at", "next_attempt_at")


class CommandError(Exception):
    """A command that can't be done; the text is all that its user sees."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command has to say: `value` for --json, `text` for people."""

    value: object
    text: str
    code: int = 0


Command: TypeAlias = Callable[[database.Pool, Arguments], Awaitable[Answer]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 1 after an error or a broken invariant, 2 after a wrong call."""
    parser = _parser()
    args, rest = parser.parse_known_args(arguments)
    if rest and args.run is not _psql:
        parser.error(f"unknown argument {rest[0]!r}: see payrail --help")
    for name, value in vars(args).items():
        if isinstance(value, str) and _SURROGATE.search(value):
            parser.error(f"argument {name}: {value!r} is not UTF-8")
    args.rest = rest
    try:
        return int(args.run(settings.load(), args) or 0)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `payrail … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (
        CommandError,
        demo.DemoError,
        reset.NotADemoError,
        settings.InvalidSettingError,
        migrate.MigrationError,
        reports.ReportError,
        InvalidProfileError,
        embedded.EmbeddedError,
    ) as exc:
        return _fail(str(exc))
    except (psycopg.Error, PoolTimeout) as exc:
        return _fail(_explain(exc))


# --------------------------------------------------------------------------------------- processes


def _serve(config: Settings, args: Arguments) -> None:
    from pyapp.web import processes, server  # noqa: PLC0415  # other commands start faster

    _follow(until_eof=args.until_eof)
    with embedded.running(config):
        if args.workers == 1:
            server.run(config, args.fd)
        else:
            processes.run(config, args.workers, args.fd)


def _work(config: Settings, args: Arguments) -> None:
    from pyapp.jobs import app  # noqa: PLC0415  # other commands start faster without it

    _follow(until_eof=args.until_eof)
    with embedded.running(config):
        app.run(config)


def _sandbox_bank(config: Settings, args: Arguments) -> None:
    from pyapp.bank import server  # noqa: PLC0415  # other commands start faster without it

    _follow(until_eof=args.until_eof)
    server.run(config, args.fd)


def _follow(*, until_eof: bool) -> None:
    """Stop, as on SIGTERM, when stdin ends: whoever started this process is gone."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
        os._exit(1)

    if until_eof:
        threading.Thread(target=watch, daemon=True).start()


def _migrate(config: Settings, args: Arguments) -> None:
    default = "demo" if config.database_url is None else "live"
    with embedded.running(config):
        migrate.migrate(config, args.environment or default, say=_say)


def _demo(config: Settings, _: Arguments) -> None:
    demo.run(config)


def _reset(config: Settings, _: Arguments) -> None:
    with embedded.running(config):
        reset.reset(config, say=_say)


def _psql(config: Settings, args: Arguments) -> int:
    """Run psql as a role; the password goes by the environment, where `ps` can't see it."""
    with embedded.running(config):
        ours = embedded.of(config).program("psql")
        elsewhere = config.database_url is not None and config.pg_bin is None
        program = (elsewhere and shutil.which("psql")) or ours
        server = conninfo_to_dict(config.conninfo(args.role))
        password = server.pop("password", None)
        command = [program, "-d", make_conninfo("", **server), *args.rest]
        handler = signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is for psql
        try:
            return subprocess.run(  # noqa: S603
                command,
                env={**os.environ, **({"PGPASSWORD": str(password)} if password else {})},
                check=False,
            ).returncode
        finally:
            signal.signal(signal.SIGINT, handler)


# ---------------------------------------------------------------------------------------- commands


def _door(command: Command, role: str = "payrail_operator", options: str = "") -> object:
    """Return what runs a command on one connection and prints its answer."""

    async def ask(conninfo: str, args: Arguments) -> Answer:
        # the pool would try again and again, and forget what the server said
        await (await psycopg.AsyncConnection.connect(conninfo, connect_timeout=3)).close()
        async with database.open_pool(conninfo, name="payrail-cli", max_size=1) as db:
            return await command(db, args)

    def run(config: Settings, args: Arguments) -> int:
        logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())
        with embedded.running(config):
            answer = asyncio.run(ask(config.conninfo(role, options), args))
        if answer.value is None:  # it has been printed
            sys.stdout.flush()
        elif args.json:
            _say(msgspec.json.format(msgspec.json.encode(answer.value), indent=2).decode())
        else:
            _say(answer.text)
        return answer.code

    return run


def _stream(command: Callable[[database.Pool, Arguments], AsyncIterator[str | bytes]]) -> object:
    """Return what prints a command's answer as it comes."""

    async def write(db: database.Pool, args: Arguments) -> Answer:
        async for chunk in command(db, args):
            sys.stdout.write(chunk if isinstance(chunk, str) else chunk.decode())
        return Answer(None, "")

    return _door(write)


async def _merchant_create(db: database.Pool, args: Arguments) -> Answer:
    made = _record(await doors.create_merchant(db, args.name, args.id))
    return Answer(made, details(made, "merchant_id", "name", "created_at"))


async def _merchant_list(db: database.Pool, _: Arguments) -> Answer:
    balances: dict[UUID, list[Record]] = {}
    for balance in await doors.balances(db):
        balances.setdefault(balance.merchant_id, []).append(
            {name: getattr(balance, name) for name in ("currency", "available", "held")}
        )
    records = [
        {**_record(merchant), "balances": balances.get(merchant.merchant_id, [])}
        for merchant in await doors.merchants(db)
    ]
    lines = [{**record, **balance} for record in records for balance in record["balances"]]
    return Answer(records, table(lines, "merchant_id", "name", "available", "held", "created_at"))


async def _key_create(db: database.Pool, args: Arguments) -> Answer:
    merchant_id = await _merchant(db, args)
    secret = await _secret(db)
    key = await doors.create_api_key(
        db,
        merchant_id,
        key_hash=secret.hash,
        prefix=secret.prefix,
        name=args.name,
        scopes=args.scope or keys.DEFAULT,
        expires_at=args.expires,
        owner=args.owner,
        reads_per_second=args.reads,
        writes_per_second=args.writes,
    )
    return _key_with(secret, key)


async def _key_roll(db: database.Pool, args: Arguments) -> Answer:
    merchant_id, key = await _named_key(db, args)
    secret = await _secret(db)
    rolled = await doors.roll_api_key(db, merchant_id, key.api_key_id, secret, overlap=args.overlap)
    return _key_with(secret, rolled)


async def _secret(db: database.Pool) -> keys.Secret:
    found = await doors.instance(db)
    return keys.new_secret(found.environment if found else "demo")


def _key_with(secret: keys.Secret, key: doors.ApiKey) -> Answer:
    made = {**_record(key), "secret": secret.text}
    text = details(made, *_KEY, "secret")
    return Answer(made, f"{text}\n\nThe secret is shown this once: it is not kept anywhere.")


async def _key_list(db: database.Pool, args: Arguments) -> Answer:
    found = [_record(key) for key in await doors.api_keys(db, await _merchant(db, args))]
    return Answer(found, table(found, *_KEY))


async def _key_revoke(db: database.Pool, args: Arguments) -> Answer:
    merchant_id, named = await _named_key(db, args)
    key = _record(await doors.revoke_api_key(db, merchant_id, named.api_key_id))
    return Answer(key, details(key, *_KEY))


async def _key_limit(db: database.Pool, args: Arguments) -> Answer:
    merchant_id, named = await _named_key(db, args)
    key = _record(
        await doors.limit_api_key(
            *(db, merchant_id, named.api_key_id),
            reads=named.reads_per_second if args.reads is None else args.reads,
            writes=named.writes_per_second if args.writes is None else args.writes,
        )
    )
    return Answer(key, details(key, *_KEY, "reads_per_second", "writes_per_second"))


async def _named_key(db: database.Pool, args: Arguments) -> tuple[UUID, doors.ApiKey]:
    merchant_id = await _merchant(db, args)
    named = [
        key
        for key in await doors.api_keys(db, merchant_id)
        if args.key in {str(key.api_key_id), key.prefix}
    ]
    if len(named) > 1:
        message = f"several keys begin with {args.key!r}: give the api_key_id of one"
        raise CommandError(message)
    if not named:
        _refuse("api_key_not_found", f"no API key {args.key!r} of this merchant")
    return merchant_id, named[0]


async def _account_add(db: database.Pool, args: Arguments) -> Answer:
    from pyapp import iban  # noqa: PLC0415  # other commands start faster without it

    fault = iban.fault(args.iban) if args.iban else None
    if fault:
        _refuse("bank_account_invalid", fault)
    made = await doors.add_bank_account(
        db,
        await _merchant(db, args),
        args.account,
        holder_name=args.holder,
        account_number=args.number,
        ifsc=args.ifsc,
        vpa=args.vpa,
        iban=args.iban,
        rail=args.rail,
    )
    return _account(made)


async def _account_archive(db: database.Pool, args: Arguments) -> Answer:
    return _account(await doors.archive_bank_account(db, await _merchant(db, args), args.account))


def _account(body: str) -> Answer:
    found = _decoded(body)
    return Answer(found, details(found, *_ACCOUNT, "created_at"))


async def _account_list(db: database.Pool, args: Arguments) -> Answer:
    merchant_id = await _merchant(db, args)
    found: list[Record] = []
    after: str | None = None
    while page := await doors.bank_accounts(db, merchant_id, limit=1000, after=after):
        found += [_decoded(item.body) for item in page]
        after = page[-1].key
    lines = [{**one, "account": one[one["kind"]]} for one in found]
    return Answer(found, table(lines, "id", "holder_name", "account", "ifsc", *_ACCOUNT[-2:]))


async def _credit(db: database.Pool, args: Arguments) -> Answer:
    entry = await doors.credit_merchant(
        db,
        await _merchant(db, args),
        amount=args.amount,
        currency=args.currency,
        reference=args.reference,
        actor=_actor(),
    )
    made = _record(entry)
    return Answer(made, details(made, "amount", "reference", "available", "held", "created_at"))


async def _balance(db: database.Pool, args: Arguments) -> Answer:
    found = await doors.balances_at(db, await _merchant(db, args), args.at)
    balances = [_record(balance) for balance in found]
    return Answer(balances, table(balances, "currency", "available", "held"))


async def _statement(db: database.Pool, args: Arguments) -> AsyncIterator[str | bytes]:
    merchant_id = await _merchant(db, args)
    found = await doors.statement(db, merchant_id, args.currency, args.since, args.until)
    lines = exports.lines(db, merchant_id, found)
    if args.csv:
        async for text in exports.statement_csv(found, lines):
            yield text
    elif args.json:
        async for body in exports.statement_json(found, lines):
            yield body
        yield "\n"
    else:
        yield _positions(found, "opening")
        async for page in lines:
            records = [{**_record(line), "currency": found.currency} for line in page]
            yield f"{table(records, *_LINE)}\n\n"
        yield _positions(found, "closing")


def _positions(statement: doors.Statement, which: str) -> str:
    record = {
        **_record(statement),
        "created_at": exports.utc(getattr(statement, f"{which}_at")),
        "available": getattr(statement, f"{which}_available"),
        "held": getattr(statement, f"{which}_held"),
    }
    return f"{which}\n{details(record, 'created_at', 'available', 'held')}\n\n"


async def _payout_export(db: database.Pool, args: Arguments) -> AsyncIterator[str | bytes]:
    merchant_id = await _merchant(db, args)
    async for text in exports.payouts_csv(db, merchant_id, {"status": args.status}):
        yield text


async def _payout_create(db: database.Pool, args: Arguments) -> Answer:
    merchant_id = await _merchant(db, args)
    key = args.idempotency_key or str(uuid.uuid4())
    request = doors.PayoutRequest(
        *(key, args.amount, args.currency, args.account, args.reference),
        scheduled_at=args.at,
        queue_if_low_balance=args.queue,
        narration=args.narration,
        retry_of=args.retry_of,
        mode=args.mode,
    )
    try:
        reply = await doors.create_payout(db, merchant_id, request, owner=_actor(), actor=_actor())
    except (psycopg.OperationalError, PoolTimeout) as exc:
        message = f"the answer was lost: repeat it with --idempotency-key {key} (unavailable)"
        raise CommandError(message) from exc
    body = _decoded(reply.body)
    if reply.status >= 400:  # noqa: PLR2004
        _refuse(body["code"], body["detail"])
    made = {**body, "idempotency_key": key}
    return Answer(made, details(made, *_PAYOUT, "idempotency_key"))


async def _payout_list(db: database.Pool, args: Arguments) -> Answer:
    filters = {"status": args.status, "reference": args.reference, "utr": args.utr}
    page = await doors.payouts(db, await _merchant(db, args), limit=args.limit, filters=filters)
    found = [_decoded(item.body) for item in page]
    return Answer(found, table(found, *_PAYOUT))


async def _payout_show(db: database.Pool, args: Arguments) -> Answer:
    return await _payout(db, await _merchant(db, args), args.payout)


async def _payout_cancel(db: database.Pool, args: Arguments) -> Answer:
    merchant_id = await _merchant(db, args)
    await doors.cancel_payout(db, merchant_id, args.payout, reason=args.reason, actor=_actor())
    return await _payout(db, merchant_id, args.payout)


async def _payout_approve(db: database.Pool, args: Arguments) -> Answer:
    merchant_id = await _merchant(db, args)
    given = (db, merchant_id, args.payout, _actor())
    await doors.approve_payout(*given, reason=args.reason, actor=_actor())
    return await _payout(db, merchant_id, args.payout)


async def _payout_reject(db: database.Pool, args: Arguments) -> Answer:
    merchant_id = await _merchant(db, args)
    given = (db, merchant_id, args.payout, _actor())
    await doors.reject_payout(*given, args.reason, actor=_actor())
    return await _payout(db, merchant_id, args.payout)


async def _rules_show(db: database.Pool, args: Arguments) -> Answer:
    found = [_decoded(item.body) for item in await doors.rules(db, await _merchant(db, args))]
    return Answer(found, table(found, *_RULES))


async def _rules_set(db: database.Pool, args: Arguments) -> Answer:
    rules = doors.NewRules(
        approve_from=args.approve_from,
        second_approval_from=args.second_approval_from,
        payout_limit=args.payout_limit,
        daily_limit=args.daily_limit,
        account_daily_limit=args.account_daily_limit,
        hourly_payouts=args.hourly_payouts,
        over_limit=args.over_limit,
        time_zone=args.time_zone,
        approval_expires_after=timedelta(seconds=args.approval_expires_after),
        queue_expires_after=timedelta(seconds=args.queue_expires_after),
    )
    merchant_id = await _merchant(db, args)
    made = _decoded(await doors.set_rules(db, merchant_id, args.currency, rules, actor=_actor()))
    return Answer(made, details(made, *_RULES))


async def _payout_settle(db: database.Pool, args: Arguments) -> Answer:
    merchant_id = await _merchant(db, args)
    await doors.settle_payout(db, merchant_id, args.payout, utr=args.utr, actor=_actor())
    return await _payout(db, merchant_id, args.payout)


async def _payout_fail(db: database.Pool, args: Arguments) -> Answer:
    merchant_id = await _merchant(db, args)
    await doors.fail_payout(
        db, merchant_id, args.payout, failure_code=args.code, reason=args.reason, actor=_actor()
    )
    return await _payout(db, merchant_id, args.payout)


async def _payout_return(db: database.Pool, args: Arguments) -> Answer:
    merchant_id = await _merchant(db, args)
    await doors.return_payout(
        db, merchant_id, args.payout, return_code=args.code, reason=args.reason, actor=_actor()
    )
    return await _payout(db, merchant_id, args.payout)


async def _payout(db: database.Pool, merchant_id: UUID, payout_id: UUID) -> Answer:
    body = await doors.payout(db, merchant_id, payout_id)
    if body is None:
        _refuse("payout_not_found", "no such payout of this merchant")
    found = _decoded(body)
    why = found["status_details"] or {}
    shown = {**found, "why": why.get("description"), "next_step": why.get("next_step")}
    history = [{**change, "changed_at": change["at"]} for change in found["history"]]
    text = details(shown, *_PAYOUT, "why", "next_step")
    changes = table(history, "changed_at", "from", "to", "actor", "reason")
    return Answer(found, f"{text}\n\n{changes}")


async def _batch_check(db: database.Pool, args: Arguments) -> Answer:
    from pyapp import uploads  # noqa: PLC0415  # other commands start faster without it

    upload = _upload(args.file)
    found = await uploads.check(db, await _merchant(db, args), upload)
    checked = _record(found)
    counts = details(checked, "lines", "accepted", "rejected", "replayed")
    shown = [_record(error) for error in found.errors[:_SHOWN]]
    more = len(found.errors) - len(shown)
    parts = [
        counts,
        *([table(shown, *_LINE_ERROR)] if shown else []),
        *([f"and {more} more: --json has them all"] if more > 0 else []),
    ]
    return Answer(checked, "\n\n".join(parts), code=1 if found.rejected else 0)


async def _batch_create(db: database.Pool, args: Arguments) -> Answer:
    merchant_id = await _merchant(db, args)
    upload = _upload(args.file)
    if upload.faults:
        fault = upload.faults[0]
        message = (
            f"{len(upload.faults)} things are wrong in the file, and nothing was kept; line"
            f" {fault.line}: {fault.detail} ({fault.code}): payrail batch check tells them all"
        )
        raise CommandError(message)
    key = args.idempotency_key or str(uuid.uuid4())
    try:
        reply = await doors.create_batch(
            db,
            merchant_id,
            key,
            upload.whole(),
            mode="all_or_nothing" if args.all_or_nothing else "best_effort",
            name=args.name,
            actor=_actor(),
        )
    except (psycopg.OperationalError, PoolTimeout) as exc:
        message = f"the answer was lost: repeat it with --idempotency-key {key} (unavailable)"
        raise CommandError(message) from exc
    body = _decoded(reply.body)
    if reply.status >= 400:  # noqa: PLR2004
        _refuse(body["code"], body["detail"])
    made = {**body, "idempotency_key": key}
    return Answer(made, details(made, *_BATCH, "idempotency_key"))


async def _batch_list(db: database.Pool, args: Arguments) -> Answer:
    page = await doors.batches(db, await _merchant(db, args), limit=args.limit)
    found = [_decoded(item.body) for item in page]
    return Answer(found, table(found, *_BATCH))


async def _batch_show(db: database.Pool, args: Arguments) -> Answer:
    merchant_id = await _merchant(db, args)
    found = _batch(await doors.batch(db, merchant_id, args.batch))
    page = await doors.batch_lines(db, merchant_id, args.batch, limit=_SHOWN, outcome="rejected")
    refused = [_decoded(item.body) for item in page]
    text = details(found, *_BATCH)
    lines = table(refused, *_BATCH_LINE)
    return Answer(found, f"{text}\n\n{lines}" if refused else text)


async def _batch_result(db: database.Pool, args: Arguments) -> AsyncIterator[str]:
    from pyapp import uploads  # noqa: PLC0415  # other commands start faster without it

    merchant_id = await _merchant(db, args)
    _batch(await doors.batch(db, merchant_id, args.batch))
    if not args.json:
        async for part in uploads.results(db, merchant_id, args.batch):
            yield part
        return
    lines: list[Record] = []
    after: int | None = None
    while page := await doors.batch_lines(db, merchant_id, args.batch, limit=1000, after=after):
        lines += [_decoded(item.body) for item in page]
        after = page[-1].key
    yield msgspec.json.format(msgspec.json.encode(lines), indent=2).decode() + "\n"


async def _batch_cancel(db: database.Pool, args: Arguments) -> Answer:
    merchant_id = await _merchant(db, args)
    found = _batch(await doors.cancel_batch(db, merchant_id, args.batch, actor=_actor()))
    return Answer(found, details(found, *_BATCH))


def _batch(body: str | None) -> dict[str, Any]:
    if body is None:
        _refuse("batch_not_found", "no such batch of this merchant")
    return _decoded(body)


def _upload(name: str) -> Upload:
    """Read a list of payouts from a file, JSON or CSV by how it begins."""
    from pyapp import uploads  # noqa: PLC0415  # other commands start faster without it

    content = _content(name, "list", uploads.MOST_BYTES)
    if len(content) > uploads.MOST_BYTES:
        message = f"the list is larger than {uploads.MOST_BYTES >> 20} MiB: split it"
        raise CommandError(message)
    try:
        return uploads.read(content, is_csv=not content.lstrip().startswith(b"{"))
    except Problem as problem:
        told = problem.errors[0].detail if problem.errors else problem.detail
        message = f"the list can not be read: {told}"
        raise CommandError(message) from None


async def _event_list(db: database.Pool, args: Arguments) -> Answer:
    merchant_id = await _merchant(db, args)
    page = await doors.events(db, merchant_id, limit=args.limit, after=args.after)
    found = [_decoded(item.body) for item in page]
    shown = [{**event, "happened_at": event["timestamp"]} for event in found]
    return Answer(found, table(shown, "number", "type", "sequence", "happened_at"))


async def _webhook_list(db: database.Pool, args: Arguments) -> Answer:
    page = await doors.webhook_endpoints(db, await _merchant(db, args), limit=1000)
    found = [_decoded(item.body) for item in page]
    return Answer(found, table(found, *_ENDPOINT))


async def _webhook_create(db: database.Pool, args: Arguments) -> Answer:
    secret = keys.new_webhook_secret()
    body = await doors.create_webhook_endpoint(
        db,
        await _merchant(db, args),
        url=args.url,
        secret=secret,
        event_types=args.event or ["*"],
        description=args.description,
    )
    return _endpoint(body, secret)


async def _webhook_update(db: database.Pool, args: Arguments) -> Answer:
    body = await doors.update_webhook_endpoint(
        db,
        await _merchant(db, args),
        args.endpoint,
        url=args.url,
        event_types=args.event,
        description=args.description,
        enabled={"enable": True, "disable": False}.get(args.turn),
    )
    return _endpoint(body)


async def _webhook_roll(db: database.Pool, args: Arguments) -> Answer:
    secret, overlap = keys.new_webhook_secret(), timedelta(seconds=args.overlap)
    merchant_id = await _merchant(db, args)
    body = await doors.roll_webhook_secret(
        db, merchant_id, args.endpoint, secret=secret, overlap=overlap
    )
    return _endpoint(body, secret)


async def _webhook_archive(db: database.Pool, args: Arguments) -> Answer:
    merchant_id = await _merchant(db, args)
    return _endpoint(await doors.archive_webhook_endpoint(db, merchant_id, args.endpoint))


async def _webhook_test(db: database.Pool, args: Arguments) -> Answer:
    merchant_id = await _merchant(db, args)
    event = _decoded(await doors.send_test_event(db, merchant_id, args.endpoint, actor=_actor()))
    return Answer(event, details(event, "id", "type", "number"))


async def _webhook_replay(db: database.Pool, args: Arguments) -> Answer:
    merchant_id = await _merchant(db, args)
    last = args.first if args.last is None else args.last
    events = await doors.replay_events(db, merchant_id, args.endpoint, args.first, last)
    return Answer({"events": events}, details({"events": events}, "events"))


async def _webhook_deliveries(db: database.Pool, args: Arguments) -> Answer:
    page = await doors.webhook_deliveries(
        db,
        await _merchant(db, args),
        args.endpoint,
        limit=args.limit,
        filters={"status": args.status},
    )
    found = [_decoded(item.body) for item in page]
    shown = [{**one, "tries": len(one["attempts"]), "last": _last(one)} for one in found]
    return Answer(found, table(shown, *_DELIVERY))


def _last(delivery: Record) -> str:
    """Say how the newest attempt went."""
    if not delivery["attempts"]:
        return ""
    attempt = delivery["attempts"][-1]
    return str(attempt["error"] or attempt["response_status"])


def _endpoint(body: str, secret: str | None = None) -> Answer:
    made = {**_decoded(body), **({"secret": secret} if secret else {})}
    text = details(made, *_ENDPOINT, "secret")
    return Answer(made, f"{text}\n\nThe secret is shown this once." if secret else text)


async def _operator_add(db: database.Pool, args: Arguments) -> Answer:
    digest = passwords.digest(_password())
    return _operator(await doors.add_operator(db, args.name, digest, actor=_actor()))


async def _operator_password(db: database.Pool, args: Arguments) -> Answer:
    digest = passwords.digest(_password())
    return _operator(await doors.set_operator_password(db, args.name, digest, actor=_actor()))


async def _operator_disable(db: database.Pool, args: Arguments) -> Answer:
    return _operator(await doors.disable_operator(db, args.name, actor=_actor()))


async def _operator_list(db: database.Pool, _: Arguments) -> Answer:
    found = [_record(operator) for operator in await doors.operators(db)]
    return Answer(found, table(found, *_OPERATOR))


def _operator(operator: doors.Operator) -> Answer:
    found = _record(operator)
    return Answer(found, details(found, *_OPERATOR))


def _password() -> str:
    """Ask for a password twice, or read one from stdin when nobody is there to be asked."""
    asked = sys.stdin.isatty()
    try:
        password = getpass.getpass() if asked else sys.stdin.readline().rstrip("\r\n")
        password.encode()
        again = getpass.getpass("The same again: ") if asked else password
    except (EOFError, UnicodeError):
        message = "the password could not be read: type it, or pipe it in as UTF-8"
        raise CommandError(message) from None
    if again != password:
        message = "the two passwords differ"
        raise CommandError(message)
    if len(password) < passwords.LEAST:
        message = f"the password is too short: use {passwords.LEAST} characters or more"
        raise CommandError(message)
    return password


async def _audit(db: database.Pool, _: Arguments) -> Answer:
    findings = [_record(finding) for finding in await doors.run_audit(db, actor=_actor())]
    broken = [finding for finding in findings if finding["violations"]]
    samples = "".join(
        f"\n{finding['invariant']}: {msgspec.json.encode(row).decode()}"
        for finding in broken
        for row in finding["sample"]
    )
    text = table(findings, "violations", "invariant", "promise")
    verdict = f"{len(findings)} invariants, {len(broken) or 'none'} broken"
    return Answer(findings, f"{text}\n\n{verdict}{samples}", code=1 if broken else 0)


def _end(number: int, _: object) -> NoReturn:
    """End by a signal; a second one is not to break off the clearing up."""
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def _drill_restore(config: Settings, args: Arguments) -> int:
    import random  # noqa: PLC0415  # other commands start faster without it

    from pyapp import drill  # noqa: PLC0415

    for number in (signal.SIGTERM, signal.SIGHUP):  # so that what it made is removed all the same
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)
    url = conninfo_to_dict(config.database_url or "")
    try:
        found = drill.restore(
            embedded.of(config),
            args.backup,
            args.archive,
            args.database or str(url.get("dbname") or embedded.DATABASE),
            random.SystemRandom().randint if args.lsn is None else lambda *_: args.lsn,
        )
    except drill.DrillError as exc:
        raise CommandError(str(exc)) from None
    value = _record(found)
    if args.json:
        _say(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
        return 1 if found.broken or found.faults else 0
    rows = {
        "restored": f"{found.lsn}, of {found.first} to {found.last}",
        "entries": f"{found.entries:,} in {found.chains:,} chains",
        "restore": f"{found.restored_in:.1f} s",
        "audit": f"{found.audited_in:.1f} s",
        "verify": f"{found.verified_in:.1f} s",
    }
    verdict = "every invariant holds, and every entry continues the one before it"
    if found.broken or found.faults:
        verdict = f"{len(found.broken)} invariants are broken, {len(found.faults)} entries altered"
    tables = [table(value["broken"], "violations", "invariant", "promise")] if found.broken else []
    _say("\n\n".join([details(rows, *rows), *tables, verdict]))
    return 1 if found.broken or found.faults else 0


def _lsn(text: str) -> int:
    from pyapp import drill  # noqa: PLC0415

    try:
        return drill.number(text)
    except ValueError:
        message = f"{text!r} is no place in the WAL, such as 0/3000158"
        raise argparse.ArgumentTypeError(message) from None


def _anchor_new_key(_: Settings, args: Arguments) -> None:
    from pyapp import anchors  # noqa: PLC0415  # other commands start faster without it

    with _named():
        anchors.make_key(args.file)
    _say(f"{args.file} signs, {anchors.public(args.file)} verifies: keep them apart")


async def _anchor_take(db: database.Pool, args: Arguments) -> Answer:
    from pyapp import anchors  # noqa: PLC0415

    found = await doors.anchors(db)
    with _named():
        signed = anchors.signed(found, args.key)
        if args.file is None:
            sys.stdout.buffer.write(signed)
            return Answer(None, "")
        anchors.write(args.file, signed)
    value = {"file": str(args.file), "anchors": len(found)}
    return Answer(value, f"{args.file}: {len(found):,} anchors")


async def _verify(db: database.Pool, args: Arguments) -> Answer:
    from pyapp import anchors  # noqa: PLC0415

    if bool(args.file) != bool(args.public_key):
        message = "give files of anchors, and by --public-key whose signature is to be on them"
        raise CommandError(message)
    with _named():
        said = [anchors.verified(file, args.public_key) for file in args.file]
    found = await anchors.verify(doors.entries(db), said)
    faults = [_record(fault) for fault in found.first]
    files: list[Record] = [
        {"file": str(file), "taken_at": exports.utc(each.taken_at), "anchors": len(each.anchors)}
        for file, each in zip(args.file, said, strict=True)
    ]
    newer = found.entries - found.anchored
    verdict = f"{found.anchored:,} entries are as anchored, {newer:,} newer ones continue them"
    if not files:
        verdict = f"{found.entries:,} entries in {found.chains:,} chains continue one another"
        verdict += "; only anchors tell whether all of them were made anew"
    if found.faults:
        first = found.first[0]
        where = f"entry {first.seq} of merchant {first.merchant_id} in {first.currency}"
        verdict = f"{found.faults:,} faults; {_FAULTS[first.fault]}: {where}"
    text = [table(files, "file", "taken_at", "anchors")] if files else []
    text += [table(faults, "fault", "merchant_id", "currency", "seq")] if faults else []
    value = {
        **{name: getattr(found, name) for name in ("chains", "entries", "anchored")},
        "files": files,
        "fault_count": found.faults,
        "faults": faults,
    }
    return Answer(value, "\n\n".join([*text, verdict]), code=1 if faults else 0)


@contextmanager
def _named() -> Iterator[None]:
    """Say in one line which file it is that can not be used, and why."""
    from pyapp import anchors  # noqa: PLC0415

    try:
        yield
    except OSError as exc:
        message = f"{exc.filename or 'stdout'}: {exc.strerror}"
        raise CommandError(message) from None
    except anchors.InvalidAnchorsError as exc:
        raise CommandError(str(exc)) from None


async def _rail_list(db: database.Pool, _: Arguments) -> Answer:
    found = [_record(rail) for rail in await doors.rails(db)]
    return Answer(found, table(found, *_RAIL))


async def _rail_files(db: database.Pool, args: Arguments) -> Answer:
    found = [_record(file) for file in await doors.files(db, limit=args.limit)]
    return Answer(found, table(found, *_FILE))


async def _rail_modes(db: database.Pool, _: Arguments) -> Answer:
    return _modes(await doors.pay_modes(db))


async def _rail_set_mode(db: database.Pool, args: Arguments) -> Answer:
    mode = doors.PayMode(
        rail=args.rail,
        mode=args.mode,
        currency=args.currency,
        accounts=args.account,
        amount_min=args.min,
        amount_max=args.max,
        rank=args.rank,
        opens=args.opens,
        closes=args.closes,
        days=args.day,
        time_zone=args.zone,
        calendar=args.calendar,
    )
    return _modes([await doors.set_pay_mode(db, mode, actor=_actor())])


async def _rail_remove_mode(db: database.Pool, args: Arguments) -> Answer:
    await doors.remove_pay_mode(db, args.rail, args.mode, args.currency, actor=_actor())
    return _modes(await doors.pay_modes(db))


async def _rail_fees(db: database.Pool, _: Arguments) -> Answer:
    return _fees(await doors.fees(db))


async def _rail_set_fee(db: database.Pool, args: Arguments) -> Answer:
    fee = doors.Fee(
        *(args.rail, args.mode, args.currency, args.amount_from),
        fixed=args.fixed,
        basis_points=args.basis_points,
    )
    return _fees([await doors.set_fee(db, fee, actor=_actor())])


async def _rail_remove_fee(db: database.Pool, args: Arguments) -> Answer:
    where = (args.rail, args.mode, args.currency, args.amount_from)
    await doors.remove_fee(db, *where, actor=_actor())
    return _fees(await doors.fees(db))


def _fees(found: Sequence[doors.Fee]) -> Answer:
    records = [_record(fee) for fee in found]
    return Answer(records, table(records, *_FEE))


async def _rail_holiday(db: database.Pool, args: Arguments) -> Answer:
    await doors.set_holiday(db, args.calendar, args.day, args.name, actor=_actor())
    made = {"calendar": args.calendar, "day": args.day.isoformat(), "name": args.name}
    return Answer(made, details(made, "calendar", "day", "name"))


def _modes(found: Sequence[doors.PayMode]) -> Answer:
    records = [_record(mode) for mode in found]
    lines = [
        {
            **one,
            "accounts": ", ".join(one["accounts"]),
            "hours": f"{one['opens']}-{one['closes']}" if one["opens"] else "",
            "days": ", ".join(map(str, one["days"] or ())),
        }
        for one in records
    ]
    return Answer(records, table(lines, *_MODE))


async def _case_list(db: database.Pool, args: Arguments) -> Answer:
    found = [_record(case) for case in await doors.all_cases(db, closed=args.all)]
    more = ("closed_at", "closed_by") if args.all else ("proposed_by",)
    return Answer(found, table(found, *_CASE, *more))


async def _case_show(db: database.Pool, args: Arguments) -> Answer:
    case = await doors.case(db, args.case)
    if case is None:
        message = f"no case {args.case}: payrail case list --all shows them"
        raise CommandError(message)
    attempts: list[Record] = []
    evidence: list[Record] = []
    if case.merchant_id and case.payout_id:
        payout = (case.merchant_id, case.payout_id)
        attempts = [_record(attempt) for attempt in await doors.attempts(db, *payout)]
        evidence = [
            {**_record(said), "answer": msgspec.json.decode(said.answer or "null")}
            for said in await doors.evidence(db, *payout)
        ]
    found = {**_record(case), "attempts": attempts, "evidence": evidence}
    text = "\n\n".join(
        (
            details(
                found,
                *(*_CASE, "payout_id", "booking", "detail"),
                *("proposed_by", "proposed_action", "proposed_code", "proposed_note"),
                *("closed_at", "closed_by", "resolution"),
            ),
            table(attempts, "attempt", "action", "claimed_at", "send_before", "actor"),
            table(evidence, "recorded_at", "outcome", "effect", "code", "actor"),
        )
    )
    return Answer(found, text)


async def _reconcile(db: database.Pool, args: Arguments) -> Answer:
    content = _content(args.file, "report", reports.MOST_BYTES)
    report = reports.read(content, since=args.since, until=args.until)
    if args.rail not in {rail.rail for rail in await doors.rails(db)}:
        message = f"no rail {args.rail!r}: payrail rail list shows them"
        raise CommandError(message)
    try:
        imported = await doors.import_report(
            db,
            args.rail,
            source="stdin" if args.file == "-" else Path(args.file).name,
            content_hash=hashlib.sha256(content).digest(),
            since=report.since,
            until=report.until,
            lines=report.lines,
            actor=_actor(),
        )
    except psycopg.errors.LockNotAvailable:
        message = "another report is being imported: import this one when that is done"
        raise CommandError(message) from None
    lines = await doors.reconciliation(db, imported.report_id)
    differences = [_record(line) for line in lines if line.result != "matched"]
    summary = _summary(lines)
    period = (
        f"{imported.period_from:%Y-%m-%d %H:%M:%S} until {imported.period_until:%Y-%m-%d %H:%M:%S}"
    )
    verdict = (
        f"{imported.rail}, {period}: {imported.lines} lines, {len(differences) or 'no'} differences"
    )
    found = {"report": _record(imported), "differences": differences, "summary": summary}
    parts = [
        *([table(differences, *_DIFFERENCE)] if differences else []),
        *([table(summary, "result", "count", "amount")] if summary else []),
        verdict,
    ]
    return Answer(found, "\n\n".join(parts), code=1 if differences else 0)


def _summary(lines: Sequence[doors.Booking]) -> list[Record]:
    """Return count and sum per result and currency: the bank's amounts, ours where it has none."""
    counts: Counter[tuple[str, str]] = Counter()
    sums: Counter[tuple[str, str]] = Counter()
    for line in lines:
        group = (line.result, line.bank_currency or line.currency or "")
        counts[group] += 1
        sums[group] += line.bank_amount or line.amount or 0
    return [
        {"result": group[0], "count": counts[group], "currency": group[1], "amount": sums[group]}
        for group in sorted(counts, key=lambda group: (group[0] != "matched", group))
    ]


def _content(name: str, what: str, most: int) -> bytes:
    """Return what is in a file, or in stdin; a byte more than it may have is enough."""
    try:
        if name == "-":
            return sys.stdin.buffer.read(most + 1)
        with Path(name).open("rb") as file:
            return file.read(most + 1)
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        message = f"the {what} {name!r} can not be read: {reason}"
        raise CommandError(message) from None


# ------------------------------------------------------------------------------------------ pieces


async def _merchant(db: database.Pool, args: Arguments) -> UUID:
    """Return the id of the merchant that is named by its id or its exact name."""
    try:
        merchant_id = UUID(args.merchant)
    except ValueError:
        named = await doors.merchants(db, name=args.merchant)
    else:
        named = await doors.merchants(db, merchant_id=merchant_id)
    if not named:
        _refuse("merchant_not_found", f"no merchant {args.merchant!r}")
    if len(named) > 1:
        ids = ", ".join(str(merchant.merchant_id) for merchant in named)
        message = f"several merchants are called {args.merchant!r}: use one of the ids {ids}"
        raise CommandError(message)
    return named[0].merchant_id


def _record(row: object) -> dict[str, Any]:
    return dict(msgspec.to_builtins(row))


def _decoded(body: str | None) -> dict[str, Any]:
    return msgspec.json.decode(body or "{}", type=dict[str, Any])


def _actor() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in a container
        return str(os.getuid())


def _refuse(code: str, detail: str) -> NoReturn:
    message = f"{detail}: {CATALOG[code].advice} ({code})"
    raise CommandError(message)


def _explain(exc: psycopg.Error | PoolTimeout) -> str:
    """Return one line: what happened, what to do, and the code."""
    text = " ".join((exc.diag.message_primary or str(exc)).split())  # not the query it was in
    state = getattr(exc, "sqlstate", None) or ""
    if state in {"3F000", "42883", "42P01"} or ('role "payrail_' in text and "not exist" in text):
        return "the database is not migrated: run payrail migrate (unavailable)"
    if isinstance(exc, PoolTimeout | psycopg.OperationalError):
        return f"the database does not answer: {text}: is it running? (unavailable)"
    problem = problem_of(exc)
    if problem.row.code == "internal":
        return f"{text} (internal)"
    return f"{problem.detail}: {exc.diag.message_hint or problem.row.advice} ({problem.row.code})"


def _fail(text: str) -> int:
    sys.stderr.write(f"error: {text}\n")
    return 1


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


# --------------------------------------------------------------------------------------- arguments


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def _amount(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        message = f"{text!r} is not a whole number of minor units (paise: INR 60.00 is 6000)"
        raise argparse.ArgumentTypeError(message)
    if len(text) > 18:  # noqa: PLR2004  # it would not be a bigint
        message = f"{text} is too much: at most 10^15 minor units"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _processes(text: str) -> int:
    if not (re.fullmatch("[0-9]{1,2}", text) and 1 <= int(text) <= _MOST_PROCESSES):
        message = f"{text!r} is not a number of processes from 1 to {_MOST_PROCESSES}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _hours(text: str) -> timedelta:
    if not (text.isascii() and text.isdigit() and int(text[:9]) <= _MOST_HOURS):
        message = f"{text!r} is not a number of hours up to {_MOST_HOURS}"
        raise argparse.ArgumentTypeError(message)
    return timedelta(hours=int(text[:9]))


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        message = f"{text!r} is not a UUID"
        raise argparse.ArgumentTypeError(message) from None


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is not an ISO 8601 date or time, such as 2030-12-31"
        raise argparse.ArgumentTypeError(message) from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is not a day, such as 2030-12-31"
        raise argparse.ArgumentTypeError(message) from None


def _role(text: str) -> str:
    role = text if text == "admin" or text.startswith("payrail_") else f"payrail_{text}"
    if role not in {"admin", *ROLES}:
        message = f"no role {text!r}: use admin, {', '.join(ROLES)}"
        raise argparse.ArgumentTypeError(message)
    return role


def _parser() -> _Parser:
    parser = _Parser(prog="payrail", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(metavar="command", required=True)
    add = partial(_add, commands)

    for name, run, text in (
        ("serve", _serve, "serve the API"),
        ("work", _work, "send payouts to the bank and record its answers"),
        ("sandbox-bank", _sandbox_bank, "serve a pretend bank, at a port of its own"),
    ):
        process = add(name, run, text)
        process.add_argument("--until-eof", action="store_true", help="stop when stdin ends")
        if name != "work":
            process.add_argument("--fd", type=int, help="a listening socket that is inherited")
        if name == "serve":
            process.add_argument(
                "--workers",
                type=_processes,
                default=1,
                metavar="N",
                help=f"how many processes, up to {_MOST_PROCESSES}; default: 1",
            )
    add("migrate", _migrate, "bring the database up to date").add_argument(
        "--environment",
        choices=("demo", "live"),
        help="what a new database is for (default: live; demo on the embedded server)",
    )
    add("demo", _demo, "run everything with demo merchants, in this terminal")
    add("reset", _reset, "restore a demo's first state; refuses on anything else")
    add("psql", _psql, "open psql; further arguments are psql's").add_argument(
        "--role", type=_role, default="payrail_operator", help="default: payrail_operator"
    )
    audit = _door(_audit, "payrail_auditor")
    _json(add("audit", audit, "check every invariant of the money; exit 1 if one is broken"))
    verify = _add(
        commands,
        "verify",
        _door(_verify, "payrail_auditor"),
        "check the ledger's hashes, and whether they are those of its anchors; exit 1 if not",
    )
    _json(verify).add_argument("file", nargs="*", type=Path, help="of payrail anchor take")
    verify.add_argument("--public-key", type=Path, metavar="FILE", help="of who signed the anchors")
    _drill(_group(commands, "drill", "backups that prove themselves"))
    _anchors(_group(commands, "anchor", "the ledger's newest hashes, to be kept elsewhere"))
    reconcile = _add(
        commands,
        "reconcile",
        _door(_reconcile, options=_PATIENT),
        "compare a bank's report with our books; exit 1 if they differ",
    )
    _json(reconcile).add_argument("file", help="JSON or CSV; - is stdin")
    reconcile.add_argument("--rail", default="sandbox", help="the bank; default: sandbox")
    for flag, dest, text in (
        ("--from", "since", "begin of the period (inclusive); default: as the report says"),
        ("--until", "until", "its end (exclusive); ISO 8601, UTC unless it says otherwise"),
    ):
        reconcile.add_argument(flag, dest=dest, type=_instant, metavar="T", help=text)
    _rails(_group(commands, "rail", "banks, and how they are doing"))
    _cases(_group(commands, "case", "what people have to decide; it is done in the console"))
    _merchants(_group(commands, "merchant", "whom payouts are made for"))
    _keys(_group(commands, "key", "API keys"))
    _accounts(_group(commands, "bank-account", "where a merchant's money may go"))
    _operators(_group(commands, "operator", "who may use the console"))
    _batches(_group(commands, "batch", "many payouts from one file"))
    _payouts(_group(commands, "payout", "payouts, and what the bank says of them"))
    _rules(_group(commands, "rules", "what has to be approved, and how much may be paid"))
    _events(_group(commands, "event", "what happened"))
    _webhooks(_group(commands, "webhook", "where merchants are told of events"))

    balance = _of_merchant(add("balance", _door(_balance), "show balances, now or as of a time"))
    balance.add_argument("--at", type=_instant, metavar="T", help="ISO 8601; default: now")
    statement = _of_merchant(
        add("statement", _stream(_statement), "print the movements of some days, with balances")
    )
    for flag, dest, text in (
        ("--from", "since", "the first day, in UTC"),
        ("--until", "until", "the last day"),
    ):
        statement.add_argument(flag, dest=dest, type=_day, metavar="DAY", required=True, help=text)
    statement.add_argument("--currency", default="INR", help="default: INR")
    statement.add_argument("--csv", action="store_true", help="print CSV, in the currency's unit")
    credit = _of_merchant(add("credit", _door(_credit), "add money that arrived for a merchant"))
    _money(credit)
    credit.add_argument("--reference", required=True, help="one reference is one credit")
    return parser


def _merchants(commands: Any) -> None:  # noqa: ANN401  # argparse does not name the type
    create = _json(_add(commands, "create", _door(_merchant_create), "create a merchant"))
    create.add_argument("name")
    create.add_argument("--id", type=_uuid, help="with it, the command may be repeated")
    _json(_add(commands, "list", _door(_merchant_list), "list merchants and balances"))


def _keys(commands: Any) -> None:  # noqa: ANN401
    create = _of_merchant(_add(commands, "create", _door(_key_create), "make a key; shown once"))
    create.add_argument("--name")
    create.add_argument("--owner", help="who acts with it; whoever approves must have one")
    create.add_argument(
        *("--scope",),
        action="append",
        choices=keys.SCOPES,
        help=f"may be given again; default: {' and '.join(keys.DEFAULT)}",
    )
    create.add_argument("--expires", type=_instant, help="ISO 8601, UTC unless it says otherwise")
    for flag in ("--reads", "--writes"):
        create.add_argument(flag, type=int, default=keys.PER_SECOND, help=_PER_SECOND)
    _of_merchant(_add(commands, "list", _door(_key_list), "list keys, without their secrets"))
    roll = _add(commands, "roll", _door(_key_roll), "give a key a new secret; shown once")
    _of_merchant(roll).add_argument("key", help="its id or prefix")
    roll.add_argument(
        *("--overlap",),
        type=_hours,
        default=timedelta(days=1),
        metavar="HOURS",
        help=f"how long the old one is valid still; default: 24, at most {_MOST_HOURS}",
    )
    limit = _add(commands, "limit", _door(_key_limit), "set how often a key may be used")
    _of_merchant(limit).add_argument("key", help="its id or prefix")
    for flag in ("--reads", "--writes"):
        limit.add_argument(flag, type=int, help="in a second; default: as it is")
    revoke = _of_merchant(_add(commands, "revoke", _door(_key_revoke), "revoke a key at once"))
    revoke.add_argument("key", help="its id or prefix")


def _accounts(commands: Any) -> None:  # noqa: ANN401
    add = _of_merchant(_add(commands, "add", _door(_account_add), "add a bank account"))
    add.add_argument("account", help="the merchant's own id for it")
    add.add_argument("--holder", required=True, metavar="NAME")
    add.add_argument("--number", help="the account number; needs --ifsc")
    add.add_argument("--ifsc")
    add.add_argument("--vpa", metavar="ADDRESS", help="a UPI address instead")
    add.add_argument("--iban", help="an IBAN instead")
    add.add_argument("--rail", help="default: that of the newest account, or the only one")
    _of_merchant(_add(commands, "list", _door(_account_list), "list bank accounts"))
    archive = _add(commands, "archive", _door(_account_archive), "take it out of use")
    _of_merchant(archive).add_argument("account")


def _events(commands: Any) -> None:  # noqa: ANN401
    listed = _of_merchant(_add(commands, "list", _door(_event_list), "list events, oldest first"))
    listed.add_argument("--after", type=_amount, default=0, help="the number of an event")
    listed.add_argument("--limit", type=_amount, default=20, help="default: 20")


def _webhooks(commands: Any) -> None:  # noqa: ANN401
    _of_merchant(_add(commands, "list", _door(_webhook_list), "list webhook endpoints"))
    for name, command, text in (
        ("create", _webhook_create, "send events to an address; the secret is shown once"),
        ("update", _webhook_update, "change an endpoint, or turn it on or off"),
        ("roll", _webhook_roll, "give it a new secret; the old one signs as well for a while"),
        ("archive", _webhook_archive, "take it out of use for good"),
        ("test", _webhook_test, "send it a test event"),
        ("replay", _webhook_replay, "send events to it again"),
        ("deliveries", _webhook_deliveries, "list what was sent to it, newest first"),
    ):
        parser = _of_merchant(_add(commands, name, _door(command), text))
        if name != "create":
            parser.add_argument("endpoint", type=_uuid)
        if name in {"create", "update"}:
            parser.add_argument("url" if name == "create" else "--url")
            parser.add_argument("--event", action="append", metavar="TYPE", help="default: all")
            parser.add_argument("--description")
        if name == "update":
            parser.add_argument("--turn", choices=("enable", "disable"))
        if name == "roll":
            overlap = parser.add_argument("--overlap", type=_amount, default=86400, metavar="S")
            overlap.help = "seconds that the old secret signs as well; default: 86400"
        if name == "replay":
            parser.add_argument("first", type=_amount, help="the number of an event")
            parser.add_argument("last", type=_amount, nargs="?", help="the last one; default: one")
        if name == "deliveries":
            statuses = ("pending", "delivered", "failed")
            parser.add_argument("--status", action="append", choices=statuses)
            parser.add_argument("--limit", type=_amount, default=20, help="default: 20")


def _operators(commands: Any) -> None:  # noqa: ANN401
    for name, command, text in (
        ("add", _operator_add, "add an operator; asks for a password, or reads it from stdin"),
        ("password", _operator_password, "set another password, also of who was disabled"),
        ("disable", _operator_disable, "sign an operator out and keep them out"),
    ):
        _json(_add(commands, name, _door(command), text)).add_argument("name")
    _json(_add(commands, "list", _door(_operator_list), "list operators"))


def _drill(commands: Any) -> None:  # noqa: ANN401
    text = "restore a backup to a point at random, audit and verify it, and throw it away"
    restore = _json(_add(commands, "restore", _drill_restore, text))
    restore.add_argument("backup", type=Path, help="folder of pg_basebackup, in plain format")
    restore.add_argument("archive", type=Path, help="folder of the archived WAL")
    restore.add_argument("--lsn", type=_lsn, help="the point, such as 0/3000158")
    restore.add_argument("--database", metavar="NAME", help="default: DATABASE_URL's, or payrail")


def _anchors(commands: Any) -> None:  # noqa: ANN401
    text = "write a key that signs anchors, and FILE.pub, which verifies them"
    _add(commands, "new-key", _anchor_new_key, text).add_argument("file", type=Path)
    text = "sign the newest hash of each chain"
    take = _add(commands, "take", _door(_anchor_take, "payrail_auditor"), text)
    _json(take).add_argument("key", type=Path, help="of payrail anchor new-key")
    take.add_argument("file", nargs="?", type=Path, help="default: stdout")


def _rails(commands: Any) -> None:  # noqa: ANN401
    _json(_add(commands, "list", _door(_rail_list), "list banks and their circuit breakers"))
    text = "list files to and from banks, newest first"
    listed = _json(_add(commands, "files", _door(_rail_files), text))
    listed.add_argument("--limit", type=_amount, default=20, help="default: 20")
    _json(_add(commands, "modes", _door(_rail_modes), "list how banks move money"))
    text = "tell how a bank moves money; sums are minor units"
    mode = _json(_add(commands, "set-mode", _door(_rail_set_mode), text))
    for name in ("rail", "mode", "currency"):
        mode.add_argument(name)
    mode.add_argument("--account", action="append", required=True, choices=_KINDS)
    mode.add_argument("--rank", type=int, required=True, help="the lowest that is open is chosen")
    mode.add_argument("--min", type=_amount, default=1)
    mode.add_argument("--max", type=_amount, default=10**15)
    mode.add_argument("--opens", type=clock.fromisoformat, metavar="HH:MM", help="default: always")
    mode.add_argument("--closes", type=clock.fromisoformat, metavar="HH:MM")
    mode.add_argument("--day", type=int, action="append", help="1 is Monday; default: every day")
    mode.add_argument("--zone", default="UTC", help="whose clock; default: UTC")
    mode.add_argument("--calendar", help="on whose holidays it does not open")
    text = "take a mode from a bank"
    mode = _json(_add(commands, "remove-mode", _door(_rail_remove_mode), text))
    for name in ("rail", "mode", "currency"):
        mode.add_argument(name)
    _json(_add(commands, "fees", _door(_rail_fees), "list what payouts cost"))
    text = "set what payouts by a mode cost; sums are minor units"
    set_fee = _json(_add(commands, "set-fee", _door(_rail_set_fee), text))
    text = "take a fee away"
    remove_fee = _json(_add(commands, "remove-fee", _door(_rail_remove_fee), text))
    for fee in (set_fee, remove_fee):
        for name in ("rail", "mode", "currency"):
            fee.add_argument(name)
        text = "of which amounts on; default: 1"
        fee.add_argument("--from", dest="amount_from", type=_amount, default=1, help=text)
    set_fee.add_argument("--fixed", type=_amount, default=0)
    set_fee.add_argument(
        "--basis-points", type=_amount, default=0, help="of the amount: 1 is 0.01 per cent"
    )
    text = "add a holiday to a calendar, or take it out"
    holiday = _json(_add(commands, "holiday", _door(_rail_holiday), text))
    holiday.add_argument("calendar")
    holiday.add_argument("day", type=date.fromisoformat, help="such as 2026-01-26")
    holiday.add_argument("name", nargs="?", help="without it, the holiday is taken out")


def _cases(commands: Any) -> None:  # noqa: ANN401
    listed = _json(_add(commands, "list", _door(_case_list), "list open cases, oldest first"))
    listed.add_argument("--all", action="store_true", help="closed ones too")
    show = _json(_add(commands, "show", _door(_case_show), "show a case, attempts and evidence"))
    show.add_argument("case", type=_uuid)


def _payouts(commands: Any) -> None:  # noqa: ANN401
    create = _of_merchant(_add(commands, "create", _door(_payout_create), "create a payout"))
    _money(create)
    create.add_argument("account", help="id of the bank account")
    create.add_argument("--reference")
    create.add_argument("--at", type=_instant, metavar="T", help="when to pay; ISO 8601")
    create.add_argument("--queue", action="store_true", help="wait for money that is not there")
    create.add_argument("--narration", help="for the beneficiary: 30 letters, digits and spaces")
    create.add_argument("--retry-of", type=_uuid, metavar="PAYOUT", help="that it makes up for")
    create.add_argument("--mode", help="such as IMPS; default: the bank's first that is open")
    create.add_argument("--idempotency-key", metavar="KEY", help="default: a new one")
    listed = _of_merchant(_add(commands, "list", _door(_payout_list), "list payouts, newest first"))
    listed.add_argument("--status", action="append", choices=_STATUSES)
    listed.add_argument("--reference")
    listed.add_argument("--utr")
    listed.add_argument("--limit", type=_amount, default=20, help="default: 20")
    text = "print payouts as CSV, newest first"
    export = _add(commands, "export", _stream(_payout_export), text)
    export.add_argument("merchant", help="id or exact name")
    export.add_argument("--status", action="append", choices=_STATUSES)
    for name, command, text in (
        ("show", _payout_show, "show a payout with its history"),
        ("cancel", _payout_cancel, "cancel a payout that no worker has claimed yet"),
        ("approve", _payout_approve, "approve a payout that awaits it"),
        ("reject", _payout_reject, "reject a payout that awaits approval"),
        ("settle", _payout_settle, "record that the bank has paid"),
        ("fail", _payout_fail, "record the bank's final no and release the money"),
        ("return", _payout_return, "record that the bank sent the money back"),
    ):
        parser = _of_merchant(_add(commands, name, _door(command), text))
        parser.add_argument("payout", type=_uuid)
        if name == "settle":
            parser.add_argument("--utr", required=True, help="the bank's reference")
        if name in {"fail", "return"}:
            parser.add_argument("--code", required=True)
        if name in {"cancel", "fail", "return", "approve", "reject"}:
            parser.add_argument("--reason", required=name == "reject")


def _rules(commands: Any) -> None:  # noqa: ANN401
    _of_merchant(_add(commands, "show", _door(_rules_show), "show rules, and what of them is used"))
    text = "set all rules of a currency: what is not given is no rule"
    parser = _of_merchant(_add(commands, "set", _door(_rules_set), text))
    parser.add_argument("--currency", default="INR", help="default: INR")
    for name, text in (
        ("approve-from", "amounts that somebody else has to approve"),
        ("second-approval-from", "amounts that two others have to approve"),
        ("payout-limit", "of one payout"),
        ("daily-limit", "of a day"),
        ("account-daily-limit", "of a day to one bank account"),
        ("hourly-payouts", "how many in an hour"),
    ):
        parser.add_argument(f"--{name}", type=_amount, metavar="N", help=text)
    parser.add_argument("--over-limit", choices=("reject", "approve"), default="reject")
    parser.add_argument("--time-zone", default="UTC", help="where days begin; default: UTC")
    for name, days in (("approval", 7), ("queue", 30)):
        parser.add_argument(
            f"--{name}-expires-after",
            type=_amount,
            metavar="S",
            default=days * 86400,
            help=f"seconds; default: {days} days",
        )


def _batches(commands: Any) -> None:  # noqa: ANN401
    for name, command, text in (
        ("check", _batch_check, "tell what would become of each line; exit 1 if one is refused"),
        ("create", _batch_create, "ask for the payouts of a file, which the worker makes"),
    ):
        parser = _of_merchant(_add(commands, name, _door(command), text))
        parser.add_argument("file", help="CSV or JSON; - is stdin")
        if name == "create":
            parser.add_argument("--name", help="to know it by")
            parser.add_argument(
                "--all-or-nothing", action="store_true", help="make none if a line is refused"
            )
            parser.add_argument("--idempotency-key", metavar="KEY", help="default: a new one")
    listed = _of_merchant(_add(commands, "list", _door(_batch_list), "list batches, newest first"))
    listed.add_argument("--limit", type=_amount, default=20, help="default: 20")
    for name, run, text in (
        ("show", _door(_batch_show), "show how far it is, and the first lines that were refused"),
        ("result", _stream(_batch_result), "print what became of each line, as CSV"),
        ("cancel", _door(_batch_cancel), "cancel a batch that has not started"),
    ):
        _of_merchant(_add(commands, name, run, text)).add_argument("batch", type=_uuid)


def _add(commands: Any, name: str, run: object, text: str) -> argparse.ArgumentParser:  # noqa: ANN401
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text, allow_abbrev=False
    )
    parser.set_defaults(run=run)
    return parser


def _group(commands: Any, name: str, text: str) -> object:  # noqa: ANN401
    parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    return parser.add_subparsers(metavar="command", required=True)


def _json(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _of_merchant(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("merchant", help="id or exact name")
    return _json(parser)


def _money(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("amount", type=_amount, help="in minor units (paise)")
    parser.add_argument("--currency", default="INR", help="default: INR")
