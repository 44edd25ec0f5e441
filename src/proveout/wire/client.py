"""The HTTP/1.1 client that every call to a model goes through."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Mapping, Sequence

from proveout.wire.connect import default_ssl_context
from proveout.wire.errors import InvalidRequest
from proveout.wire.exchange import Exchange, Flow, Prepared, Response, Timeouts
from proveout.wire.headers import Headers, encode_headers
from proveout.wire.origin import Origin
from proveout.wire.pool import Pool, client_closed
from proveout.wire.proxies import ProxySettings
from proveout.wire.urls import Target, parse_url

_METHOD = re.compile(r"[A-Z]{1,20}")
_BODYLESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
_MOST_PREPARED = 256

HeaderPairs = Mapping[str, str] | Sequence[tuple[str, str]]


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
        self._origins: dict[str, Origin] = {}
        self._prepared: dict[tuple[str, str, tuple[tuple[str, str], ...]], Prepared] = {}
        self._closed = False

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: HeaderPairs = (),
        body: bytes = b"",
        timeouts: Timeouts | None = None,
        on_head: Callable[[int, Headers], object] | None = None,
        on_data: Callable[[float, bytes], object] | None = None,
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
        return await self.exchange(
            self.prepare(method, url, headers),
            body,
            timeouts=timeouts,
            on_head=on_head,
            on_data=on_data,
            max_body_bytes=max_body_bytes,
            flow=flow,
        )

    def prepare(self, method: str, url: str, headers: HeaderPairs = ()) -> Prepared:
        """What is the same for all requests of a kind, for `exchange`.

        Raises:
            InvalidRequest: such a request cannot be sent.
        """
        pairs = tuple(headers.items() if isinstance(headers, Mapping) else headers)
        key = (method, url, pairs)
        known = self._prepared.get(key)
        if known is None:
            known = self._prepare(method, url, pairs)
            if len(self._prepared) >= _MOST_PREPARED:
                self._prepared.clear()
            self._prepared[key] = known
        return known

    def exchange(
        self,
        prepared: Prepared,
        body: bytes,
        *,
        timeouts: Timeouts | None = None,
        on_head: Callable[[int, Headers], object] | None = None,
        on_data: Callable[[float, bytes], object] | None = None,
        max_body_bytes: int | None = None,
        flow: Flow | None = None,
    ) -> Exchange:
        """Start one exchange, to be awaited; all else as `send`.

        Raises:
            ClientClosed: the client was closed.
        """
        if self._closed:
            raise client_closed()
        limit = self._max_body_bytes if max_body_bytes is None else max_body_bytes
        exchange = Exchange(prepared, body, timeouts or self._timeouts, limit, on_head, on_data, flow)
        prepared.origin.carry(exchange)
        return exchange

    async def aclose(self) -> None:
        """End what is in flight with `ClientClosed` and close every connection. Idempotent."""
        self._closed = True
        for origin in self._origins.values():
            await origin.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _prepare(self, method: str, url: str, headers: HeaderPairs) -> Prepared:
        target = parse_url(url)
        if not _METHOD.fullmatch(method) or method == "CONNECT":
            raise InvalidRequest("the method must be a word of capital letters, and not CONNECT")
        lines = encode_headers(headers)
        origin = self._origins.get(target.origin) or self._add_origin(target)
        folded = lines.lower()
        start = f"{method} {origin.target_prefix}{target.path} HTTP/1.1\r\n"
        if not (folded.startswith(b"host:") or b"\r\nhost:" in folded):
            start += f"host: {target.authority}\r\n"
        if b"accept-encoding:" not in folded:
            start += "accept-encoding: identity\r\n"
        head = start.encode("latin-1") + lines + origin.proxy_headers
        return Prepared(method, f"{method} {target.origin}", head, origin, sends_length=method not in _BODYLESS)

    def _add_origin(self, target: Target) -> Origin:
        pool = Pool(self._max_connections, self._idle_connection_s, self._max_header_bytes)
        origin = Origin(target, self._proxies.choose(target), pool, self._ssl)
        self._origins[target.origin] = origin
        return origin

    def _ssl(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            self._ssl_context = default_ssl_context()
        return self._ssl_context
