"""What the server promises a handler and a well-behaved client."""

from __future__ import annotations

import asyncio
import logging
import re

import pytest
from wire_peers import ask, serving, until

from proveout.wire import Client, ConnectionCut, Limits, Responder, ServerRequest, Timeouts, encode_event, serve

CLOSE = b"connection: close\r\n\r\n"
GET = b"GET /%b HTTP/1.1\r\nhost: a\r\n"


def url_of(server: object, path: str = "/") -> str:
    return f"http://127.0.0.1:{server.port}{path}"  # type: ignore[attr-defined]


async def echo(request: ServerRequest, responder: Responder) -> None:
    responder.reply(200, [("x-method", request.method)], request.path.encode() + b"|" + request.body)


def bodies(answer: bytes) -> list[bytes]:
    """The bodies of pipelined responses that carry a content length."""
    found = []
    while answer:
        head, _, answer = answer.partition(b"\r\n\r\n")
        match = re.search(rb"content-length: (\d+)", head)
        size = int(match[1]) if match else 0
        found.append(answer[:size])
        answer = answer[size:]
    return found


async def test_a_request_reaches_the_handler_as_it_was_sent() -> None:
    seen: list[ServerRequest] = []

    def app(request: ServerRequest, responder: Responder) -> None:
        seen.append(request)
        responder.reply(200)

    async with serving(app) as server, Client() as client:
        await client.send("PATCH", url_of(server, "/a%20b?q=1&r=?"), headers={"X-A": " é "}, body=b"body")
    [request] = seen
    assert (request.method, request.path, request.query, request.body) == ("PATCH", "/a%20b", "q=1&r=?", b"body")
    assert request.headers["x-a"] == "é"


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"http://a/x?y", "/x", "y"),
        (b"HTTP://a:80?y", "/", "y"),
        (b"https://a", "/", ""),
        (b"/http://a/x", "/http://a/x", ""),
        (b"*", "*", ""),
        (b"/", "/", ""),
    ],
)
async def test_every_form_of_target_is_understood(target: bytes, path: str, query: str) -> None:
    def app(request: ServerRequest, responder: Responder) -> None:
        responder.reply(200, body=f"{request.path} {request.query}".encode())

    async with serving(app) as server:
        answer = await ask(server.port, b"OPTIONS %b HTTP/1.1\r\nhost: a\r\n" % target + CLOSE)
    assert bodies(answer) == [f"{path} {query}".encode()]


async def test_a_response_has_what_http_asks_for() -> None:
    async with serving(echo) as server:
        answer = await ask(server.port, GET % b"x" + CLOSE)
    head = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert head[0] == "HTTP/1.1 200 OK"
    assert re.fullmatch(r"date: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", head[1])
    assert head[2:] == ["connection: close", "content-length: 3", "x-method: GET"]


async def test_a_connection_is_kept_and_http_1_0_is_closed_unless_it_asks() -> None:
    async with serving(echo) as server, Client() as client:
        assert [(await client.send("GET", url_of(server))).reused for _ in range(3)] == [False, True, True]
        assert (await ask(server.port, b"GET / HTTP/1.0\r\n\r\n")).endswith(b"/|")
        kept = b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"
        answer = await ask(server.port, kept, kept, b"GET / HTTP/1.0\r\n\r\n", pause_s=0.02)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.count(b"connection: keep-alive") == 2


async def test_pipelined_requests_are_answered_one_at_a_time_and_in_order() -> None:
    running = 0

    async def backwards(request: ServerRequest, responder: Responder) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0.01 * (6 - int(request.path[1:])))  # Later ones would be done earlier.
        running -= 1
        responder.reply(200, body=request.path.encode())

    requests = b"".join(GET % str(i).encode() + b"\r\n" for i in range(5)) + GET % b"5" + CLOSE
    async with serving(backwards) as server:
        assert bodies(await ask(server.port, requests)) == [f"/{i}".encode() for i in range(6)]
        cut = [requests[i : i + 7] for i in range(0, len(requests), 7)]
        assert bodies(await ask(server.port, *cut)) == [f"/{i}".encode() for i in range(6)]


