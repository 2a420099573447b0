"""Webhooks: everything arrives, signed, with the same id however often; nobody holds up others."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from pyapp.database import open_pool
from pyapp.jobs.deliver import Deliverer
from pyapp.jobs.post import open_post
from pyapp.keys import new_webhook_secret
from tests.conftest import Database
from tests.desk import Desk
from tests.receivers import Request, receiving, receiving_beside, saying
from tests.workers import until, working

CLOCK = """
CREATE OR REPLACE FUNCTION rail.clock() RETURNS timestamptz LANGUAGE sql VOLATILE
RETURN clock_timestamp() + coalesce(nullif(current_setting('test.later', TRUE), ''), '0')::interval
"""
SCHEDULE = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]  # seconds after the first


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    with Desk(database) as desk:
        desk.sql("payrail_owner", CLOCK, [])
        yield desk
        desk.sql(
            "payrail_owner",
            "CREATE OR REPLACE FUNCTION rail.clock() RETURNS timestamptz LANGUAGE sql VOLATILE"
            " RETURN clock_timestamp()",
            [],
        )
        assert desk.violations() == {}


def endpoint(desk: Desk, url: str, *types: str, secret: str | None = None) -> UUID:
    """Add a webhook endpoint."""
    (row,) = desk.call(
        *("payrail_api", "create_webhook_endpoint"),
        url=url,
        secret=secret or new_webhook_secret(),
        event_types=list(types or ("*",)),
    )
    found: UUID = row["endpoint_id"]
    return found


def state(desk: Desk, endpoint_id: UUID) -> dict[str, Any]:
    rows = desk.table("webhook_endpoints")
    (found,) = (row for row in rows if row["endpoint_id"] == endpoint_id)
    return found


def deliveries(desk: Desk, endpoint_id: UUID) -> list[dict[str, Any]]:
    rows = [row for row in desk.table("webhook_deliveries") if row["endpoint_id"] == endpoint_id]
    return sorted(rows, key=lambda row: int(row["seq"]))


def attempts(desk: Desk) -> list[dict[str, Any]]:
    return sorted(desk.table("webhook_attempts"), key=lambda row: str(row["attempt_id"]))


class Worker:
    """A deliverer whose time is `later` than it is."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def drain(self, later: timedelta = timedelta()) -> None:
        """Send all that is due."""
        async with AsyncExitStack() as stack:
            await (await self.start(stack, later)).drain()

    async def start(self, stack: AsyncExitStack, later: timedelta = timedelta()) -> Deliverer:
        options = f"-c test.later={later.total_seconds()}s"
        conninfo = self.desk.database.settings.conninfo("payrail_worker", options)
        db = await stack.enter_async_context(open_pool(conninfo, name="deliver", max_size=4))
        send = await stack.enter_async_context(open_post(loopback=True))
        return Deliverer(db, send, "me", asyncio.Event())


def test_what_arrives_is_signed_as_standard_webhooks_has_it(desk: Desk) -> None:
    secret = new_webhook_secret()

    async def run() -> None:
        async with receiving() as receiver:
            endpoint(desk, receiver.url, secret=secret)
            payout_id = desk.payout("settled")
            await Worker(desk).drain()
            assert receiver.types == ["payout.created", "payout.processing", "payout.settled"]
            for request in receiver.got:
                said = Webhook(secret).verify(request.body, request.headers)
                assert said["id"] == request.id
                assert said["data"]["id"] == str(payout_id)
                assert request.headers["content-type"] == "application/json"
                with pytest.raises(WebhookVerificationError):
                    Webhook(new_webhook_secret()).verify(request.body, request.headers)
                with pytest.raises(WebhookVerificationError):
                    Webhook(secret).verify(request.body + b" ", request.headers)
            listed = desk.sql(
                "payrail_api",
                "SELECT payrail.event_json(e)::text AS event FROM payrail.events e"
                " WHERE merchant_id = %(merchant_id)s AND payout_id IS NOT NULL ORDER BY seq",
            )
            assert [request.body.decode() for request in receiver.got] == [
                row["event"] for row in listed
            ]

    asyncio.run(run())


