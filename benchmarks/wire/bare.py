"""The floor: the least that Python on asyncio protocols and httptools can do. No limits, no errors, no time-outs."""

from __future__ import annotations

import asyncio

import httptools

SMALL = b'{"id": "1", "choices": [{"message": {"role": "assistant", "content": "card_arrival"}}]}'
EVENT = b'data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" token"}}]}\n\n'


class BareClient(asyncio.Protocol):
    """One exchange at a time; `on_body` gets what comes of it."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def send(self, data: bytes) -> asyncio.Future[bytes]:
        self.pieces: list[bytes] = []
        self.done = asyncio.get_running_loop().create_future()
        self.transport.write(data)
        return self.done

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def on_message_complete(self) -> None:
        self.done.set_result(b"".join(self.pieces))


class BareServer(asyncio.Protocol):
    """Answers `/stream` with `events` events, one every `gap_s`, and anything else with a small body."""

    events = 100
    gap_s = 0.02

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_message_complete(self) -> None:
        if self.url != b"/stream":
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(SMALL), SMALL))
            return
        self.left = self.events
        self.transport.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        self.more()

    def more(self) -> None:
        if self.left:
            self.left -= 1
            self.transport.write(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
            asyncio.get_running_loop().call_later(self.gap_s, self.more)
        else:
            self.transport.write(b"0\r\n\r\n")
