"""A request as the server got it, and the means to answer it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

from proveout.wire.headers import HeaderInput, Headers, encode_headers

if TYPE_CHECKING:
    from proveout.wire.server_connection import ServerConnection

_BODYLESS = frozenset({204, 304})
_WRITTEN_APART = 64 * 1024
"""A body of more bytes is not copied to stand behind its head."""


class ServerRequest:
    """One whole request.

    `path` is the raw target without its query; `received` is the `time.monotonic` of the read that completed it.
    """

    __slots__ = ("_responder", "body", "headers", "method", "path", "query", "received")

    def __init__(
        self, method: str, path: str, query: str, headers: Headers, body: bytes, received: float, responder: Responder
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.received = received
        self._responder = responder

    @property
    def disconnected(self) -> asyncio.Future[None]:
        """Done once the client has gone before its response was complete."""
        return self._responder.disconnected


class Responder:
    """Answers one request: either `reply` once, or `start`, any number of `write`s, and `end`.

    After the client has gone, all of them do nothing, so that a late answer needs no care.
    """

    # Defaults of the class: an ordinary answer sets none of them.
    _state = "new"
    _chunked = False
    _disconnected: asyncio.Future[None] | None = None
    _drained: asyncio.Future[None] | None = None
    on_drained: Callable[[], object] | None = None
    """Called when a write buffer that was `full` has emptied: for writers that cannot await `drain`."""

    def __init__(self, connection: ServerConnection, head_only: bool, old: bool, keep_alive: bool) -> None:
        """`head_only`: the request was HEAD; `old`: its client speaks HTTP/1.0."""
        self._connection: ServerConnection | None = connection
        self._head_only = head_only
        self._old = old
        self._keep_alive = keep_alive

    @property
    def started(self) -> bool:
        return self._state != "new"

    @property
    def finished(self) -> bool:
        return self._state == "done"

    @property
    def full(self) -> bool:
        """Whether the client reads more slowly than we write, so that the writer should wait."""
        return self._connection is not None and self._connection.write_paused

    @property
    def disconnected(self) -> asyncio.Future[None]:
        """Done once the client has gone before the response was complete."""
        if self._disconnected is None:
            self._disconnected = asyncio.get_running_loop().create_future()
            if self._connection is None and not self.finished:
                self._disconnected.set_result(None)
        return self._disconnected

    def reply(self, status: int, headers: HeaderInput = (), body: bytes = b"") -> None:
        """The whole response at once.

        Raises:
            InvalidRequest: a header cannot be sent.
            ValueError: the status is none of a final response.
            RuntimeError: the request was answered before.
        """
        first = _first_lines(status)
        lines = headers if isinstance(headers, bytes) else encode_headers(headers)
        self._leave("new", "done")
        connection = self._connection
        if connection is None:
            return
        size, kept = len(body), self._connection_line(connection)
        if self._head_only or size > _WRITTEN_APART or status in _BODYLESS:
            length = b"" if status in _BODYLESS else b"content-length: %d\r\n" % size
            connection.write(b"%b%b%b%b\r\n" % (first, kept, length, lines))
            if not self._head_only and status not in _BODYLESS:
                connection.write(body)
        else:
            connection.write(b"%b%bcontent-length: %d\r\n%b\r\n%b" % (first, kept, size, lines, body))
        self._release(connection)

    def start(self, status: int = 200, headers: HeaderInput = ()) -> None:
        """The head of a response whose length is not known yet: it goes out in chunks.

        Raises:
            InvalidRequest: a header cannot be sent.
            ValueError: the status is none of a final response.
            RuntimeError: the request was answered before.
        """
        first, lines = _first_lines(status), encode_headers(headers)
        self._leave("new", "streaming")
        connection = self._connection
        if connection is None:
            return
        bodyless = self._head_only or status in _BODYLESS
        self._chunked = not bodyless and not self._old
        self._keep_alive = self._keep_alive and not (self._old and not bodyless)
        self._head_only = bodyless
        framing = b"transfer-encoding: chunked\r\n" if self._chunked else b""
        connection.write(b"%b%b%b%b\r\n" % (first, self._connection_line(connection), framing, lines))

    def write(self, data: bytes) -> None:
        """A piece of the body. Check `full`, or await `drain`, to keep pace with the client."""
        if self._state != "streaming":
            raise RuntimeError("write comes after start and before end")
        connection = self._connection
        if connection is not None and data and not self._head_only:
            connection.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was written."""
        if self.full:
            if self._drained is None or self._drained.done():
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)

    def end(self) -> None:
        """The body is complete."""
        self._leave("streaming", "done")
        connection = self._connection
        if connection is not None:
            if self._chunked:
                connection.write(b"0\r\n\r\n")
            self._release(connection)

    def abort(self) -> None:
        """Cut the connection, so that the client sees that the response is not whole."""
        if self._connection is not None:
            self._connection.abort()

    # What the connection calls

    def emptied(self) -> None:
        """The write buffer has room again."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self.on_drained is not None:
            self.on_drained()

    def lost(self) -> None:
        """The client has gone."""
        self._connection = None
        for waiting in (self._disconnected, self._drained):
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

    def _leave(self, state: str, following: str) -> None:
        if self._state != state:
            raise RuntimeError(f"this step needs a response that is {state}, but it is {self._state}")
        self._state = following

    def _connection_line(self, connection: ServerConnection) -> bytes:
        if not self._keep_alive or connection.closing:
            self._keep_alive = False
            return b"connection: close\r\n"
        return b"connection: keep-alive\r\n" if self._old else b""

    def _release(self, connection: ServerConnection) -> None:
        self._connection = None
        connection.answered(keep_alive=self._keep_alive)


@lru_cache(maxsize=128)
def _status_line(status: int) -> bytes:
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = ""
    if not 200 <= status <= 599:
        raise ValueError(f"{status} is not a final HTTP status")
    return f"HTTP/1.1 {status} {reason}\r\n".encode()


def _first_lines(status: int) -> bytes:
    """The status and the date."""
    return _first_lines_in(status, int(time.time()))


@lru_cache(maxsize=32)
def _first_lines_in(status: int, second: int) -> bytes:
    at = time.gmtime(second)
    day, month = _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    clock = f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"
    return _status_line(status) + f"date: {day}, {at.tm_mday:02} {month} {at.tm_year} {clock} GMT\r\n".encode()


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
