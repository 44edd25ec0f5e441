"""However the bytes are cut into reads they mean the same, and no bytes at all crash or hang either side."""

from __future__ import annotations

import asyncio
import gzip
import re
import socket
import ssl
from collections.abc import Coroutine, Iterator
from itertools import pairwise
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.wire import Responder, ServerRequest, Timeouts, WireError
from proveout.wire.connection import ClientConnection
from proveout.wire.exchange import Exchange, Prepared
from proveout.wire.origin import Origin
from proveout.wire.pool import Pool
from proveout.wire.server import Limits, Server
from proveout.wire.server_connection import ServerConnection
from proveout.wire.urls import parse_url

THOROUGH = settings(max_examples=120, deadline=None, derandomize=True)
CUTS = st.lists(st.integers(0, 600), max_size=10)


@pytest.fixture(scope="module")
def run() -> Iterator[Any]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        def strictly(coroutine: Coroutine[Any, Any, Any]) -> Any:
            problems: list[dict[str, Any]] = []
            runner.get_loop().set_exception_handler(lambda _, context: problems.append(context))
            result = runner.run(asyncio.wait_for(coroutine, 5))
            assert problems == []
            return result

        yield strictly


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(edges)]


async def receive(pieces: list[bytes], method: str) -> tuple[Any, ...]:
    """What a client makes of these reads, followed by the end of the connection."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    pool = Pool(1, 30.0, 4096)
    await pool.take_or_permit()
    _, connection = await loop.create_connection(lambda: ClientConnection(pool, loop), sock=ours)
    pool.opened(connection)
    origin = Origin(parse_url("http://a/"), None, pool, ssl.create_default_context)
    prepared = Prepared(method, method, b"%b / HTTP/1.1\r\n" % method.encode(), origin, sends_length=False)
    exchange = Exchange(prepared, b"", Timeouts(total=None), 10_000)
    connection.begin(exchange)
    for piece in pieces:
        if not exchange.settled:
            connection.data_received(piece)
    theirs.shutdown(socket.SHUT_WR)
    try:
        response = await exchange
        return response.status, response.headers.items(), response.body
    except WireError as error:
        return (type(error),)
    finally:
        await pool.close()
        theirs.close()


FIELDS = st.lists(
    st.sampled_from(["x-a: 1", "x-a: 2", "set-cookie: a=b; c", "x-empty:", "x-space:  a b \t"]), max_size=4
)


@st.composite
def responses(draw: st.DrawFn) -> tuple[bytes, int, bytes]:
    """A valid response on the wire, with the status and the body that it stands for."""
    interim = draw(
        st.lists(st.sampled_from([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 x\r\nlink: a\r\n\r\n"]), max_size=2)
    )
    status = draw(st.sampled_from([200, 204, 304, 400, 429, 503]))
    body = draw(st.binary(max_size=200)) if status not in (204, 304) else b""
    lines = draw(FIELDS)
    sent = body
    if body and draw(st.booleans()):
        sent = gzip.compress(body)
        lines.append("content-encoding: gzip")
    framing = draw(st.sampled_from(["length", "chunked", "close"])) if status not in (204, 304) else "close"
    if framing == "length":
        lines.append(f"Content-Length: {len(sent)}")
    elif framing == "chunked":
        lines.append("Transfer-Encoding: Chunked")
        parts = [part for part in cut(sent, draw(CUTS)) if part]
        ends = draw(st.sampled_from([b"0\r\n\r\n", b"0\r\nx-trailer: 1\r\n\r\n", b"000;a=b\r\n\r\n"]))
        sent = b"".join(b"%X\r\n%b\r\n" % (len(part), part) for part in parts) + ends
    head = "\r\n".join([f"HTTP/1.1 {status} Reason", *lines, "", ""]).encode()
    return b"".join(interim) + head + sent, status, body


@THOROUGH
@given(responses(), CUTS)
def test_any_split_of_a_response_is_that_response(
    run: Any, response: tuple[bytes, int, bytes], places: list[int]
) -> None:
    data, status, body = response
    outcome = run(receive(cut(data, places), "GET"))
    assert (outcome[0], outcome[2]) == (status, body)
    assert outcome == run(receive([data], "GET"))


SCRAPS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n", b"\r\n", b"\n", b"content-length: 3\r\n", b"transfer-encoding: chunked\r\n", b"abc",
        b"3\r\nabc\r\n", b"0\r\n\r\n", b"content-encoding: gzip\r\n", b"connection: close\r\n", b": ", b"\0",
        b"x: y\r\n", b"HTTP/1.1 100 C\r\n\r\n", b"HTTP/1.1 204 N\r\n\r\n",
        b"HTTP/1.1 101 S\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"keep-alive: timeout=\r\n", b"keep-alive: timeout=99999999999\r\n", b"f" * 17,
    ]
)  # fmt: skip


@settings(THOROUGH, max_examples=200)
@given(st.lists(SCRAPS | st.binary(max_size=8), max_size=14).map(b"".join), CUTS, st.sampled_from(["GET", "HEAD"]))
def test_random_bytes_are_a_response_or_an_error_however_cut(
    run: Any, data: bytes, places: list[int], method: str
) -> None:
    assert run(receive(cut(data, places), method)) == run(receive([data], method))


@THOROUGH
@given(responses(), st.lists(st.tuples(st.integers(0, 500), st.binary(max_size=3)), min_size=1, max_size=3), CUTS)
def test_damaged_responses_are_read_the_same_however_cut(
    run: Any, response: tuple[bytes, int, bytes], damage: list[tuple[int, bytes]], places: list[int]
) -> None:
    data = response[0]
    for place, scrap in damage:
        at = place % (len(data) + 1)
        data = data[:at] + scrap + data[at + 1 :]
    assert run(receive(cut(data, places), "GET")) == run(receive([data], "GET"))


class Quiet(Server):
    """Collects what its connections are asked, without a listener."""

    def __init__(self, *, later: bool) -> None:
        self.seen: list[tuple[Any, ...]] = []

        def note(request: ServerRequest, responder: Responder) -> None:
            self.seen.append((request.method, request.path, request.query, request.headers.items(), request.body))
            responder.reply(200, body=b"ok")

        async def note_later(request: ServerRequest, responder: Responder) -> None:
            await asyncio.sleep(0)
            note(request, responder)

        super().__init__(note_later if later else note, Limits(head_bytes=4096, body_bytes=10_000))


async def converse(pieces: list[bytes], *, later: bool = False) -> tuple[list[tuple[Any, ...]], bytes]:
    """What a server makes of these reads: the requests that its handler saw, and all that it answered."""
    loop = asyncio.get_running_loop()
    server = Quiet(later=later)
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    transport, connection = await loop.create_connection(lambda: ServerConnection(server, loop), sock=ours)
    for piece in pieces:
        connection.data_received(piece)
    while server.tasks or connection._waiting:  # noqa: ASYNC110 (turns of the loop, not time, are waited for)
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    transport.close()
    answer = b""
    while data := await loop.sock_recv(theirs, 1 << 20):
        answer += data
    theirs.close()
    await server._wait_empty(5)
    assert not server.connections
    return server.seen, re.sub(rb"date: [^\r]*\r\n", b"", answer)


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, str, bytes]]]:
    """Pipelined requests on the wire, with what they stand for."""
    wire, meant = b"", []
    for number in range(draw(st.integers(1, 4))):
        body = draw(st.binary(max_size=60))
        lines = ["Host: a", *draw(FIELDS)]
        sent = body
        shape = draw(st.sampled_from(["length", "chunked", "expect", "upgrade"]))
        if shape == "chunked":
            lines.append("Transfer-Encoding: chunked")
            sent = (
                b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in cut(body, draw(CUTS)) if part) + b"0\r\n\r\n"
            )
        else:
            lines += [f"Content-Length: {len(body)}"]
            lines += {"expect": ["Expect: 100-continue"], "upgrade": ["Connection: upgrade", "Upgrade: h2c"]}.get(
                shape, []
            )
        wire += "\r\n".join([f"POST /{number} HTTP/1.1", *lines, "", ""]).encode() + sent
        meant.append(("POST", f"/{number}", body))
    return wire, meant


@THOROUGH
@given(requests(), CUTS, st.booleans())
def test_any_split_of_requests_is_those_requests(
    run: Any, request: tuple[bytes, list[tuple[str, str, bytes]]], places: list[int], later: bool
) -> None:
    wire, meant = request
    seen, answer = run(converse(cut(wire, places), later=later))
    assert [(method, path, body) for method, path, _, _, body in seen] == meant
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == len(meant)


REQUEST_SCRAPS = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n", b"POST /x?y HTTP/1.1\r\n", b"host: a\r\n", b"\r\n", b"\n",
        b"content-length: 3\r\n", b": ", b"\0",
        b"transfer-encoding: chunked\r\n", b"abc", b"3\r\nabc\r\n", b"0\r\n\r\n",
        b"expect: 100-continue\r\n", b"x: y\r\n",
        b"connection: upgrade\r\nupgrade: h2c\r\n", b"connection: close\r\n", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"HEAD / HTTP/1.0\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n",
    ]
)  # fmt: skip


@settings(THOROUGH, max_examples=200)
@given(st.lists(REQUEST_SCRAPS | st.binary(max_size=8), max_size=14).map(b"".join), CUTS)
def test_random_bytes_are_requests_or_a_refusal_however_cut(run: Any, data: bytes, places: list[int]) -> None:
    seen, answer = run(converse(cut(data, places)))
    assert (seen, answer) == run(converse([data]))
    statuses = re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert statuses.count(b"200") == len(seen)
    assert sum(status[:1] in (b"4", b"5") for status in statuses) <= 1
