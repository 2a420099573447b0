"""Sandbox banks: real processes with books of their own, for tests that talk to one or kill it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from pyapp.settings import ROOT
from tests import servers
from tests.workers import until

KEY: Final = "a-key-of-the-tests"
SECRET: Final = "whsec_dGhlLXRlc3RzLXNlY3JldC1pcy1sb25nLWVub3VnaA=="


@dataclass
class Bank:
    """A bank at a port and with a file of its own; it may be killed and started again."""

    port: int
    file: Path
    log: Path
    settings: dict[str, str]
    client: httpx.Client
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        """What workers and the API need to know of it."""
        return {
            "SANDBOX_BANK_URL": self.url,
            "SANDBOX_BANK_KEY": self.settings["SANDBOX_BANK_KEY"],
            "SANDBOX_BANK_SECRET": self.settings["SANDBOX_BANK_SECRET"],
            "SANDBOX_DEDUPLICATES": self.settings.get("SANDBOX_DEDUPLICATES", "1"),
        }

    def start(self) -> None:
        """Start it where it was; it answers when this returns."""
        with self.log.open("ab") as log:
            self.process = process = subprocess.Popen(
                [sys.executable, "-m", "pyapp", "sandbox-bank", "--until-eof"],
                env={
                    **os.environ,
                    **self.env,
                    "HOST": "127.0.0.1",
                    "SANDBOX_BANK_PORT": str(self.port),
                    "SANDBOX_BANK_FILE": str(self.file),
                    "PYTHONPATH": str(ROOT),
                    **self.settings,
                },
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stderr=log,
            )

        def answers() -> bool:
            assert process.poll() is None, self.log.read_text()
            try:
                return self.client.get("/healthz").is_success
            except httpx.TransportError:
                return False

        until(answers)

    def kill(self) -> None:
        """End it as a power cut does (but for what the disk holds back)."""
        if self.process:
            self.process.kill()
            self.process.communicate()
        self.process = None

    def instructions(self) -> dict[str, dict[str, Any]]:
        """Return the truth: all that the bank has, by rail_ref."""
        found = self.ask("GET", "/admin/instructions")["instructions"]
        return {item["rail_ref"]: item for item in found}

    def script(self, behaviour: str, **more: object) -> None:
        """Set what happens to a rail_ref or account_number that is yet to come."""
        self.ask("POST", "/admin/scripts", {"behaviour": behaviour, **more})

    def faults(self, **faults: object) -> None:
        """Be unreliable from now on: drop, duplicate_callbacks, reorder_callbacks, seed."""
        self.ask("POST", "/admin/faults", faults)

    def decide(self, rail_ref: str, decision: str, **more: object) -> dict[str, Any]:
        """Settle, refuse or return what the bank has."""
        path = f"/admin/instructions/{rail_ref}/{decision}"
        answer: dict[str, Any] = self.ask("POST", path, more)
        return answer

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Call it, with its key; the answer has to be a success."""
        response = self.client.request(method, path, json=body)
        assert response.is_success, response.text
        return response.json() if response.content else None


@contextmanager
def bank(**settings: str) -> Iterator[Bank]:
    """Run a bank; `settings` are environment variables, such as SANDBOX_CALLBACK_URL."""
    settings = {"SANDBOX_BANK_KEY": KEY, "SANDBOX_BANK_SECRET": SECRET, **settings}
    with (
        servers.folder() as folder,
        servers.port() as port,
        httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {settings['SANDBOX_BANK_KEY']}"},
            timeout=60,
            trust_env=False,
        ) as client,
    ):
        made = Bank(port, folder / "bank.sqlite", folder / "bank.log", settings, client)
        try:
            made.start()
            yield made
        finally:
            made.kill()
