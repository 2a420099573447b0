"""A browser without JavaScript: it keeps the cookie, and sends the forms that the pages show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

from tests.web.client import Answer, Client, Headers

Element = tuple[str, dict[str, str | None]]
COOKIE = "__Host-payrail"


class Page(HTMLParser):
    """An answer, and what is on it; it has to be HTML."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer
        self.status = answer.status
        self.html = answer.body.decode()
        self.elements: list[Element] = []
        self.texts: list[str] = []
        if answer.status != 303:
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
        self.feed(self.html)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def location(self) -> str:
        """Where it leads to."""
        assert self.status == 303
        return self.answer.headers["location"]

    def values(self, attribute: str, tag: str | None = None) -> list[str]:
        """Return the values of an attribute, in the order of the page."""
        found = (attrs.get(attribute) for name, attrs in self.elements if tag in {None, name})
        return [value for value in found if value is not None]

    @property
    def fields(self) -> dict[str, str]:
        """Return what its inputs hold; of several forms, the last one's count."""
        inputs = [attrs for tag, attrs in self.elements if tag == "input"]
        return {str(one["name"]): one.get("value") or "" for one in inputs}

    @property
    def actions(self) -> set[str]:
        """Return where its forms go that change something."""
        forms = [attrs for tag, attrs in self.elements if tag == "form"]
        return {str(form["action"]) for form in forms if form["method"] == "post"}

    @property
    def payouts(self) -> list[str]:
        """Return the ids in its table of payouts."""
        return self.values("data-payout")


@dataclass
class Visitor:
    """One browser."""

    client: Client
    cookie: str | None = None
    set_cookie: str | None = field(default=None, repr=False)  # the last one, as it came
    cookie_name: str = COOKIE
    home: str = "/"

    def get(self, path: str, headers: Headers = ()) -> Page:
        """Open a page."""
        return self._send("GET", path, None, headers)

    def post(self, path: str, fields: Mapping[str, Any] | str, headers: Headers = ()) -> Page:
        """Send a form; text goes out as it is."""
        body = fields if isinstance(fields, str) else urlencode(fields)
        kind = ("Content-Type", "application/x-www-form-urlencoded")
        return self._send("POST", path, body, [kind, *headers])

    def send(
        self,
        path: str,
        fields: Mapping[str, str],
        file: bytes | None = None,
        headers: Headers = (),
    ) -> Page:
        """Send a form as one is sent that may have a file with it."""
        parts = [(f'name="{name}"', value.encode()) for name, value in fields.items()]
        if file is not None:
            parts.append(('name="file"; filename="list.csv"', file))
        body = b"".join(
            b"--x-x\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (name.encode(), value)
            for name, value in parts
        )
        kind = ("Content-Type", "multipart/form-data; boundary=x-x")
        return self._send("POST", path, body + b"--x-x--\r\n", [kind, *headers])

    def sign_in(self, key: str | None, target: str | None = None) -> Page:
        """Send the form with an API key."""
        fields = {"api_key": key or ""} | ({"next": target} if target is not None else {})
        return self.post("/sign-in", fields)

    def token(self) -> str:
        """Return the token that this session's forms carry."""
        return self.get(self.home).fields["token"]

    def _send(self, method: str, path: str, body: bytes | str | None, headers: Headers) -> Page:
        given = [("Accept", "text/html"), *headers]
        if self.cookie:
            given.append(("Cookie", f"{self.cookie_name}={self.cookie}"))
        answer = self.client(method, f"/{path}", body, given)
        self.set_cookie = answer.headers.get("set-cookie")
        if self.set_cookie:
            name, _, value = self.set_cookie.partition(";")[0].partition("=")
            assert name == self.cookie_name
            self.cookie = value.strip('"') or None
        return Page(answer)
