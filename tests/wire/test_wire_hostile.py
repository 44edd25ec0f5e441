"""Clients that cheat, stall, flood or break the rules: refused in time, and the server lives on."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from time import monotonic

import pytest
from wire_peers import ask, serving, until

from proveout.wire import Client, Limits, Responder, ServerRequest

POST = b"POST / HTTP/1.1\r\nhost: a\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"


class Recording:
    def __init__(self) -> None:
        self.paths: list[str] = []

    def __call__(self, request: ServerRequest, responder: Responder) -> None:
        self.paths.append(request.path)
        responder.reply(200)


@pytest.mark.parametrize(
    ("status", "request_bytes"),
    [
        (400, POST + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, POST + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n"),
        (400, POST + b"content-length: 0\r\ncontent-length: 40\r\n\r\n"),
        (400, POST + b"content-length: 0\r\ncontent-length: 0\r\n\r\n"),
        (400, POST + b"content-length: 0, 0\r\n\r\n"),
        (400, POST + b"content-length: +0\r\n\r\n"),
        (400, POST + b"content-length: -1\r\n\r\n"),
        (400, POST + b"content-length: 0x10\r\n\r\n"),
        (400, POST + b"content-length:\r\n\r\n"),
        (400, POST + b"content-length: 99999999999999999999\r\n\r\n"),
        (400, POST + b"content-length : 0\r\n\r\n"),
        (501, POST + b"transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, POST + b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n"),
        (501, POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        (501, POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
        (400, POST + b"transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n"),
        (400, POST + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n"),
        (400, b"POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, CHUNKED + b"0x0\r\n\r\n"),
        (400, CHUNKED + b"+0\r\n\r\n"),
        (400, CHUNKED + b" 0\r\n\r\n"),
        (400, CHUNKED + b"0 \r\n\r\n"),
        (400, CHUNKED + b"0\n\n"),
        (400, CHUNKED + b"1\r\nxx\r\n0\r\n\r\n"),
        (400, CHUNKED + b"1\r\nx0\r\n\r\n"),
        (400, CHUNKED + b"fffffffffffffffff\r\n"),
        (400, POST + b"x: a\r\n folded: b\r\n\r\n"),
        (400, POST + b"x: a\ncontent-length: 5\r\n\r\n"),
        (400, POST + b"x: a\rcontent-length: 5\r\n\r\n"),
        (400, POST + b"x: a\0b\r\n\r\n"),
        (400, POST + b"x\r\n\r\n"),
        (400, POST + b": x\r\n\r\n"),
        (400, b"POST / HTTP/1.1\r\nhost: a\n\n"),
        (400, b"GET / HTTP/1.1\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n host: a\r\n\r\n"),
        (400, b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n"),
        (400, b"GET / HTTP/1.1 \r\nhost: a\r\n\r\n"),
        (505, b"GET / HTTP/2.0\r\nhost: a\r\n\r\n"),
        (505, b"GET /\r\n\r\n"),
        (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        (400, b"no such thing\r\n\r\n"),
        (501, b"CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n"),
        (501, POST + b"connection: upgrade\r\nupgrade: h2c\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ],
)
async def test_a_shape_that_two_readers_may_read_differently_is_refused(status: int, request_bytes: bytes) -> None:
    app = Recording()
    async with serving(app) as server:
        answer = await ask(server.port, request_bytes + SMUGGLED)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert answer.count(b"date: ") == 1
        assert b"connection: close" in answer
        one_by_one = await ask(server.port, *[(request_bytes + SMUGGLED)[i : i + 20] for i in range(0, 300, 20)])
        assert one_by_one.startswith(b"HTTP/1.1 %d " % status)
        assert app.paths == []


async def test_a_refusal_waits_for_the_answers_before_it() -> None:
    async def slow(request: ServerRequest, responder: Responder) -> None:
        await asyncio.sleep(0.05)
        responder.reply(200)

    async with serving(slow) as server:
        answer = await ask(server.port, POST + b"content-length: 0\r\n\r\n" + b"garbage\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.count(b"HTTP/1.1 400 ") == 1


@pytest.mark.parametrize(
    "flood",
    [
        b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 5000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * 1000 + b"\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx" + b"y" * 5000,
        b"\r\n" * 3000,
        CHUNKED + b"0\r\n" + b"x: y\r\n" * 1000 + b"\r\n",
        CHUNKED + b"1;" + b"x" * 5000 + b"\r\na\r\n0\r\n\r\n",
    ],
)
async def test_a_head_over_the_limit_is_431(flood: bytes) -> None:
    async with serving(Recording(), limits=Limits(head_bytes=2048)) as server:
        pieces = [flood[i : i + 100] for i in range(0, len(flood), 100)]
        assert (await ask(server.port, *pieces, pause_s=0.0005)).startswith(b"HTTP/1.1 431 ")
        if flood.startswith(b"GET"):
            assert (await ask(server.port, flood)).startswith(b"HTTP/1.1 431 ")


async def test_a_body_over_the_limit_is_413_before_it_is_read() -> None:
    app = Recording()
    async with serving(app, limits=Limits(body_bytes=1000)) as server, Client() as client:
        url = f"http://127.0.0.1:{server.port}/"
        assert (await client.send("POST", url, body=bytes(1000))).status == 200
        assert (await client.send("POST", url, body=bytes(1001))).status == 413
        # The answer comes through although a large upload is under way and its rest is never read.
        assert (await client.send("POST", url, body=bytes(5_000_000))).status == 413
        chunks = b"1f4\r\n" + b"x" * 500 + b"\r\n"
        assert (await ask(server.port, CHUNKED + chunks * 3)).startswith(b"HTTP/1.1 413 ")
    assert app.paths == ["/"]


async def test_a_body_of_one_byte_chunks_costs_no_more_than_its_bytes() -> None:
    sizes: list[int] = []

    def app(request: ServerRequest, responder: Responder) -> None:
        sizes.append(len(request.body))
        responder.reply(200)

    async with serving(app, limits=Limits(body_bytes=10**6)) as server:
        body = b"2\r\nab\r\n" * 100_000 + b"0\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        tracemalloc.start()
        writer.write(CHUNKED + body)
        await writer.drain()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        writer.close()
    assert sizes == [200_000]
    assert peak < 4_000_000


@pytest.mark.parametrize(
    ("drops", "answer"),
    [
        (b"", b""),
        (b"GET / HT", b"HTTP/1.1 408 "),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: y", b"HTTP/1.1 408 "),
        (POST + b"content-length: 100\r\n\r\nabc", b"HTTP/1.1 408 "),
        (CHUNKED + b"5\r\nab", b"HTTP/1.1 408 "),
        (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"HTTP/1.1 200 "),
    ],
)
async def test_whoever_stalls_is_sent_away_in_time(drops: bytes, answer: bytes) -> None:
    limits = Limits(head_s=0.2, body_s=0.2, keep_alive_s=0.2)
    async with serving(Recording(), limits=limits) as server:
        started = monotonic()
        assert (await ask(server.port, drops)).startswith(answer)
        assert 0.15 < monotonic() - started < 3


async def test_a_slow_loris_is_not_kept_alive_by_its_drops() -> None:
    async with serving(Recording(), limits=Limits(head_s=0.3, body_s=0.3)) as server:
        started = monotonic()
        drops = [b"GET / HTTP/1.1\r\n", *[b"x: y\r\n"] * 12]
        assert (await ask(server.port, *drops, pause_s=0.05)).startswith(b"HTTP/1.1 408 ")
        drops = [POST + b"content-length: 100\r\n\r\n", *[b"x"] * 12]
        assert (await ask(server.port, *drops, pause_s=0.05)).startswith(b"HTTP/1.1 408 ")
        assert monotonic() - started < 5


async def test_a_handler_may_take_longer_than_any_limit() -> None:
    async def slow(request: ServerRequest, responder: Responder) -> None:
        await asyncio.sleep(0.5)
        responder.reply(200)

    limits = Limits(head_s=0.1, body_s=0.1, keep_alive_s=0.1, write_s=0.1)
    async with serving(slow, limits=limits) as server, Client() as client:
        assert (await client.send("GET", f"http://127.0.0.1:{server.port}/")).status == 200


async def test_a_client_that_takes_nothing_is_cut_and_its_handler_cancelled() -> None:
    async def endless(request: ServerRequest, responder: Responder) -> None:
        responder.start(200)
        while True:
            responder.write(bytes(100_000))
            await responder.drain()

    async with serving(endless, limits=Limits(write_s=0.3)) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1000)
        writer.transport.pause_reading()
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await until(lambda: server.tasks, "the handler to start")
        await until(lambda: not server.tasks and not server.connections, "the client to be cut")
        writer.transport.abort()


async def test_a_client_that_takes_nothing_of_a_last_answer_is_cut() -> None:
    def app(request: ServerRequest, responder: Responder) -> None:
        responder.reply(200, body=bytes(20_000_000))

    async with serving(app, limits=Limits(write_s=0.3)) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1000)
        writer.transport.pause_reading()
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        await until(lambda: server.connections, "the connection")
        await until(lambda: not server.connections, "the client to be cut")
        writer.transport.abort()


async def test_a_slow_reader_that_makes_progress_is_not_cut() -> None:
    size = 12_000_000

    def app(request: ServerRequest, responder: Responder) -> None:
        responder.reply(200, body=bytes(size))

    async with serving(app, limits=Limits(write_s=0.4)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        received, started = 0, monotonic()
        while data := await reader.read(100_000):
            received += len(data)
            await asyncio.sleep(0.01)
        assert received == size
        assert monotonic() - started > 0.8  # Twice the limit.
        writer.close()


async def test_no_more_connections_than_allowed() -> None:
    async with serving(Recording(), limits=Limits(connections=2)) as server, Client() as client:
        held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        await until(lambda: len(server.connections) == 2, "two connections")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        for _, other in held:
            other.close()
        await until(lambda: not server.connections, "the places to be free")
        assert (await client.send("GET", f"http://127.0.0.1:{server.port}/")).status == 200


async def test_a_client_that_leaves_in_the_middle_of_its_request_leaves_nothing_behind() -> None:
    app = Recording()
    async with serving(app) as server:
        for part in (b"", b"GET / HT", POST + b"content-length: 10\r\n\r\nabc", CHUNKED + b"5\r\nab"):
            for abort in (False, True):
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(part)
                await until(lambda: server.connections, "the connection")
                if abort:
                    writer.transport.abort()
                else:
                    writer.close()
                await until(lambda: not server.connections, "the connection to be forgotten")
    assert app.paths == []
