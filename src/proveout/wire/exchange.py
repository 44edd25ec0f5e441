"""One request and what has come back for it so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from proveout.wire.headers import Headers
from proveout.wire.inflate import Inflater
from proveout.wire.steps import Outcome

if TYPE_CHECKING:
    from proveout.wire.origin import Origin

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits in seconds; None means no limit.

    `connect` covers name lookup, TCP, proxy and TLS. `first_byte` runs from the last byte sent to the first byte
    back, `idle` between two reads, `total` from the call to the last byte, waiting for a free connection included.
    """

    connect: float | None = 10
    first_byte: float | None = 120
    idle: float | None = 60
    total: float | None = 300
    shortest_pause: float = field(init=False, repr=False, compare=False)
    """The lesser of `first_byte` and `idle`."""

    def __post_init__(self) -> None:
        pauses = [limit for limit in (self.first_byte, self.idle) if limit is not None]
        object.__setattr__(self, "shortest_pause", min(pauses, default=inf))


@dataclass(slots=True)
class Response:
    """A whole response.

    `sent`, `first_byte` and `done` are `time.monotonic` seconds at the socket: when the request was written, when the
    read that brought the first byte of this response returned, and when the one that brought the last did. `body` is
    empty where `on_data` took it. `reused` says whether the connection had served before.
    """

    status: int
    reason: str
    headers: Headers
    body: bytes
    sent: float
    first_byte: float
    done: float
    reused: bool


class Flow:
    """Lets a slow consumer hold back a response: pass one to `Client.send`, then `pause` and `resume` it.

    While paused, the idle time-out waits; the total one does not.
    """

    __slots__ = ("_switch", "paused")

    def __init__(self) -> None:
        self.paused = False
        self._switch: Callable[[bool], None] | None = None

    def pause(self) -> None:
        self._set(True)

    def resume(self) -> None:
        self._set(False)

    def attach(self, switch: Callable[[bool], None] | None) -> None:
        """Called by the connection: `switch(paused)` stops and starts its reading."""
        self._switch = switch
        if switch is not None and self.paused:
            switch(True)

    def _set(self, paused: bool) -> None:
        if paused != self.paused:
            self.paused = paused
            if self._switch is not None:
                self._switch(paused)


class Prepared:
    """What is the same for every request of a kind: where it goes, and its head but for the length of its body."""

    __slots__ = ("about", "head", "method", "origin", "sends_length")

    def __init__(self, method: str, about: str, head: bytes, origin: Origin, *, sends_length: bool) -> None:
        self.method = method
        self.about = about
        """Method and origin, for messages."""
        self.head = head
        self.origin = origin
        self.sends_length = sends_length
        """Whether even the length of an empty body is told."""

    def encoded(self, body: bytes) -> bytes:
        """A request with this body."""
        if body:
            return b"%bcontent-length: %d\r\n\r\n%b" % (self.head, len(body), body)
        return self.head_for(0)

    def head_for(self, length: int) -> bytes:
        """The head of a request with a body of this length."""
        if length or self.sends_length:
            return b"%bcontent-length: %d\r\n\r\n" % (self.head, length)
        return self.head + b"\r\n"

    @property
    def may_be_sent_again(self) -> bool:
        """Whether a second arrival does no harm: the method says so (RFC 9110, 9.2.2), or a key does."""
        return self.method in _IDEMPOTENT or b"\r\nidempotency-key:" in self.head.lower()


class Exchange(Outcome[Response]):
    """One request in flight and what has come back for it so far. Await it for the response."""

    # Defaults of the class: an ordinary exchange sets few of them.
    reused = False
    sent = 0.0
    first_byte = 0.0
    status = 0
    reason = b""
    headers: Headers | None = None
    inflater: Inflater | None = None
    collected: bytes | bytearray = b""
    """The body so far, where no `on_data` takes it."""
    size = 0
    ends_with_connection = False

    def __init__(
        self,
        prepared: Prepared,
        body: bytes,
        timeouts: Timeouts,
        limit: int,
        on_head: Callable[[int, Headers], object] | None = None,
        on_data: Callable[[float, bytes], object] | None = None,
        flow: Flow | None = None,
    ) -> None:
        self.prepared = prepared
        self.body = body
        self.timeouts = timeouts
        self.deadline = inf if timeouts.total is None else monotonic() + timeouts.total
        """When `timeouts.total` runs out, on `time.monotonic`."""
        self.limit = limit
        self.on_head = on_head
        self.on_data = on_data
        self.flow = flow
