"""A bank behind two folders: whatever dies in between, each payment is ordered once.

The bank is somebody else's: mock-bank, which knows nothing of PayRail.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
import pytest
from lxml import etree

from pyapp import doors
from pyapp.database import open_pool
from pyapp.rails import files, iso20022
from pyapp.rails.files import FileRail, InvalidProfileError, open_file_rails
from pyapp.rails.rail import (
    Instruction,
    NotReachedError,
    NotSent,
    Paid,
    Pending,
    Rail,
    Refused,
)
from tests import servers
from tests.conftest import Database
from tests.desk import Desk
from tests.rails.conformance import CHECKS, Check, Subject
from tests.workers import until, working

T = TypeVar("T")

OURS, CLOSED = "NL26MOCK0000000077", "NL96MOCK0000000078"
PROFILE = f"""
outbox = "out"
inbox = "in"
debtor_name = "Example Payments Pvt Ltd"
debtor_account = "{OURS}"
debtor_agent = "MOCKNL2A"
initiating_party = "EXAMPLE"
every_seconds = 0
"""


@dataclass(frozen=True)
class Counterparty:
    """A bank that is paid by files, and the folder with its profile."""

    rail: str
    folder: Path
    client: httpx.Client

    @property
    def profile(self) -> Path:
        return self.folder / f"{self.rail}.toml"

    @property
    def outbox(self) -> Path:
        return self.folder / "out"

    @property
    def inbox(self) -> Path:
        return self.folder / "in"

    def behave(self, behaviour: str, **parameters: object) -> None:
        self.ask("PATCH", "/_mock/accounts/OURS", behaviour=behaviour, parameters=parameters)

    def next_day(self) -> None:
        """Read what is in the folder, and book what is due on the next day of business.

        A payment of a weekend is one of Monday's, so a day is over only when the one after it is
        there.
        """
        self.ask("POST", "/_mock/drop/scan")
        was_open = self.is_open()
        self.ask("POST", "/_mock/advance?days=1")
        while not (was_open and self.is_open()):
            was_open = was_open or self.is_open()
            self.ask("POST", "/_mock/advance?days=1")

    def is_open(self) -> bool:
        return bool(self.ask("GET", "/_mock/state")["clock"]["isBusinessDay"])

    def executions(self, rail_ref: str) -> int:
        found = [one for one in self.ask("GET", "/_mock/payments") if one["booked_at"]]
        return sum(one["end_to_end_id"] == rail_ref for one in found)

    def ask(self, method: str, path: str, **body: object) -> Any:
        response = self.client.request(method, path, json=body or None)
        assert response.is_success, response.text
        return response.json()


@pytest.fixture
def folder() -> Iterator[Path]:
    with servers.folder() as path:
        for name in ("out", "in"):
            (path / name).mkdir()
        yield path


@pytest.fixture
def bank(folder: Path) -> Iterator[Counterparty]:
    with (
        servers.port() as port,
        (folder / "log").open("wb") as log,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client,
    ):
        made = Counterparty("mybank", folder, client)
        made.profile.write_text(PROFILE)
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mockbank", "--port", str(port), "--quiet"),
                *("--drop-dir", str(made.outbox), "--pickup-dir", str(made.inbox)),
                *("--drop-settle-ms", "0", "--drop-interval-ms", "50"),
                *("--clock", f"{datetime.now(UTC):%Y-%m-%d}T23:00"),  # after its cutoff
            ],
            stdout=log,
            stderr=log,
        )

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            with suppress(httpx.TransportError):
                return client.get("/_mock/health").is_success
            return False

        try:
            until(answers)
            for name, iban, closed in (("OURS", OURS, False), ("CLOSED", CLOSED, True)):
                account = {"id": name, "iban": iban, "currency": "INR", "closed": closed}
                made.ask("POST", "/_mock/accounts", balance=10**12, **account)
            yield made
        finally:
            process.kill()
            process.wait()


@asynccontextmanager
async def opened(database: Database, folder: Path) -> AsyncIterator[FileRail]:
    async with open_pool(database.conninfo("payrail_worker"), name="files") as db:
        (rail,) = open_file_rails(folder, db).values()
        relied = rail.capabilities
        await doors.declare_rail(
            db,
            rail.name,
            deduplicates_references=relied.deduplicates_references,
            honours_valid_until=relied.honours_valid_until,
            batch_size=relied.batch_size,
            finality=relied.finality,
            accounts=relied.accounts,
        )
        yield rail


def with_rail(database: Database, folder: Path, use: Callable[[FileRail], Awaitable[T]]) -> T:
    async def go() -> T:
        async with opened(database, folder) as rail:
            return await use(rail)

    return asyncio.run(go())


def declare(database: Database, folder: Path) -> None:
    async def nothing(_: FileRail) -> None:
        pass

    with_rail(database, folder, nothing)


def account(desk: Desk, number: str, rail: str = "mybank") -> str:
    """Return a bank account of a merchant at this bank."""
    desk.call(
        "payrail_operator",
        "add_bank_account",
        bank_account_id=number,
        holder_name="Asha Rao",
        account_number=number,
        ifsc="HDFC0000001",
        rail=rail,
    )
    return number


def claimed(desk: Desk, number: str, key: str, amount: int = 6000, **fields: object) -> Instruction:
    """Return the instruction of a payout that a worker has claimed."""
    fields["bank_account_id"] = account(desk, number)
    payout_id = desk.create(key, amount, **fields).payout_id
    (claim,) = [row for row in desk.claim(limit=1000) if row["payout_id"] == payout_id]
    return Instruction(
        rail_ref=claim["rail_ref"],
        amount=claim["amount"],
        currency=claim["currency"],
        account_number=claim["account_number"],
        ifsc=claim["ifsc"],
        holder_name=claim["holder_name"],
        valid_until=claim["send_before"],
        mode=claim["mode"],
        narration=claim["narration"],
    )


# ----------------------------------------------------------------------------------- conformance


@dataclass(frozen=True)
class Filing(Subject):
    """An order is that of a payout: nothing else is sent."""

    desk: Desk

    def order(self, what: str = "paid", **more: Any) -> Instruction:
        count = len(self.desk.table("payouts"))
        told = {name: more.pop(name, None) for name in ("mode", "narration")}
        if told["mode"]:
            self.desk.sql(
                "payrail_operator",
                "SELECT payrail.set_mode(%s, %s, 'INR', '{account_number}', 1)",
                ["mybank", told["mode"]],
            )
        made = claimed(self.desk, self.accounts[what], f"order-{count}", 1, **told)
        return replace(made, **more)


@pytest.mark.parametrize("check", CHECKS)
def test_conforms(check: Check, database: Database, bank: Counterparty) -> None:
    class Daily(FileRail):
        async def tend(self) -> None:
            await super().tend()
            await asyncio.to_thread(bank.next_day)

    @asynccontextmanager
    async def daily() -> AsyncIterator[Rail]:
        async with opened(database, bank.folder) as rail:
            yield Daily(rail.name, rail.db, rail.profile, rail.outbox, rail.inbox)

    declare(database, bank.folder)
    with Desk(database) as desk:
        accounts = {"paid": "000405012345", "refused": CLOSED}

        def told(rail_ref: str, path: str) -> str | None:
            (row,) = desk.sql(
                "payrail_owner",
                "SELECT content FROM rail.payment_files k"
                " JOIN rail.filed_instructions f USING (file_id) WHERE f.rail_ref = %s",
                [rail_ref],
            )
            (one,) = [
                order
                for order in etree.fromstring(row["content"]).iterfind(".//{*}CdtTrfTxInf")
                if order.findtext("{*}PmtId/{*}EndToEndId") == rail_ref
            ]
            found: str | None = one.findtext(path)
            return found

        subject = Filing(
            opened=daily,
            nowhere=None,
            accounts=accounts,
            executions=bank.executions,
            mode=lambda rail_ref: told(rail_ref, "{*}PmtTpInf/{*}LclInstrm/{*}Prtry"),
            narration=lambda rail_ref: told(rail_ref, "{*}RmtInf/{*}Ustrd"),
            desk=desk,
        )
        asyncio.run(check(subject))


# ------------------------------------------------------------------------------- the whole thing


def test_payouts_are_paid_refused_and_returned_by_files(
    database: Database, bank: Counterparty, tmp_path: Path
) -> None:
    declare(database, bank.folder)
    env = {**database.env, "BANK_PROFILES": str(bank.folder)}
    with Desk(database) as desk, working(env, tmp_path / "log"):
        good = desk.create("good", 1000, bank_account_id=account(desk, "000405012345")).payout_id
        bad = desk.create("bad", 1000, bank_account_id=account(desk, CLOSED)).payout_id
        until(lambda: desk.see(bad)["status"] == "failed")
        assert desk.see(bad)["failure_code"] == "account_closed"
        assert desk.see(good)["status"] == "processing"
        bank.behave("return-later", days=1, reason="AC04")
        bank.next_day()
        until(lambda: desk.see(good)["status"] == "settled")
        bank.behave("accept")
        assert desk.see(good)["utr"].startswith("MB-PMT-")
        again = desk.create("again", 1000, bank_account_id="000405012345").payout_id
        until(lambda: "the bank says ACCP" in evidence(desk, again))
        bank.next_day()
        until(lambda: desk.see(again)["status"] == "settled")
        for _ in range(4):
            bank.next_day()
        until(lambda: desk.see(good)["status"] == "returned")
        assert desk.balance() == (9000, 0)
        assert {bank.executions(one.hex) for one in (good, again)} == {1}
        assert desk.violations() == {}
        statements = [*(bank.inbox / "done").glob("*camt.053*OURS*")]
        until(lambda: len([*(bank.inbox / "done").glob("*camt.053*OURS*")]) >= 5)
        assert statements


def evidence(desk: Desk, payout_id: UUID) -> list[str | None]:
    query = "SELECT reason FROM payrail.evidence WHERE merchant_id = %s AND payout_id = %s"
    rows = desk.sql("payrail_auditor", query, [desk.merchant_id, payout_id])
    return [row["reason"] for row in rows]


def test_a_file_the_bank_rejects_gives_every_merchant_the_money_back(
    database: Database, bank: Counterparty, tmp_path: Path
) -> None:
    declare(database, bank.folder)
    bank.behave("reject-file")
    env = {**database.env, "BANK_PROFILES": str(bank.folder)}
    with Desk(database) as desk, desk.beside() as other, working(env, tmp_path / "log"):
        both = [(each, account(each, "000405012345")) for each in (desk, other)]
        made = [(each, each.create("one", 1000, bank_account_id=one)) for each, one in both]
        for each, answer in made:
            until(lambda e=each, a=answer: e.see(a.payout_id)["status"] == "failed")  # type: ignore[misc]
            assert each.see(answer.payout_id)["failure_code"] == "not_executed"
            assert each.balance() == (10_000, 0)


# ------------------------------------------------------------------------------- dying in between


class Death(BaseException):
    """What no handler of ours catches."""


def die(*_: object, **__: object) -> None:
    raise Death


# Where a worker may die, by what it would have called next.
STEPS = {
    "in line": (doors, "cut_file"),
    "cut": (iso20022, "pain001"),
    "made": (doors, "store_file"),
    "stored": (doors, "claim_file"),
    "claimed": (os, "fsync"),
    "on disk": (Path, "replace"),
    "in the outbox": (doors, "mark_file_sent"),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_that_dies_here_sends_no_payment_twice(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    (folder / "mybank.toml").write_text(PROFILE)
    declare(database, folder)
    with Desk(database) as desk:
        orders = [claimed(desk, "000405012345", f"p{n}", 1000 + n) for n in range(3)]
        with monkeypatch.context() as patch:

            async def first(rail: FileRail) -> None:
                await rail.submit(orders)
                patch.setattr(*STEPS[step], die)
                with pytest.raises(Death):
                    await rail.tend()

            with_rail(database, folder, first)
        desk.sql(
            "payrail_owner",
            "UPDATE rail.payment_files SET claimed_until = clock_timestamp() WHERE sent_at IS NULL",
            [],
        )
        before = {path.name: path.read_bytes() for path in (folder / "out").glob("*.xml")}

        async def successor(rail: FileRail) -> None:
            assert {type(one) for one in (await rail.submit(orders)).values()} == {Pending}
            for _ in range(3):
                await rail.tend()

        with_rail(database, folder, successor)
        (sent,) = (folder / "out").glob("*.xml")
        assert before in ({}, {sent.name: sent.read_bytes()})
        assert [path.name for path in (folder / "out").iterdir()] == [sent.name]
        assert sorted(ordered(sent)) == sorted(one.rail_ref for one in orders)
        stored = desk.sql(
            "payrail_owner",
            "SELECT content_hash FROM rail.payment_files WHERE message_id = %s",
            [sent.stem],
        )
        assert [bytes(row["content_hash"]) for row in stored] == [
            hashlib.sha256(sent.read_bytes()).digest()
        ]


def ordered(file: Path) -> list[str]:
    found = etree.parse(file).iterfind(".//{*}EndToEndId")
    return [node.text or "" for node in found]


def test_a_worker_that_dies_with_a_file_of_the_bank_in_hand_counts_it_once(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mybank.toml").write_text(PROFILE)
    declare(database, folder)
    with Desk(database) as desk:
        order = claimed(desk, "000405012345", "one")
        booked(folder, order.rail_ref)

        async def first(rail: FileRail) -> None:
            with monkeypatch.context() as patch:
                patch.setattr(FileRail, "_put_away", die)
                with pytest.raises(Death):
                    await rail.tend()
            (left,) = (folder / "in" / "taken").iterdir()
            assert left.name.endswith("-camt.xml")
            await rail.tend()
            assert isinstance((await rail.enquire([order.rail_ref]))[order.rail_ref], Paid)

        with_rail(database, folder, first)
        (put_away,) = (folder / "in" / "done").iterdir()
        assert put_away.name.endswith("-camt.xml")
        query = "SELECT event_id FROM payrail.notices WHERE rail_ref = %s"
        assert len(desk.sql("payrail_auditor", query, [order.rail_ref])) == 1


def booked(folder: Path, rail_ref: str, name: str = "camt.xml") -> Path:
    """Let the bank leave word that it has paid INR 60.00."""
    sample = Path(__file__).parents[2] / "docs" / "examples" / "iso20022" / "camt.054.xml"
    path = folder / "in" / name
    text = sample.read_text().replace("01a209840fab7cc88e4eec0c04710930", rail_ref)
    path.write_text(text)
    return path


# ----------------------------------------------------------------------------------- the folders


def test_what_is_still_arriving_is_waited_for_and_nonsense_is_put_aside(
    database: Database, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "mybank.toml").write_text(PROFILE)
    inbox = folder / "in"
    (inbox / "half.xml").write_text("<Document><a>")
    (inbox / "upload.xml.part").write_text("<Docu")
    (inbox / ".hidden").write_text("x")
    (inbox / "sub").mkdir()

    async def look(rail: FileRail) -> None:
        await rail.tend()

    with caplog.at_level(logging.INFO):
        with_rail(database, folder, look)
        assert {p.name for p in inbox.iterdir()} == {
            "half.xml",
            "upload.xml.part",
            ".hidden",
            "sub",
        }
        old = time.time() - 3600
        os.utime(inbox / "half.xml", (old, old))
        with_rail(database, folder, look)
    (rejected,) = (inbox / "rejected").iterdir()
    assert rejected.name.endswith("-half.xml")
    (said,) = [record for record in caplog.records if record.message == "file refused"]
    assert "not well-formed" in json.dumps(said.__dict__, default=str)
    with database.connect("payrail_auditor") as auditor:
        query = "SELECT direction, name, error FROM payrail.files WHERE error IS NOT NULL"
        (row,) = auditor.execute(query).fetchall()
    assert (row["direction"], row["name"]) == ("in", "half.xml")


def test_one_file_that_can_not_be_taken_holds_up_no_other(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mybank.toml").write_text(PROFILE)
    declare(database, folder)
    with Desk(database) as desk:
        order = claimed(desk, "000405012345", "one")
        booked(folder, order.rail_ref, "a.xml")
        booked(folder, order.rail_ref, "b.xml")
        read = files._read

        def fails(path: Path) -> tuple[bytes, float]:
            if path.name == "a.xml":
                raise PermissionError
            return read(path)

        monkeypatch.setattr(files, "_read", fails)

        async def look(rail: FileRail) -> None:
            await rail.tend()
            assert isinstance((await rail.enquire([order.rail_ref]))[order.rail_ref], Paid)

        with_rail(database, folder, look)
        assert [path.name for path in (folder / "in").glob("*.xml")] == ["a.xml"]


def test_a_file_that_comes_under_the_name_of_one_that_is_being_read_is_not_lost(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mybank.toml").write_text(PROFILE)
    declare(database, folder)
    with Desk(database, 100_000) as desk:
        one, two = (claimed(desk, f"00040501234{n}", f"key-{n}") for n in (5, 6))
        booked(folder, one.rail_ref, "status.xml")
        keep = doors.receive_file

        async def keep_while_the_next_comes(*given: Any, **more: Any) -> Any:
            kept = await keep(*given, **more)
            monkeypatch.setattr(doors, "receive_file", keep)
            coming = booked(folder, two.rail_ref, ".next")
            coming.write_text(coming.read_text().replace("HDFCN52026112300047", "ANOTHER"))
            coming.replace(folder / "in" / "status.xml")
            return kept

        monkeypatch.setattr(doors, "receive_file", keep_while_the_next_comes)

        async def look(rail: FileRail) -> None:
            await rail.tend()
            await rail.tend()
            said = await rail.enquire([one.rail_ref, two.rail_ref])
            assert {type(answer) for answer in said.values()} == {Paid}

        with_rail(database, folder, look)
        assert len([*(folder / "in" / "done").iterdir()]) == 2


def test_a_file_that_a_worker_died_with_is_taken_by_the_next(
    database: Database, folder: Path
) -> None:
    (folder / "mybank.toml").write_text(PROFILE)
    declare(database, folder)
    with Desk(database) as desk:
        order = claimed(desk, "000405012345", "one")
        left = booked(folder, order.rail_ref, "a.xml")
        (folder / "in" / "taken").mkdir()
        left.replace(folder / "in" / "taken" / "0123456789abcdef-a.xml")

        async def look(rail: FileRail) -> None:
            await rail.tend()
            assert isinstance((await rail.enquire([order.rail_ref]))[order.rail_ref], Paid)

        with_rail(database, folder, look)
        (done,) = (folder / "in" / "done").iterdir()
        assert done.name.endswith("-a.xml")


def test_a_file_that_can_not_be_put_away_is_noted_once(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mybank.toml").write_text(PROFILE)
    bad = folder / "in" / "bad.xml"
    bad.write_text("<x")
    os.utime(bad, (1, 1))

    def stays(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(FileRail, "_put_away", stays)

    async def look(rail: FileRail) -> None:
        for _ in range(3):
            await rail.tend()

    with_rail(database, folder, look)
    with database.connect("payrail_auditor") as auditor:
        query = "SELECT name FROM payrail.files WHERE error IS NOT NULL"
        assert [row["name"] for row in auditor.execute(query)] == ["bad.xml"]


def test_a_file_that_can_not_be_written_keeps_no_answer_from_being_read(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mybank.toml").write_text(PROFILE)
    declare(database, folder)
    with Desk(database) as desk:
        order = claimed(desk, "000405012345", "one")

        async def look(rail: FileRail) -> None:
            await rail.submit([order])
            booked(folder, order.rail_ref)

            def impossible(*_: object) -> bytes:
                message = "not a valid pain.001.001.09"
                raise ValueError(message)

            monkeypatch.setattr(iso20022, "pain001", impossible)
            await rail.tend()
            assert isinstance((await rail.enquire([order.rail_ref]))[order.rail_ref], Paid)

        with_rail(database, folder, look)


def test_what_can_not_be_written_is_refused_and_stops_no_file(
    database: Database, folder: Path
) -> None:
    (folder / "mybank.toml").write_text(PROFILE)
    declare(database, folder)
    with Desk(database, 100_000) as desk:
        good, bad = (claimed(desk, f"00040501234{n}", f"key-{n}") for n in (5, 6))

        async def send(rail: FileRail) -> None:
            said = await rail.submit([good, replace(bad, currency="XTS")])
            assert isinstance(said[good.rail_ref], Pending)
            refusal = said[bad.rail_ref]
            assert isinstance(refusal, Refused)
            assert refusal.failure_code == "mode_not_supported"
            await rail.tend()

        with_rail(database, folder, send)
        (file,) = (folder / "out").glob("*.xml")
        assert ordered(file) == [good.rail_ref]


def test_a_large_file_is_taken_in_parts_and_again_from_its_beginning(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that died between two parts has lost nothing and counts nothing twice."""
    (folder / "mybank.toml").write_text(PROFILE)
    declare(database, folder)
    monkeypatch.setattr(files, "_PART", 1)
    with Desk(database, 100_000) as desk:
        one, two = (claimed(desk, f"00040501234{n}", f"key-{n}") for n in (5, 6))
        path = booked(folder, one.rail_ref)
        text = path.read_text()
        entry = text[text.index("<Ntry>") : text.index("</Ntry>") + len("</Ntry>")]
        other = entry.replace(one.rail_ref, two.rail_ref).replace("300047", "300048")
        path.write_text(text.replace(entry, entry + other))
        keep = doors.receive_file
        calls: list[object] = []

        async def keep_one(*given: Any, **more: Any) -> Any:
            calls.append(more)
            if len(calls) == 2:
                raise OSError
            return await keep(*given, **more)

        monkeypatch.setattr(doors, "receive_file", keep_one)

        async def look(rail: FileRail) -> None:
            await rail.tend()
            said = await rail.enquire([one.rail_ref, two.rail_ref])
            assert [type(said[each.rail_ref]).__name__ for each in (one, two)] == [
                "Paid",
                "NotFound",
            ]
            await rail.tend()
            said = await rail.enquire([one.rail_ref, two.rail_ref])
            assert {type(answer) for answer in said.values()} == {Paid}

        with_rail(database, folder, look)
        query = "SELECT items FROM payrail.files WHERE direction = 'in'"
        assert [row["items"] for row in desk.sql("payrail_auditor", query, [])] == [2]


