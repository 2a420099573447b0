"""Make databases as earlier versions left them: `python -m tests.upgrades.make`, in a git clone.

For each number of migrations that there ever was, the code of that time migrates an empty
database and does what its doors can; a dump of all of it is kept in schemas.tar.xz, from which
test_upgrades.py goes on. What is there stays as it is; only missing versions are added.
The Python of the last version but this one is kept in shell.tar.xz, for test_online.py.
"""

from __future__ import annotations

import io
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

import psycopg

from pyapp.embedded import Server
from pyapp.settings import ROOT

KEPT: Final = Path(__file__).with_name("schemas.tar.xz")
SHELL: Final = KEPT.with_name("shell.tar.xz")

MIGRATE: Final = """
import sys
from pyapp.migrate import migrate
from pyapp.settings import Settings
migrate(Settings(database_url=sys.argv[1]), "demo", say=lambda _: None)
"""

# One merchant, and payouts in each state that a door of any version leads to; what was answered is
# kept beside it.
SCENARIO: Final = (
    "CREATE TABLE public.asked (n bigint PRIMARY KEY, key text, amount bigint, answer text)",
    "CREATE TABLE public.merchant AS SELECT (payrail.create_merchant('Tiny Studio')).merchant_id",
    (
        "SELECT payrail.add_bank_account(merchant_id, 'demo-bank-account', 'Asha Rao',"
        " '000000000001', 'HDFC0000001') FROM public.merchant"
    ),
    "SELECT payrail.credit_merchant(merchant_id, 100000, 'INR', 'opening') FROM public.merchant",
)
CREATE: Final = (
    "INSERT INTO public.asked SELECT %(n)s, 'key-' || %(n)s, %(amount)s, (payrail.create_payout("
    "p_merchant_id => merchant_id, p_idempotency_key => 'key-' || %(n)s, p_amount => %(amount)s,"
    " p_bank_account_id => 'demo-bank-account')).body::text FROM public.merchant"
)
CLAIM: Final = "SELECT c.payout_id FROM public.merchant, payrail.claim_payouts(merchant_id) c"
ENDS: Final = (
    "SELECT payrail.settle_payout(merchant_id, %s, 'UTR1') FROM public.merchant",
    "SELECT payrail.settle_payout(merchant_id, %s, 'UTR2') FROM public.merchant",
    (
        "SELECT payrail.fail_payout(merchant_id, %s, 'account_closed', 'no such account')"
        " FROM public.merchant"
    ),
)


def kept() -> dict[str, bytes]:
    """Return the dumps by their names."""
    found = {}
    with tarfile.open(KEPT) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
    return found


def versions() -> dict[int, str]:
    """Return the last commit with each number of migrations, all of them as they are today.

    What was rewritten before it was released, no database has.
    """
    found = {}
    today = {*git("ls-tree", "-r", "HEAD", "migrations/").splitlines()}
    for commit in git("log", "--first-parent", "--format=%h", "--reverse").split():
        then = {*git("ls-tree", "-r", commit, "migrations/").splitlines()}
        if then and then <= today:
            found[len(then)] = commit
    return found


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout


def make(server: Server, number: int, commit: str) -> bytes:
    """Return the dump of a database that this version has migrated and worked in."""
    name = f"version_{number}"
    with psycopg.connect(server.conninfo("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "archive", commit], cwd=ROOT, check=True, capture_output=True
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        subprocess.run(
            [sys.executable, "-c", MIGRATE, server.conninfo(name)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": folder},
            check=True,
        )
    with psycopg.connect(server.conninfo(name), autocommit=True) as admin:
        admin.execute("SET search_path = procrastinate, public")
        work(admin)
    dumped = subprocess.run(
        [
            *(server.program("pg_dump"), "--host", server.socket_folder, "--username", "postgres"),
            *("--inserts", "--rows-per-insert=100", "--no-comments", name),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    # commands of psql's, which no server knows
    lines = (line for line in dumped.splitlines() if not line.startswith("\\"))
    return "\n".join(lines).encode()


def work(admin: psycopg.Connection) -> None:
    """Do what there were doors for."""
    for statement in SCENARIO:
        admin.execute(statement.encode())
    for number in range(6):
        admin.execute(CREATE, {"n": number, "amount": 1000 + number})
    admin.execute(CREATE, {"n": 6, "amount": 10**9})  # more than there is
    claimed = admin.execute(CLAIM).fetchall()
    for (payout_id,), end in zip(claimed, ENDS, strict=False):
        with suppress(psycopg.Error):  # a later version's payouts are failed by the bank only
            admin.execute(end.encode(), [payout_id])
    for number in range(7, 9):
        admin.execute(CREATE, {"n": number, "amount": 1000 + number})
    row = admin.execute("SELECT (answer::json ->> 'id')::uuid FROM asked WHERE n = 7").fetchone()
    assert row is not None
    admin.execute("SELECT payrail.cancel_payout(merchant_id, %s) FROM merchant", row)


def main() -> None:
    """Add the versions that are missing."""
    *_, last, _ = [commit for _, commit in sorted(versions().items())]
    shell = subprocess.run(
        ["git", "archive", last, "pyapp"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    SHELL.write_bytes(lzma.compress(shell, preset=9))
    dumps = kept() if KEPT.exists() else {}
    folder = Path(tempfile.mkdtemp(prefix="payrail-upgrades-"))
    folder.chmod(0o755)
    server = Server(home=folder / "home", options=("fsync=off",))
    server.start()
    try:
        for number, commit in sorted(versions().items()):
            if (name := f"{number:04}.sql") not in dumps:
                dumps[name] = make(server, number, commit)
                print(name, commit, f"{len(dumps[name]):,} bytes", flush=True)  # noqa: T201
    finally:
        server.stop()
        shutil.rmtree(folder)
    with tarfile.open(KEPT, "w:xz", preset=9) as tar:
        for name, dump in sorted(dumps.items()):
            info = tarfile.TarInfo(name)
            info.size = len(dump)
            tar.addfile(info, io.BytesIO(dump))


if __name__ == "__main__":
    main()
