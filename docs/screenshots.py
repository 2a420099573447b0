"""Take the pictures of README.md, docs/dashboard.md and docs/console.md: `make screenshots`.

Runs a demo of its own on a spare port, with its own data, pays a little, and photographs the pages.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from playwright.sync_api import Browser, Page, sync_playwright

HERE: Final = Path(__file__).parent
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
PASSWORD: Final = secrets.token_urlsafe()
PAYOUTS: Final = ("1,250.50", "60", "849", "2,100", "375.25", "99", "540", "12.50")

SIZES: Final[tuple[tuple[int, int, tuple[Literal["light", "dark"], ...]], ...]] = (
    (1440, 900, ("light", "dark")),
    (820, 1180, ("light",)),
    (390, 844, ("light", "dark")),
)


@contextmanager
def demo() -> Iterator[tuple[str, dict[str, str]]]:
    """Run a demo in a folder of its own; return its address, and the environment of commands."""
    with socket.create_server(("127.0.0.1", 0)) as spare:
        port = spare.getsockname()[1]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # a disk that others may enter
        Path(folder).chmod(0o755)
        environment = {**os.environ, "PORT": str(port), "PAYRAIL_HOME": f"{folder}/home"}
        environment.pop("DATABASE_URL", None)
        command = [sys.executable, "-m", "pyapp", "demo"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
            try:
                while not answers(port):
                    time.sleep(0.1)
                command = [sys.executable, "-m", "pyapp", "operator", "password", "demo"]
                subprocess.run(command, env=environment, input=PASSWORD, text=True, check=True)
                yield f"http://127.0.0.1:{port}", environment
            finally:
                process.send_signal(signal.SIGINT)


def answers(port: int) -> bool:
    """Tell whether the demo is there."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False


def main() -> None:
    """Take all pictures."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    sandbox = [] if os.geteuid() else ["--no-sandbox"]
    with (
        demo() as (address, environment),
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=sandbox) as browser,
    ):
        pay(browser, address)
        wait_for_approval(browser, address, environment)
        disagree(environment)
        take_console(browser, address)
        for width, height, schemes in SIZES:
            for scheme in schemes:
                context = browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme=scheme
                )
                take(context.new_page(), address, f"{width}-{scheme}")
                context.close()


def sign_in(page: Page, address: str) -> None:
    """Open the dashboard of the merchant that the pictures show."""
    page.goto(f"{address}/sign-in")
    page.get_by_role("button", name="Acme Agency").click()
    page.wait_for_url(f"{address}/")


def pay(browser: Browser, address: str) -> None:
    """Request the payouts that the pictures show, and wait until they have ended."""
    page = browser.new_page()
    sign_in(page, address)
    for number, amount in enumerate(PAYOUTS, 1):
        ask(page, address, amount, f"invoice-{number}")
        page.locator("h1 .badge.settled, h1 .badge.failed").wait_for(timeout=90_000)
    page.close()


def run(environment: dict[str, str], *command: str) -> str:
    """Run a command of PayRail's; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "pyapp", *command],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def wait_for_approval(browser: Browser, address: str, environment: dict[str, str]) -> None:
    """Let one who works at the merchant ask for what others have to approve."""
    run(environment, "rules", "set", "Acme Agency", "--approve-from", "100000")
    scopes = [f"--scope={scope}" for scope in ("read", "payouts:create")]
    made = run(environment, "key", "create", "Acme Agency", "--owner=bala", *scopes, "--json")
    page = browser.new_page()
    page.goto(f"{address}/sign-in")
    page.get_by_label("API key").fill(json.loads(made)["secret"])
    page.get_by_role("button", name="Sign in", exact=True).click()
    for amount, reference in (("1,250", "rent-november"), ("1,900.75", "printer")):
        ask(page, address, amount, reference)
        page.locator("h1 .badge.awaiting_approval").wait_for()
    page.close()


def ask(page: Page, address: str, amount: str, reference: str) -> None:
    """Request a payout."""
    page.goto(f"{address}/payouts/new")
    page.fill("#amount", amount)
    page.fill("#reference", reference)
    page.get_by_role("button", name="Request payout").click()


def take(page: Page, address: str, name: str) -> None:
    """Photograph the pages in one size and colour."""
    sign_in(page, address)
    for picture, path in (("overview", "/"), ("payouts", "/payouts")):
        page.goto(f"{address}{path}")
        page.screenshot(path=HERE / "screenshots" / f"{picture}-{name}.png")
    page.goto(f"{address}/payouts")
    page.locator("tr", has_text="Settled").get_by_role("link").first.click()
    page.locator("#payout").wait_for()
    page.wait_for_load_state()
    page.screenshot(path=HERE / "screenshots" / f"payout-{name}.png")
    if name == "1440-light":
        page.goto(f"{address}/approvals")
        page.screenshot(path=HERE / "screenshots" / f"approvals-{name}.png")


def disagree(environment: dict[str, str]) -> None:
    """Import a report of the bank with a payment that we know nothing of: a case."""
    now = datetime.now(UTC)
    line = {
        "entry_ref": "1",
        "rail_ref": secrets.token_hex(16),
        "kind": "payment",
        "amount": "125000",
        "currency": "INR",
        "utr": "SBOXN20261125000099999",
        "booked_at": (now - timedelta(hours=30)).isoformat(),
        "code": "",
    }
    text = f"{','.join(line)}\n{','.join(line.values())}\n"
    days = [(now - timedelta(days=ago)).date().isoformat() for ago in (2, 0)]
    command = [
        sys.executable,
        "-m",
        "pyapp",
        "reconcile",
        "-",
        "--from",
        days[0],
        "--until",
        days[1],
    ]
    found = subprocess.run(command, env=environment, input=text, text=True, check=False)
    if found.returncode != 1:
        sys.exit("the bank's report and the books were to differ")


def take_console(browser: Browser, address: str) -> None:
    """Photograph the operators' overview, after an audit, and a case."""
    page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="light")
    page.goto(f"{address}/ops/audit")
    page.get_by_label("Name").fill("demo")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Check everything now").click()
    page.get_by_text("it took").wait_for()
    for width, height, _ in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        page.goto(f"{address}/ops")
        page.screenshot(path=HERE / "screenshots" / f"console-{width}-light.png")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{address}/ops/modes")
    page.screenshot(path=HERE / "screenshots" / "modes-1440-light.png")
    page.goto(f"{address}/ops/cases")
    page.locator("tbody a").first.click()
    page.locator("#facts").wait_for()
    page.screenshot(path=HERE / "screenshots" / "case-1440-light.png")
    page.close()


if __name__ == "__main__":
    main()