def test_while_a_secret_is_rolled_both_sign(desk: Desk) -> None:
    old, new = new_webhook_secret(), new_webhook_secret()

    async def run() -> None:
        async with receiving() as receiver:
            endpoint_id = endpoint(desk, receiver.url, secret=old)
            desk.call(
                *("payrail_api", "roll_webhook_secret"),
                endpoint_id=endpoint_id,
                secret=new,
                overlap=timedelta(hours=1),
            )
            desk.payout()
            await Worker(desk).drain()
            desk.payout()
            await Worker(desk).drain(timedelta(hours=2))
            during, after = receiver.got
            for secret in (old, new):
                Webhook(secret).verify(during.body, during.headers)
            Webhook(new).verify(after.body, after.headers)
            with pytest.raises(WebhookVerificationError):
                Webhook(old).verify(after.body, after.headers)

    asyncio.run(run())


def test_an_endpoint_gets_what_it_asked_for_from_then_on(desk: Desk) -> None:
    async def run() -> None:
        async with receiving() as some, receiving() as all_of_a_kind:
            desk.payout("settled")
            endpoint(desk, some.url, "payout.settled", "balance.credited")
            endpoint(desk, all_of_a_kind.url, "balance.*")
            desk.payout("settled")
            desk.payout("failed")
            desk.credit(1, "more")
            await Worker(desk).drain()
            assert some.types == ["payout.settled", "balance.credited"]
            assert all_of_a_kind.types == ["balance.credited"]

    asyncio.run(run())


def test_the_events_of_a_payout_arrive_in_their_order(desk: Desk) -> None:
    async def run() -> None:
        async with receiving() as receiver:
            endpoint(desk, receiver.url, "payout.*")
            made = [desk.payout("settled", 10) for _ in range(40)]
            await Worker(desk).drain()
            for payout_id in made:
                events = [one.event for one in receiver.got]
                own = [e["sequence"] for e in events if e["data"]["id"] == str(payout_id)]
                assert own == [1, 2, 3]
            assert len(receiver.got) == 120

    asyncio.run(run())


def test_what_fails_is_tried_for_a_day_and_then_the_endpoint_is_turned_off(
    desk: Desk,
) -> None:
    async def run() -> None:
        async with receiving(saying(500, "oops")) as receiver, receiving() as other:
            endpoint_id = endpoint(desk, receiver.url, "payout.*")
            endpoint(desk, other.url, "endpoint.*")
            desk.payout()
            await Worker(desk).drain()
            (first,) = deliveries(desk, endpoint_id)
            later = timedelta()
            for number, offset in enumerate(SCHEDULE, start=1):
                (waiting,) = deliveries(desk, endpoint_id)
                assert (waiting["status"], waiting["attempts"]) == ("pending", number)
                wait = (waiting["next_attempt_at"] - first["first_attempt_at"]).total_seconds()
                assert offset <= wait <= 1.1 * offset + 5
                await Worker(desk).drain(later)  # it is not time yet
                assert len(receiver.got) == number
                later = timedelta(seconds=wait + 1)
                await Worker(desk).drain(later)
                assert len(receiver.got) == number + 1
            assert len(set(receiver.ids)) == 1
            assert {(row["response_status"], row["body_head"]) for row in attempts(desk)[:10]} == {
                (500, "oops")
            }
            ended = state(desk, endpoint_id)
            assert (ended["status"], ended["disabled_reason"]) == ("disabled", "failing")
            await Worker(desk).drain(later)
            assert other.types == ["endpoint.disabled"]
            assert other.got[0].event["data"]["endpoint_id"] == str(endpoint_id)
            receiver.answer = saying(200)
            desk.call(
                *("payrail_api", "update_webhook_endpoint"), endpoint_id=endpoint_id, enabled=True
            )
            await Worker(desk).drain(later)
            assert [row["status"] for row in deliveries(desk, endpoint_id)] == ["delivered"]

    asyncio.run(run())


