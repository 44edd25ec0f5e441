"""Redis's protocol (RESP 2) on one connection, many commands under way at once.

Source: https://redis.io/docs/latest/develop/reference/protocol-spec/. Our own, since the usual library takes 0.1 to
0.6 ms of processor time for a command, which is more than all else that the gateway does for a request.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qs, unquote, urlsplit

Part = bytes | str | int | float
MAX_REPLY_BYTES = 64 * 2**20
MOST_WAITING = 10_000
CONNECTING_S = 0.25
"""Connecting may take this long also where replies may not."""


class Away(Exception):
    """Redis does not answer now; the message says why where it is known."""


class Failed(Exception):
    """Redis answered with an error; `code` is its first word."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = message.partition(" ")[0]


class Malformed(ValueError):
    """What came is no RESP."""


class Address(NamedTuple):
    """Where a Redis listens, from `redis://`, `rediss://` (TLS) or `unix://`."""

    host: str
    port: int
    path: str | None
    tls: bool
    user: str | None
    password: str | None
    database: int

    @classmethod
    def parse(cls, url: str) -> Address:
        """
        Raises:
            ValueError: it is none; the message does not show it.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or 6379
            named = parts.path.strip("/") if parts.scheme != "unix" else parse_qs(parts.query).get("db", ["0"])[0]
            database = int(named or 0)
        except ValueError:
            raise ValueError("the address of Redis can't be read") from None
        if parts.scheme not in ("redis", "rediss", "unix"):
            raise ValueError("the address of Redis begins with redis://, rediss:// or unix://")
        user, password = (None if one is None else unquote(one) for one in (parts.username, parts.password))
        path = parts.path if parts.scheme == "unix" else None
        return cls(
            parts.hostname or "localhost", port, path, parts.scheme == "rediss", user or None, password, database
        )


class Connection(asyncio.Protocol):
    """A connection, ready for commands once `opened` has returned it.

    A reply that takes longer than `patience_s` ends it: all that waits then raises `Away`, and `on_lost` is called.
    """

    def __init__(self, patience_s: float, on_lost: Callable[[], object]) -> None:
        self._patience_s = patience_s
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[float, asyncio.Future[Any] | None]] = deque()
        self._unsent: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._replies = Replies()

    @classmethod
    async def opened(
        cls,
        address: Address,
        patience_s: float,
        on_lost: Callable[[], object],
        context: ssl.SSLContext | None = None,
    ) -> Connection:
        """Connect and log in; with a context by TLS.

        Raises:
            Away: nobody answers there.
            Failed: Redis does not let us in.
        """
        connection = cls(patience_s, on_lost)
        loop = connection._loop
        try:
            async with asyncio.timeout(max(patience_s, CONNECTING_S)):
                if address.path is not None:
                    await loop.create_unix_connection(lambda: connection, address.path)
                else:
                    await loop.create_connection(lambda: connection, address.host, address.port, ssl=context)
        except ssl.SSLCertVerificationError as error:
            raise Away(f"its certificate is not accepted: {error.verify_message}") from None
        except ssl.SSLError as error:
            raise Away(f"TLS failed: {error.reason}") from None
        except (OSError, UnicodeError):  # A time-out among them, and a host's name that can't be one.
            connection.close()
            raise Away("it is not there" if context is None else "it is not there, or speaks no TLS") from None
        try:
            if address.password is not None:
                who = () if address.user is None else (address.user,)
                await connection.call("AUTH", *who, address.password)
            if address.database:
                await connection.call("SELECT", address.database)
            await connection.call("PING")
        except BaseException:
            connection.close()
            raise
        return connection

    async def call(self, *command: Part) -> Any:
        """The reply to a command: bytes, int, None, or a list of such.

        Raises:
            Away: there is none.
            Failed: it is an error.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self._send(command, future):
            raise Away
        return await future

    def tell(self, *command: Part) -> bool:
        """Send a command whose reply nobody waits for; whether it was taken."""
        return self._send(command, None)

    async def drained(self) -> None:
        """Wait until everything has its reply, or there will be none."""
        try:
            await self.call("PING")
        except (Away, Failed):
            return

    def close(self) -> None:
        """End the connection; what waits raises `Away`. Idempotent."""
        if self._transport is not None:
            self._transport.abort()
        self.connection_lost(None)

    # The event loop's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for reply in self._replies.feed(data):
                _, future = self._waiting.popleft()
                if future is None or future.done():
                    continue
                if isinstance(reply, Failed):
                    future.set_exception(reply)
                else:
                    future.set_result(reply)
        except (Malformed, IndexError):
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is None:
            return
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        waiting, self._waiting = self._waiting, deque()
        for _, future in waiting:
            if future is not None and not future.done():
                future.set_exception(Away())
        self._on_lost()

    def _send(self, command: tuple[Part, ...], future: asyncio.Future[Any] | None) -> bool:
        if self._transport is None or len(self._waiting) >= MOST_WAITING:
            return False
        now = monotonic()
        self._waiting.append((now, future))
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(encoded(command))
        if self._timer is None:
            self._timer = self._loop.call_later(self._patience_s, self._check)
        return True

    def _flush(self) -> None:
        data = b"".join(self._unsent)
        self._unsent.clear()
        if self._transport is not None:
            self._transport.write(data)

    def _check(self) -> None:
        """Whether the oldest command has waited too long."""
        self._timer = None
        if not self._waiting:
            return
        left = self._waiting[0][0] + self._patience_s - monotonic()
        if left <= 0:
            self.close()
        else:
            self._timer = self._loop.call_later(left, self._check)