async def test_many_pipelined_requests_to_a_handler_that_answers_at_once() -> None:
    def app(request: ServerRequest, responder: Responder) -> None:
        responder.reply(200, body=request.path.encode())

    requests = b"".join(GET % str(i).encode() + b"\r\n" for i in range(3000)) + GET % b"end" + CLOSE
    async with serving(app) as server:
        assert bodies(await ask(server.port, requests)) == [*[f"/{i}".encode() for i in range(3000)], b"/end"]


async def test_a_chunked_request_body_is_put_together() -> None:
    head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n" + CLOSE
    chunks = b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nx-trailer: 1\r\n\r\n"
    async with serving(echo) as server:
        assert (await ask(server.port, head + chunks)).endswith(b"/|abcde")
        assert (await ask(server.port, head, *[bytes([byte]) for byte in chunks], pause_s=0.001)).endswith(b"/|abcde")


async def test_a_client_that_waits_for_100_continue_gets_it() -> None:
    async with serving(echo) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n" + CLOSE)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"body")
        assert (await reader.read()).endswith(b"/|body")
        writer.close()


async def test_a_client_that_expects_too_much_is_told_before_it_sends() -> None:
    async with serving(echo, limits=Limits(body_bytes=10)) as server:
        large = b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 11\r\n\r\n"
        assert (await ask(server.port, large)).startswith(b"HTTP/1.1 413 ")
        strange = b"POST / HTTP/1.1\r\nhost: a\r\nexpect: tea\r\ncontent-length: 1\r\n\r\nx"
        assert (await ask(server.port, strange)).startswith(b"HTTP/1.1 417 ")


async def test_an_offer_to_upgrade_is_passed_over() -> None:
    offer = b"POST /up HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n"
    offer += b"content-length: 5\r\n\r\n"
    requests = offer + b"hello" + GET % b"next" + CLOSE
    async with serving(echo) as server:
        assert bodies(await ask(server.port, requests)) == [b"/up|hello", b"/next|"]
        assert bodies(await ask(server.port, *[bytes([byte]) for byte in requests])) == [b"/up|hello", b"/next|"]
        get = GET % b"up" + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n" + GET % b"next" + CLOSE
        assert bodies(await ask(server.port, get)) == [b"/up|", b"/next|"]
        assert len(bodies(await ask(server.port, offer.replace(b": 5", b": 0") * 2000 + GET % b"next" + CLOSE))) == 2001


async def test_head_gets_the_head_alone() -> None:
    async def stream(request: ServerRequest, responder: Responder) -> None:
        if request.path == "/whole":
            responder.reply(200, body=b"body")
            return
        responder.start(200)
        responder.write(b"body")
        responder.end()

    async with serving(stream) as server:
        for path, framing in ((b"whole", b"content-length: 4"), (b"stream", b"date: ")):
            answer = await ask(server.port, b"HEAD /%b HTTP/1.1\r\nhost: a\r\n" % path + CLOSE)
            assert answer.endswith(b"\r\n\r\n")
            assert framing in answer


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_body_is_sent_without_one(status: int) -> None:
    async def app(request: ServerRequest, responder: Responder) -> None:
        if request.path == "/whole":
            responder.reply(status, body=b"ignored")
            return
        responder.start(status)
        responder.write(b"ignored")
        responder.end()

    async with serving(app) as server, Client() as client:
        for path in ("/whole", "/stream", "/whole"):
            answer = await client.send("GET", url_of(server, path))
            assert (answer.status, answer.body) == (status, b"")
        assert answer.reused


async def test_a_stream_goes_out_piece_by_piece() -> None:
    go = asyncio.Event()

    async def stream(request: ServerRequest, responder: Responder) -> None:
        responder.start(200, [("content-type", "text/event-stream")])
        responder.write(encode_event("one"))
        responder.write(b"")  # Would end the body if it became a chunk.
        await go.wait()
        responder.write(encode_event("two"))
        responder.end()

    pieces: list[bytes] = []

    def on_data(_: float, piece: bytes) -> None:
        pieces.append(piece)
        go.set()

    async with serving(stream) as server, Client() as client:
        answer = await client.send("GET", url_of(server), on_data=on_data)
    assert pieces == [b"data: one\n\n", b"data: two\n\n"]
    assert answer.headers["transfer-encoding"] == "chunked"


