"""Every time limit and every size limit of the client, one by one."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from time import monotonic

import pytest
from wire_peers import answering, http, listening, whole

from proveout.testing.faults import Answer, FaultServer
from proveout.wire import Client, SseDecoder, TimedOut, Timeouts, TooLarge


async def limited(url: str, timeouts: Timeouts, body: bytes = b"") -> tuple[str, float]:
    """Run into a time limit; return its phase and the seconds that it took."""
    started = monotonic()
    async with Client(timeouts=timeouts, trust_env=False) as client:
        with pytest.raises(TimedOut) as caught:
            await client.send("POST", url, body=body)
    assert f"({caught.value.phase} time-out)" in str(caught.value)
    return caught.value.phase, monotonic() - started


async def test_connecting_takes_no_longer_than_its_limit() -> None:
    with socket.socket() as full:  # A backlog that is full leaves further connects unanswered.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        phase, took = await limited(f"http://127.0.0.1:{address[1]}/", Timeouts(connect=0.2))
        for filler in fillers:
            filler.close()
    assert phase == "connect"
    assert 0.19 <= took < 2  # Loops count in milliseconds.


async def test_a_tls_handshake_counts_as_connecting() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(mute) as url:
        phase, took = await limited(url.replace("http", "https", 1), Timeouts(connect=0.2))
    assert phase == "connect"
    assert 0.19 <= took < 2  # Loops count in milliseconds.


async def test_the_first_byte_must_come_in_its_time() -> None:
    async with FaultServer([Answer(hang=True)]) as server:
        phase, took = await limited(server.url, Timeouts(first_byte=0.2))
    assert phase == "first_byte"
    assert 0.19 <= took < 2  # Loops count in milliseconds.


async def test_an_interim_response_is_no_first_byte() -> None:
    async with answering(http("100 Continue"), pause_s=2) as url:
        assert (await limited(url, Timeouts(first_byte=0.2, idle=1)))[0] == "first_byte"


async def test_the_first_byte_is_waited_for_from_the_end_of_the_upload() -> None:
    async def slow_reader(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        left = size
        while left:
            left -= len(await reader.read(left))
            await asyncio.sleep(0.012)
        writer.write(whole(b"ok"))

    size = 30_000_000  # Kernel buffers hold a few MB of it: the limit must outlast those.
    async with listening(slow_reader) as url, Client(timeouts=Timeouts(first_byte=0.6)) as client:
        response = await client.send("POST", url, body=bytes(size))
    assert response.first_byte - response.sent > 0.6


async def test_a_reader_that_takes_nothing_of_an_upload_runs_into_the_first_byte_limit() -> None:
    async def no_reader(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    async with listening(no_reader) as url:
        assert (await limited(url, Timeouts(first_byte=0.3), body=bytes(50_000_000)))[0] == "first_byte"


async def test_a_pause_within_the_body_is_limited_and_steady_drops_are_not() -> None:
    head = http("200 OK", "content-length: 8")
    async with answering(head, *[b"x"] * 8, pause_s=0.1) as url, Client(timeouts=Timeouts(idle=0.35)) as client:
        assert (await client.send("GET", url)).body == b"x" * 8
    async with answering(head, *[b"x"] * 8, pause_s=0.6) as url:
        phase, took = await limited(url, Timeouts(idle=0.2))
    assert phase == "idle"
    assert 0.19 <= took < 2  # Loops count in milliseconds.


async def test_the_whole_exchange_is_limited_however_steady_the_drops() -> None:
    async with answering(http("200 OK"), *[b"x"] * 100, pause_s=0.05) as url:
        phase, took = await limited(url, Timeouts(idle=1, total=0.3))
    assert phase == "total"
    assert 0.3 <= took < 2


async def test_a_limit_of_none_is_no_limit() -> None:
    async with (
        FaultServer([Answer(delay_s=0.2)]) as server,
        Client(timeouts=Timeouts(None, None, None, None)) as client,
    ):
        assert (await client.send("GET", server.url)).status == 200


def answer_once(listener: socket.socket, after_s: float) -> None:
    peer, _ = listener.accept()
    with peer:
        peer.recv(65536)
        time.sleep(after_s)
        peer.sendall(whole(b"ok"))


async def test_a_busy_program_does_not_blame_the_server() -> None:
    """The answer came in time and lies in the kernel when the loop comes back, after the limit: that is no time-out."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_once, args=(listener, 0.2))
        thread.start()
        async with FaultServer([Answer(body=b"x", delay_s=0.1)]) as other, Client() as client:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            answer = asyncio.ensure_future(client.send("GET", url, timeouts=Timeouts(first_byte=0.4)))
            await client.send("GET", other.url, on_data=lambda *_: time.sleep(0.6))  # A reader that is busy for long.
            assert (await answer).body == b"ok"
        thread.join()


