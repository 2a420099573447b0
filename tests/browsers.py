"""Where a browser is, for the tests that need one; `python -m tests.browsers` gets one if it can.

That is what the set-up does: one that is there already is used, and a machine without a network
goes without those tests.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import Final

from playwright.sync_api import Browser, Error, Playwright

HOW: Final = "get one with .venv/bin/playwright install chromium, or name one in PAYRAIL_BROWSER"
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE: Final = 60  # seconds


def program() -> str | None:
    """Return the browser of this machine; None means Playwright's own, if that is there."""
    named = os.environ.get("PAYRAIL_BROWSER")
    return named or next(filter(None, map(shutil.which, _NAMES)), None)


def launch(playwright: Playwright) -> Browser | None:
    """Start a browser; None when there is none."""
    found = program()
    sandbox = [] if os.geteuid() else ["--no-sandbox"]
    try:
        return playwright.chromium.launch(executable_path=found, args=sandbox, timeout=60_000)
    except Error:
        if found:
            raise  # it is there, and broken
        return None


def main() -> None:
    """Let Playwright download its own browser where there is none."""
    if not (program() or _install()):
        sys.stdout.write(f"There is no browser, so tests/browser will be skipped: {HOW}\n")


def _install() -> bool:
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True) as process:
        try:
            return process.wait(_PATIENCE) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)  # with the downloader that it started


if __name__ == "__main__":
    main()
