"""Requests to strangers: only to public addresses, to no other than the one looked at, bounded."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

import httpcore
import pytest

from pyapp.jobs import post
from pyapp.jobs.post import Post, RefusedError, Resolve, is_public, open_post
from tests.receivers import Receiver, Request, receiving, saying

T = TypeVar("T")

PUBLIC = ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
PRIVATE = [
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::808:808",
    "2002:7f00:1::",
    "2002:808:808::",
    "2001:0:808:808::",
    "2001:db8::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


def sending(
    do: Callable[[Post], Awaitable[T]], resolve: Resolve | None = None, *, loopback: bool = True
) -> T:
    """Do something with a Post whose names are resolved by `resolve`."""

    async def run() -> T:
        given = {} if resolve is None else {"resolve": resolve}
        async with open_post(loopback=loopback, **given) as opened:
            return await do(opened)

    return asyncio.run(run())


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_that_leads_inside_is_refused_before_anything_is_sent(address: str) -> None:
    with pytest.raises(RefusedError, match="not public"):
        sending(
            lambda send: send("http://evil.example/", {}, b"x"),
            lambda *_: [address],
            loopback=False,
        )


def test_one_bad_address_spoils_the_good_ones() -> None:
    with pytest.raises(RefusedError, match="not public"):
        sending(
            lambda send: send("http://evil.example/", {}, b"x"),
            lambda *_: ["8.8.8.8", "::ffff:10.0.0.1"],
            loopback=False,
        )


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:7f00:1]", "localhost", "2130706433", "0x7f.1", "0"]
)
def test_an_address_of_this_machine_is_refused_however_it_is_written(host: str) -> None:
    async def knock(send: Post) -> None:
        async with receiving() as receiver:
            with pytest.raises(RefusedError):
                await send(f"http://{host}:{receiver.port}/", {}, b"x")
            assert receiver.got == []

    sending(knock, loopback=False)


def test_a_name_that_changes_its_mind_gains_nothing() -> None:
    """What was looked at is what is connected to; the next connection looks again."""
    answers = [["127.0.0.1"], ["10.0.0.1"]]
    asked: list[str] = []

    def resolve(host: str, _: int) -> list[str]:
        asked.append(host)
        return answers[len(asked) - 1]

    async def knock(send: Post) -> None:
        async with receiving() as receiver:
            url = f"http://rebinding.example:{receiver.port}/"
            assert (await send(url, {}, b"x")).status == 200
            assert asked == ["rebinding.example"]
            assert receiver.got[0].headers["host"] == f"rebinding.example:{receiver.port}"
            with pytest.raises(RefusedError, match="not public"):
                await send(url, {}, b"x")
            assert len(receiver.got) == 1

    sending(knock, resolve)


def test_a_name_that_nobody_knows() -> None:
    def resolve(*_: object) -> list[str]:
        raise OSError

    with pytest.raises(RefusedError, match="resolved"):
        sending(lambda send: send("http://nowhere.example/", {}, b"x"), resolve)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="it makes the certificate")
def test_a_certificate_is_of_the_name_whatever_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    names = ["-subj", "/CN=shop.example", "-addext", "subjectAltName=DNS:shop.example"]
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run(
        ["openssl", *made, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async def knock(send: Post) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        async with receiving(tls=context) as receiver:
            said = await send(f"https://shop.example:{receiver.port}/", {}, b"x")
            assert said.status == 200
            with pytest.raises(httpcore.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await send(f"https://other.example:{receiver.port}/", {}, b"x")
            assert len(receiver.got) == 1

    sending(knock, lambda *_: ["127.0.0.1"])


def test_a_redirect_is_an_answer_and_not_an_order() -> None:
    async def knock(send: Post) -> None:
        async with receiving() as inside, receiving() as receiver:
            receiver.answer = saying(307, location=inside.url)
            assert (await send(receiver.url, {}, b"x")).status == 307
            assert inside.got == []

    sending(knock)


def test_an_endless_body_is_not_read() -> None:
    """Ten gigabytes would be sent, if somebody took them."""
    chunk, most = b"x" * 2**20, 10 * 2**10
    sent: list[int] = []

    async def pour(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (most * len(chunk)))
        for number in range(most):
            writer.write(chunk)
            await writer.drain()
            sent.append(number)

    async def knock(send: Post) -> None:
        async with receiving(pour) as receiver:
            said = await send(receiver.url, {}, b"x")
            assert (said.status, said.head) == (200, b"x" * post.HEAD)

    sending(knock)
    assert len(sent) < most / 10


def test_an_endless_head_is_not_read() -> None:
    sent: list[int] = []

    async def pour(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(10_000):
            writer.write(b"X-More: " + b"x" * 2**20 + b"\r\n")
            await writer.drain()
            sent.append(number)

    async def knock(send: Post) -> None:
        async with receiving(pour) as receiver:
            with pytest.raises(httpcore.RemoteProtocolError):
                await send(receiver.url, {}, b"x")

    sending(knock)
    assert len(sent) < 100


def test_nothing_is_unpacked() -> None:
    bomb = gzip.compress(b"0" * 10**7)

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
        writer.write(head.encode() + bomb)
        await writer.drain()

    async def knock(send: Post) -> None:
        async with receiving(answer) as receiver:
            assert (await send(receiver.url, {}, b"x")).head == bomb[: post.HEAD]

    sending(knock)


@pytest.mark.parametrize(
    "drip", [b"H", b"HTTP/1.1 200 OK\r\nX-A: b\r\n", b"HTTP/1.1 100 C\r\n\r\n"]
)
def test_an_answer_that_drips_in_ends_with_the_deadline(
    drip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post, "DEADLINE", 0.5)

    async def trickle(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(drip)
        while not writer.is_closing():
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(b"X-More: 1\r\n" if b"\r\n" in drip and b"100" not in drip else drip)

    async def knock(send: Post) -> None:
        async with receiving(trickle) as receiver:
            with pytest.raises((TimeoutError, httpcore.RemoteProtocolError)):
                await send(receiver.url, {}, b"x")

    sending(knock)


def test_a_status_counts_however_slowly_its_body_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "_LINGER", 0.2)

    async def trickle(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nthanks")
        await writer.drain()
        while not writer.is_closing():
            await asyncio.sleep(0.05)
            writer.write(b".")
            await writer.drain()

    async def knock(send: Post) -> None:
        async with receiving(trickle) as receiver:
            said = await send(receiver.url, {}, b"x")
            assert said.status == 200
            assert said.head.startswith(b"thanks")

    sending(knock)


def test_a_name_that_hangs_holds_up_no_other() -> None:
    asked: list[str] = []
    released = asyncio.Event

    async def knock(send: Post) -> Receiver:
        loop = asyncio.get_running_loop()
        go = released()
        hanging = asyncio.Event()

        def resolve_slowly() -> None:
            loop.call_soon_threadsafe(hanging.set)
            asyncio.run_coroutine_threadsafe(go.wait(), loop).result()

        hang.append(resolve_slowly)
        async with receiving() as receiver:
            slow = [
                asyncio.create_task(send(f"http://slow.example:{receiver.port}/", {}, b"x"))
                for _ in range(80)
            ]
            await hanging.wait()
            quick = await send(f"http://quick.example:{receiver.port}/", {}, b"x")
            assert quick.status == 200
            go.set()
            assert {said.status for said in await asyncio.gather(*slow)} == {200}
            return receiver

    hang: list[Callable[[], None]] = []

    def resolve(host: str, _: int) -> list[str]:
        asked.append(host)
        if host == "slow.example":
            hang[0]()
        return ["127.0.0.1"]

    sending(knock, resolve)
    assert asked.count("slow.example") == 1
