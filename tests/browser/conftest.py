"""A browser before a real server over a database of its own; each test brings its own merchant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    WebError,
    expect,
    sync_playwright,
)

from tests import browsers
from tests.conftest import Database
from tests.desk import Desk
from tests.web.conftest import Web
from tests.web.conftest import console as console  # noqa: PLC0414
from tests.web.conftest import database as database  # noqa: PLC0414
from tests.web.conftest import web as web  # noqa: PLC0414

PATIENCE = 60_000  # ms; nothing is proved by how long something takes
REFUSED = "the server responded with a status of 4"  # how Chromium puts it when a page is a 4xx
LISTEN = """addEventListener("securitypolicyviolation",
    (event) => console.error(`${event.violatedDirective} violated: ${event.blockedURI}`))"""

expect.set_options(timeout=PATIENCE)


# Of a module, and no longer: while Playwright runs, asyncio.run() of other tests would not.
@pytest.fixture(scope="module")
def browser(web: Web) -> Iterator[Browser]:  # noqa: ARG001  # made before it, as its fixtures run a loop
    with sync_playwright() as playwright:
        launched = browsers.launch(playwright)
        if launched is None:
            pytest.skip(f"there is no browser: {browsers.HOW}")
        with launched:
            yield launched


@dataclass
class Window:
    """A browser window of its own, with its own cookies; what goes wrong in it is kept."""

    desk: Desk
    context: BrowserContext
    faults: list[str] = field(default_factory=list)

    def tab(self, path: str) -> Page:
        """Open a tab."""
        page = self.context.new_page()
        page.goto(path)
        return page

    def posts(self) -> list[str]:
        """Return a list that gets the addresses of all forms sent from now on."""
        sent: list[str] = []

        def look(request: Request) -> None:
            if request.method == "POST":
                sent.append(request.url)

        self.context.on("request", look)
        return sent

    def listen(self) -> None:
        """Keep what goes wrong."""
        self.context.add_init_script(LISTEN)
        self.context.on("console", self._read)
        self.context.on("weberror", self._keep)

    def _keep(self, error: WebError) -> None:
        self.faults.append(str(error.error))

    def _read(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.faults.append(said.text)

    def signed_in(self, path: str = "/") -> Page:
        """Open a tab and sign in, as a person does."""
        page = self.tab(f"/sign-in?next={path}")
        page.get_by_label("API key").fill(self.desk.secret)
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.wait_for_url(f"**{path}")
        return page


class Windows:
    """Opens windows, and closes them."""

    def __init__(self, browser: Browser, web: Web) -> None:
        self.browser = browser
        self.address = f"http://{web.host}:{web.port}"
        self.opened: list[Window] = []
        self.closing = ExitStack()

    def open(self, desk: Desk, **options: Any) -> Window:
        """Open a window for a merchant; the options are Playwright's."""
        context = self.browser.new_context(base_url=self.address, **options)
        self.closing.enter_context(context)
        context.set_default_timeout(PATIENCE)
        window = Window(desk, context)
        window.listen()
        self.opened.append(window)
        return window


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    with Desk(database) as desk:
        yield desk
        assert desk.violations() == {}


@pytest.fixture
def windows(browser: Browser, web: Web) -> Iterator[Windows]:
    with opening(browser, web) as windows:
        yield windows


@contextmanager
def opening(browser: Browser, web: Web) -> Iterator[Windows]:
    """Nothing goes wrong in any window, whatever the test is about."""
    windows = Windows(browser, web)
    with windows.closing:
        yield windows
    faults = [fault for window in windows.opened for fault in window.faults]
    assert [fault for fault in faults if REFUSED not in fault] == []


@pytest.fixture
def window(windows: Windows, desk: Desk) -> Window:
    return windows.open(desk)