def test_without_its_outbox_nothing_is_put_in_line(database: Database, folder: Path) -> None:
    (folder / "mybank.toml").write_text(PROFILE)
    declare(database, folder)
    with Desk(database) as desk:
        order = claimed(desk, "000405012345", "one")

        async def send(rail: FileRail) -> None:
            shutil.rmtree(folder / "out")
            with pytest.raises(NotReachedError):
                await rail.submit([order])
            said = (await rail.enquire([order.rail_ref]))[order.rail_ref]
            assert type(said).__name__ == "NotFound"

        with_rail(database, folder, send)


def test_what_is_no_processing_payout_is_not_sent(database: Database, folder: Path) -> None:
    (folder / "mybank.toml").write_text(PROFILE)
    declare(database, folder)
    with Desk(database) as desk:
        order = claimed(desk, "000405012345", "one")
        desk.fail_batch((UUID(order.rail_ref), "account_closed", None, None))

        async def send(rail: FileRail) -> None:
            assert isinstance((await rail.submit([order]))[order.rail_ref], NotSent)
            await rail.tend()

        with_rail(database, folder, send)
        assert [*(folder / "out").iterdir()] == []


@pytest.mark.parametrize(
    ("profile", "why"),
    [
        (None, "no profile"),
        ("outbox = ", "mybank.toml: "),
        (PROFILE.replace("debtor_name", "debtor"), "mybank.toml: .*debtor"),
        (PROFILE.replace("every_seconds = 0", "every_seconds = -1"), "every_seconds"),
        (PROFILE.replace("MOCKNL2A", "no BIC"), "not a valid pain"),
        (PROFILE.replace('"out"', '"nowhere"'), "outbox: .*nowhere is no folder"),
    ],
)
def test_a_profile_that_can_not_be_used_is_named(
    folder: Path, profile: str | None, why: str
) -> None:
    if profile is not None:
        (folder / "mybank.toml").write_text(profile)
    with pytest.raises(InvalidProfileError, match=why):
        open_file_rails(folder, None)  # type: ignore[arg-type]


def test_the_profile_in_the_docs_can_be_used(folder: Path) -> None:
    sample = Path(__file__).parents[2] / "docs" / "examples" / "iso20022" / "mybank.toml"
    shutil.copy(sample, folder)
    (rail,) = open_file_rails(folder, None).values()  # type: ignore[arg-type]
    assert rail.name == "mybank"