async def test_a_stream_to_http_1_0_ends_with_the_connection() -> None:
    async def stream(request: ServerRequest, responder: Responder) -> None:
        responder.start(200)
        responder.write(b"abc")
        responder.end()

    async with serving(stream) as server:
        answer = await ask(server.port, b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
    assert answer.endswith(b"\r\n\r\nabc")
    assert b"chunked" not in answer


async def test_a_slow_reader_holds_back_a_stream_that_drains() -> None:
    written = 0

    async def stream(request: ServerRequest, responder: Responder) -> None:
        nonlocal written
        responder.start(200)
        for _ in range(300):
            responder.write(bytes(100_000))
            written += 100_000
            await responder.drain()
        responder.end()

    async with serving(stream) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET % b"" + CLOSE)
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.3)
        held_at = written
        assert held_at < 20_000_000
        await asyncio.sleep(0.1)
        assert written == held_at
        size = 0
        while data := await reader.read(1 << 20):
            size += len(data)
        writer.close()
    assert written == 30_000_000
    assert size > written


async def test_a_writer_without_a_coroutine_is_told_when_there_is_room() -> None:
    left = 200

    def stream(request: ServerRequest, responder: Responder) -> None:
        def more() -> None:
            nonlocal left
            while left and not responder.full:
                left -= 1
                responder.write(bytes(100_000))
            if not left:
                responder.end()

        responder.start(200)
        responder.on_drained = more
        more()

    async with serving(stream) as server, Client() as client:
        assert len((await client.send("GET", url_of(server))).body) == 20_000_000


async def test_a_handler_is_cancelled_when_its_client_goes() -> None:
    ended: list[str] = []

    async def slow(request: ServerRequest, responder: Responder) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(request.path)
            raise

    async with serving(slow) as server:
        for path, half in ((b"closed", False), (b"half-closed", True)):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(GET % path + b"\r\n")
            await until(lambda: server.tasks, "the handler to start")
            if half:
                writer.write_eof()
            else:
                writer.close()
            await until(lambda: not server.tasks, "the handler to be cancelled")
            writer.close()
    assert ended == ["/closed", "/half-closed"]


async def test_a_streaming_handler_is_cancelled_while_it_waits_for_room() -> None:
    async def endless(request: ServerRequest, responder: Responder) -> None:
        responder.start(200)
        while True:
            responder.write(bytes(100_000))
            await responder.drain()
            await asyncio.sleep(0)

    async with serving(endless) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET % b"" + b"\r\n")
        await asyncio.sleep(0.2)
        writer.transport.abort()
        await until(lambda: not server.tasks and not server.connections, "the handler to end")


async def test_a_handler_is_cancelled_though_its_client_left_much_unread() -> None:
    full = asyncio.Event()

    async def endless(request: ServerRequest, responder: Responder) -> None:
        responder.start(200)
        while True:
            responder.write(bytes(100_000))
            if responder.full:
                full.set()
            await responder.drain()

    async with serving(endless) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1000)
        writer.transport.pause_reading()
        writer.write(GET % b"" + b"\r\n")
        await full.wait()
        writer.write_eof()
        await until(lambda: not server.tasks and not server.connections, "the handler to be cancelled")
        writer.transport.abort()


async def test_a_plain_handler_can_learn_that_its_client_went_and_answer_late_without_harm() -> None:
    gone = asyncio.Event()
    kept: list[Responder] = []

    def app(request: ServerRequest, responder: Responder) -> None:
        kept.append(responder)
        request.disconnected.add_done_callback(lambda _: gone.set())

    async with serving(app) as server:
        for _ in range(2):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(GET % b"" + b"\r\n")
            await until(lambda: len(kept) == 1, "the request")
            writer.close()
            await asyncio.wait_for(gone.wait(), 5)
            responder = kept.pop()
            assert responder.disconnected.done()
            responder.start(200)
            responder.write(b"x")
            await responder.drain()
            responder.end()
            gone.clear()


