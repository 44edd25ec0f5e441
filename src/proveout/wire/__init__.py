"""The one HTTP/1.1 and server-sent-events core, client and server, of everything that calls or serves a model.

Names are loaded when first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout._lazy import lazy_names

if TYPE_CHECKING:
    from proveout.wire.client import Client
    from proveout.wire.errors import (
        ClientClosed,
        ConnectFailed,
        ConnectionCut,
        InvalidRequest,
        MalformedResponse,
        ProxyFailed,
        TimedOut,
        TlsFailed,
        TooLarge,
        WireError,
    )
    from proveout.wire.exchange import Exchange, Flow, Prepared, Response, Timeouts
    from proveout.wire.headers import Headers, encode_headers
    from proveout.wire.loop import run
    from proveout.wire.server import App, Limits, Responder, Server, ServerRequest, serve
    from proveout.wire.sse import Event, SseDecoder, encode_event

__all__ = [
    "App",
    "Client",
    "ClientClosed",
    "ConnectFailed",
    "ConnectionCut",
    "Event",
    "Exchange",
    "Flow",
    "Headers",
    "InvalidRequest",
    "Limits",
    "MalformedResponse",
    "Prepared",
    "ProxyFailed",
    "Responder",
    "Response",
    "Server",
    "ServerRequest",
    "SseDecoder",
    "TimedOut",
    "Timeouts",
    "TlsFailed",
    "TooLarge",
    "WireError",
    "encode_event",
    "encode_headers",
    "run",
    "serve",
]

__getattr__ = lazy_names(
    __name__,
    {
        "client": ("Client",),
        "errors": (
            "ClientClosed",
            "ConnectFailed",
            "ConnectionCut",
            "InvalidRequest",
            "MalformedResponse",
            "ProxyFailed",
            "TimedOut",
            "TlsFailed",
            "TooLarge",
            "WireError",
        ),
        "exchange": ("Exchange", "Flow", "Prepared", "Response", "Timeouts"),
        "headers": ("Headers", "encode_headers"),
        "loop": ("run",),
        "server": ("App", "Limits", "Responder", "Server", "ServerRequest", "serve"),
        "sse": ("Event", "SseDecoder", "encode_event"),
    },
)
