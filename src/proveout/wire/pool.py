"""The connections to one origin: how many there may be, which are free, and who waits for one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from proveout.wire.errors import ClientClosed

if TYPE_CHECKING:
    from proveout.wire.connection import ClientConnection


class Pool:
    """At most `limit` connections, counting those being opened. Whoever waits longest is served first.

    A free connection is kept for `idle_connection_s`; the one used last is taken first, so that surplus ones expire.
    """

    def __init__(self, limit: int, idle_connection_s: float, max_header_bytes: int) -> None:
        self.idle_connection_s = idle_connection_s
        self.max_header_bytes = max_header_bytes
        self._limit = limit
        self._taken = 0
        self._idle: list[ClientConnection] = []
        self._counted: set[ClientConnection] = set()
        self._open: set[ClientConnection] = set()
        self._waiters: deque[asyncio.Future[ClientConnection | None]] = deque()
        self._all_closed: asyncio.Future[None] | None = None

    def take_idle(self) -> ClientConnection | None:
        """A free connection, if there is one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.ready:
                return connection
            connection.abandon()
        return None

    async def take_or_permit(self) -> ClientConnection | None:
        """A free connection, or None: then the caller holds a permit to open one (see `opened` and `return_permit`).

        Raises:
            ClientClosed: the pool was closed meanwhile.
        """
        connection = self.take_idle()
        if connection is not None:
            return connection
        if self._taken < self._limit:
            self._taken += 1
            return None
        waiter: asyncio.Future[ClientConnection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give_back(waiter.result())
            raise

    def opened(self, connection: ClientConnection) -> None:
        """The permit has become `connection`."""
        self._counted.add(connection)
        self._open.add(connection)

    def return_permit(self) -> None:
        """No connection came of the permit."""
        waiter = self._next_waiter()
        if waiter is None:
            self._taken -= 1
        else:
            waiter.set_result(None)

    def release(self, connection: ClientConnection) -> None:
        """`connection` is free again."""
        waiter = self._next_waiter() if self._waiters else None
        if waiter is None:
            self._idle.append(connection)
        else:
            waiter.set_result(connection)

    def discard(self, connection: ClientConnection) -> None:
        """`connection` will not be used again, so another may be opened. Idempotent."""
        if connection in self._counted:
            self._counted.remove(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self.return_permit()

    def closed(self, connection: ClientConnection) -> None:
        """The event loop is done with `connection`."""
        self._open.discard(connection)
        if not self._open and self._all_closed is not None and not self._all_closed.done():
            self._all_closed.set_result(None)

    async def close(self) -> None:
        """End everything in flight and every wait with `ClientClosed`; return when the sockets are closed."""
        while (waiter := self._next_waiter()) is not None:
            waiter.set_exception(client_closed())
        for connection in list(self._counted):
            connection.fail(client_closed())
        if self._open:
            self._all_closed = asyncio.get_running_loop().create_future()
            await self._all_closed

    def _give_back(self, connection: ClientConnection | None) -> None:
        if connection is None:
            self.return_permit()
        elif connection.usable:
            self.release(connection)
        else:
            connection.abandon()

    def _next_waiter(self) -> asyncio.Future[ClientConnection | None] | None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None


def client_closed() -> ClientClosed:
    return ClientClosed("the client was closed")
