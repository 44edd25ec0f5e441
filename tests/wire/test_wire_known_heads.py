"""A request head that comes again is not parsed again, and nobody can tell."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_peers import ask, serving

from proveout.wire import Limits, Responder, ServerRequest
from proveout.wire.headers import Headers
from proveout.wire.known_head import KnownHead

HEAD = b"POST /x HTTP/1.1\r\nhost: a\r\nContent-Length: 5\r\nx-b: c\r\n\r\n"


def known() -> KnownHead:
    fields = [(b"host", b"a"), (b"content-length", b"5"), (b"x-b", b"c")]
    head = KnownHead.of(HEAD + b"hello", Headers(fields), b"/x", "POST", old=False, keep_alive=True)
    assert head is not None
    return head


def test_the_same_head_with_another_length_is_known() -> None:
    for length in (5, 17, 123_456_789, 5):
        head = HEAD.replace(b" 5", b" %d" % length)
        found = known().found_in(head + b"body")
        assert found is not None
        assert (found.end, found.length) == (len(head), length)
        assert found.headers["content-length"] == str(length)
        assert found.headers["x-b"] == "c"


def test_what_was_looked_up_in_one_head_is_not_said_of_the_next() -> None:
    head = known()
    for length in (7, 12, 3):
        found = head.found_in(HEAD.replace(b" 5", b" %d" % length))
        assert found is not None
        assert found.headers.firsts((b"content-length", b"x-b", b"x-c")) == (b"%d" % length, b"c", None)
        assert found.headers.first(b"content-length") == b"%d" % length


@pytest.mark.parametrize(
    "head",
    [
        HEAD[:-1],
        HEAD[:20],
        HEAD.replace(b"/x", b"/y"),
        HEAD.replace(b"x-b: c", b"x-b: d"),
        HEAD.replace(b"x-b: c", b"x-b: c\r\ncontent-length: 9"),
        HEAD.replace(b" 5", b" 5, 5"),
        HEAD.replace(b" 5", b" +5"),
        HEAD.replace(b" 5", b" -5"),
        HEAD.replace(b" 5", b" 0"),
        HEAD.replace(b" 5", b" "),
        HEAD.replace(b" 5", b"  5"),
        HEAD.replace(b" 5", b" 5 "),
        HEAD.replace(b" 5", b" 0x5"),
        HEAD.replace(b" 5", b" \xb2"),
        HEAD.replace(b" 5", b" 1234567890"),
        HEAD.replace(b" 5\r\n", b" 5\n"),
        HEAD.replace(b" 5", b" 5\r\ntransfer-encoding: chunked"),
    ],
)
def test_any_other_difference_is_the_parsers_to_judge(head: bytes) -> None:
    assert known().found_in(head + b"hello") is None


class Seen:
    def __init__(self) -> None:
        self.requests: list[tuple[object, ...]] = []

    def __call__(self, request: ServerRequest, responder: Responder) -> None:
        self.requests.append((request.method, request.path, request.query, request.headers.items(), request.body))
        responder.reply(200, body=b"%d" % len(request.body))


VARIED = st.tuples(
    st.sampled_from([b"/v1", b"/v1?q=1", b"/other"]),
    st.sampled_from([b"", b"x-id: 1\r\n", b"x-id: 2\r\n", b"expect: 100-continue\r\n", b"connection: keep-alive\r\n"]),
    st.binary(max_size=80),
)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(VARIED, min_size=2, max_size=6), st.integers(0, 60))
def test_requests_on_one_connection_are_what_they_are_on_their_own(
    asked: list[tuple[bytes, bytes, bytes]], cut: int
) -> None:
    """Each in one read, or cut into two; then all of them at once."""
    wires = [
        b"POST %b HTTP/1.1\r\nhost: a\r\n%bcontent-length: %d\r\n\r\n%b" % (path, line, len(body), body)
        for path, line, body in asked
    ]

    async def told(*pieces: bytes) -> list[tuple[object, ...]]:
        app = Seen()
        async with serving(app) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.001)
            writer.write_eof()
            await reader.read()
            writer.close()
        return app.requests

    async def all_ways() -> None:
        alone = [request for wire in wires for request in await told(wire)]
        assert await told(*wires) == alone
        assert await told(*[part for wire in wires for part in (wire[:cut], wire[cut:]) if part]) == alone
        assert await told(b"".join(wires)) == alone

    asyncio.run(all_ways())


async def test_a_known_head_does_not_lift_the_limit_of_a_body() -> None:
    app = Seen()
    request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n"
    async with serving(app, limits=Limits(body_bytes=100)) as server:
        answer = await ask(server.port, request % 5 + b"hello", request % 101 + bytes(101), pause_s=0.05)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answer) == [b"200", b"413"]
    assert len(app.requests) == 1


async def test_the_rest_of_a_body_after_a_known_head_must_come_in_time() -> None:
    request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n"
    async with serving(Seen(), limits=Limits(body_s=0.2)) as server:
        answer = await ask(server.port, request + b"hello", request + b"he", pause_s=0.05)
    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert answer.count(b"HTTP/1.1 408 ") == 1
