"""A small HTTP client that hides nothing: headers as they came, bodies as bytes."""

from __future__ import annotations

import http.client
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pyapp.errors import CATALOG

Headers = Iterable[tuple[str, str]]

_ENDS = {"content-length", "transfer-encoding"}  # one of them tells where an answer ends


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which has to be JSON."""
        assert self.headers["content-type"] in {"application/json", "application/problem+json"}
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The problem's code; the document has to be a sound one."""
        assert self.headers["content-type"] == "application/problem+json"
        problem = self.json
        assert problem["status"] == self.status
        assert problem["type"] == f"/docs/#error-{problem['code']}"
        row = CATALOG[problem["code"]]
        assert (problem["title"], problem["retryable"]) == (row.title, row.retryable)
        assert problem["detail"]
        return row.code


@dataclass
class Client:
    """One kept connection to the API, with a key."""

    host: str
    port: int
    key: str | None = None
    merchant_id: uuid.UUID | None = None
    _connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    def __call__(
        self, method: str, path: str, body: bytes | str | None = None, headers: Headers = ()
    ) -> Answer:
        """Send one request; `path` is below /api/v1 unless it starts with two slashes."""
        address = path[1:] if path.startswith("//") else f"/api/v1{path}"
        raw = body.encode() if isinstance(body, str) else body
        given = list(headers)
        if self.key and not any(name.lower() == "authorization" for name, _ in given):
            given.append(("Authorization", f"Api-Key {self.key}"))
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            self._connection.putrequest(method, address, skip_accept_encoding=True)
            for name, value in given:
                self._connection.putheader(name, value)
            if raw is not None:
                self._connection.putheader("Content-Length", str(len(raw)))
            self._connection.endheaders(raw)
            response = self._connection.getresponse()
            answer = Answer(
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                response.read(),
            )
            ends = method == "HEAD" or answer.status in {204, 304}
            if not (ends or _ENDS & answer.headers.keys()):
                raise http.client.IncompleteRead(answer.body)  # cut off in its headers
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        if answer.headers.get("connection") == "close":
            self.close()
        return answer

    def close(self) -> None:
        """Hang up."""
        if self._connection:
            self._connection.close()
        self._connection = None

    def get(self, path: str) -> Answer:
        """GET it."""
        return self("GET", path)

    def post(self, path: str, body: object, headers: Headers = ()) -> Answer:
        """POST something as JSON; bytes and text go out as they are."""
        raw = body if isinstance(body, bytes | str) else json.dumps(body)
        return self("POST", path, raw, [("Content-Type", "application/json"), *headers])

    def create(self, body: object, key: str | None = None) -> Answer:
        """Create a payout, under a new idempotency key unless one is given."""
        return self.post("/payouts/", body, [("Idempotency-Key", key or str(uuid.uuid4()))])

    def payout(self, amount: int = 100, **more: object) -> dict[str, Any]:
        """Create a payout that must succeed."""
        body = {"amount_paise": amount, "bank_account_id": "demo-bank-account", **more}
        answer = self.create(body)
        assert answer.status == 201, answer.body
        payout: dict[str, Any] = answer.json
        return payout

    def balance(self) -> tuple[int, int]:
        """Return what is available and held, in paise."""
        me = self.get("/me/").json
        return me["available_paise"], me["held_paise"]
