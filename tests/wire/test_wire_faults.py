"""The misbehaving server that ships with `proveout.testing` does exactly what its script says."""

from __future__ import annotations

import asyncio
import itertools
from time import monotonic

import pytest
from wire_peers import ask

from proveout.testing.faults import Answer, FaultServer, Received
from proveout.wire import Client, ConnectionCut, MalformedResponse, SseDecoder


async def test_answers_come_in_the_order_of_the_script_and_then_the_other_one() -> None:
    script = [Answer(status=500), Answer.too_many("7"), Answer.json({"a": 1})]
    async with FaultServer(script, otherwise=Answer(status=418)) as server, Client() as client:
        answers = [await client.send("POST", f"{server.url}/v1", body=b'{"n": 1}') for _ in range(5)]
    assert [answer.status for answer in answers] == [500, 429, 200, 418, 418]
    assert answers[1].headers["retry-after"] == "7"
    assert answers[2].headers["content-type"] == "application/json"
    assert [request.json() for request in server.received] == [{"n": 1}] * 5
    assert server.connections == 1


async def test_a_function_may_decide_by_the_request() -> None:
    def script(request: Received) -> Answer:
        return Answer(status=200 if request.headers.get("x-key") == "good" else 401)

    async with FaultServer(script) as server, Client() as client:
        assert (await client.send("GET", server.url)).status == 401
        assert (await client.send("GET", server.url, headers={"x-key": "good"})).status == 200


async def test_events_are_streamed_with_their_gaps() -> None:
    stream = Answer(events=["one", b"data: raw\n\n", "[DONE]"], delay_s=0.05, gap_s=0.05)
    decoder, seen = SseDecoder(), []
    async with FaultServer([stream]) as server, Client() as client:
        answer = await client.send(
            "GET", server.url, on_data=lambda at, piece: seen.extend((at, event.data) for event in decoder.feed(piece))
        )
    assert [data for _, data in seen] == ["one", "raw", "[DONE]"]
    assert answer.first_byte - answer.sent >= 0.049  # The loop counts in milliseconds.
    assert all(later - earlier >= 0.045 for (earlier, _), (later, _) in itertools.pairwise(seen))


async def test_responses_are_cut_where_the_script_says() -> None:
    async with FaultServer([Answer(body=b"x" * 100, cut_after=60)]) as server:
        assert len(await ask(server.port, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")) == 60
    async with (
        FaultServer([Answer(events=["a"] * 100, cut_after=500), Answer(raw=b"junk")]) as server,
        Client() as client,
    ):
        with pytest.raises(ConnectionCut) as caught:
            await client.send("POST", server.url)
        assert caught.value.received > 0
        with pytest.raises(MalformedResponse):
            await client.send("POST", server.url)


async def test_a_hanging_answer_ends_with_the_server() -> None:
    async with FaultServer([Answer(hang=True)]) as server, Client() as client:
        answer = asyncio.ensure_future(client.send("POST", server.url))
        # On a busy machine a moment's sleep may end before the connection is accepted.
        while not server.received:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert not answer.done()
        started = monotonic()
        await server.__aexit__()
        with pytest.raises(ConnectionCut):
            await answer
        assert monotonic() - started < 2


async def test_chunked_requests_are_read_too() -> None:
    async with FaultServer([Answer(keep_alive=False)]) as server:
        await ask(server.port, b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    assert server.received[0].body == b"abc"
