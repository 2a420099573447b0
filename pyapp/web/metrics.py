"""What Prometheus scrapes at `/metrics`: this process's requests, the work under way, the banks.

Calls to banks are made by workers and counted in the database by the minute; the last whole minute
is one read however old the books are, and the same in every process. The audit reads everything, so
its last run counts: by `payrail audit`, or in the console.

https://prometheus.io/docs/practices/naming/. No label names a merchant, an id or a path as typed.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from pyapp import doors
from pyapp.web import shown

_MEDIA: Final = "text/plain; version=0.0.4; charset=utf-8"
_METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST")
_STREAMS: Final = ("/live", "/stream")
_REGISTRY: Final = CollectorRegistry()
_REQUESTS: Final = Histogram(
    *(
        "payrail_http_request_seconds",
        "Requests by route, method and status, and how long they took",
    ),
    labelnames=("method", "route", "status"),
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
    registry=_REGISTRY,
)
_GATHERED: Final = Histogram(
    "payrail_gathered_requests",
    "Requests that went to the database in one call",
    labelnames=("door",),
    buckets=(1, 2, 5, 10, 20, 50, 100),
    registry=_REGISTRY,
)
_READERS: Final = Gauge(
    "payrail_live_pages", "Pages open in a browser and fed live", registry=_REGISTRY
)
_OPEN: Final = Gauge(
    "payrail_open_payouts", "Payouts under way", labelnames=("status",), registry=_REGISTRY
)
_BATCHES: Final = Gauge(
    "payrail_open_batches", "Batches that are not over", labelnames=("status",), registry=_REGISTRY
)
_LINES: Final = Gauge(
    "payrail_batch_lines_waiting",
    "Lines of batches that have not been answered",
    labelnames=("status",),
    registry=_REGISTRY,
)
_UNANSWERED: Final = Gauge(
    "payrail_unanswered_payouts", "Payouts whose outcome the bank left open", registry=_REGISTRY
)
_OVERDUE: Final = Gauge(
    "payrail_overdue_seconds", "How long the oldest due work has waited", registry=_REGISTRY
)
_CALLS: Final = Gauge(
    "payrail_rail_calls",
    "Calls to a bank in the last whole minute",
    labelnames=("rail", "action"),
    registry=_REGISTRY,
)
_FAILED: Final = Gauge(
    "payrail_rail_failed_calls",
    "Calls to a bank in the last whole minute that had no answer",
    labelnames=("rail", "action"),
    registry=_REGISTRY,
)
_INSTRUCTIONS: Final = Gauge(
    "payrail_rail_instructions",
    "Instructions in the calls to a bank of the last whole minute: by their number, a call's batch",
    labelnames=("rail", "action"),
    registry=_REGISTRY,
)
_BUSY: Final = Gauge(
    "payrail_rail_seconds",
    "Seconds that the calls to a bank of the last whole minute took together",
    labelnames=("rail", "action"),
    registry=_REGISTRY,
)
_BREAKER: Final = Gauge(
    "payrail_rail_breaker_open",
    "Whether nothing new is sent to a bank (1), or it is (0)",
    labelnames=("rail",),
    registry=_REGISTRY,
)
_CASES: Final = Gauge(
    "payrail_open_cases",
    "Cases that people have to decide",
    labelnames=("kind",),
    registry=_REGISTRY,
)
_ENDPOINTS: Final = Gauge(
    "payrail_webhook_endpoints", "Webhook endpoints", labelnames=("status",), registry=_REGISTRY
)
_WAITING: Final = Gauge(
    "payrail_webhook_waiting_events",
    "Events that wait for webhook endpoints",
    labelnames=("status",),
    registry=_REGISTRY,
)
_WAITED: Final = Gauge(
    "payrail_webhook_waiting_seconds",
    "How long the oldest event has waited for a webhook endpoint",
    labelnames=("status",),
    registry=_REGISTRY,
)
_ATTEMPTS: Final = Gauge(
    "payrail_webhook_attempts",
    "Attempts to deliver webhooks in the last whole minute",
    labelnames=("outcome",),
    registry=_REGISTRY,
)
_TOOK: Final = Gauge(
    "payrail_webhook_attempt_seconds",
    "Seconds that the attempts of the last whole minute took together",
    registry=_REGISTRY,
)
_VIOLATIONS: Final = Gauge(
    "payrail_audit_violations",
    "Rows that broke an invariant when the audit was run last",
    labelnames=("invariant",),
    registry=_REGISTRY,
)
_AUDITED: Final = Gauge(
    "payrail_audit_timestamp_seconds", "When the audit was run last; 0 is never", registry=_REGISTRY
)


def count(method: str, route: str, status: int, seconds: float) -> None:
    """Count one request; a stream is as long as its reader looks, which is nobody's latency."""
    if route.endswith(_STREAMS):
        return
    known = method if method in _METHODS else "other"
    _REQUESTS.labels(known, route, str(status)).observe(seconds)


def gathered(door: str, requests: int) -> None:
    """Count one call that was made for several requests."""
    _GATHERED.labels(door).observe(requests)


async def show(request: Request) -> Response:
    """Answer a scrape."""
    db = request.app.state.db
    found = await doors.open_payouts(db)
    for row in found:
        _OPEN.labels(row.status).set(row.payouts)
    _UNANSWERED.set(sum(row.unanswered for row in found))
    _OVERDUE.set(max((row.overdue_seconds for row in found), default=0))
    for some in await doors.open_batches(db):
        _BATCHES.labels(some.status).set(some.batches)
        _LINES.labels(some.status).set(some.lines_waiting)
    for calls in await doors.rail_calls(db):
        _CALLS.labels(calls.rail, calls.action).set(calls.calls)
        _FAILED.labels(calls.rail, calls.action).set(calls.failed)
        _INSTRUCTIONS.labels(calls.rail, calls.action).set(calls.instructions)
        _BUSY.labels(calls.rail, calls.action).set(calls.seconds)
    for rail in await doors.rails(db):
        _BREAKER.labels(rail.rail).set(rail.breaker == "open")
    cases = {one.kind: one.cases for one in await doors.open_cases(db)}
    for kind in shown.CASES:
        _CASES.labels(kind).set(cases.get(kind, 0))
    for work in await doors.webhook_work(db):
        _ENDPOINTS.labels(work.status).set(work.endpoints)
        _WAITING.labels(work.status).set(work.waiting)
        _WAITED.labels(work.status).set(work.waiting_seconds)
    made = await doors.webhook_calls(db)
    _ATTEMPTS.labels("delivered").set(made.attempts - made.failed)
    _ATTEMPTS.labels("failed").set(made.failed)
    _TOOK.set(made.seconds)
    for state in await doors.audit_state(db):
        _VIOLATIONS.labels(state.invariant).set(state.violations)
        _AUDITED.set(state.checked_at.timestamp())
    _READERS.set(request.app.state.hub.pages())
    return Response(generate_latest(_REGISTRY), media_type=_MEDIA)
