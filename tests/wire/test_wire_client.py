"""What a request looks like on the wire, and what becomes of each shape of response."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest
from wire_peers import answering, http, listening, serving, whole

from proveout.testing.faults import Answer, FaultServer
from proveout.wire import (
    Client,
    ConnectFailed,
    ConnectionCut,
    Flow,
    Headers,
    InvalidRequest,
    MalformedResponse,
    Responder,
    ServerRequest,
    TimedOut,
    Timeouts,
)


async def test_a_request_arrives_as_it_was_meant() -> None:
    async with FaultServer() as server, Client() as client:
        await client.send("POST", f"{server.url}/v1/%C3%A9?q=a%20b#part", headers={"X-Key": "é"}, body=b"hello")
    [request] = server.received
    assert (request.method, request.target, request.body) == ("POST", "/v1/%C3%A9?q=a%20b", b"hello")
    assert request.headers["x-key"] == "é"
    assert request.headers["host"] == server.url.removeprefix("http://")
    assert request.headers.get_all("content-length") == ["5"]


async def test_a_get_has_no_content_length_and_an_empty_post_says_zero() -> None:
    async with FaultServer() as server, Client() as client:
        await client.send("GET", server.url)
        await client.send("POST", server.url)
    assert [request.headers.get("content-length") for request in server.received] == [None, "0"]


async def test_the_caller_may_name_the_host_itself() -> None:
    async with FaultServer() as server, Client() as client:
        await client.send("GET", server.url, headers={"Host": "models.example"})
    assert server.received[0].headers.get_all("host") == ["models.example"]


async def test_a_response_carries_status_reason_headers_body_and_clock_stamps() -> None:
    async with FaultServer([Answer(status=404, headers=[("X-A", "1"), ("x-a", "2")], body=b"gone")]) as server:
        before = monotonic()
        async with Client() as client:
            response = await client.send("GET", server.url)
    assert (response.status, response.reason, response.body) == (404, "Not Found", b"gone")
    assert response.headers.get_all("X-A") == ["1", "2"]
    assert before <= response.sent <= response.first_byte <= response.done <= monotonic()


async def test_every_piece_of_one_read_has_the_stamp_of_that_read() -> None:
    pieces = http("200 OK", "transfer-encoding: chunked", body=b"1\r\na\r\n1\r\nb\r\n"), b"1\r\nc\r\n0\r\n\r\n"
    seen: list[tuple[float, bytes]] = []
    async with answering(*pieces, pause_s=0.05) as url, Client() as client:
        response = await client.send("GET", url, on_data=lambda at, piece: seen.append((at, piece)))
    (first, a), (second, b), (third, c) = seen
    assert (a, b, c) == (b"a", b"b", b"c")
    assert first == second == response.first_byte
    assert third == response.done
    assert third - first >= 0.04
    assert response.body == b""


async def test_trailers_are_read_and_left_out() -> None:
    answer = http("200 OK", "transfer-encoding: chunked", body=b"3;a=b\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")
    async with answering(answer) as url, Client() as client:
        response = await client.send("GET", url)
    assert response.body == b"abc"
    assert "x-sum" not in response.headers


async def test_interim_responses_are_passed_over() -> None:
    answer = http("100 Continue") + http("103 Early Hints", "link: </a>") + whole(b"ok", "x-real: yes")
    async with answering(answer) as url, Client() as client:
        response = await client.send("POST", url, body=b"x")
    assert (response.status, response.body) == (200, b"ok")
    assert [name for name, _ in response.headers.items()] == ["content-length", "x-real"]


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_a_status_without_body_ends_at_its_head(status: str) -> None:
    async with answering(http(status, "content-length: 5"), pause_s=5) as url, Client() as client:
        response = await client.send("GET", url)
    assert (response.status, response.body) == (int(status[:3]), b"")


@pytest.mark.parametrize("framing", ["content-length: 500", "transfer-encoding: chunked", "x-none: 1"])
async def test_the_answer_to_head_ends_at_its_head(framing: str) -> None:
    async with answering(http("200 OK", framing), pause_s=5) as url, Client() as client:
        response = await client.send("HEAD", url)
    assert (response.status, response.body) == (200, b"")


async def test_a_body_without_length_ends_with_the_connection() -> None:
    async with answering(http("200 OK", body=b"all "), b"of it", pause_s=0.02) as url, Client() as client:
        assert (await client.send("GET", url)).body == b"all of it"


async def test_a_body_shorter_than_its_length_is_a_cut_that_counts_what_came() -> None:
    async with answering(http("200 OK", "content-length: 10", body=b"four")) as url, Client() as client:
        with pytest.raises(ConnectionCut, match="4 bytes into the body") as caught:
            await client.send("GET", url)
    assert (caught.value.received, caught.value.head) == (4, True)


async def test_chunks_without_their_end_are_a_cut() -> None:
    async with (
        answering(http("200 OK", "transfer-encoding: chunked", body=b"4\r\nfour\r\n")) as url,
        Client() as client,
    ):
        with pytest.raises(ConnectionCut):
            await client.send("GET", url)


async def test_a_connection_that_ends_within_the_head_is_a_cut_without_head() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\ncontent-le") as url, Client() as client:
        with pytest.raises(ConnectionCut, match="before the response head") as caught:
            await client.send("POST", url)
    assert not caught.value.head


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/0.9 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 000 No\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
        http("200 OK", "content-length: 1", "content-length: 2", body=b"ab"),
        http("200 OK", "content-length: 3", "transfer-encoding: chunked", body=b"0\r\n\r\n"),
        http("200 OK", "content-length: -1"),
        http("200 OK", "content-length:"),
        http("200 OK", "content-length: 99999999999999999999999999"),
        http("200 OK", "x: a", " folded: b", "content-length: 0"),
        http("200 OK", "bad name: 1", "content-length: 0"),
        http("200 OK", "x: a\0b", "content-length: 0"),
        http("200 OK", "transfer-encoding: gzip", body=b"x"),
        http("200 OK", "transfer-encoding: gzip", "transfer-encoding: chunked", body=b"0\r\n\r\n"),
        http("200 OK", "transfer-encoding: chunked", body=b"xyz\r\n"),
        http("200 OK", "transfer-encoding: chunked", body=b"2\r\nabc\r\n0\r\n\r\n"),
        http("200 OK", "content-encoding: br", "content-length: 1", body=b"x"),
        http("101 Switching Protocols", "connection: upgrade", "upgrade: websocket"),
        http("101 Switching Protocols"),
    ],
)
async def test_what_is_no_valid_response_is_refused(answer: bytes) -> None:
    async with answering(answer, pause_s=0.2) as url, Client() as client:
        with pytest.raises(MalformedResponse, match="GET http://127"):
            await client.send("GET", url)


async def test_an_error_names_the_origin_and_neither_path_nor_secret() -> None:
    async with answering(b"junk junk") as url, Client() as client:
        with pytest.raises(MalformedResponse) as caught:
            await client.send("GET", f"{url}/private?key=hunter2", headers={"authorization": "Bearer hunter3"})
    assert "hunter" not in str(caught.value)
    assert "private" not in str(caught.value)
    assert url in str(caught.value)


async def test_nobody_listening_is_said_at_once() -> None:
    async with answering() as url:
        pass
    async with Client() as client:
        with pytest.raises(ConnectFailed, match="refused"):
            await client.send("GET", url)


async def test_a_name_that_does_not_exist_is_said() -> None:
    async with Client(trust_env=False) as client:
        with pytest.raises(ConnectFailed, match="the host's name was not found"):
            await client.send("GET", "http://nowhere.invalid/")


async def test_an_ipv6_address_can_be_called() -> None:
    async with FaultServer(host="::1") as server, Client() as client:
        assert (await client.send("GET", server.url)).status == 200
    assert server.received[0].headers["host"] == f"[::1]:{server.port}"


async def test_a_large_upload_arrives_whole() -> None:
    body = bytes(range(256)) * 20_000
    async with FaultServer() as server, Client() as client:
        await client.send("POST", server.url, body=body)
    assert server.received[0].body == body


async def test_an_answer_that_comes_before_the_upload_is_done_is_given_out() -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http("413 Content Too Large", "content-length: 0"))
        await asyncio.sleep(0.2)

    async with listening(early) as url, Client() as client:
        response = await client.send("POST", url, body=bytes(50_000_000))
    assert response.status == 413


class Oops(Exception):
    pass


@pytest.mark.parametrize("error", [Oops, StopIteration])
@pytest.mark.parametrize("place", ["on_head", "on_data"])
async def test_what_a_callback_raises_ends_the_exchange_and_is_raised(error: type[Exception], place: str) -> None:
    def fail(*_: object) -> None:
        raise error

    async with FaultServer(otherwise=Answer(body=b"x")) as server, Client() as client:
        with pytest.raises(Oops if error is Oops else RuntimeError):
            await client.send("GET", server.url, **{place: fail})
        assert (await client.send("GET", server.url)).reused is False


async def test_the_head_is_shown_before_the_body() -> None:
    seen: list[object] = []

    def on_head(status: int, headers: Headers) -> None:
        seen.append((status, headers["x-a"]))

    async with FaultServer([Answer(headers=[("x-a", "1")], body=b"body")]) as server, Client() as client:
        await client.send("GET", server.url, on_head=on_head, on_data=lambda _, piece: seen.append(piece))
    assert seen == [(200, "1"), b"body"]


async def test_a_paused_flow_holds_the_server_back() -> None:
    sent = 0

    async def endless(request: ServerRequest, responder: Responder) -> None:
        nonlocal sent
        responder.start(200)
        for _ in range(400):
            responder.write(bytes(100_000))
            sent += 100_000
            await responder.drain()
        responder.end()

    flow, received = Flow(), 0

    def on_data(_: float, piece: bytes) -> None:
        nonlocal received
        if not received:
            flow.pause()
        received += len(piece)

    async with serving(endless) as server, Client(timeouts=Timeouts(idle=0.2)) as client:
        answer = asyncio.ensure_future(
            client.send("GET", f"http://127.0.0.1:{server.port}/", on_data=on_data, flow=flow)
        )
        await asyncio.sleep(0.5)  # Longer than the idle limit, which must wait meanwhile.
        held_at = sent
        assert not answer.done()
        assert held_at < 30_000_000  # What kernel buffers take; the rest waits.
        await asyncio.sleep(0.05)
        assert sent == held_at
        flow.resume()
        await answer
    assert received == sent == 40_000_000


async def test_a_flow_may_be_paused_beforehand_and_the_connection_is_fit_for_the_next() -> None:
    async with FaultServer(otherwise=Answer(body=b"x")) as server, Client() as client:
        flow = Flow()
        flow.pause()
        answer = asyncio.ensure_future(client.send("GET", server.url, flow=flow))
        await asyncio.sleep(0.1)
        assert not answer.done()
        flow.resume()
        assert (await answer).body == b"x"
        assert (await client.send("GET", server.url)).reused


async def test_a_flow_left_paused_does_not_spoil_the_connection() -> None:
    async with FaultServer(otherwise=Answer(body=b"x")) as server, Client() as client:
        flow = Flow()
        await client.send("GET", server.url, flow=flow, on_data=lambda *_: flow.pause())
        answer = await client.send("GET", server.url, timeouts=Timeouts(first_byte=2))
    assert (answer.body, answer.reused) == (b"x", True)


async def test_a_paused_flow_does_not_outlive_the_total_limit() -> None:
    async with FaultServer(otherwise=Answer(body=b"x")) as server, Client() as client:
        flow = Flow()
        flow.pause()
        with pytest.raises(TimedOut) as caught:
            await client.send("GET", server.url, flow=flow, timeouts=Timeouts(total=0.2))
    assert caught.value.phase == "total"


@pytest.mark.parametrize("method", ["get", "", "GET /x HTTP/1.1\r\nX: y\r\n", "CONNECT", "G\nET", "É"])
async def test_a_method_that_cannot_be_sent_is_refused(method: str) -> None:
    async with Client() as client:
        with pytest.raises(InvalidRequest):
            await client.send(method, "http://127.0.0.1:9/")