async def test_a_failing_handler_is_a_500_that_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def late(request: ServerRequest, responder: Responder) -> None:
        raise ValueError("secret one")

    def early(request: ServerRequest, responder: Responder) -> None:
        raise ValueError("secret two")

    async def nothing(request: ServerRequest, responder: Responder) -> None:
        return

    def impossible(request: ServerRequest, responder: Responder) -> None:
        responder.reply(199)

    for app in (late, early, nothing, impossible):
        async with serving(app) as server, Client() as client:
            for reused in (False, True):
                answer = await client.send("POST", url_of(server), body=b"x")
                assert (answer.status, answer.body, answer.reused) == (500, b"internal server error", reused)
    failures = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(failures) == 6
    assert all(record.exc_info for record in failures)


async def test_a_handler_that_fails_within_a_stream_cuts_it() -> None:
    async def stream(request: ServerRequest, responder: Responder) -> None:
        responder.start(200)
        responder.write(b"half")
        await asyncio.sleep(0.02)
        raise ValueError("secret")

    async with serving(stream) as server, Client() as client:
        with pytest.raises(ConnectionCut):
            await client.send("POST", url_of(server))


async def test_a_handler_can_cut_its_connection() -> None:
    async def app(request: ServerRequest, responder: Responder) -> None:
        responder.abort()

    async with serving(app) as server, Client() as client:
        with pytest.raises(ConnectionCut):
            await client.send("POST", url_of(server))


async def test_steps_out_of_order_are_the_handlers_mistake() -> None:
    mistakes: list[str] = []

    async def app(request: ServerRequest, responder: Responder) -> None:
        for step in (lambda: responder.write(b"x"), responder.end):
            with pytest.raises(RuntimeError) as caught:
                step()
            mistakes.append(str(caught.value))
        responder.reply(200)
        for step in (lambda: responder.reply(200), responder.start, lambda: responder.write(b"x"), responder.end):
            with pytest.raises(RuntimeError) as caught:
                step()
            mistakes.append(str(caught.value))

    async with serving(app) as server, Client() as client:
        assert (await client.send("GET", url_of(server))).status == 200
    assert len(mistakes) == 6


async def test_closing_lets_requests_in_flight_finish() -> None:
    started = asyncio.Event()

    async def slow(request: ServerRequest, responder: Responder) -> None:
        started.set()
        await asyncio.sleep(0.2)
        responder.reply(200, body=b"done")

    server = await serve(slow, limits=Limits(write_s=0.05))
    async with Client() as client:
        answer = asyncio.ensure_future(client.send("GET", url_of(server)))
        idle = await asyncio.open_connection("127.0.0.1", server.port)
        await started.wait()
        closing = asyncio.ensure_future(server.close(drain_s=60))
        assert await asyncio.wait_for(idle[0].read(), 5) == b""  # An idle connection is closed at once.
        idle[1].close()
        response = await answer
        assert (response.body, response.headers["connection"]) == (b"done", "close")
        await asyncio.wait_for(closing, 5)  # It ends when the last response has gone, not after drain_s.
        with pytest.raises(Exception, match="no connection"):
            await client.send("GET", url_of(server), timeouts=Timeouts(connect=1))


async def test_closing_cuts_what_takes_longer_and_waits_for_its_clean_up() -> None:
    cleaned = False

    async def slow(request: ServerRequest, responder: Responder) -> None:
        nonlocal cleaned
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            cleaned = True

    server = await serve(slow)
    async with Client() as client:
        answer = asyncio.ensure_future(client.send("POST", url_of(server)))
        await until(lambda: server.tasks, "the handler to start")
        await server.close(drain_s=0.1)
        with pytest.raises(ConnectionCut):
            await answer
    assert cleaned


async def test_a_handler_that_has_answered_is_waited_for_too() -> None:
    async def app(request: ServerRequest, responder: Responder) -> None:
        responder.reply(200)
        await asyncio.sleep(60)

    server = await serve(app)
    async with Client() as client:
        assert (await client.send("GET", url_of(server))).status == 200
        assert len(server.tasks) == 1
    await server.close()
    assert not server.tasks
