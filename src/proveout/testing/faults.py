"""A scriptable HTTP server that misbehaves on purpose, for tests of everything that calls an endpoint.

```python
async with FaultServer([Answer(status=500), Answer.too_many(retry_after="1"), Answer.json({"ok": True})]) as server:
    ...  # call server.url; then look at server.received
```
"""

from __future__ import annotations

import asyncio
import binascii
import json
import ssl
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from time import monotonic
from typing import Any, Self

from proveout.wire.headers import Headers
from proveout.wire.sse import encode_event


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came. `at` is `time.monotonic` at its last byte; `connection` numbers connections from 1."""

    method: str
    target: str
    headers: Headers
    body: bytes
    at: float
    connection: int

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to do with one request. By default: 200 with an empty body.

    `delay_s` waits before the head. `events` makes the body a stream of server-sent events in chunks, each event (a str
    is its data, bytes are sent as they are) after `gap_s` more seconds. `raw` is sent in place of any response.
    `cut_after` closes the connection after that many bytes of the response. `hang` never answers. `keep_alive=False`
    closes after the answer.
    """

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    events: Sequence[str | bytes] | None = None
    delay_s: float = 0.0
    gap_s: float = 0.0
    raw: bytes | None = None
    cut_after: int | None = None
    hang: bool = False
    keep_alive: bool = True

    @classmethod
    def json(cls, value: Any, **others: Any) -> Self:
        """A JSON body."""
        return cls(body=json.dumps(value).encode(), headers=[("content-type", "application/json")], **others)

    @classmethod
    def too_many(cls, retry_after: str | None = None, **others: Any) -> Self:
        """429 in OpenAI's error shape, with `Retry-After` if given (seconds, or an HTTP date)."""
        headers = [("content-type", "application/json")] + ([("retry-after", retry_after)] if retry_after else [])
        error = {"error": {"message": "Rate limit reached", "type": "rate_limit_error", "code": "rate_limit_exceeded"}}
        return cls(status=429, headers=headers, body=json.dumps(error).encode(), **others)


Script = Iterable[Answer] | Callable[[Received], Answer]


@dataclass
class FaultServer:
    """Answers the nth request by the nth `Answer` of the script and later ones by `otherwise`, or asks a function."""

    script: Script = ()
    otherwise: Answer = field(default_factory=Answer)
    ssl_context: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    received: list[Received] = field(default_factory=list, init=False)
    """Every request, in order of arrival."""
    connections: int = field(default=0, init=False)
    """Connections accepted so far."""

    async def __aenter__(self) -> Self:
        self._answers = iter(()) if callable(self.script) else iter(self.script)
        self._handlers: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server = await asyncio.start_server(self._accept, self.host, 0, ssl=self.ssl_context)
        self.port: int = self._server.sockets[0].getsockname()[1]
        scheme = "http" if self.ssl_context is None else "https"
        self.url = f"{scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    def drop_connections(self) -> None:
        """Close every open connection, as a server that restarts does."""
        for writer in self._writers:
            writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._handlers.add(task)
            task.add_done_callback(self._handlers.discard)
        self._writers.add(writer)
        self.connections += 1
        try:
            await self._converse(reader, writer, self.connections)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        keep_alive = True
        while keep_alive:
            request = await _read_request(reader, connection)
            self.received.append(request)
            answer = self.script(request) if callable(self.script) else next(self._answers, self.otherwise)
            keep_alive = await _perform(answer, request, writer)


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Received:
    head = await reader.readuntil(b"\r\n\r\n")
    start, *lines = head[:-4].split(b"\r\n")
    method, target, _ = start.decode("latin-1").split(" ")
    fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    if dict(fields).get(b"transfer-encoding") == b"chunked":
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(int(dict(fields).get(b"content-length", 0)))
    return Received(method, target, Headers(fields), body, monotonic(), connection)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    while await reader.readuntil(b"\r\n") != b"\r\n":  # Trailers, then an empty line.
        pass
    return body


async def _perform(answer: Answer, request: Received, writer: asyncio.StreamWriter) -> bool:
    """Act as the answer says; return whether the connection lives on."""
    await asyncio.sleep(answer.delay_s)
    if answer.hang:
        await asyncio.Event().wait()
    left = answer.cut_after
    for pause_s, piece in _pieces(answer, bodyless=request.method == "HEAD"):
        await asyncio.sleep(pause_s)
        writer.write(piece if left is None else piece[:left])
        await writer.drain()
        if left is not None:
            left -= len(piece)
            if left <= 0:
                return False
    return answer.keep_alive and answer.raw is None and answer.cut_after is None


def _pieces(answer: Answer, *, bodyless: bool) -> Iterable[tuple[float, bytes]]:
    """The response, as (seconds to wait first, bytes)."""
    if answer.raw is not None:
        yield 0.0, answer.raw
        return
    headers = list(answer.headers)
    if answer.events is None:
        headers.append(("content-length", str(len(answer.body))))
    else:
        headers += [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")]
    if not answer.keep_alive:
        headers.append(("connection", "close"))
    known = {status.value: status.phrase for status in HTTPStatus}
    start = f"HTTP/1.1 {answer.status} {known.get(answer.status, '')}"
    head = "\r\n".join([start, *(f"{name}: {value}" for name, value in headers), "", ""]).encode("latin-1")
    if bodyless or answer.events is None:
        yield 0.0, head if bodyless else head + answer.body
        return
    yield 0.0, head
    for event in answer.events:
        data = encode_event(event) if isinstance(event, str) else event
        yield answer.gap_s, b"%x\r\n%b\r\n" % (len(data), data)
    yield 0.0, b"0\r\n\r\n"


def aws_event(name: str, value: Any, kind: str = "event") -> bytes:
    """One message of AWS's binary event stream: prelude, headers, payload, each part with its checksum."""
    headers = {":message-type": kind, f":{kind}-type": name, ":content-type": "application/json"}
    packed = b"".join(
        bytes([len(key)]) + key.encode() + b"\x07" + struct.pack("!H", len(text)) + text.encode()
        for key, text in headers.items()
    )
    payload = json.dumps(value).encode()
    prelude = struct.pack("!II", 16 + len(packed) + len(payload), len(packed))
    start = prelude + struct.pack("!I", binascii.crc32(prelude)) + packed + payload
    return start + struct.pack("!I", binascii.crc32(start))
