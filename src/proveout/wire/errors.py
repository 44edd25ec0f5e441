"""What can go wrong on the wire. Messages name method and origin, and never a path, a header's value or a body."""

from __future__ import annotations

from typing import Literal

Phase = Literal["connect", "first_byte", "idle", "total"]


class WireError(Exception):
    """An exchange that brought no whole response."""


class InvalidRequest(WireError, ValueError):
    """The URL, method or headers cannot be sent as they are. Nothing was sent."""


class ClientClosed(WireError):
    """The client was closed before or during the exchange."""


class ConnectFailed(WireError):
    """No connection to the origin: name not found, refused, unreachable."""


class TlsFailed(WireError):
    """The TLS handshake failed, or the server's certificate could not be verified."""


class ProxyFailed(WireError):
    """The proxy could not be reached, or would not open a tunnel."""


class TimedOut(WireError):
    """A time limit ran out. `phase` says which: connect, first_byte, idle (between two reads) or total."""

    def __init__(self, message: str, *, phase: Phase) -> None:
        super().__init__(message)
        self.phase: Phase = phase


class ConnectionCut(WireError):
    """The connection ended before the response did.

    `received` counts the bytes of its body so far; `head` says whether its head had come.
    """

    def __init__(self, message: str, *, received: int, head: bool) -> None:
        super().__init__(message)
        self.received = received
        self.head = head


class MalformedResponse(WireError):
    """The server sent something that is not HTTP/1.1, or a body that contradicts its headers."""


class TooLarge(WireError):
    """A head, a body or an event is larger than its limit."""
