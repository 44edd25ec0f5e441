"""The server's side of one HTTP/1.1 connection: requests in, answers out in the same order."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import httptools

from proveout.wire.body import grow
from proveout.wire.headers import Headers
from proveout.wire.known_head import KnownHead
from proveout.wire.request_target import path_and_query
from proveout.wire.responder import Responder, ServerRequest
from proveout.wire.steps import Steps
from proveout.wire.timer import LazyTimer

if TYPE_CHECKING:
    from proveout.wire.server import Server

App = Callable[[ServerRequest, Responder], Coroutine[Any, Any, None] | None]

_log = logging.getLogger("proveout.wire")
_LINGER_S = 2.0
_METHODS = {b"GET": "GET", b"POST": "POST"}
_TEXT = (("content-type", "text/plain; charset=utf-8"),)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one peer may take. Sizes in bytes, times in seconds.

    `head_s` and `body_s` bound how long a request's head and body may take to arrive, `keep_alive_s` how long a quiet
    connection is kept, and `write_s` how long a peer may take nothing of what waits for it.
    """

    connections: int = 10_000
    head_bytes: int = 64 * 1024
    body_bytes: int = 64 * 2**20
    head_s: float = 10
    body_s: float = 60
    keep_alive_s: float = 75
    write_s: float = 60


Refusal = Callable[[int, str], tuple[Sequence[tuple[str, str]], bytes]]
"""Headers and body of an answer to a request that never reaches the app, from its status and why."""


def in_plain_text(status: int, why: str) -> tuple[Sequence[tuple[str, str]], bytes]:
    return _TEXT, why.encode()


