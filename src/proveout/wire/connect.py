"""Opening a connection to an origin: directly or through an HTTP proxy, with TLS where the scheme asks for it."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Callable

from proveout.wire.connection import ClientConnection
from proveout.wire.errors import ConnectFailed, ProxyFailed, TlsFailed
from proveout.wire.proxies import PROXY_WANTS_CREDENTIALS, Proxy
from proveout.wire.urls import Target

_CUT = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)
_MAX_TUNNEL_ANSWER = 16 * 1024


def default_ssl_context() -> ssl.SSLContext:
    """Verifies against the system's store; OpenSSL itself honours SSL_CERT_FILE and SSL_CERT_DIR."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


async def open_connection(
    make: Callable[[], ClientConnection],
    target: Target,
    proxy: Proxy | None,
    ssl_context: Callable[[], ssl.SSLContext],
    about: str,
) -> ClientConnection:
    """A connection that is ready for a request to `target`.

    Raises:
        ConnectFailed, TlsFailed, ProxyFailed: named for what went wrong.
    """
    loop = asyncio.get_running_loop()
    try:
        if target.scheme == "http":
            host, port = (target.host, target.port) if proxy is None else (proxy.host, proxy.port)
            return (await loop.create_connection(make, host, port))[1]
        if proxy is None:
            secure = ssl_context()
            _, connection = await loop.create_connection(
                make, target.host, target.port, ssl=secure, server_hostname=target.host
            )
            return connection
        return await _through_tunnel(loop, make, target, proxy, ssl_context(), about)
    except ssl.SSLCertVerificationError as error:
        why = error.verify_message or error.reason
        raise TlsFailed(f"{about}: the server's certificate was refused: {why}") from None
    except ssl.SSLError as error:
        raise TlsFailed(f"{about}: the TLS handshake failed: {error.reason or 'unknown reason'}") from None
    except OSError as error:
        if target.scheme == "https" and isinstance(error, _CUT):  # A connect is refused or times out; this came later.
            raise TlsFailed(f"{about}: the connection was cut during the TLS handshake") from None
        if proxy is not None:
            raise ProxyFailed(f"{about}: no connection to the proxy at {proxy.place}: {_reason(error)}") from None
        raise ConnectFailed(f"{about}: no connection: {_reason(error)}") from None


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "the host's name was not found"
    return os.strerror(error.errno) if error.errno else str(error) or type(error).__name__


async def _through_tunnel(
    loop: asyncio.AbstractEventLoop,
    make: Callable[[], ClientConnection],
    target: Target,
    proxy: Proxy,
    context: ssl.SSLContext,
    about: str,
) -> ClientConnection:
    tunnel = _Tunnel(loop, target, proxy, about)
    transport, _ = await loop.create_connection(lambda: tunnel, proxy.host, proxy.port)
    try:
        await tunnel.open
        connection = make()
        connection.connection_made(transport)
        secured = await loop.start_tls(transport, connection, context, server_hostname=target.host)
        if secured is None:
            raise TlsFailed(f"{about}: the connection was cut during the TLS handshake")
        connection.connection_made(secured)
        return connection
    except BaseException:
        transport.abort()
        raise


class _Tunnel(asyncio.Protocol):
    """Asks a proxy to CONNECT, and says in `open` when it has."""

    _STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")

    def __init__(self, loop: asyncio.AbstractEventLoop, target: Target, proxy: Proxy, about: str) -> None:
        self.open: asyncio.Future[None] = loop.create_future()
        host = f"[{target.host}]" if ":" in target.host else target.host
        self._name = f"{host}:{target.port}"
        self._proxy = proxy
        self._about = about
        self._answer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        lines = [f"CONNECT {self._name} HTTP/1.1", f"Host: {self._name}"]
        if self._proxy.authorization:
            lines.append(f"Proxy-Authorization: {self._proxy.authorization}")
        transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))  # pyright: ignore[reportAttributeAccessIssue]

    def data_received(self, data: bytes) -> None:
        self._answer += data
        status = self._STATUS.match(self._answer)
        if b"\r\n\r\n" not in self._answer:
            if len(self._answer) > _MAX_TUNNEL_ANSWER:
                self._refuse("its answer to CONNECT is too large")
        elif status is None:
            self._refuse("its answer to CONNECT is not HTTP")
        elif status[1] == b"407":
            self._refuse(f"it {PROXY_WANTS_CREDENTIALS}")
        elif not status[1].startswith(b"2"):
            self._refuse(f"it answered CONNECT with {status[1].decode()}")
        elif not self._answer.endswith(b"\r\n\r\n"):
            self._refuse("it sent bytes before the TLS handshake")
        elif not self.open.done():
            self.open.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._refuse("it closed the connection during CONNECT")

    def _refuse(self, why: str) -> None:
        if not self.open.done():
            where = self._proxy.place
            self.open.set_exception(ProxyFailed(f"{self._about}: the proxy at {where} opened no tunnel: {why}"))