def test_a_receiver_that_was_down_for_an_hour_gets_everything_in_order(desk: Desk) -> None:
    async def run() -> None:
        async with receiving() as receiver:
            endpoint_id = endpoint(desk, receiver.url, "payout.*")
            desk.payout("settled", 10)
            await Worker(desk).drain()
            arrived = len(receiver.got)
            receiver.answer = saying(503)
            for minute in range(0, 60, 3):
                desk.payout("settled", 10)
                await Worker(desk).drain(timedelta(minutes=minute))
            assert state(desk, endpoint_id)["status"] == "failing"
            knocks = len(receiver.got) - arrived
            assert knocks < 60  # it is not hammered: 60 events waited
            receiver.got.clear()
            receiver.answer = saying(200)
            await Worker(desk).drain(timedelta(minutes=62))
            await Worker(desk).drain(timedelta(minutes=62))
            numbers = [request.event["number"] for request in receiver.got]
            wanted = [row["seq"] for row in deliveries(desk, endpoint_id)][arrived:]
            assert len(wanted) == 60
            assert sorted(numbers) == wanted
            assert {row["status"] for row in deliveries(desk, endpoint_id)} == {"delivered"}
            assert state(desk, endpoint_id)["status"] == "enabled"
            # but for the trial, which went first
            of_payouts: dict[str, list[int]] = {}
            for request in receiver.got[1:]:
                said = request.event
                of_payouts.setdefault(said["data"]["id"], []).append(said["sequence"])
            assert all(own == sorted(own) for own in of_payouts.values())

    asyncio.run(run())


def test_an_event_that_nobody_can_read_is_given_up_and_holds_up_no_other(desk: Desk) -> None:
    async def run() -> None:
        async with receiving() as receiver:
            endpoint_id = endpoint(desk, receiver.url, "payout.created")
            poison = desk.payout()

            async def picky(request: Request, writer: asyncio.StreamWriter) -> None:
                bad = request.event["data"]["id"] == str(poison)
                await saying(400 if bad else 200)(request, writer)

            receiver.answer = picky
            for hours in range(0, 30, 3):
                desk.payout(amount=10)
                await Worker(desk).drain(timedelta(hours=hours))
            found = deliveries(desk, endpoint_id)
            assert (found[0]["status"], found[0]["attempts"]) == ("failed", 10)
            assert {row["status"] for row in found[1:]} == {"delivered"}
            assert len(found) == 11
            assert state(desk, endpoint_id)["disabled_at"] is None

    asyncio.run(run())


def test_410_disables_at_once_and_enabling_goes_on_where_it_stopped(desk: Desk) -> None:
    async def run() -> None:
        async with receiving(saying(410)) as receiver:
            endpoint_id = endpoint(desk, receiver.url, "payout.*")
            desk.payout()
            await Worker(desk).drain()
            ended = state(desk, endpoint_id)
            assert (ended["status"], ended["disabled_reason"]) == ("disabled", "gone")
            desk.payout()
            await Worker(desk).drain()
            assert len(receiver.got) == 1
            receiver.answer = saying(204)
            desk.call(
                *("payrail_api", "update_webhook_endpoint"), endpoint_id=endpoint_id, enabled=True
            )
            await Worker(desk).drain()
            assert [row["status"] for row in deliveries(desk, endpoint_id)] == ["delivered"] * 2

    asyncio.run(run())


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_waited_for(desk: Desk, status: int) -> None:
    async def run() -> None:
        async with receiving(saying(status, Retry_After="120")) as receiver:
            endpoint_id = endpoint(desk, receiver.url, "payout.*")
            desk.payout()
            await Worker(desk).drain()
            desk.payout()
            await Worker(desk).drain(timedelta(seconds=100))  # nothing else is sent either
            assert len(receiver.got) == 1
            receiver.answer = saying(200)
            await Worker(desk).drain(timedelta(seconds=130))
            assert {row["status"] for row in deliveries(desk, endpoint_id)} == {"delivered"}

    asyncio.run(run())


