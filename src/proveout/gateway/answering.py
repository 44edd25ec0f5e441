"""The client's side of one answer: bytes on their way out, and what is learnt from them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache

from proveout.gateway.holding import GuardedStream
from proveout.gateway.observing import Facts, Malformed, StreamReader
from proveout.gateway.upstreams import UpstreamFailed
from proveout.project.sensitive import redacted
from proveout.wire import Flow, Responder, encode_headers

HeaderPairs = tuple[tuple[str, str], ...]
_TYPE = (("content-type", "text/event-stream; charset=utf-8"),)


lines_of = lru_cache(maxsize=1024)(encode_headers)
"""Header pairs as lines; a provider sends mostly the same ones."""


class ErrorInStream(Exception):
    """The stream carried an error object before anything that a client could use."""


class StreamedAnswer:
    """A stream on its way to a client: a `Sink` for upstreams. Without a responder (a shadow), or with `hold`, nothing
    goes out; it is only read. With `guarded`, what guards have let go goes out."""

    __slots__ = ("_guarded", "_hold", "_ours", "_responder", "flow", "headers", "kept", "reader", "started")

    def __init__(
        self,
        responder: Responder | None,
        header_lines: bytes,
        *,
        hide_usage: bool,
        keep_text: bool,
        keep_bytes: bool,
        hold: bool = False,
        guarded: GuardedStream | None = None,
    ) -> None:
        self.reader = StreamReader(hide_usage=hide_usage, keep_text=keep_text)
        self.flow = Flow()
        self.started = False
        self.kept: list[bytes] | None = [] if keep_bytes else None
        self._responder = responder
        self._ours = header_lines
        self.headers: HeaderPairs = _TYPE
        """The provider's, as they are passed on."""
        self._hold = hold
        self._guarded = guarded
        if responder is not None:
            responder.on_drained = self.flow.resume

    @property
    def facts(self) -> Facts:
        return self.reader.facts

    def opened(self, headers: HeaderPairs) -> None:
        self.headers = headers

    def piece(self, at: float, data: bytes) -> None:
        """
        Raises:
            Malformed: this is no stream of chat chunks.
            ErrorInStream: it began with an error.
            Withheld: a guard refuses it.
        """
        out = self.reader.feed(at, data)
        if self.reader.error is not None and not self.started:
            raise ErrorInStream
        if out and self._guarded is not None:
            out = self._guarded.take(out)
        if out:
            self._write(out)

    def ended(self) -> None:
        """The upstream said that it is done.

        Raises:
            UpstreamFailed: the answer is not whole.
            Withheld: a guard refuses it.
        """
        rest = self.reader.rest()
        if rest:
            self._write(rest if self._guarded is None else self._guarded.take(rest))
        if not self.reader.complete:
            raise UpstreamFailed("cut", "the stream ended before the answer did", again=not self.started)

    def end(self) -> None:
        """Give the rest, and end the answer.

        Raises:
            Withheld: a guard refuses it.
        """
        if self._guarded is not None:
            self._write(self._guarded.finish())
        if self._responder is not None and not self._hold:
            self._responder.end()

    def stop(self) -> None:
        """A guard has refused the rest: the answer ends where it is."""
        if self._guarded is not None and self._responder is not None:
            self._responder.write(self._guarded.last_words())
            self._responder.end()

    def broken(self, body: bytes) -> None:
        """The answer can't be finished: say so in the stream, then cut it, so that no client takes it for whole."""
        responder = self._responder
        if responder is not None and self.started and not responder.finished:
            responder.write(b"data: " + body + b"\n\n")
            _soon(responder.abort)

    def _write(self, data: bytes) -> None:
        if not data:
            return
        if self.kept is not None:
            self.kept.append(data)
        responder = self._responder
        if responder is None or self._hold:
            return
        if not self.started:
            self.started = True
            responder.start(200, lines_of(self.headers) + self._ours)
        responder.write(data)
        if responder.full:
            self.flow.pause()


def stream_failure(error: BaseException) -> UpstreamFailed:
    """What a stream that can't be read is to the one who tries again."""
    if isinstance(error, ErrorInStream):
        return UpstreamFailed("status", "the stream began with an error", again=True)
    return UpstreamFailed("malformed", str(error) if isinstance(error, Malformed) else "unreadable", again=True)


def content_texts(request: bytes, answer: bytes) -> tuple[str, str]:
    """A request and its answer as a trace keeps them: cut to size, and without what looks like a secret."""
    return _shown(request), _shown(answer)


MAX_CONTENT_BYTES = 128 * 1024


def _shown(data: bytes) -> str:
    return redacted(data[:MAX_CONTENT_BYTES].decode(errors="replace").replace("\0", ""))


def _soon(callback: Callable[[], None]) -> None:
    """After what was written has been handed to the socket."""
    asyncio.get_running_loop().call_later(0.05, callback)
