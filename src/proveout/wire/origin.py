"""One origin as a client knows it: its connections, and how exchanges get onto them."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Callable
from time import monotonic

from proveout.wire.connect import open_connection
from proveout.wire.connection import ClientConnection, timed_out
from proveout.wire.errors import ConnectionCut, ProxyFailed
from proveout.wire.exchange import Exchange
from proveout.wire.headers import encode_headers
from proveout.wire.pool import Pool, client_closed
from proveout.wire.proxies import PROXY_WANTS_CREDENTIALS, Proxy
from proveout.wire.urls import Target


class Origin:
    """Finds a connection for each exchange: at once where one is free, else by waiting for one or opening it."""

    def __init__(
        self, target: Target, proxy: Proxy | None, pool: Pool, ssl_context: Callable[[], ssl.SSLContext]
    ) -> None:
        self.pool = pool
        self.proxy = proxy
        self.forwarded = proxy is not None and target.scheme == "http"
        """Whether requests are put to the proxy itself, and not sent through a tunnel."""
        self.target_prefix = target.origin if self.forwarded else ""
        self.proxy_headers = b""
        if self.forwarded and proxy is not None and proxy.authorization:
            self.proxy_headers = encode_headers([("proxy-authorization", proxy.authorization)])
        self._target = target
        self._ssl_context = ssl_context
        self._opening: set[asyncio.Timeout] = set()
        self._searches: set[asyncio.Task[None]] = set()
        self._closed = False

    def carry(self, exchange: Exchange) -> None:
        """Have an exchange carried; all else is told to it."""
        connection = self.pool.take_idle()
        if connection is not None:
            connection.begin(exchange)
            return
        search = asyncio.get_running_loop().create_task(self._search(exchange))
        self._searches.add(search)
        search.add_done_callback(self._searches.discard)
        exchange.stop = search.cancel

    def refused(self, exchange: Exchange) -> ProxyFailed:
        """The proxy's own answer, which is not the origin's: it wants credentials."""
        where = "" if self.proxy is None else self.proxy.place
        return ProxyFailed(f"{exchange.prepared.about}: the proxy at {where} {PROXY_WANTS_CREDENTIALS}")

    async def close(self) -> None:
        """End what is in flight with `ClientClosed` and close every connection."""
        self._closed = True
        for opening in self._opening:
            opening.reschedule(asyncio.get_running_loop().time())
        await self.pool.close()
        if self._searches:
            await asyncio.wait(self._searches)

    async def _search(self, exchange: Exchange) -> None:
        try:
            connection = await self._connection(exchange)
        except Exception as error:
            exchange.fail(error)
        else:
            connection.begin(exchange)

    async def _connection(self, exchange: Exchange) -> ClientConnection:
        """A connection that is free, waiting for one where all are busy."""
        try:
            async with asyncio.timeout(exchange.deadline - monotonic() if exchange.deadline < math.inf else None):
                connection = await self.pool.take_or_permit()
                while connection is not None and not connection.usable:  # Lost on its way to us.
                    connection = await self.pool.take_or_permit()
        except TimeoutError:
            raise timed_out(exchange, "total") from None
        if connection is not None:
            return connection
        try:
            connection = await self._open(exchange)
        except BaseException:
            self.pool.return_permit()
            raise
        self.pool.opened(connection)
        if self._closed:
            connection.abandon()
            raise client_closed()
        return connection

    async def _open(self, exchange: Exchange) -> ClientConnection:
        loop = asyncio.get_running_loop()
        left = exchange.deadline - monotonic()
        limit = math.inf if exchange.timeouts.connect is None else exchange.timeouts.connect
        opening = asyncio.timeout(None if left == limit == math.inf else min(left, limit))
        about = exchange.prepared.about
        self._opening.add(opening)
        try:
            async with opening:
                connection = await open_connection(
                    lambda: ClientConnection(self.pool, loop), self._target, self.proxy, self._ssl_context, about
                )
        except TimeoutError:
            if self._closed:
                raise client_closed() from None
            raise timed_out(exchange, "connect" if limit <= left else "total") from None
        finally:
            self._opening.discard(opening)
        if not connection.usable:
            raise ConnectionCut(f"{about}: the server closed the connection at once", received=0, head=False)
        return connection
