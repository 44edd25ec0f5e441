"""The operator's side of a gateway: an app for a port of its own, for those who have the token."""

from __future__ import annotations

import hmac
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote

import orjson

from proveout.gateway.app import Gateway
from proveout.gateway.errors import JSON, Refused
from proveout.gateway.orders import Orders
from proveout.gateway.reloading import Reloader
from proveout.gateway.settings import AdminSettings
from proveout.wire import Responder, ServerRequest

Handler = Callable[[], Awaitable[Any]]
_LEAST_TOKEN = 16


class Admin:
    """Tells how the gateway stands, and takes orders for it."""

    def __init__(self, settings: AdminSettings, gateway: Gateway, reloader: Reloader, orders: Orders) -> None:
        """
        Raises:
            LookupError: the token is not set, or too short to be one.
        """
        token = settings.token.resolve()
        if len(token) < _LEAST_TOKEN:
            raise LookupError(f"the token of `admin` in gateway.yaml has fewer than {_LEAST_TOKEN} characters")
        self._token = token.encode()
        self._gateway = gateway
        self._reloader = reloader
        self._orders = orders
        self._handlers: Mapping[tuple[str, str], Handler] = {
            ("GET", "/admin/status"): self._status,
            ("GET", "/admin/keys"): self._keys,
            ("POST", "/admin/reload"): self._reload,
            ("POST", "/admin/drain"): self._drain,
            ("POST", "/admin/resume"): self._resume,
        }

    async def __call__(self, request: ServerRequest, responder: Responder) -> None:
        try:
            self._check(request.headers.get("authorization"))
            if (request.method, request.path) == ("GET", "/metrics"):
                await self._gateway.show_metrics(request, responder)
                return
            handler = self._handlers.get((request.method, request.path))
            said = await handler() if handler is not None else await self._key(request)
            responder.reply(200, (JSON,), orjson.dumps(said, option=orjson.OPT_INDENT_2))
        except Refused as refused:
            responder.reply(refused.status, refused.headers, refused.body)

    def _check(self, authorization: str | None) -> None:
        kind, _, token = (authorization or "").partition(" ")
        given = token.strip().encode("utf-8", "surrogatepass")
        if kind.lower() != "bearer" or not hmac.compare_digest(given, self._token):
            raise Refused(401, "send `Authorization: Bearer TOKEN`", code="invalid_token")

    async def _status(self) -> dict[str, Any]:
        return {"pid": os.getpid(), **self._gateway.standing()}

    async def _keys(self) -> dict[str, Any]:
        return {"keys": self._gateway.keys_standing()}

    async def _reload(self) -> dict[str, Any]:
        """Serve what the files say now; the other processes do so within a second."""
        problems = await self._reloader.look()
        return {"served": not problems, "problems": problems}

    async def _drain(self) -> dict[str, Any]:
        """Say `not ready`, so that load balancers look elsewhere; whoever comes is served."""
        self._orders.drain()
        self._reloader.obey()
        return {"draining": True}

    async def _resume(self) -> dict[str, Any]:
        self._orders.resume()
        self._reloader.obey()
        return {"draining": False}

    async def _key(self, request: ServerRequest) -> dict[str, Any]:
        """`POST /admin/keys/NAME/revoke` and `/restore`."""
        parts = request.path.split("/")
        if request.method != "POST" or parts[:3] != ["", "admin", "keys"] or len(parts) != 5:
            raise Refused(404, "there is no such path here", code="not_found")
        name, order = unquote(parts[3]), parts[4]
        if name not in self._gateway.keys_standing() or order not in ("revoke", "restore"):
            raise Refused(404, "there is no such key, or no such order for it", code="not_found")
        try:
            (self._orders.revoke if order == "revoke" else self._orders.restore)(name)
        except OSError as error:
            what = f"it can't be kept on disk, and nothing has changed: {os.strerror(error.errno or 0)}"
            raise Refused(503, what, code="not_kept") from None
        self._reloader.obey()
        return {"key": name, "revoked": order == "revoke"}
