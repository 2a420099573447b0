"""The bank's books: one SQLite file, durable when a method returns.

An instruction is planned when it arrives: its steps are written with the times at which they will
have happened, and so are its callbacks. What the bank says is its last step that is not in the
future, so nothing has to run for time to pass, and kill -9 changes nothing. Times are whole
microseconds since 1970.
"""

from __future__ import annotations

import random
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from pyapp.bank.behaviour import Behaviour, Step, by_account
from pyapp.bank.wire import Answer, Entry, Event, Faults, Known, Order, Report, State, Totals

_SECOND: Final = 1_000_000
_LONGEST_WAIT: Final = 60.0  # seconds between two tries of a callback
_MIXED_UP: Final = 1.0  # seconds by which a callback is late when they are to be out of order
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS instructions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    rail_ref TEXT NOT NULL UNIQUE,
    amount INTEGER NOT NULL,
    currency TEXT NOT NULL,
    account_number TEXT NOT NULL,
    ifsc TEXT NOT NULL,
    holder_name TEXT NOT NULL,
    mode TEXT,
    narration TEXT,
    received_at INTEGER NOT NULL,
    submissions INTEGER NOT NULL DEFAULT 1,
    conflicts INTEGER NOT NULL DEFAULT 0,
    silent INTEGER NOT NULL,
    hidden INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS steps (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    rail_ref TEXT NOT NULL,
    at INTEGER NOT NULL,
    state TEXT NOT NULL,
    utr TEXT,
    code TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS steps_by_rail_ref ON steps (rail_ref, at);
CREATE INDEX IF NOT EXISTS booked_by_time ON steps (at) WHERE state IN ('paid', 'returned');
CREATE TABLE IF NOT EXISTS callbacks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    rail_ref TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    body BLOB NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS callbacks_by_time ON callbacks (due_at);
CREATE TABLE IF NOT EXISTS scripts (subject TEXT PRIMARY KEY, behaviour BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS turned_away (rail_ref TEXT PRIMARY KEY, times INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS faults (one INTEGER PRIMARY KEY CHECK (one = 1), body BLOB NOT NULL)
STRICT;
"""
_ONCE: Final = """
CREATE UNIQUE INDEX IF NOT EXISTS paid_once ON steps (rail_ref) WHERE state = 'paid';
CREATE UNIQUE INDEX IF NOT EXISTS returned_once ON steps (rail_ref) WHERE state = 'returned';
"""
_EVERY_TIME: Final = """
DROP INDEX IF EXISTS paid_once;
DROP INDEX IF EXISTS returned_once;
"""
_CONTENT: Final = (
    *("amount", "currency", "account_number", "ifsc", "holder_name", "mode", "narration"),
)
_AMONG: Final = "IN (SELECT value FROM json_each(?))"

_DECISIONS: Final[Mapping[str, tuple[State, tuple[State, ...]]]] = {  # and from which states
    "settle": ("paid", ("pending", "refused")),
    "refuse": ("refused", ("pending",)),
    "return": ("returned", ("paid",)),
}


class ConflictError(Exception):
    """What an administrator asks for does not fit the instruction's state; the text says why."""


@dataclass(frozen=True, slots=True)
class Said:
    """The answers to one call, and what spoils the call."""

    answers: list[Answer]
    spoilt: Behaviour | None = None
    conflicts: int = 0  # instructions under a known reference with another content


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback that is due."""

    number: int
    rail_ref: str
    event_id: str
    body: bytes
    tries: int


class _Step(NamedTuple):
    rail_ref: str
    at: int
    state: State
    utr: str | None
    code: str | None


class _ToTell(NamedTuple):
    rail_ref: str
    due_at: int
    event_id: str
    body: bytes


class Books:
    """The books in a file; every method is one transaction, for one thread."""

    def __init__(
        self, file: Path, *, seed: int, callbacks: bool, deduplicates: bool = True
    ) -> None:
        """Open the books. Without `callbacks` none is kept, and those left over are dropped.

        Unless the bank `deduplicates`, a known reference that is sent again is executed again.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA busy_timeout = 5000")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA cache_size = -65536")  # KiB: new references fall anywhere
        self._db.executescript(_SCHEMA + (_ONCE if deduplicates else _EVERY_TIME))
        columns = self._db.execute("SELECT name FROM pragma_table_info('instructions')").fetchall()
        for name in {"mode", "narration"} - {name for (name,) in columns}:  # books from before them
            self._db.execute(f"ALTER TABLE instructions ADD COLUMN {name} TEXT")
        self._deduplicates = deduplicates
        self._seed = seed
        self._callbacks = callbacks
        # time never goes back here, whatever is done to the clock: what has happened stays so
        (self._clock,) = self._db.execute(
            "SELECT coalesce(max(received_at), 0) FROM instructions"
        ).fetchone()
        self._dice = random.Random()  # noqa: S311  # pretended misfortune
        self.faults = Faults()
        for row in self._db.execute("SELECT body FROM faults"):
            self._believe(msgspec.json.decode(row["body"], type=Faults))
        if not callbacks:
            self._db.execute("DELETE FROM callbacks")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # ----------------------------------------------------------------------------- instructions

    def submit(self, orders: Sequence[Order]) -> Said:
        """Execute what is new (or all, if it's so set) and valid, and say what became of it.

        When a behaviour turns the call away (`error`, `limit`), nothing of it is executed.
        """
        refs = {order.rail_ref for order in orders}
        with self._transaction() as now:
            known = {
                row["rail_ref"]: row
                for row in self._db.execute(
                    f"SELECT * FROM instructions WHERE rail_ref {_AMONG}",
                    [_json(refs)],
                )
            }
            ways = self._ways(orders)
            turned = self._turn_away({ref: way for ref, way in ways.items() if ref not in known})
            if turned:
                return Said([], turned)
            contents = {ref: _stored(row) for ref, row in known.items()}
            numbers = {ref: int(row["number"]) for ref, row in known.items()}
            submissions = Counter({ref: row["submissions"] for ref, row in known.items()})
            again = list[tuple[bool, str]]()
            expired = list[Answer]()
            instructions = list[tuple[object, ...]]()
            steps, callbacks = list[_Step](), list[_ToTell]()
            number = self._last_number()
            for order in orders:
                ref, content, way = order.rail_ref, _content(order), ways[order.rail_ref]
                is_known = ref in contents
                if is_known:
                    again.append((content != contents[ref], ref))
                if is_known and self._deduplicates:
                    submissions[ref] += 1
                    continue
                if _micros(order.valid_until) < now:
                    expired.append(
                        Answer(rail_ref=ref, state="expired", reason="after valid_until")
                    )
                    continue
                if not is_known:
                    number += 1
                    contents[ref], numbers[ref] = content, number
                    instructions.append((number, ref, now, way.silent, way.hidden, *content))
                submissions[ref] += 1
                planned = self._steps(numbers[ref], ref, way, now, submissions[ref])
                steps += planned
                callbacks += self._to_tell(planned, way)
            self._write(instructions, steps, callbacks)
            self._db.executemany(
                "UPDATE instructions SET submissions = submissions + 1, conflicts = conflicts + ?"
                " WHERE rail_ref = ?",
                again,
            )
            spoilt = (
                ways[ref]
                for ref, times in submissions.items()
                if ways[ref].call in {"drop", "hang", "garbage"} and times <= ways[ref].times
            )
            answers = [*self._answers(refs, now).values(), *expired]
        return Said(answers, next(spoilt, None), sum(conflict for conflict, _ in again))

    def enquire(self, rail_refs: Sequence[str]) -> list[Answer]:
        """Say what the bank has, `not_found` for what it hasn't or doesn't show yet."""
        with self._transaction() as now:
            stored = {
                row["rail_ref"]: row["hidden"]
                for row in self._db.execute(
                    f"SELECT rail_ref, hidden FROM instructions WHERE rail_ref {_AMONG}",
                    [_json(rail_refs)],
                )
            }
            hidden = {ref for ref, times in stored.items() if times}
            self._db.executemany(
                "UPDATE instructions SET hidden = hidden - 1 WHERE rail_ref = ?",
                [(ref,) for ref in hidden],
            )
            seen = {*stored} - hidden
            return [
                *self._answers(seen, now).values(),
                *(Answer(rail_ref=ref, state="not_found") for ref in {*rail_refs} - seen),
            ]

    def decide(
        self, rail_ref: str, decision: Literal["settle", "refuse", "return"], code: str
    ) -> Answer | None:
        """Settle, refuse or return an instruction now; None if there is none.

        Doing again what is done changes nothing. ConflictError if it can't be done.
        """
        with self._transaction() as now:
            last = self._last_steps([rail_ref], now).get(rail_ref)
            if last is None:
                return None
            state, allowed = _DECISIONS[decision]
            if last["state"] not in {state, *allowed}:
                message = f"it is {last['state']}, which can't become {state}"
                raise ConflictError(message)
            self._db.execute(
                "UPDATE instructions SET silent = 0, hidden = 0 WHERE rail_ref = ?", [rail_ref]
            )
            if last["state"] != state:
                self._change_course(rail_ref, Step(state, None if state == "paid" else code), now)
            return self._answers([rail_ref], now)[rail_ref]

    def _change_course(self, rail_ref: str, step: Step, now: int) -> None:
        """Do this step now instead of what is still to come."""
        for table, column in (("steps", "at"), ("callbacks", "due_at")):
            self._db.execute(
                f"DELETE FROM {table} WHERE rail_ref = ? AND {column} > ?"
                f"{' AND tries = 0' if table == 'callbacks' else ''}",
                [rail_ref, now],
            )
        (number,) = self._db.execute(
            "SELECT number FROM instructions WHERE rail_ref = ?", [rail_ref]
        ).fetchone()
        way = Behaviour(steps=(step,), callbacks="all")
        (made,) = self._steps(number, rail_ref, way, now)
        before = self._db.execute(
            "SELECT utr FROM steps WHERE rail_ref = ? AND state = 'paid' ORDER BY number DESC",
            [rail_ref],
        ).fetchone()
        if before:  # a return has the UTR of its payment, which may be of another day
            made = made._replace(utr=before["utr"])
        self._write([], [made], [*self._to_tell([made], way)])

    def everything(self) -> list[Known]:
        """Return all instructions, oldest first."""
        with self._transaction() as now:
            rows = self._db.execute("SELECT * FROM instructions ORDER BY number").fetchall()
            last = self._last_steps(None, now)
            paid = {
                row["rail_ref"]: row["times"]
                for row in self._db.execute(
                    "SELECT rail_ref, count(*) AS times FROM steps"
                    " WHERE state = 'paid' AND at <= ? GROUP BY rail_ref",
                    [now],
                )
            }
        return [
            Known(
                rail_ref=row["rail_ref"],
                amount=row["amount"],
                currency=row["currency"],
                account_number=row["account_number"],
                mode=row["mode"],
                narration=row["narration"],
                state=last[row["rail_ref"]]["state"],
                utr=last[row["rail_ref"]]["utr"],
                code=last[row["rail_ref"]]["code"],
                executions=paid.get(row["rail_ref"], 0),
                submissions=row["submissions"],
                conflicts=row["conflicts"],
                received_at=_rfc3339(row["received_at"]),
            )
            for row in rows
        ]

    def report(self, day: date) -> Report:
        """Return what was booked on a day, UTC, so far."""
        start = _micros(datetime(day.year, day.month, day.day, tzinfo=UTC))
        with self._transaction() as now:
            rows = self._db.execute(
                "SELECT s.*, i.amount, i.currency, i.mode, i.narration"
                " FROM steps s JOIN instructions i USING (rail_ref)"
                " WHERE s.state IN ('paid', 'returned') AND s.at >= ? AND s.at < ? AND s.at <= ?"
                " ORDER BY s.at, s.number",
                [start, start + 86_400 * _SECOND, now],
            ).fetchall()
        entries = [
            Entry(
                entry_ref=f"SBOXE{row['number']:012d}",
                rail_ref=row["rail_ref"],
                kind="payment" if row["state"] == "paid" else "return",
                amount=row["amount"],
                currency=row["currency"],
                utr=row["utr"],
                booked_at=_rfc3339(row["at"]),
                code=row["code"],
                mode=row["mode"],
                narration=row["narration"],
            )
            for row in rows
        ]
        paid = [entry.amount for entry in entries if entry.kind == "payment"]
        returned = [entry.amount for entry in entries if entry.kind == "return"]
        return Report(
            date=day.isoformat(),
            generated_at=_rfc3339(now),
            bank="sandbox",
            entries=entries,
            totals=Totals(
                payments=len(paid),
                returns=len(returned),
                amount_paid=sum(paid),
                amount_returned=sum(returned),
            ),
        )

    # ---------------------------------------------------------------------------- administration

    def script(
        self, kind: Literal["rail_ref", "account_number"], subject: str, behaviour: Behaviour
    ) -> None:
        """Set what happens to a reference or to an account from now on."""
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO scripts VALUES (?, ?)",
                [f"{kind}:{subject}", msgspec.json.encode(behaviour)],
            )

    def set_faults(self, faults: Faults) -> None:
        """Be that unreliable from now on, also after a restart."""
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO faults VALUES (1, ?)", [msgspec.json.encode(faults)]
            )
        self._believe(faults)

    def misfortune(self) -> Literal["before", "after"] | None:
        """Throw the dice for one call: whether it is dropped, before or after it is executed."""
        if self._dice.random() >= self.faults.drop:
            return None
        return self._dice.choice(("before", "after"))

    def forget(self) -> None:
        """Forget everything but the numbers that are used up."""
        with self._transaction():
            for name in ("instructions", "steps", "callbacks", "scripts", "turned_away", "faults"):
                self._db.execute(f"DELETE FROM {name}")
        self._believe(Faults())

    # --------------------------------------------------------------------------------- callbacks

    def due(self, limit: int) -> tuple[list[Callback], float]:
        """Return callbacks that are due, and in how many seconds the next one is."""
        now = self._clock = max(self._clock, time.time_ns() // 1000)
        rows = self._db.execute(
            "SELECT number, rail_ref, event_id, body, tries FROM callbacks"
            " WHERE due_at <= ? ORDER BY due_at, number LIMIT ?",
            [now, limit],
        ).fetchall()
        (next_at,) = self._db.execute(
            "SELECT min(due_at) FROM callbacks WHERE due_at > ?", [now]
        ).fetchone()
        wait = _LONGEST_WAIT if next_at is None else (next_at - now) / _SECOND
        return [Callback(*row) for row in rows], wait

    def told(self, outcomes: Iterable[tuple[Callback, bool]]) -> None:
        """Forget the callbacks that have arrived, and postpone those that haven't."""
        delivered, failed = list[tuple[int]](), list[tuple[int, int]]()
        with self._transaction() as now:
            for item, has_arrived in outcomes:
                wait = min(0.25 * 2 ** min(item.tries, 10), _LONGEST_WAIT)
                if has_arrived:
                    delivered.append((item.number,))
                else:
                    failed.append((now + round(wait * _SECOND), item.number))
            self._db.executemany("DELETE FROM callbacks WHERE number = ?", delivered)
            self._db.executemany(
                "UPDATE callbacks SET tries = tries + 1, due_at = ? WHERE number = ?", failed
            )

    # ---------------------------------------------------------------------------------- the rest

    @contextmanager
    def _transaction(self) -> Iterator[int]:
        """Yield the time; what is written is durable at the end, or undone by an exception."""
        self._db.execute("BEGIN IMMEDIATE")
        self._clock = max(self._clock, time.time_ns() // 1000)
        try:
            yield self._clock
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.OperationalError):  # SQLite may have rolled back by itself
                self._db.execute("ROLLBACK")
            raise

    def _believe(self, faults: Faults) -> None:
        self.faults = faults
        self._dice.seed(faults.seed)

    def _last_number(self) -> int:
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'instructions'")
        return int((row.fetchone() or [0])[0])

    def _ways(self, orders: Sequence[Order]) -> dict[str, Behaviour]:
        """Return how each reference is treated."""
        subjects = {f"rail_ref:{order.rail_ref}" for order in orders}
        subjects |= {f"account_number:{order.account}" for order in orders}
        scripts = {
            row["subject"]: msgspec.json.decode(row["behaviour"], type=Behaviour)
            for row in self._db.execute(
                f"SELECT * FROM scripts WHERE subject {_AMONG}",
                [_json(subjects)],
            )
        }
        return {
            order.rail_ref: scripts.get(f"rail_ref:{order.rail_ref}")
            or scripts.get(f"account_number:{order.account}")
            or by_account(order.account, order.rail_ref, self._seed)
            for order in reversed(orders)  # of two with one reference, the first counts
        }

    def _turn_away(self, ways: dict[str, Behaviour]) -> Behaviour | None:
        """Return the behaviour that turns this call away, and count that it did."""
        touchy = {ref: way for ref, way in ways.items() if way.call in {"error", "limit"}}
        if not touchy:
            return None
        before = {
            row["rail_ref"]: row["times"]
            for row in self._db.execute(
                f"SELECT * FROM turned_away WHERE rail_ref {_AMONG}",
                [_json(touchy)],
            )
        }
        turned = {ref: way for ref, way in touchy.items() if before.get(ref, 0) < way.times}
        self._db.executemany(
            "INSERT INTO turned_away VALUES (?, 1)"
            " ON CONFLICT (rail_ref) DO UPDATE SET times = times + 1",
            [(ref,) for ref in turned],
        )
        return next(iter(turned.values()), None)

    def _steps(
        self, number: int, rail_ref: str, way: Behaviour, now: int, submission: int = 1
    ) -> list[_Step]:
        """Return the steps of an instruction; its UTR is made from its number and the day.

        Every submission that is executed has a UTR of its own.
        """
        utr = f"SBOXN{datetime.fromtimestamp(now / _SECOND, UTC):%Y%m%d}{number % 10**9:09d}"
        utr += f"R{submission}" if submission > 1 else ""
        return [
            _Step(
                rail_ref,
                now + round(step.after * _SECOND),
                step.state,
                utr if step.state in {"paid", "returned"} else None,
                step.code,
            )
            for step in way.steps
        ]

    def _to_tell(self, steps: Sequence[_Step], way: Behaviour) -> Iterator[_ToTell]:
        """Yield the callbacks that these steps bring about, as often as they are sent."""
        if not self._callbacks:
            return
        last = steps[-1].at
        if way.callbacks == "reversed":
            due = [(step, last + n * _SECOND // 2) for n, step in enumerate(reversed(steps))]
        else:
            due = [(step, step.at) for step in (steps if way.callbacks == "all" else steps[1:])]
        for step, due_at in due:
            event = Event(
                event_id=f"evt_{uuid.uuid4().hex}",
                rail_ref=step.rail_ref,
                state=step.state,
                utr=step.utr,
                code=step.code,
                at=_rfc3339(step.at),
            )
            twice = self._dice.random() < self.faults.duplicate_callbacks
            for _ in range(way.copies + twice):
                late = self._dice.random() * _MIXED_UP if self.faults.reorder_callbacks else 0
                yield _ToTell(
                    step.rail_ref,
                    due_at + round(late * _SECOND),
                    event.event_id,
                    msgspec.json.encode(event),
                )

    def _write(
        self,
        instructions: Sequence[tuple[object, ...]],
        steps: Sequence[_Step],
        callbacks: Sequence[_ToTell],
    ) -> None:
        self._db.executemany(
            "INSERT INTO instructions (number, rail_ref, received_at, silent, hidden,"
            f" {', '.join(_CONTENT)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            instructions,
        )
        self._db.executemany(
            "INSERT INTO steps (rail_ref, at, state, utr, code) VALUES (?, ?, ?, ?, ?)", steps
        )
        self._db.executemany(
            "INSERT INTO callbacks (rail_ref, due_at, event_id, body) VALUES (?, ?, ?, ?)",
            callbacks,
        )

    def _last_steps(self, rail_refs: Iterable[str] | None, now: int) -> dict[str, sqlite3.Row]:
        """Return the state of each of these references, or of all."""
        among = "" if rail_refs is None else f"AND rail_ref {_AMONG}"
        rows = self._db.execute(
            f"SELECT * FROM steps WHERE at <= ? {among} ORDER BY at, number",
            [now] if rail_refs is None else [now, _json(rail_refs)],
        )
        return {row["rail_ref"]: row for row in rows}

    def _answers(self, rail_refs: Iterable[str], now: int) -> dict[str, Answer]:
        """Return what is said of the references that are known and not silent."""
        rail_refs = [*rail_refs]
        silent = {
            row["rail_ref"]
            for row in self._db.execute(
                f"SELECT rail_ref FROM instructions WHERE silent AND rail_ref {_AMONG}",
                [_json(rail_refs)],
            )
        }
        return {
            ref: Answer(
                rail_ref=ref,
                state=row["state"],
                utr=row["utr"],
                code=row["code"],
                reason=row["code"] and row["code"].replace("_", " "),
                booked_at=_rfc3339(row["at"]) if row["utr"] else None,
            )
            for ref, row in self._last_steps(rail_refs, now).items()
            if ref not in silent
        }


def _content(order: Order) -> tuple[object, ...]:
    account, ifsc = order.account, order.ifsc or ""
    payment = order.amount, order.currency, account, ifsc, order.holder_name
    return *payment, order.mode, order.narration


def _stored(row: sqlite3.Row) -> tuple[object, ...]:
    return tuple(row[name] for name in _CONTENT)


def _json(values: Iterable[str]) -> str:
    return msgspec.json.encode([*values]).decode()


def _micros(moment: datetime) -> int:
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


def _rfc3339(micros: int) -> str:
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=micros)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"