class _Refused(Exception):
    """A request that is answered by `status` without asking the app; the connection is closed after it."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class _Stop(Exception):
    """Stops the parser: nothing more will be read from this connection."""


class ServerConnection(asyncio.Protocol):
    """Parses requests, runs the app for one at a time, and keeps the others of a pipelining client waiting."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.closing = False
        """No further request will be answered."""
        self.write_paused = False
        self._server = server
        self._limits = server.limits
        self._loop = loop
        self._timer = LazyTimer(loop, self._check_deadlines)
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._read_at = monotonic()
        self._since_body = 0
        self._raw_body_left = 0
        self._stage = "new"  # new, head, body, quiet: what of the next request has come.
        self._stage_since = self._read_at
        self._unsent = 0
        self._unsent_since = self._read_at
        self._method = ""
        self._url = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._headers = Headers()
        self._opening: bytes | None = None
        self._known: KnownHead | None = None
        self._body: bytes | bytearray = b""
        self._size = 0
        self._responder: Responder | None = None
        self._next: Responder | None = None
        self._task: asyncio.Task[None] | Steps | None = None
        self._waiting: deque[tuple[ServerRequest, Responder]] = deque()
        self._refused: _Refused | None = None
        self._linger = False
        self._reading_paused = False
        self._advancing = False

    # What responders and the server call

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def answered(self, *, keep_alive: bool) -> None:
        """The response in flight is complete."""
        self._responder = self._task = None
        if not keep_alive or self.closing:
            self._shut()
            return
        self._stage_since = monotonic()
        if self._stage != "quiet" or self._timer.when == math.inf:
            self._watch_stage()
        if self._waiting or self._refused is not None or self._reading_paused:
            self._advance()

    def drain(self) -> None:
        """Finish the response in flight, then close."""
        self.closing = True
        if self._responder is None:
            self._shut()

    def abort(self) -> None:
        self.closing = True
        self._transport.abort()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # pyright: ignore[reportAttributeAccessIssue]
        self._server.joined(self)
        if self._server.draining or len(self._server.connections) > self._limits.connections:
            self.abort()
            return
        self._require(self._stage_since + self._limits.head_s)

    def data_received(self, data: bytes) -> None:
        self._read_at = monotonic()
        known = self._known
        if known is not None and self._stage == "quiet" and not self._since_body:
            data = self._recognise(known, data)
        while data and not self.closing and self._refused is None:
            data = self._take_raw_body(data) if self._raw_body_left else self._parse(data)

    def eof_received(self) -> None:
        """The client has closed, or half-closed, which looks the same from here: whoever works for it shall stop."""
        if self._responder is not None:
            self.abort()

    def pause_writing(self) -> None:
        self.write_paused = True
        self._watch_sending()

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._responder is not None:
            self._responder.emptied()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self._timer.stop()
        self._server.left(self)
        self._waiting.clear()
        responder, self._responder = self._responder, None
        if responder is not None:
            responder.lost()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    # What the parser calls

    def on_message_begin(self) -> None:
        if self.closing:
            raise _Stop
        self._url = self._body = b""
        self._fields = []
        self._size = 0
        self._stage = "head"
        self._stage_since = self._read_at

    def on_url(self, piece: bytes) -> None:
        self._url += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        parser = self._parser
        method, version = parser.get_method(), parser.get_http_version()
        headers = self._headers = Headers(self._fields)
        fields = headers.combined()
        self._check_head(method, version, fields)
        self._method = _METHODS.get(method) or method.decode("latin-1")
        self._fields = []  # For trailers, which nobody here uses.
        keep_alive = parser.should_keep_alive()
        self._next = Responder(self, method == b"HEAD", version == "1.0", keep_alive)
        self._stage = "body"
        self._stage_since = self._read_at
        opening, self._opening = self._opening, None
        if b"expect" in fields:
            self._answer_expectation(fields[b"expect"], version)
        elif parser.should_upgrade():
            self._raw_body_left = int(fields.get(b"content-length", 0))
        elif opening is not None:
            self._known = KnownHead.of(
                opening, headers, self._url, self._method, old=version == "1.0", keep_alive=keep_alive
            )

    def on_body(self, piece: bytes) -> None:
        self._since_body = 0
        size = self._size = self._size + len(piece)
        if size > self._limits.body_bytes:
            raise _Refused(413, "the request body is too large")
        self._body = piece if size == len(piece) else grow(self._body, piece)

    def on_message_complete(self) -> None:
        if not self._raw_body_left:
            self._request_complete()

    # Inner steps

    def _parse(self, data: bytes) -> bytes:
        """Feed the parser; return what it left unread, at an offer to upgrade."""
        self._opening = data if self._between_requests else None
        self._since_body += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # Stay with HTTP/1.1 where a client offers another protocol (some send `Upgrade: h2c` with an ordinary
            # POST). The parser takes such a request to have no body, so the body is read without it.
            self._parser = httptools.HttpRequestParser(self)
            self._since_body = 0
            self._watch_stage()
            return data[upgrade.args[0] :]
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if isinstance(cause, _Refused):
                self._refuse(cause)
            elif not isinstance(cause, _Stop):
                raise cause or error from None
        except httptools.HttpParserError as error:
            self._refuse(_Refused(400, f"malformed request: {error}"))
        else:
            if self._since_body > self._limits.head_bytes:
                self._refuse(_Refused(431, "the request head is too large"))
            elif self._stage != "quiet":
                self._watch_stage()
        return b""

    @property
    def _between_requests(self) -> bool:
        """Whether nothing of the next request has come."""
        return not self._since_body and (self._stage == "quiet" or self._stage == "new")

    def _recognise(self, known: KnownHead, data: bytes) -> bytes:
        """Take a head that differs from the last one in nothing but the length of its body; return what follows it."""
        found = known.found_in(data)
        if found is None or found.length > self._limits.body_bytes or self.closing or self._refused is not None:
            return data
        responder = Responder(self, False, known.old, known.keep_alive)
        rest = data[found.end :]
        if len(rest) == found.length:  # As nearly always.
            path, query = path_and_query(known.url)
            request = ServerRequest(known.method, path, query, found.headers, rest, self._read_at, responder)
            self._take(request, responder)
            return b""
        self._method, self._url, self._headers = known.method, known.url, found.headers
        self._next = responder
        self._body = b""
        self._stage = "body"
        self._stage_since = self._read_at
        self._raw_body_left = found.length
        self._watch_stage()
        return rest

    def _watch_stage(self) -> None:
        deadline = self._stage_since + self._stage_limit()
        if deadline < self._timer.when:
            self._timer.ask(deadline)

    def _check_head(self, method: bytes, version: str, fields: dict[bytes, bytes]) -> None:
        """Refuse what a second reader of the same bytes could understand differently, and what is too large."""
        most = self._limits.head_bytes
        if self._since_body > most < sum(len(name) + len(value) + 4 for name, value in self._fields) + len(self._url):
            raise _Refused(431, "the request head is too large")
        if version not in ("1.1", "1.0"):
            raise _Refused(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
        if method == b"CONNECT":
            raise _Refused(501, "this is not a proxy")
        repeated = len(fields) < len(self._fields)
        if (b"host" not in fields and version == "1.1") or (repeated and self._hosts() > 1):
            raise _Refused(400, "a request needs exactly one Host header")
        transfer = fields.get(b"transfer-encoding")
        if transfer is not None:
            if version == "1.0":
                raise _Refused(400, "HTTP/1.0 has no transfer codings")
            if transfer.lower() != b"chunked":
                raise _Refused(501, "the only transfer coding understood here is chunked")
            if self._parser.should_upgrade():
                raise _Refused(501, "an upgrade with a chunked body is not understood here")
        if int(fields.get(b"content-length", 0)) > self._limits.body_bytes:
            raise _Refused(413, "the request body is too large")

    def _hosts(self) -> int:
        return [name for name, _ in self._fields].count(b"host")

    def _answer_expectation(self, expectation: bytes, version: str) -> None:
        if expectation.lower() != b"100-continue":
            raise _Refused(417, "the only expectation understood here is 100-continue")
        if version == "1.1" and self._responder is None and not self._waiting:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _take_raw_body(self, data: bytes) -> bytes:
        left = self._raw_body_left - len(data)
        if left < 0:
            piece, data = data[:left], data[left:]
        else:
            piece, data = data, b""
        self._body = grow(self._body, piece)
        self._raw_body_left = max(left, 0)
        if left <= 0:
            self._request_complete()
        return data

    def _request_complete(self) -> None:
        responder = self._next
        if responder is None:
            return
        path, query = path_and_query(self._url)
        body = bytes(self._body)
        request = ServerRequest(self._method, path, query, self._headers, body, self._read_at, responder)
        self._next = None
        self._body = b""
        self._since_body = 0
        self._stage = "quiet"
        self._take(request, responder)

    def _take(self, request: ServerRequest, responder: Responder) -> None:
        """Run the app for a whole request, or let it wait for those before it."""
        if self._responder is None and not self._waiting and not self._advancing and not self.closing:
            self._run(request, responder)
            return
        self._waiting.append((request, responder))
        if self._responder is not None and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        self._advance()

    def _advance(self) -> None:
        """Hand the next waiting request to the app, and so on while it answers at once."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._waiting and self._responder is None and not self.closing:
                self._run(*self._waiting.popleft())
        finally:
            self._advancing = False
        if self._responder is None and not self.closing:
            if self._refused is not None:
                self._answer_refusal(self._refused)
            else:
                self._read_again()

    def _run(self, request: ServerRequest, responder: Responder) -> None:
        self._responder = responder
        try:
            pending = self._server.app(request, responder)
        except Exception:
            _log.exception("the handler of %s %s failed", request.method, request.path)
            _give_up(responder)
            return
        if pending is None:
            return
        if self._server.stepped:
            self._task = steps = Steps(pending, partial(_handled, request, responder))
            steps.start()
            return
        self._task = task = self._loop.create_task(pending)
        self._server.tasks.add(task)
        task.add_done_callback(partial(self._task_done, request, responder))

    def _task_done(self, request: ServerRequest, responder: Responder, task: asyncio.Task[None]) -> None:
        self._server.tasks.discard(task)
        _handled(request, responder, asyncio.CancelledError() if task.cancelled() else task.exception())

    def _refuse(self, refused: _Refused) -> None:
        if self.closing:
            return
        self._refused = refused
        if self._responder is None and not self._waiting:
            self._answer_refusal(refused)

    def _answer_refusal(self, refused: _Refused) -> None:
        """Say why, then read on for a moment: closing with unread bytes would lose the answer in a reset."""
        self._linger = True
        Responder(self, False, False, False).reply(refused.status, *self._server.refusal(refused.status, refused.why))

    def _shut(self) -> None:
        self.closing = True
        if self._transport.is_closing():
            return
        if self._linger and self._transport.can_write_eof():
            self._transport.write_eof()
            self._read_again()
        else:
            self._transport.close()
        self._watch_sending()

    def _read_again(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    def _require(self, deadline: float) -> None:
        if deadline < self._timer.when:
            self._timer.ask(deadline)

    def _watch_sending(self) -> None:
        """From now on the client must take something of what waits for it, or close if nothing does."""
        self._unsent = self._transport.get_write_buffer_size()
        self._unsent_since = monotonic()
        self._require(self._unsent_since + self._sending_limit() / 4)

    def _sending_limit(self) -> float:
        return _LINGER_S if self._linger else self._limits.write_s

    def _check_deadlines(self, now: float) -> float:
        if self.write_paused or (self.closing and self._responder is None):
            return self._check_sending(now)
        if self._responder is not None:
            return math.inf  # The handler's time is its own affair.
        deadline = self._stage_since + self._stage_limit()
        if now < deadline:
            return deadline
        if self._stage in ("new", "quiet"):
            self.abort()
        else:
            self._refuse(_Refused(408, "the request took too long to arrive"))
        return math.inf

    def _check_sending(self, now: float) -> float:
        unsent = self._transport.get_write_buffer_size()
        if unsent < self._unsent:
            self._unsent_since = now
        self._unsent = unsent
        limit = self._sending_limit()
        if now >= self._unsent_since + limit:
            self.abort()
            return math.inf
        return now + limit / 4

    def _stage_limit(self) -> float:
        if self._stage == "body":
            return self._limits.body_s
        return self._limits.keep_alive_s if self._stage == "quiet" else self._limits.head_s


def _handled(request: ServerRequest, responder: Responder, error: BaseException | None) -> None:
    """The handler has ended."""
    if isinstance(error, asyncio.CancelledError):
        responder.abort()
        return
    if error is not None:
        _log.error("the handler of %s %s failed", request.method, request.path, exc_info=error)
    if not responder.finished:
        _give_up(responder)


def _give_up(responder: Responder) -> None:
    """The handler ended without a whole response: say 500 where nothing was sent, else let the client see a cut."""
    if responder.started:
        responder.abort()
    else:
        responder.reply(500, _TEXT, b"internal server error")
