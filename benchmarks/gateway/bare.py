"""The least that a gateway in Python can be: what asyncio, uvloop and httptools cost by themselves.

    python bare.py PORT UPSTREAM_PORT

It parses the body, draws a variant, sets the model, sends the body on over a kept connection, reads the usage from the
answer and gives the answer back. It knows no keys, prices, time-outs, failures or streams and keeps no traces: no
gateway, but the floor under `overhead.py`'s ratios.
"""

from __future__ import annotations

import asyncio
import sys
import zlib
from typing import Any

import httptools
import orjson
import uvloop

PORT, UPSTREAM = int(sys.argv[1]), int(sys.argv[2])
HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
)
ANSWER = b"HTTP/1.1 %d OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
free: list[Upstream] = []
tokens = [0, 0]


class Upstream(asyncio.Protocol):
    """One kept connection to the upstream."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.parser = httptools.HttpResponseParser(self)

    def ask(self, client: Client, body: bytes) -> None:
        self.client = client
        self.body = b""
        self.transport.write(HEAD % (len(body), body))

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        free.append(self)
        self.client.answer(self.parser.get_status_code(), self.body)


class Client(asyncio.Protocol):
    """One client's connection."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.body = b""

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        request = orjson.loads(self.body)
        self.variant = zlib.crc32(request["user"].encode()) & 1
        request["model"] = ("gpt", "gpt")[self.variant]
        body = orjson.dumps(request)
        if free:
            free.pop().ask(self, body)
        else:
            asyncio.get_running_loop().create_task(self.first(body))

    async def first(self, body: bytes) -> None:
        _, upstream = await asyncio.get_running_loop().create_connection(Upstream, "127.0.0.1", UPSTREAM)
        upstream.ask(self, body)

    def answer(self, status: int, body: bytes) -> None:
        tokens[self.variant] += orjson.loads(body)["usage"]["total_tokens"]
        self.transport.write(ANSWER % (status, len(body), body))


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Client, "127.0.0.1", PORT, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