@pytest.mark.parametrize("status", [199, 301, 302, 307, 308, 400, 404, 500, 503])
def test_only_2xx_is_success(desk: Desk, status: int) -> None:
    async def run() -> None:
        async with receiving(saying(status, Location="http://127.0.0.1:1/")) as receiver:
            endpoint_id = endpoint(desk, receiver.url)
            desk.payout()
            await Worker(desk).drain()
            (waiting,) = deliveries(desk, endpoint_id)
            assert waiting["status"] == "pending"

    asyncio.run(run())


def test_a_slow_endpoint_holds_up_no_other(desk: Desk) -> None:
    async def run() -> None:
        go = asyncio.Event()

        async def wait(request: Request, writer: asyncio.StreamWriter) -> None:
            await go.wait()
            await saying(200)(request, writer)

        async with receiving(wait) as slow, receiving() as quick, AsyncExitStack() as stack:
            for receiver in (slow, quick):
                endpoint(desk, receiver.url)
            for _ in range(10):
                desk.payout(amount=10)
            deliverer = await Worker(desk).start(stack)
            await deliverer.look()
            await soon(lambda: len(quick.got) == 10)
            await soon(lambda: len(slow.got) > 0)
            await deliverer.look()  # what is being served is not served twice
            go.set()
            await deliverer.drain()
            assert len(slow.got) == 10

    asyncio.run(run())


def test_two_workers_send_nothing_twice_and_keep_the_order(desk: Desk) -> None:
    async def run() -> None:
        async with receiving() as receiver, AsyncExitStack() as stack:
            endpoint(desk, receiver.url, "payout.*")
            workers = [await Worker(desk).start(stack) for _ in range(3)]
            for _ in range(25):
                desk.payout("settled", 10)
                await asyncio.gather(*(worker.look() for worker in workers))
            await asyncio.gather(*(worker.drain() for worker in workers))
            await Worker(desk).drain()
            assert len(receiver.got) == len(set(receiver.ids)) == 75
            of_payouts: dict[str, list[int]] = {}
            for request in receiver.got:
                said = request.event
                of_payouts.setdefault(said["data"]["id"], []).append(said["sequence"])
            assert {tuple(own) for own in of_payouts.values()} == {(1, 2, 3)}

    asyncio.run(run())


