"""Sends the callbacks that the books keep, until they have arrived: at least once."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import httpx

from pyapp import log
from pyapp.bank.books import Books, Callback
from pyapp.rails.callbacks import sign

_AT_A_TIME: Final = 16
_TIMEOUT: Final = 5.0  # seconds for one callback
_GONE: Final = 410  # the receiver never wants it


class Outbox:
    """The sender; `url` is where callbacks go. Without it or a secret to sign with, none do."""

    def __init__(self, books: Books, url: str | None, secret: str | None) -> None:
        self._books = books
        self._url = url if secret else None
        self._secret = secret or ""
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Look again: there may be new callbacks."""
        self._news.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send as long as the context lasts."""
        if self._url is None:
            yield
            return
        async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
            task = asyncio.create_task(self._send_all(client, self._url))
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait({task})

    async def _send_all(self, client: httpx.AsyncClient, url: str) -> None:
        while True:
            self._news.clear()
            try:
                found, wait = self._books.due(_AT_A_TIME)
                if found:
                    by_ref = defaultdict[str, list[Callback]](list)
                    for callback in found:
                        by_ref[callback.rail_ref].append(callback)
                    groups = await asyncio.gather(
                        *(self._send_in_order(client, url, group) for group in by_ref.values())
                    )
                    self._books.told(item for group in groups for item in group)
                    continue
            except Exception as exc:  # noqa: BLE001  # the file may be full or locked for a while
                log.event("callbacks stuck", level=logging.ERROR, error=type(exc).__name__)
                wait = 1.0
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), wait)

    async def _send_in_order(
        self, client: httpx.AsyncClient, url: str, callbacks: Sequence[Callback]
    ) -> list[tuple[Callback, bool]]:
        """Send what is due for one reference, one after the other; return what has arrived."""
        return [(item, await self._send(client, url, item)) for item in callbacks]

    async def _send(self, client: httpx.AsyncClient, url: str, callback: Callback) -> bool:
        """Send one; return whether that is done with."""
        headers = sign(callback.event_id, callback.body, self._secret)
        try:
            async with (
                asyncio.timeout(_TIMEOUT),
                client.stream(
                    "POST",
                    url,
                    content=callback.body,
                    headers={"Content-Type": "application/json", **headers},
                ) as response,
            ):
                return response.is_success or response.status_code == _GONE
        except (httpx.HTTPError, TimeoutError):
            return False
