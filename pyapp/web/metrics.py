"""What Prometheus scrapes at `/metrics`: this process's requests, and the work under way.

https://prometheus.io/docs/practices/naming/. No label names a merchant, an id or a path as typed.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from pyapp import doors

_MEDIA: Final = "text/plain; version=0.0.4; charset=utf-8"
_METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST")
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
_READERS: Final = Gauge(
    "payrail_live_pages", "Pages open in a browser and fed live", registry=_REGISTRY
)
_OPEN: Final = Gauge(
    "payrail_open_payouts", "Payouts under way", labelnames=("status",), registry=_REGISTRY
)
_UNANSWERED: Final = Gauge(
    "payrail_unanswered_payouts", "Payouts whose outcome the bank left open", registry=_REGISTRY
)
_OVERDUE: Final = Gauge(
    "payrail_overdue_seconds", "How long the oldest due work has waited", registry=_REGISTRY
)


def count(method: str, route: str, status: int, seconds: float) -> None:
    """Count one request."""
    known = method if method in _METHODS else "other"
    _REQUESTS.labels(known, route, str(status)).observe(seconds)


async def show(request: Request) -> Response:
    """Answer a scrape."""
    found = await doors.open_payouts(request.app.state.db)
    for row in found:
        _OPEN.labels(row.status).set(row.payouts)
    _UNANSWERED.set(sum(row.unanswered for row in found))
    _OVERDUE.set(max((row.overdue_seconds for row in found), default=0))
    _READERS.set(request.app.state.hub.pages())
    return Response(generate_latest(_REGISTRY), media_type=_MEDIA)
