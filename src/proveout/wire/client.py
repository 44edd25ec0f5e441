"""The HTTP/1.1 client that every call to a model goes through."""

from __future__ import annotations

import asyncio
import math
import os
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from time import monotonic
from typing import cast

from proveout.wire.connect import default_ssl_context, open_connection
from proveout.wire.connection import ClientConnection, StaleConnection, timed_out
from proveout.wire.errors import ConnectionCut, InvalidRequest, ProxyFailed
from proveout.wire.exchange import Exchange, Flow, Response, Timeouts
from proveout.wire.headers import Headers, encode_headers
from proveout.wire.pool import Pool, client_closed
from proveout.wire.proxies import PROXY_WANTS_CREDENTIALS, Proxy, ProxySettings
from proveout.wire.urls import Target, parse_url

_METHOD = re.compile(r"[A-Z]{1,20}")
_BODYLESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


class _Origin:
    """What the client knows about one origin."""

    __slots__ = ("pool", "proxy", "proxy_headers", "target_prefix")

    def __init__(self, pool: Pool, target: Target, proxy: Proxy | None) -> None:
        forwards = proxy is not None and target.scheme == "http"
        self.pool = pool
        self.proxy = proxy
        self.target_prefix = target.origin if forwards else ""
        self.proxy_headers = b""
        if forwards and proxy is not None and proxy.authorization:
            self.proxy_headers = encode_headers([("proxy-authorization", proxy.authorization)])


