"""What this machine allows: a bare asyncio protocol that sends, stamps every read, looks for its first content, and
does nothing else: no HTTP parser, no tokens, no limits, no errors. It keeps nothing that it reads.

Its error and its CPU are what any client on this event loop has, beside a server that shares the machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from time import monotonic
from urllib.parse import urlsplit

import numpy as np
import orjson

from proveout.loadtest.calibration import NumberedPrompts
from proveout.loadtest.client_watch import no_collections
from proveout.testing.simulated_server import simulated_server

_HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: sim\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
)


class BareStream(asyncio.Protocol):
    """One connection, with one request on it after the other."""

    def __init__(self, over: Callable[[BareStream], None]) -> None:
        self.stamps: list[float] = []
        self.sent = self.first = 0.0
        self.number = -1
        self._over = over
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def begin(self, number: int, request: bytes) -> None:
        self.number, self.first = number, 0.0
        self.sent = monotonic()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        now = monotonic()
        self.stamps.append(now)
        if not self.first and b'"content"' in data:
            self.first = now
        if data.endswith(b"0\r\n\r\n"):
            self._over(self)


async def bare_at(streams: int, rounds: int) -> dict[str, float]:
    """A closed loop's errors against the server's log in milliseconds, and its CPU per 1,000 chunks."""
    prompts = NumberedPrompts()
    count = streams * rounds
    requests = [_request(prompts, number) for number in range(count)]
    with simulated_server() as server:
        address = urlsplit(server.url)
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        numbers: Iterator[int] = iter(range(count))
        ttft: dict[str, float] = {}

        def next_of(stream: BareStream) -> None:
            if stream.number >= 0:
                ttft[str(stream.number)] = stream.first - stream.sent
            number = next(numbers, None)
            if number is not None:
                stream.begin(number, requests[number])
            elif len(ttft) == count and not ended.done():
                ended.set_result(None)

        opened = [
            await loop.create_connection(lambda: BareStream(next_of), address.hostname, address.port)
            for _ in range(streams)
        ]
        with no_collections():
            began = time.process_time()
            for _, stream in opened:
                next_of(stream)
            await ended
            cpu = time.process_time() - began
        for transport, _ in opened:
            transport.close()
        truth = {one.user: one for one in server.truth()}
    chunks = sum(len(one.written) for one in truth.values())
    mine, true = (np.array([side[name] for name in ttft]) for side in (ttft, {k: t.ttft for k, t in truth.items()}))
    errors = [float(np.quantile(mine, q) - np.quantile(true, q)) * 1000 for q in (0.5, 0.99)]
    return {
        "ttft_error_p50_ms": errors[0],
        "ttft_error_p99_ms": errors[1],
        "cpu_ms_per_1000_chunks": cpu * 1e6 / chunks,
    }


def _request(prompts: NumberedPrompts, number: int) -> bytes:
    request = prompts.request(0, number)
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    options = {"stream": True, "stream_options": {"include_usage": True}}
    body = orjson.dumps({"model": "sim", "messages": messages, **request.parameters, **options})
    return _HEAD % len(body) + body
