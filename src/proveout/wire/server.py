"""The HTTP/1.1 server that Proveout's own endpoints, and the peers in its tests, answer through."""

from __future__ import annotations

import asyncio
import ssl

from proveout.wire.responder import Responder, ServerRequest
from proveout.wire.server_connection import App, Limits, Refusal, ServerConnection, in_plain_text

__all__ = ["App", "Limits", "Responder", "Server", "ServerRequest", "serve"]

_END_S = 5.0


class Server:
    """A listening server. `close` it when done."""

    def __init__(self, app: App, limits: Limits, *, stepped: bool = False, refusal: Refusal = in_plain_text) -> None:
        self.connections: set[ServerConnection] = set()
        """Every open connection."""
        self.tasks: set[asyncio.Task[None]] = set()
        """Handlers that are still running."""
        self.draining = False
        self.app = app
        self.limits = limits
        self.stepped = stepped
        self.refusal = refusal
        self._listener: asyncio.Server
        self._emptied: asyncio.Future[None] | None = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    async def close(self, *, drain_s: float = 0.0) -> None:
        """Stop listening, give requests in flight `drain_s` seconds to finish, then cut and cancel the rest."""
        self.draining = True
        self._listener.close()
        for connection in list(self.connections):
            connection.drain()
        await self._wait_empty(drain_s)
        for connection in list(self.connections):
            connection.abort()
        await self._wait_empty(_END_S)
        for task in self.tasks:
            if not task.cancelling():  # A second cancellation would break into the clean-up after the first.
                task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=_END_S)

    def joined(self, connection: ServerConnection) -> None:
        self.connections.add(connection)

    def left(self, connection: ServerConnection) -> None:
        self.connections.discard(connection)
        if not self.connections and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    async def listen(self, host: str, port: int, ssl_context: ssl.SSLContext | None, reuse_port: bool) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: ServerConnection(self, loop),
            host,
            port,
            ssl=ssl_context,
            ssl_handshake_timeout=None if ssl_context is None else self.limits.head_s,
            ssl_shutdown_timeout=None if ssl_context is None else _END_S,
            backlog=1024,
            reuse_port=reuse_port or None,
        )
        self._port: int = self._listener.sockets[0].getsockname()[1]

    async def _wait_empty(self, seconds: float) -> None:
        if self.connections:
            self._emptied = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._emptied], timeout=seconds)


async def serve(
    app: App,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    limits: Limits | None = None,
    ssl_context: ssl.SSLContext | None = None,
    reuse_port: bool = False,
    stepped: bool = False,
    refusal: Refusal = in_plain_text,
) -> Server:
    """Listen on `host` and `port` (0: any free one) and answer each request by `app(request, responder)`.

    A plain function is called inside the event loop: it answers at once, or keeps the responder and answers later. A
    coroutine function runs as a task, which is cancelled when the client goes away (a client that closes only its
    sending side counts as gone). What a handler raises is logged and answered by 500 without its text.

    `stepped`: coroutines run as `proveout.wire.steps.Steps` and not as tasks, which costs less and allows less.
    `refusal` writes the answers to requests that never reach the app (too large, malformed, too slow), from their
    status and why.
    """
    server = Server(app, limits or Limits(), stepped=stepped, refusal=refusal)
    await server.listen(host, port, ssl_context, reuse_port)
    return server