async def soon(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110  # servers that tell nobody
            await asyncio.sleep(0.01)


def test_a_worker_whose_lease_is_over_changes_nothing(desk: Desk) -> None:
    endpoint_id = endpoint(desk, "http://127.0.0.1:1/")
    desk.payout()

    def claim(later: str) -> list[dict[str, Any]]:
        desk.sql("payrail_worker", "SELECT set_config('test.later', %s, FALSE)", [later])
        return desk.call("payrail_worker", "claim_deliveries", endpoint_id=endpoint_id)

    def record(number: int) -> None:
        desk.sql(
            "payrail_worker",
            "SELECT payrail.record_deliveries(%s, %s, %s, ARRAY[ROW(%s, now(), TRUE, 200, '1 ms',"
            " NULL, NULL, NULL)::payrail.delivery_result])",
            [desk.merchant_id, endpoint_id, number, first["seq"]],
        )

    (first,) = claim("0")
    assert claim("59 seconds") == []
    (second,) = claim("61 seconds")
    assert second["event_id"] == first["event_id"]
    record(first["claim"])
    assert [row["status"] for row in deliveries(desk, endpoint_id)] == ["pending"]
    record(second["claim"])
    record(second["claim"])  # the answer was lost
    assert [row["status"] for row in deliveries(desk, endpoint_id)] == ["delivered"]
    assert len(attempts(desk)) == 1


KILLED = """
import os, signal
from datetime import timedelta
from pyapp import doors, settings
from pyapp.jobs import app, deliver
async def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
doors.record_deliveries = die
deliver.LEASE = timedelta(seconds=1)
app.run(settings.load())
"""


def test_a_worker_killed_between_send_and_mark_sends_again_with_the_same_id(
    desk: Desk, tmp_path: Path
) -> None:
    """K6."""
    env = {**desk.database.env, "WEBHOOK_LOOPBACK": "1"}
    with receiving_beside() as receiver:
        endpoint_id = endpoint(desk, receiver.url, "payout.created")  # not what a bank adds
        desk.payout()
        with working(env, tmp_path / "log", "-c", KILLED) as victim:
            assert victim.wait(60) == -signal.SIGKILL
        assert len(receiver.got) == 1
        assert attempts(desk) == []
        with working(env, tmp_path / "log"):
            until(lambda: deliveries(desk, endpoint_id)[0]["status"] == "delivered")
        assert len(receiver.got) == 2
        assert len(set(receiver.ids)) == 1
        assert receiver.got[0].body == receiver.got[1].body


def test_what_was_sent_is_sent_again_when_somebody_asks(desk: Desk) -> None:
    async def run() -> None:
        async with receiving() as receiver:
            endpoint_id = endpoint(desk, receiver.url, "payout.*")
            for _ in range(5):
                desk.payout(amount=10)
            desk.credit(1, "more")
            await Worker(desk).drain()
            before = receiver.ids
            numbers = [request.event["number"] for request in receiver.got]
            receiver.got.clear()

            async def replay(first: int, last: int) -> int:
                (row,) = desk.call(
                    *("payrail_api", "replay_events"),
                    **{"endpoint_id": endpoint_id, "from": first, "to": last},
                )
                await Worker(desk).drain()
                found: int = row["replay_events"]
                return found

            assert await replay(min(numbers), 9999) == 5
            assert receiver.ids == before
            receiver.got.clear()
            assert await replay(numbers[2], numbers[2]) == 1
            assert receiver.ids == [before[2]]
            # one that it did not ask for, or that was before it, by number only
            receiver.got.clear()
            assert await replay(1, 1) == 1
            assert receiver.types == ["balance.credited"]

    asyncio.run(run())


def test_a_test_goes_to_one_endpoint_only(desk: Desk) -> None:
    async def run() -> None:
        async with receiving() as receiver, receiving() as other:
            endpoint_id = endpoint(desk, receiver.url, "payout.settled")
            endpoint(desk, other.url)
            desk.call("payrail_api", "send_test_event", endpoint_id=endpoint_id)
            await Worker(desk).drain()
            assert receiver.types == ["endpoint.test"]
            assert other.got == []

    asyncio.run(run())


def test_what_can_not_be_stored_is_logged_as_far_as_it_can(desk: Desk) -> None:
    async def run() -> None:
        async with receiving(saying(500, "a\0b" + "x" * 5000)) as receiver:
            endpoint_id = endpoint(desk, receiver.url)
            desk.payout()
            await Worker(desk).drain()
            (said,) = attempts(desk)
            assert said["body_head"] == "a�b" + "x" * 1021
            assert deliveries(desk, endpoint_id)[0]["attempts"] == 1

    asyncio.run(run())


def test_nobody_is_sent_to_a_private_address(desk: Desk) -> None:
    async def run() -> None:
        async with receiving() as receiver, AsyncExitStack() as stack:
            endpoint(desk, receiver.url)
            desk.payout()
            conninfo = desk.database.settings.conninfo("payrail_worker")
            db = await stack.enter_async_context(open_pool(conninfo, name="deliver", max_size=4))
            send = await stack.enter_async_context(open_post(loopback=False))
            await Deliverer(db, send, "me", asyncio.Event()).drain()
            assert receiver.got == []
            (said,) = attempts(desk)
            assert said["error"] == "the name leads to an address that is not public"

    asyncio.run(run())
