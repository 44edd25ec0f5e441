"""The client's side of one HTTP/1.1 connection: one exchange at a time, parsed by httptools as the bytes come in."""

from __future__ import annotations

import asyncio
import math
import re
import select
from time import monotonic
from typing import TYPE_CHECKING

import httptools

from proveout.wire.body import grow
from proveout.wire.errors import ConnectionCut, MalformedResponse, Phase, TimedOut, TooLarge, WireError
from proveout.wire.exchange import Exchange, Response
from proveout.wire.headers import Headers
from proveout.wire.inflate import Inflater
from proveout.wire.timer import LazyTimer

if TYPE_CHECKING:
    from proveout.wire.pool import Pool

_UPLOAD_SLICE = 256 * 1024
_KEEP_ALIVE_TIMEOUT = re.compile(rb"\btimeout=(\d{1,9})\b", re.IGNORECASE)
_CLOCKS_DIFFER_S = 1.0
_BODYLESS = (204, 304)
_CODINGS = {b"gzip": "gzip", b"x-gzip": "gzip", b"deflate": "deflate"}


class _HeadOnly(Exception):
    """Stops the parser after the head of an answer to HEAD, which it would take for the start of a body."""


class _Surplus(Exception):
    """The server sent more than the response."""


class ClientConnection(asyncio.Protocol):
    """Carries exchanges for a pool, which it tells when it is free again (`release`) or gone (`discard`)."""

    __slots__ = (
        "_complete",
        "_exchange",
        "_fields",
        "_idle_s",
        "_input",
        "_keep_alive",
        "_last_activity",
        "_loop",
        "_max_header_bytes",
        "_parser",
        "_pool",
        "_read_at",
        "_served",
        "_since_body",
        "_timer",
        "_transport",
        "_upload",
        "_upload_at",
        "_write_paused",
    )

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._loop = loop
        self._max_header_bytes = pool.max_header_bytes
        self._timer = LazyTimer(loop, self._check_deadlines)
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._served = False
        self._complete = False
        self._keep_alive = False
        self._idle_s = pool.idle_connection_s
        self._input = select.poll()
        self._write_paused = False
        self._upload: memoryview | None = None
        self._upload_at = 0
        self._since_body = 0
        self._last_activity = self._read_at = monotonic()

    # What the pool and the client call

    @property
    def usable(self) -> bool:
        return self._exchange is None and not self._transport.is_closing()

    @property
    def ready(self) -> bool:
        """Whether a kept connection may be used again. One for which the kernel holds input has ended, or breaks the
        protocol."""
        return self._exchange is None and not self._transport.is_closing() and not self._input.poll(0)

    def begin(self, exchange: Exchange) -> None:
        """Send the request, and tell the exchange what comes of it."""
        self._exchange = exchange
        self._complete = False
        self._since_body = 0
        self._fields = []
        exchange.stop = self.abandon
        exchange.reused = self._served
        self._served = True
        self._last_activity = exchange.sent = monotonic()
        body = exchange.body
        if len(body) <= _UPLOAD_SLICE:
            self._transport.write(exchange.prepared.encoded(body))
        else:
            self._transport.write(exchange.prepared.head_for(len(body)))
            self._upload, self._upload_at = memoryview(body), 0
            self._pump_upload()
        if exchange.flow is not None:
            exchange.flow.attach(self._hold_reading)
        self._watch(exchange)

    def abandon(self) -> None:
        """Close at once, whatever is in flight."""
        self._detach()
        self._pool.discard(self)
        self._transport.abort()

    def fail(self, error: BaseException) -> None:
        """Close at once and let the exchange in flight end with `error`."""
        exchange = self._detach()
        self._pool.discard(self)
        self._transport.abort()
        if exchange is not None:
            exchange.fail(error)

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # pyright: ignore[reportAttributeAccessIssue]
        self._input.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        self._read_at = self._last_activity = monotonic()
        exchange = self._exchange
        if exchange is None:
            self.abandon()
            return
        self._since_body += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            self._stopped_by(error.__context__ or error)
        except httptools.HttpParserUpgrade:
            self.fail(
                MalformedResponse(f"{exchange.prepared.about}: the server switched protocols, which nobody asked for")
            )
        except httptools.HttpParserError as error:
            if self._complete:
                self._finish(keep=False)
            else:
                self.fail(MalformedResponse(f"{exchange.prepared.about}: not a valid HTTP/1.1 response: {error}"))
        else:
            if self._complete:
                self._finish(keep=self._keep_alive)
            elif self._since_body > self._max_header_bytes:
                self.fail(self._head_too_large(exchange))

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._upload is not None:
            self._pump_upload()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.stop()
        self._pool.discard(self)
        self._pool.closed(self)
        exchange = self._exchange
        if exchange is None:
            return
        if exchange.ends_with_connection and exc is None:
            self._finish(keep=False)
        elif exchange.reused and self._read_at <= exchange.sent and exchange.prepared.may_be_sent_again:
            self._detach()  # A kept connection has ended before any byte of a response: each time, one fewer of them.
            exchange.prepared.origin.carry(exchange)
        else:
            self.fail(self._cut(exchange))

    # What the parser calls

    def on_message_begin(self) -> None:
        if self._complete:
            raise _Surplus
        exchange = self._exchange
        if exchange is not None:
            exchange.first_byte = self._read_at
            if exchange.timeouts.idle is not None:
                self._watch(exchange)

    def on_status(self, reason: bytes) -> None:
        if self._exchange is not None:
            self._exchange.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        status = self._parser.get_status_code()
        if status < 100 or self._parser.get_http_version() not in ("1.1", "1.0"):
            raise MalformedResponse(f"{exchange.prepared.about}: the response is not HTTP/1.1")
        if status < 200:
            return
        fields, self._fields = self._fields, []  # Later ones are trailers, which nobody here uses.
        if self._since_body > self._max_header_bytes < sum(len(name) + len(value) + 4 for name, value in fields):
            raise self._head_too_large(exchange)
        exchange.status = status
        headers = exchange.headers = Headers(fields)
        values = headers.combined()
        if b"keep-alive" in values:
            self._heed_keep_alive(values[b"keep-alive"])
        head_only = exchange.prepared.method == "HEAD"
        if not head_only and status not in _BODYLESS:
            self._expect_body(exchange, values)
        if exchange.on_head is not None:
            exchange.on_head(status, headers)
        if head_only:
            raise _HeadOnly

    def on_body(self, piece: bytes) -> None:
        self._since_body = 0
        exchange = self._exchange
        if exchange is None:
            return
        if exchange.inflater is not None:
            piece = exchange.inflater.feed(piece)
            if not piece:
                return
        size = exchange.size = exchange.size + len(piece)
        if size > exchange.limit:
            raise TooLarge(f"{exchange.prepared.about}: the response body is larger than {exchange.limit} bytes")
        if exchange.on_data is not None:
            exchange.on_data(self._read_at, piece)
        elif size == len(piece):
            exchange.collected = piece
        else:
            exchange.collected = grow(exchange.collected, piece)

    def on_message_complete(self) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        if exchange.headers is None:  # An interim response (1xx): the real one follows.
            self._fields = []
            exchange.reason = b""
            exchange.first_byte = 0.0
            return
        self._complete = True
        self._keep_alive = self._parser.should_keep_alive()

    # Inner steps

    def _expect_body(self, exchange: Exchange, fields: dict[bytes, bytes]) -> None:
        length = fields.get(b"content-length")
        transfer = fields.get(b"transfer-encoding")
        if transfer is not None and transfer.lower() != b"chunked":
            raise MalformedResponse(f"{exchange.prepared.about}: the response has a transfer coding other than chunked")
        if length is not None and int(length) > exchange.limit:
            raise TooLarge(f"{exchange.prepared.about}: the response body is larger than {exchange.limit} bytes")
        exchange.ends_with_connection = length is None and transfer is None
        coding = fields.get(b"content-encoding")
        if coding is not None:
            self._expect_coding(exchange, coding.lower())

    def _expect_coding(self, exchange: Exchange, coding: bytes) -> None:
        if coding in _CODINGS:
            exchange.inflater = Inflater(_CODINGS[coding], exchange.limit, exchange.prepared.about)
        elif coding not in (b"identity", b""):
            what = "the response has a content coding that is not understood here"
            raise MalformedResponse(f"{exchange.prepared.about}: {what}")

    def _heed_keep_alive(self, hint: bytes) -> None:
        """Give the connection up before the server does, where it says when that is (`Keep-Alive: timeout=5`)."""
        told = _KEEP_ALIVE_TIMEOUT.search(hint)
        if told is not None:
            self._idle_s = min(self._pool.idle_connection_s, max(int(told[1]) - _CLOCKS_DIFFER_S, 0.0))

    def _stopped_by(self, cause: BaseException) -> None:
        """The parser stopped because one of our own callbacks, or the caller's, raised."""
        if isinstance(cause, _HeadOnly | _Surplus):
            self._finish(keep=False)
        elif isinstance(cause, StopIteration):  # No future can hold one.
            error = RuntimeError("on_head or on_data raised StopIteration")
            error.__cause__ = cause
            self.fail(error)
        else:
            self.fail(cause)

    def _finish(self, *, keep: bool) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        if exchange.inflater is not None:
            try:
                exchange.inflater.finish()
            except WireError as error:
                self.fail(error)
                return
        uploaded = self._upload is None
        self._detach()
        if keep and uploaded and not self._transport.is_closing():
            self._require(self._last_activity + self._idle_s)
            self._pool.release(self)
        else:
            self._pool.discard(self)
            self._transport.abort()
        if exchange.status == 407 and exchange.prepared.origin.forwarded:
            exchange.fail(exchange.prepared.origin.refused(exchange))
            return
        exchange.bring(
            Response(
                exchange.status,
                exchange.reason.decode("latin-1"),
                Headers() if exchange.headers is None else exchange.headers,
                bytes(exchange.collected),
                exchange.sent,
                exchange.first_byte,
                self._read_at,
                exchange.reused,
            )
        )

    def _detach(self) -> Exchange | None:
        exchange, self._exchange, self._upload = self._exchange, None, None
        if exchange is not None and exchange.flow is not None:
            exchange.flow.attach(None)
            if exchange.flow.paused and not self._transport.is_closing():
                self._transport.resume_reading()
        return exchange

    def _pump_upload(self) -> None:
        while self._upload is not None and not self._write_paused and not self._transport.is_closing():
            end = self._upload_at + _UPLOAD_SLICE
            self._transport.write(self._upload[self._upload_at : end])
            self._last_activity = monotonic()
            self._upload_at = end
            if end >= len(self._upload):
                self._upload = None

    def _hold_reading(self, hold: bool) -> None:
        if self._transport.is_closing():
            return
        if hold:
            self._transport.pause_reading()
        else:
            self._last_activity = monotonic()
            self._transport.resume_reading()
            self._require(self._check_deadlines(self._last_activity))

    def _watch(self, exchange: Exchange) -> None:
        """Have the timer come for the exchange's next deadline."""
        when = self._timer.when  # Mostly that of an earlier exchange, which is soon enough to look again.
        if exchange.deadline < when or self._last_activity + exchange.timeouts.shortest_pause < when:
            self._require(self._next_deadline(exchange)[0])

    def _require(self, deadline: float) -> None:
        if deadline < self._timer.when:
            self._timer.ask(deadline)

    def _next_deadline(self, exchange: Exchange) -> tuple[float, Phase]:
        """The earlier of the total deadline and the one of the phase that the exchange is in."""
        phase: Phase = "idle" if exchange.first_byte else "first_byte"
        limit = exchange.timeouts.idle if exchange.first_byte else exchange.timeouts.first_byte
        held = exchange.flow is not None and exchange.flow.paused
        if limit is None or held or self._last_activity + limit > exchange.deadline:
            return exchange.deadline, "total"
        return self._last_activity + limit, phase

    def _check_deadlines(self, now: float) -> float:
        exchange = self._exchange
        if exchange is None:
            deadline = self._last_activity + self._idle_s
            if now < deadline:
                return deadline
            self.abandon()
            return math.inf
        deadline, phase = self._next_deadline(exchange)
        if now < deadline:
            return deadline
        self.fail(timed_out(exchange, phase))
        return math.inf

    def _head_too_large(self, exchange: Exchange) -> TooLarge:
        return TooLarge(f"{exchange.prepared.about}: the response head is larger than {self._max_header_bytes} bytes")

    def _cut(self, exchange: Exchange) -> ConnectionCut:
        head = exchange.headers is not None
        where = f"{exchange.size} bytes into the body" if head else "before the response head was complete"
        return ConnectionCut(
            f"{exchange.prepared.about}: the connection was cut {where}", received=exchange.size, head=head
        )


def timed_out(exchange: Exchange, phase: Phase) -> TimedOut:
    limits = exchange.timeouts
    said = {
        "first_byte": f"no response within {limits.first_byte} s",
        "idle": f"nothing more came for {limits.idle} s",
        "total": f"not finished within {limits.total} s",
        "connect": f"no connection within {limits.connect} s",
    }
    return TimedOut(f"{exchange.prepared.about}: {said[phase]} ({phase} time-out)", phase=phase)