class Client:
    """Sends requests over kept connections, at most `max_connections_per_origin` to each origin.

    One client serves one event loop. It follows no redirects and keeps no cookies. It sends a request again in one case
    only: a kept connection ended before any byte of a response, and a second arrival does no harm (its method is
    idempotent, or it carries an `Idempotency-Key`). Whoever asked decides about all else, a POST above all: the server
    may have acted on it.
    """

    def __init__(
        self,
        *,
        timeouts: Timeouts | None = None,
        max_connections_per_origin: int = 256,
        idle_connection_s: float = 30.0,
        max_header_bytes: int = 64 * 1024,
        max_body_bytes: int = 64 * 2**20,
        ssl_context: ssl.SSLContext | None = None,
        trust_env: bool = True,
    ) -> None:
        """`ssl_context`: replaces the default, which verifies against the system's store (or SSL_CERT_FILE).
        `trust_env`: use the proxies that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name."""
        self._timeouts = timeouts or Timeouts()
        self._max_connections = max_connections_per_origin
        self._idle_connection_s = idle_connection_s
        self._max_header_bytes = max_header_bytes
        self._max_body_bytes = max_body_bytes
        self._ssl_context = ssl_context
        self._proxies = ProxySettings(os.environ if trust_env else {})
        self._origins: dict[str, _Origin] = {}
        self._opening: set[asyncio.Timeout] = set()
        self._closed = False

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        timeouts: Timeouts | None = None,
        on_head: Callable[[int, Headers], None] | None = None,
        on_data: Callable[[float, bytes], None] | None = None,
        max_body_bytes: int | None = None,
        flow: Flow | None = None,
    ) -> Response:
        """One exchange. Cancelling it closes its connection at once.

        `on_head(status, headers)` is called when the head is complete. With `on_data`, each decoded piece of the body
        is handed over as it comes with the time of the read that brought it, and not collected. Both are called from
        inside the event loop and must be quick; what they raise closes the connection and is raised here.

        Raises:
            InvalidRequest: the request cannot be sent as it is.
            WireError: no whole response; see `proveout.wire.errors` for the kinds.
        """
        if self._closed:
            raise client_closed()
        target = parse_url(url)
        if not _METHOD.fullmatch(method) or method == "CONNECT":
            raise InvalidRequest("the method must be a word of capital letters, and not CONNECT")
        origin = self._origins.get(target.origin) or self._add_origin(target)
        timeouts = timeouts or self._timeouts
        exchange = Exchange(
            method,
            f"{method} {target.origin}",
            _encode_head(method, target, origin, headers, body),
            body,
            timeouts,
            math.inf if timeouts.total is None else monotonic() + timeouts.total,
            self._max_body_bytes if max_body_bytes is None else max_body_bytes,
            on_head,
            on_data,
            flow,
            asyncio.get_running_loop().create_future(),
        )
        while True:
            connection = origin.pool.take_idle() or await self._connect(exchange, target, origin)
            try:
                response = await self._carry(connection, exchange)
            except StaleConnection:  # Each time, one kept connection fewer.
                exchange.finished = asyncio.get_running_loop().create_future()
                continue
            if response.status == 407 and origin.proxy is not None and target.scheme == "http":
                raise ProxyFailed(f"{exchange.about}: the proxy at {origin.proxy.place} {PROXY_WANTS_CREDENTIALS}")
            return response

    async def aclose(self) -> None:
        """End what is in flight with `ClientClosed` and close every connection. Idempotent."""
        self._closed = True
        for opening in self._opening:
            opening.reschedule(asyncio.get_running_loop().time())
        for origin in self._origins.values():
            await origin.pool.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _carry(self, connection: ClientConnection, exchange: Exchange) -> Response:
        connection.begin(exchange)
        try:
            return await exchange.finished
        except asyncio.CancelledError:
            # The exchange may have finished while the cancellation was on its way: then the connection is another's.
            if connection.carries(exchange):
                connection.abandon()
            elif not exchange.finished.cancelled():
                exchange.finished.exception()  # Looked at, so that asyncio reports no forgotten error.
            raise

    async def _connect(self, exchange: Exchange, target: Target, origin: _Origin) -> ClientConnection:
        """A connection that is free, waiting for one where all are busy."""
        try:
            async with asyncio.timeout(exchange.deadline - monotonic() if exchange.deadline < math.inf else None):
                connection = await origin.pool.take_or_permit()
                while connection is not None and not connection.usable:  # Lost on its way to us.
                    connection = await origin.pool.take_or_permit()
        except TimeoutError:
            raise timed_out(exchange, "total") from None
        if connection is not None:
            return connection
        try:
            connection = await self._open(exchange, target, origin)
        except BaseException:
            origin.pool.return_permit()
            raise
        origin.pool.opened(connection)
        if self._closed:
            connection.abandon()
            raise client_closed()
        return connection

    async def _open(self, exchange: Exchange, target: Target, origin: _Origin) -> ClientConnection:
        loop = asyncio.get_running_loop()
        left = exchange.deadline - monotonic()
        limit = math.inf if exchange.timeouts.connect is None else exchange.timeouts.connect
        opening = asyncio.timeout(None if left == limit == math.inf else min(left, limit))
        self._opening.add(opening)
        try:
            async with opening:
                connection = await open_connection(
                    lambda: ClientConnection(origin.pool, loop), target, origin.proxy, self._ssl, exchange.about
                )
        except TimeoutError:
            if self._closed:
                raise client_closed() from None
            raise timed_out(exchange, "connect" if limit <= left else "total") from None
        finally:
            self._opening.discard(opening)
        if not connection.usable:
            raise ConnectionCut(f"{exchange.about}: the server closed the connection at once", received=0, head=False)
        return connection

    def _ssl(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            self._ssl_context = default_ssl_context()
        return self._ssl_context

    def _add_origin(self, target: Target) -> _Origin:
        pool = Pool(self._max_connections, self._idle_connection_s, self._max_header_bytes)
        origin = _Origin(pool, target, self._proxies.choose(target))
        self._origins[target.origin] = origin
        return origin


def _encode_head(
    method: str, target: Target, origin: _Origin, headers: Mapping[str, str] | Sequence[tuple[str, str]], body: bytes
) -> bytes:
    start = f"{method} {origin.target_prefix}{target.path}"
    if isinstance(headers, tuple):
        lines = _lines_of_tuple(start, target.authority, cast(tuple[tuple[str, str], ...], headers))
    else:
        lines = _lines(start, target.authority, headers)
    if body or method not in _BODYLESS:
        return b"%b%bcontent-length: %d\r\n\r\n" % (lines, origin.proxy_headers, len(body))
    return b"%b%b\r\n" % (lines, origin.proxy_headers)


def _lines(start: str, authority: str, headers: Mapping[str, str] | Sequence[tuple[str, str]]) -> bytes:
    """A request's head but for its length and its end."""
    lines = encode_headers(headers)
    folded = lines.lower()
    start += " HTTP/1.1\r\n"
    if not (folded.startswith(b"host:") or b"\r\nhost:" in folded):
        start += f"host: {authority}\r\n"
    if b"accept-encoding:" not in folded:
        start += "accept-encoding: identity\r\n"
    return start.encode("latin-1") + lines


_lines_of_tuple = lru_cache(maxsize=256)(_lines)
"""Callers that send the same headers again and again keep them in a tuple."""
