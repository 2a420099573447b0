"""What Prometheus scrapes at `/metrics`: the requests, the work under way, the banks.

Where several processes serve, whichever is scraped tells what they have counted together.
Calls to banks are made by workers and counted in the database by the minute; the last whole minute
is one read however old the books are, and the same in every process. The audit reads everything, so
its last run counts: by `payrail audit`, or in the console.

https://prometheus.io/docs/practices/naming/. No label names a merchant, an id or a path as typed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from pyapp import doors
from pyapp.web import shown

Ask = TypeVar("Ask")
Told = TypeVar("Told")

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
    "payrail_live_pages",
    "Pages open in a browser and fed live",
    multiprocess_mode="livesum",
    registry=_REGISTRY,
)
# prometheus_client's own variable, which processes.py sets: then each process counts in a file
_COUNTED: Final[Collector] = (
    MultiProcessCollector(None)  # type: ignore[no-untyped-call]
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ
    else _REGISTRY
)


@dataclass(frozen=True, slots=True)
class _Scrape(Collector):
    """What the processes count, and what was found in the database just now."""

    found: Sequence[Metric]

    def collect(self) -> Iterator[Metric]:
        yield from _COUNTED.collect()
        yield from self.found


def count(method: str, route: str, status: int, seconds: float) -> None:
    """Count one request; a stream is as long as its reader looks, which is nobody's latency."""
    if route.endswith(_STREAMS):
        return
    _requests(method if method in _METHODS else "other", route, status).observe(seconds)


@cache
def _requests(method: str, route: str, status: int) -> Histogram:
    return _REQUESTS.labels(method, route, str(status))


def gathered(
    door: str, call: Callable[[Sequence[Ask]], Awaitable[Told]]
) -> Callable[[Sequence[Ask]], Awaitable[Told]]:
    """Return a call that is made for several requests, and counted."""

    def counted(asked: Sequence[Ask]) -> Awaitable[Told]:
        _GATHERED.labels(door).observe(len(asked))
        return call(asked)

    return counted


def reading() -> AbstractContextManager[object]:
    """Count a page that is open until the end of the block."""
    return _READERS.track_inprogress()


async def show(request: Request) -> Response:
    """Answer a scrape."""
    db = request.app.state.db
    payouts = await doors.open_payouts(db)
    batches = await doors.open_batches(db)
    calls = {(one.rail, one.action): one for one in await doors.rail_calls(db)}
    rails = await doors.rails(db)
    cases = {one.kind: one.cases for one in await doors.open_cases(db)}
    work = {(one.status,): one for one in await doors.webhook_work(db)}
    made = await doors.webhook_calls(db)
    audit = await doors.audit_state(db)
    found = [
        _gauge(
            *("payrail_open_payouts", "Payouts under way", ["status"]),
            {(row.status,): row.payouts for row in payouts},
        ),
        _gauge(
            *("payrail_open_batches", "Batches that are not over", ["status"]),
            {(row.status,): row.batches for row in batches},
        ),
        _gauge(
            "payrail_batch_lines_waiting",
            "Lines of batches that have not been answered",
            ["status"],
            {(row.status,): row.lines_waiting for row in batches},
        ),
        GaugeMetricFamily(
            "payrail_unanswered_payouts",
            "Payouts whose outcome the bank left open",
            sum(row.unanswered for row in payouts),
        ),
        GaugeMetricFamily(
            "payrail_overdue_seconds",
            "How long the oldest due work has waited",
            max((row.overdue_seconds for row in payouts), default=0),
        ),
        _gauge(
            "payrail_rail_calls",
            "Calls to a bank in the last whole minute",
            ["rail", "action"],
            {key: one.calls for key, one in calls.items()},
        ),
        _gauge(
            "payrail_rail_failed_calls",
            "Calls to a bank in the last whole minute that had no answer",
            ["rail", "action"],
            {key: one.failed for key, one in calls.items()},
        ),
        _gauge(
            "payrail_rail_instructions",
            "Instructions in the calls to a bank of the last whole minute:"
            " by their number, a call's batch",
            ["rail", "action"],
            {key: one.instructions for key, one in calls.items()},
        ),
        _gauge(
            "payrail_rail_seconds",
            "Seconds that the calls to a bank of the last whole minute took together",
            ["rail", "action"],
            {key: one.seconds for key, one in calls.items()},
        ),
        _gauge(
            "payrail_rail_breaker_open",
            "Whether nothing new is sent to a bank (1), or it is (0)",
            ["rail"],
            {(rail.rail,): rail.breaker == "open" for rail in rails},
        ),
        _gauge(
            *("payrail_open_cases", "Cases that people have to decide", ["kind"]),
            {(kind,): cases.get(kind, 0) for kind in shown.CASES},
        ),
        _gauge(
            *("payrail_webhook_endpoints", "Webhook endpoints", ["status"]),
            {key: one.endpoints for key, one in work.items()},
        ),
        _gauge(
            "payrail_webhook_waiting_events",
            "Events that wait for webhook endpoints",
            ["status"],
            {key: one.waiting for key, one in work.items()},
        ),
        _gauge(
            "payrail_webhook_waiting_seconds",
            "How long the oldest event has waited for a webhook endpoint",
            ["status"],
            {key: one.waiting_seconds for key, one in work.items()},
        ),
        _gauge(
            "payrail_webhook_attempts",
            "Attempts to deliver webhooks in the last whole minute",
            ["outcome"],
            {("delivered",): made.attempts - made.failed, ("failed",): made.failed},
        ),
        GaugeMetricFamily(
            "payrail_webhook_attempt_seconds",
            "Seconds that the attempts of the last whole minute took together",
            made.seconds,
        ),
        _gauge(
            "payrail_audit_violations",
            "Rows that broke an invariant when the audit was run last",
            ["invariant"],
            {(state.invariant,): state.violations for state in audit},
        ),
        GaugeMetricFamily(
            "payrail_audit_timestamp_seconds",
            "When the audit was run last; 0 is never",
            max((state.checked_at.timestamp() for state in audit), default=0),
        ),
    ]
    # by a thread: to add up what several processes have counted can take a tenth of a second
    body = await asyncio.to_thread(generate_latest, _Scrape(found))
    return Response(body, media_type=_MEDIA)


def _gauge(
    name: str, text: str, labels: Sequence[str], values: Mapping[tuple[str, ...], float]
) -> Metric:
    """Return what has these values now, by the values of its labels."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
