"""One request and what has come back for it so far."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from proveout.wire.headers import Headers
from proveout.wire.inflate import Inflater

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


@dataclass(slots=True, eq=False)
class Exchange:
    """The state of one request in flight. Belongs to the connection that carries it."""

    method: str
    about: str
    """Method and origin, for messages."""
    head: bytes
    body: bytes
    timeouts: Timeouts
    deadline: float
    """When `timeouts.total` runs out, on `time.monotonic`."""
    limit: int
    on_head: Callable[[int, Headers], None] | None
    on_data: Callable[[float, bytes], None] | None
    flow: Flow | None
    finished: asyncio.Future[Response]

    reused: bool = False
    sent: float = 0.0
    first_byte: float = 0.0
    status: int = 0
    reason: bytes = b""
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    headers: Headers | None = None
    inflater: Inflater | None = None
    collected: bytes | bytearray = b""
    """The body so far, where no `on_data` takes it."""
    size: int = 0
    ends_with_connection: bool = False

    @property
    def may_be_sent_again(self) -> bool:
        """Whether a second arrival does no harm: the method says so (RFC 9110, 9.2.2), or a key does."""
        return self.method in _IDEMPOTENT or b"\r\nidempotency-key:" in self.head.lower()
