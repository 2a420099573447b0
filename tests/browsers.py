"""Where a browser is, for the tests that need one; `python -m tests.browsers` gets one if it can.

That is what the set-up does: one that is there already is used, otherwise Playwright downloads its
own; where that fails, as behind a proxy, root gets Debian's package. Without a network at all those
tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import Final

from playwright.sync_api import Browser, Error, Playwright

HOW: Final = (
    "get one with .venv/bin/playwright install chromium, or apt-get install chromium,"
    " or name one in PAYRAIL_BROWSER"
)
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE: Final = 60  # seconds
_PATIENCE_DEBIAN: Final = 180  # some 100 MB with what it depends on
_APT: Final = (
    *("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=30"),
    *("-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=10"),
)
_CHROMIUM: Final = ("install", "--yes", "--no-install-recommends", "chromium")


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
    """Get a browser where there is none, and say so if it is not Playwright's own."""
    if program() or _done([sys.executable, "-m", "playwright", "install", "chromium"], _PATIENCE):
        return
    if _debian():
        said = f"apt-get installed chromium for tests/browser: {program()}"
    else:
        said = f"There is no browser, so tests/browser will be skipped: {HOW}"
    sys.stdout.write(f"Playwright's own browser can not be downloaded here. {said}\n")


def _debian() -> bool:
    """Install Debian's package, if we may; what dpkg has begun is never killed."""
    return (
        os.geteuid() == 0
        and shutil.which("apt-get") is not None
        and _done([*_APT, "update"], _PATIENCE)
        and _done([*_APT, *_CHROMIUM, "--download-only"], _PATIENCE_DEBIAN)
        and _done([*_APT, *_CHROMIUM, "--no-download"], _PATIENCE_DEBIAN, kill=False)
        and program() is not None
    )


def _done(command: list[str], patience: float, *, kill: bool = True) -> bool:
    """Run a command quietly, for so many seconds at most; tell whether it succeeded."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        start_new_session=True,
    )
    try:
        return process.wait(patience) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        if kill and process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # with what it has started
            process.wait()


if __name__ == "__main__":
    main()
