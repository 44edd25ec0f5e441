"""One server under many clients at once. Every coroutine test here must end within 20 s."""

from __future__ import annotations

import asyncio
import resource

import pytest
from wire_peers import serving, until

from proveout.wire import Client, Responder, ServerRequest, SseDecoder, encode_event

IDLE, STREAMS, EVENTS = 1000, 500, 20


@pytest.fixture
def many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * (IDLE + STREAMS) + 200
    if hard < wanted:
        pytest.skip(f"needs {wanted} open files, this system allows {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


async def test_a_thousand_idle_connections_and_five_hundred_streams(many_files: None) -> None:
    async def stream(request: ServerRequest, responder: Responder) -> None:
        responder.start(200, [("content-type", "text/event-stream")])
        for number in range(EVENTS):
            responder.write(encode_event(f"{request.path} {number}"))
            await responder.drain()
            await asyncio.sleep(0.01)
        responder.end()

    async def consume(client: Client, url: str, path: str) -> None:
        decoder, events = SseDecoder(), []
        await client.send("GET", url + path, on_data=lambda _, piece: events.extend(decoder.feed(piece)))
        assert [event.data for event in events] == [f"{path} {number}" for number in range(EVENTS)]

    async with serving(stream) as server, Client(max_connections_per_origin=STREAMS) as client:
        idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(IDLE)]
        await asyncio.gather(*(consume(client, f"http://127.0.0.1:{server.port}", f"/{n}") for n in range(STREAMS)))
        assert len(server.connections) == IDLE + STREAMS
        assert not server.tasks
        for _, writer in idle:
            writer.close()
        await until(lambda: len(server.connections) == STREAMS, "idle connections to be forgotten")
