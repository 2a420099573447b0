"""One POST to an address that a stranger gave us, which may be anything but harmless.

The name is resolved once per connection, an address that is not public ends it there, and what was
looked at is what is connected to: a name that means something else a moment later gains nothing.
Nothing is followed, unpacked or waited for beyond one deadline, and of the answer's body only the
head is read.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

import httpcore
from httpcore import AnyIOBackend, AsyncNetworkBackend, AsyncNetworkStream

DEADLINE: Final = 15.0  # seconds for all of it, from the name to the head of the answer
HEAD: Final = 1024  # bytes of the body that are kept
_LINGER: Final = 2.0  # seconds to wait for them, once the status is known
_CONNECTIONS: Final = 512
_IDLE: Final = 10.0  # seconds that a connection is kept
_LOOKUPS: Final = 64  # names resolved at a time
_UNICAST: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], list[str]]


class RefusedError(Exception):
    """Nothing was sent: the name has no address, or one that webhooks may not go to."""


@dataclass(frozen=True, slots=True)
class Said:
    """What came back."""

    status: int
    retry_after: str | None
    head: bytes


def is_public(address: Address) -> bool:
    """Whether an address is one of the internet's, also where an IPv6 one has another inside."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        if address not in _UNICAST or address.sixtofour or address.teredo:
            return False
    return address.is_global and not address.is_multicast


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _Guard(AsyncNetworkBackend):
    """Connects to public addresses only; with `loopback`, to this machine as well."""

    def __init__(self, resolve: Resolve, *, loopback: bool) -> None:
        self._resolve = resolve
        self._loopback = loopback
        self._inner = AnyIOBackend()
        # of its own: names that hang hold up nothing else; and one look-up per name at a time
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="resolve")
        self._asked: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        """Connect to the first address that answers, after looking at all of them."""
        addresses = await self._ask(host.strip("[]"), port)
        failure: Exception = RefusedError("the name has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except httpcore.ConnectError as exc:
                failure = exc
        raise failure

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._inner.sleep(seconds)

    def close(self) -> None:
        """Don't wait for names that hang."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, host: str, port: int) -> list[str]:
        """Return a name's addresses; one that is not allowed spoils them all."""
        if (host, port) not in self._asked:
            loop = asyncio.get_running_loop()
            asked = loop.run_in_executor(self._threads, self._resolve, host, port)
            self._asked[host, port] = asked
            asked.add_done_callback(lambda done: self._forget(host, port, done))
        try:
            found = await asyncio.shield(self._asked[host, port])
        except (OSError, UnicodeError):
            message = "the name could not be resolved"
            raise RefusedError(message) from None
        for address in map(ip_address, found):
            if not (is_public(address) or (self._loopback and address.is_loopback)):
                message = "the name leads to an address that is not public"
                raise RefusedError(message)
        return found

    def _forget(self, host: str, port: int, done: asyncio.Future[list[str]]) -> None:
        del self._asked[host, port]
        if not done.cancelled():
            done.exception()  # whoever asked may have gone: somebody has looked at it


@dataclass(frozen=True, slots=True)
class Post:
    """Sends; see `open_post`."""

    pool: httpcore.AsyncConnectionPool

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Said:
        """Send one request; RefusedError, TimeoutError or httpcore's errors if there is no answer.

        An answer counts as soon as its status is there.
        """
        head = bytearray()
        async with asyncio.timeout(DEADLINE) as deadline:
            request = self.pool.stream("POST", url, headers=[*headers.items()], content=body)
            async with request as response:
                deadline.reschedule(asyncio.get_running_loop().time() + 2 * _LINGER)
                with suppress(TimeoutError, httpcore.NetworkError, httpcore.ProtocolError):
                    async with asyncio.timeout(_LINGER):
                        async for chunk in response.aiter_stream():
                            head += chunk
                            if len(head) >= HEAD:
                                break
                given = {name.lower(): value for name, value in response.headers}
        after = given.get(b"retry-after")
        text = after.decode("latin-1") if after is not None else None
        return Said(response.status, text, bytes(head[:HEAD]))


@asynccontextmanager
async def open_post(*, loopback: bool, resolve: Resolve = _look_up) -> AsyncIterator[Post]:
    """Open connections to the world; `loopback` lets requests reach this machine as well."""
    guard = _Guard(resolve, loopback=loopback)
    try:
        async with httpcore.AsyncConnectionPool(
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_CONNECTIONS // 4,
            keepalive_expiry=_IDLE,
            http1=True,
            http2=False,
            network_backend=guard,
        ) as pool:
            yield Post(pool)
    finally:
        guard.close()
