"""Take the pictures of README.md, docs/dashboard.md and docs/console.md: `make screenshots`.

Runs a demo of its own on a spare port, with its own data, pays a little, and photographs the pages.
"""

from __future__ import annotations

import http.client
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
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, sync_playwright

HERE: Final = Path(__file__).parent
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
PASSWORD: Final = secrets.token_urlsafe()
PAYOUTS: Final = ("1,250.50", "60", "849", "2,100", "375.25", "99", "540", "12.50")


@contextmanager
def demo() -> Iterator[str]:
    """Run a demo in a folder of its own and return its address."""
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
                yield f"http://127.0.0.1:{port}"
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
        demo() as address,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=sandbox) as browser,
    ):
        pay(browser, address)
        take_console(browser, address)
        for scheme in ("light", "dark"):
            for width, height in ((1440, 900), (390, 844)):
                context = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme="dark" if scheme == "dark" else "light",
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
        page.goto(f"{address}/payouts/new")
        page.fill("#amount", amount)
        page.fill("#reference", f"invoice-{number}")
        page.get_by_role("button", name="Request payout").click()
        page.locator("h1 .badge.settled, h1 .badge.failed").wait_for(timeout=90_000)
    page.close()


def take(page: Page, address: str, name: str) -> None:
    """Photograph the pages in one size and colour."""
    sign_in(page, address)
    for picture, path in (("overview", "/"), ("payouts", "/payouts")):
        page.goto(f"{address}{path}")
        page.screenshot(path=HERE / "screenshots" / f"{picture}-{name}.png")
    page.goto(f"{address}/payouts")
    page.locator("tr", has_text="Settled").get_by_role("link").first.click()
    page.locator("#payout").wait_for()
    page.screenshot(path=HERE / "screenshots" / f"payout-{name}.png")


def take_console(browser: Browser, address: str) -> None:
    """Photograph the operators' overview, after an audit."""
    page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="light")
    page.goto(f"{address}/ops/audit")
    page.get_by_label("Name").fill("demo")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Check everything now").click()
    page.get_by_text("it took").wait_for()
    page.goto(f"{address}/ops")
    page.screenshot(path=HERE / "screenshots" / "console-1440-light.png")
    page.close()


if __name__ == "__main__":
    main()
