"""`proveout tiny serve`: the built-in model behind OpenAI's chat-completions API."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

import orjson

from proveout import wire
from proveout.models._base import ModelError
from proveout.models.tiny.batching import Piece
from proveout.models.tiny.chat import ChatRequest, Reply, read_chat_request
from proveout.models.tiny.model import TinyModel
from proveout.models.tiny.parameters import Refused
from proveout.models.tiny.weights import BUILDS, Build

_JSON = (("content-type", "application/json"),)
_EVENTS = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))
_MAX_BODY_BYTES = 2**20
_DRAIN_S = 5.0


class TinyServer:
    """Answers requests for some builds, each under the name `tiny-BUILD`. An app for `wire.serve`."""

    def __init__(self, builds: Sequence[Build] = BUILDS) -> None:
        self._models = {model.name: model for model in map(TinyModel, builds)}

    async def __call__(self, request: wire.ServerRequest, responder: wire.Responder) -> None:
        routes = {
            "/v1/chat/completions": ("POST", self._chat),
            "/v1/models": ("GET", self._list),
            "/healthz": ("GET", self._health),
        }
        method, handler = routes.get(request.path, ("", None))
        if handler is None:
            _fail(responder, 404, f"there is no {request.path}", code="not_found")
        elif request.method not in (method, "HEAD" if method == "GET" else method):
            _fail(
                responder,
                405,
                f"{request.path} takes {method}",
                code="method_not_allowed",
                headers=(("allow", method),),
            )
        else:
            await handler(request, responder)

    async def aclose(self) -> None:
        """End the models' worker threads."""
        for model in self._models.values():
            await model.aclose()

    async def _chat(self, request: wire.ServerRequest, responder: wire.Responder) -> None:
        try:
            chat = read_chat_request(_object(request.body))
            model = self._models.get(chat.model)
            if model is None:
                known = ", ".join(self._models)
                _fail(
                    responder,
                    404,
                    f"there is no model {chat.model!r} here; there is {known}",
                    "model",
                    "model_not_found",
                )
                return
            reply = Reply(chat, f"{model.name}-{model.digest}")
            async with aclosing(model.stream(chat.prompt, chat.wanted)) as pieces:
                if chat.stream:
                    await _stream(responder, chat, reply, pieces)
                else:
                    collected = [piece async for piece in pieces]
                    responder.reply(200, _JSON, orjson.dumps(reply.whole(collected)))
        except Refused as error:
            _fail(responder, 400, str(error), error.field, "invalid_value")
        except ModelError as error:
            _fail(responder, error.status or 500, str(error), code=error.kind)

    async def _list(self, request: wire.ServerRequest, responder: wire.Responder) -> None:
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "proveout"} for name in self._models]
        responder.reply(200, _JSON, orjson.dumps({"object": "list", "data": models}))

    async def _health(self, request: wire.ServerRequest, responder: wire.Responder) -> None:
        responder.reply(200, _JSON, b'{"status":"ok"}')


def tiny_app(builds: Sequence[Build] = BUILDS) -> TinyServer:
    """An app for `wire.serve`; close it with `aclose` after the server."""
    return TinyServer(builds)


def run_server(
    builds: Sequence[Build] = BUILDS,
    host: str = "127.0.0.1",
    port: int = 0,
    announce: Callable[[str], object] = print,
) -> None:
    """Serve until interrupted or terminated; `announce` is told the address once it is open.

    Raises:
        OSError: the address can't be listened on.
    """
    wire.run(_serve(builds, host, port, announce))


async def _serve(builds: Sequence[Build], host: str, port: int, announce: Callable[[str], object]) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    app = tiny_app(builds)
    server = await wire.serve(app, host=host, port=port, limits=wire.Limits(body_bytes=_MAX_BODY_BYTES))
    try:
        announce(f"http://{f'[{host}]' if ':' in host else host}:{server.port}/v1")
        await stopped.wait()
    finally:
        await server.close(drain_s=_DRAIN_S)
        await app.aclose()


async def _stream(responder: wire.Responder, chat: ChatRequest, reply: Reply, pieces: Any) -> None:
    """Send the answer as server-sent events, as it comes."""
    tokens = 0
    piece: Piece
    async for piece in pieces:
        tokens += 1
        if not responder.started:
            responder.start(200, _EVENTS)
            _send(responder, reply.opening())
        if piece.text or chat.wanted.sampling.alternatives is not None:
            _send(responder, reply.chunk(piece))
        if piece.finish is not None:
            _send(responder, reply.closing(piece.finish))
        await responder.drain()
    if chat.include_usage:
        _send(responder, reply.usage_chunk(tokens))
    responder.write(wire.encode_event("[DONE]"))
    responder.end()


def _send(responder: wire.Responder, chunk: dict[str, Any]) -> None:
    responder.write(b"data: " + orjson.dumps(chunk) + b"\n\n")


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused("body", f"it is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise Refused("body", "write a JSON object")
    return value


def _fail(
    responder: wire.Responder,
    status: int,
    message: str,
    field: str | None = None,
    code: str | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> None:
    """An error in OpenAI's shape; in the middle of a stream, where no status can be sent any more, a cut."""
    if responder.started:
        responder.abort()
        return
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": message, "type": kind, "param": field, "code": code}
    responder.reply(status, (*_JSON, *headers), orjson.dumps({"error": error}))