async def test_a_body_may_be_as_large_as_the_limit_and_no_larger() -> None:
    async with Client(max_body_bytes=1000) as client:
        for answer in (whole(b"x" * 1000), http("200 OK", body=b"x" * 1000)):
            async with answering(answer) as url:
                assert len((await client.send("GET", url)).body) == 1000
        chunked = http("200 OK", "transfer-encoding: chunked", body=b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n")
        for answer in (whole(b"x" * 1001), http("200 OK", body=b"x" * 1001), chunked):
            async with answering(answer) as url:
                with pytest.raises(TooLarge, match="larger than 1000 bytes"):
                    await client.send("GET", url)


async def test_a_length_over_the_limit_is_refused_before_the_body_comes() -> None:
    async with (
        answering(http("200 OK", "content-length: 1001"), pause_s=5) as url,
        Client(max_body_bytes=1000) as client,
    ):
        with pytest.raises(TooLarge):
            await client.send("GET", url)
        with pytest.raises(TooLarge):
            await client.send("GET", url, on_data=lambda *_: None)


async def test_one_exchange_may_have_its_own_body_limit() -> None:
    async with answering(whole(b"x" * 50)) as url, Client(max_body_bytes=1000) as client:
        with pytest.raises(TooLarge):
            await client.send("GET", url, max_body_bytes=49)


@pytest.mark.parametrize(
    "answer",
    [
        http("200 OK", f"x: {'y' * 5000}", "content-length: 0"),
        http("200 OK", *[f"x-{i}: y" for i in range(600)], "content-length: 0"),
        http("200 " + "K" * 5000, "content-length: 0"),
        http("100 Continue") * 300 + whole(b""),
        http("200 OK", "transfer-encoding: chunked", body=b"0\r\n" + b"x: y\r\n" * 1000 + b"\r\n"),
        http("200 OK", "transfer-encoding: chunked", body=b"1;" + b"x" * 5000 + b"\r\na\r\n0\r\n\r\n"),
        b"\r\n" * 3000 + whole(b""),
    ],
)
async def test_heads_trailers_and_chunk_extensions_are_limited(answer: bytes) -> None:
    pieces = [answer[i : i + 500] for i in range(0, len(answer), 500)]
    async with answering(*pieces, pause_s=0.001) as url, Client(max_header_bytes=4096) as client:
        with pytest.raises(TooLarge, match="head is larger than 4096 bytes"):
            await client.send("GET", url)


async def test_a_head_in_one_read_is_limited_too() -> None:
    async with answering(http("200 OK", f"x: {'y' * 5000}")) as url, Client(max_header_bytes=4096) as client:
        with pytest.raises(TooLarge):
            await client.send("GET", url)


async def test_a_long_body_of_small_chunks_is_no_large_head() -> None:
    chunks = b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n"
    async with (
        answering(http("200 OK", "transfer-encoding: chunked", body=chunks)) as url,
        Client(max_header_bytes=4096) as client,
    ):
        assert (await client.send("GET", url)).body == b"x" * 5000


@pytest.mark.parametrize(
    "stream",
    [
        b"data: " + b"x" * 2000,
        b"data: x\n" * 500,
        b"data\n" * 2000,
        b"x" * 2000,
        b": " + b"x" * 2000 + b"\n\n" + b"y" * 1001,
    ],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_an_event_without_end_is_refused(stream: bytes, size: int) -> None:
    decoder = SseDecoder(max_event_bytes=1000)
    with pytest.raises(TooLarge):
        list(map(decoder.feed, (stream[i : i + size] for i in range(0, len(stream), size))))
