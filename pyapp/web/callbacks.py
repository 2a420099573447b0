"""Where banks call back: a signed word is kept and makes the worker ask; it changes nothing."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from pyapp import doors
from pyapp.errors import Problem
from pyapp.rails.callbacks import ForgedError, verify
from pyapp.web import decode
from pyapp.web.route import PREFIX

PATH: Final = f"{PREFIX}/rails/sandbox/callbacks"
_CODES: Final = {"paid": "utr", "refused": "code", "returned": "code"}


class _Callback(Struct, frozen=True):
    """What the sandbox bank says (docs/sandbox.md); fields that are not known are only kept."""

    event_id: Annotated[str, Meta(min_length=1, max_length=255)]
    rail_ref: Annotated[str, Meta(min_length=1, max_length=255)]
    state: str
    utr: str | None = None
    code: str | None = None


class Sandbox:
    """Takes the callbacks of the sandbox bank."""

    def __init__(self, secret: str) -> None:
        self._secrets = [secret]

    async def __call__(self, request: Request) -> Response:
        """Keep one callback, once per event; what isn't signed is refused unread."""
        raw = await decode.raw(request)
        try:
            body = verify(request.headers, raw, self._secrets)
        except ForgedError as exc:
            raise Problem("callback_unverified", str(exc).capitalize()) from None
        notice = _notice(body)
        if notice.event_id != request.headers["webhook-id"]:
            raise Problem("callback_unverified", "Event_id is not the webhook-id that is signed")
        (received,) = await doors.receive_notices(request.app.state.db, "sandbox", [notice])
        answer = msgspec.json.encode({"effect": received.effect})
        return Response(answer, media_type="application/json")


def _notice(body: dict[str, Any]) -> doors.Notice:
    try:
        said = msgspec.convert(body, _Callback)
        decode.inspect(body)
    except (msgspec.ValidationError, ValueError, RecursionError) as exc:
        raise Problem("invalid_request", str(exc)) from None
    outcome = said.state if said.state in {*_CODES, "pending"} else "unknown"
    code = getattr(said, _CODES[outcome]) if outcome in _CODES else None
    return doors.Notice(said.event_id, said.rail_ref, outcome, code, None, body)
