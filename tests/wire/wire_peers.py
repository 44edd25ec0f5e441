"""Peers that say exactly what a test tells them to."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from proveout.wire import App, Server, serve

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[str]:
    """A raw TCP server; yields its URL. Each connection is handed to `talk` and closed after it."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def answering(*pieces: bytes, pause_s: float = 0.0) -> AsyncIterator[str]:
    """Reads the head of one request per connection, sends `pieces`, and closes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    async with listening(talk) as url:
        yield url


async def ask(port: int, *pieces: bytes, pause_s: float = 0.0) -> bytes:
    """Send `pieces` to a local server and return all that it says until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(pause_s)
    answer = await reader.read()
    writer.close()
    return answer


def open_sockets() -> int:
    """How many sockets this process holds."""
    links = (os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    return sum(1 for name in links if name.startswith("socket:"))


@contextlib.asynccontextmanager
async def serving(app: App, **settings: Any) -> AsyncIterator[Server]:
    """The wire's own server, closed at the end."""
    server = await serve(app, **settings)
    try:
        yield server
    finally:
        await server.close()


def http(status: str, *lines: str, body: bytes = b"") -> bytes:
    """A response as bytes: `http("200 OK", "content-length: 2", body=b"hi")`."""
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1") + body


def whole(body: bytes, *lines: str) -> bytes:
    """A 200 response with its content length."""
    return http("200 OK", f"content-length: {len(body)}", *lines, body=body)


async def until(condition: Callable[[], object], what: str, *, within_s: float = 5.0) -> None:
    """Wait for a condition; fail naming `what` was waited for."""
    try:
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110 (any condition)
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"waited {within_s} s for {what}") from None