class Replies:
    """Reads replies from bytes cut anywhere."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[Any]:
        """The whole replies that are there now; errors among them as `Failed`.

        Raises:
            Malformed: this is no RESP.
        """
        held = self._held + data if self._held else data
        found: list[Any] = []
        at = 0
        while at < len(held):
            reply, end = _reply(held, at)
            if end < 0:
                break
            found.append(reply)
            at = end
        self._held = held[at:]
        if len(self._held) > MAX_REPLY_BYTES:
            raise Malformed("a reply is too large")
        return found


def encoded(command: tuple[Part, ...]) -> bytes:
    """A command as an array of bulk strings."""
    parts = [b"*%d\r\n" % len(command)]
    for one in command:
        data = one if isinstance(one, bytes) else str(one).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


_UNFINISHED = (None, -1)
_DEEPEST = 8


def _reply(data: bytes, at: int, depth: int = 0) -> tuple[Any, int]:
    """A reply and where it ends; -1 where it has not ended yet."""
    line_end = data.find(b"\r\n", at)
    if line_end < 0:
        if len(data) - at > 65_536:
            raise Malformed("a line is too long")
        return _UNFINISHED
    kind, said, end = data[at : at + 1], data[at + 1 : line_end], line_end + 2
    if kind == b"+":
        return said, end
    if kind == b"-":
        return Failed(said.decode(errors="replace")), end
    try:
        number = int(said)
    except ValueError:
        raise Malformed("a number was expected") from None
    if kind == b":":
        return number, end
    if number < -1 or number > MAX_REPLY_BYTES or depth > _DEEPEST:
        raise Malformed("this length can't be")
    if kind == b"$":
        if number == -1:
            return None, end
        if len(data) < end + number + 2:
            return _UNFINISHED
        if data[end + number : end + number + 2] != b"\r\n":
            raise Malformed("a string does not end where it should")
        return data[end : end + number], end + number + 2
    if kind == b"*":
        if number == -1:
            return None, end
        items: list[Any] = []
        for _ in range(number):
            item, end = _reply(data, end, depth + 1)
            if end < 0:
                return _UNFINISHED
            items.append(item)
        return items, end
    raise Malformed("there is no such kind of reply")
