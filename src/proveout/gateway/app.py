"""The gateway's HTTP surface: routes to handlers, and every refusal in OpenAI's shape. An app for `wire.serve`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

import orjson

from proveout.gateway.bodies import Body
from proveout.gateway.catalog import CannotServe, Catalog
from proveout.gateway.errors import JSON, Refused
from proveout.gateway.export import Exporter
from proveout.gateway.feedback import read_feedback
from proveout.gateway.keys import Client as KnownClient
from proveout.gateway.keys import Keyring
from proveout.gateway.metrics import Metrics, Sample, merged, rendered
from proveout.gateway.orders import Orders
from proveout.gateway.serving import Serving
from proveout.gateway.settings import GatewaySettings
from proveout.gateway.sharing import Sharing
from proveout.gateway.store_link import StoreLink
from proveout.project.records import Project
from proveout.storage.records import Release
from proveout.wire import Client, Responder, ServerRequest

Handler = Callable[[ServerRequest, Responder], Awaitable[None]]
_METRICS_TYPE = (("content-type", "text/plain; version=0.0.4; charset=utf-8"),)
_UNREADABLE = ("invalid_json", "invalid_feedback")
_OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/embeddings": "embeddings",
    "/v1/responses": "responses",
}


class Gateway:
    """Serves a project's releases. `exchange` gives it others while it runs."""

    def __init__(
        self,
        environment: str,
        client: Client,
        link: Callable[[Metrics], StoreLink],
        *,
        siblings: Callable[[], Iterable[Iterable[Sample]]] = lambda: (),
    ) -> None:
        self.metrics = Metrics()
        self.link = link(self.metrics)
        self.ending = False
        self.orders: Orders | None = None
        """What an operator said."""
        self._siblings = siblings
        self._most = 0
        self._keyring = Keyring(())
        self._settings = GatewaySettings()
        self.sharing = Sharing(self.metrics)
        self._catalog = Catalog(environment, client, self.metrics, self.sharing)
        self._serving = Serving(self._catalog, self.link, self.metrics, self.sharing)
        self._others: Mapping[str, tuple[str, Handler]] = {
            "/v1/feedback": ("POST", self._feedback),
            "/v1/models": ("GET", self._models),
            "/healthz": ("GET", self._health),
            "/readyz": ("GET", self._ready),
            "/metrics": ("GET", self.show_metrics),
        }

    def export_to(self, exporter: Exporter) -> None:
        """Tell traces to a collector too."""
        self._serving.exporter = exporter

    @property
    def draining(self) -> bool:
        """Whether others should be asked, by order or because the process ends."""
        return self.ending or (self.orders is not None and self.orders.draining)

    def exchange(self, project: Project, settings: GatewaySettings, stored: Mapping[str, Release]) -> None:
        """Serve this from the next request on.

        Raises:
            CannotServe, UnknownEnvironment: nothing has changed then.
        """
        try:
            self.sharing.use(settings.redis, f"{project.name}:{self._catalog.environment}")
        except (LookupError, ValueError) as error:
            raise CannotServe(f"Redis can't be used: {error}") from None
        self._catalog.exchange(project, settings, stored)
        revoked = frozenset() if self.orders is None else self.orders.revoked
        self._keyring = Keyring(settings.keys, revoked).kept(self._keyring, self.sharing)
        self._settings = settings
        self._most = settings.max_concurrency

    async def __call__(self, request: ServerRequest, responder: Responder) -> None:
        try:
            operation = _OPERATIONS.get(request.path)
            if operation is not None:
                await self._serving.answer(request, responder, *self._taken(request), operation)
            else:
                await self._answer_other(request, responder)
        except Refused as refused:
            if refused.code in _UNREADABLE and request.headers.get("content-encoding") not in (None, "identity"):
                refused = Refused(415, "a body is taken without content-encoding only", code="unsupported_encoding")
            self.metrics.count("proveout_gateway_rejected_total", reason=refused.code).value += 1
            responder.reply(refused.status, refused.headers, refused.body)
        except Exception:
            if not responder.started:
                responder.reply(500, (JSON,), Refused(500, "the gateway failed", code="internal").body)
            raise

    async def aclose(self) -> None:
        """End shadows and close models. The link is the caller's to close, after this."""
        await self._serving.aclose()
        await self._catalog.aclose()
        await self.sharing.aclose()

    def _taken(self, request: ServerRequest) -> tuple[Body, KnownClient | None]:
        """What a request for a model says, and who sends it.

        Raises:
            Refused: it is not taken.
        """
        _check_method(request, "POST")
        client = self._keyring.client(request.headers.get("authorization"))
        if self._serving.in_flight.value >= self._most:
            what = "as many requests as this gateway takes are in flight"
            raise Refused(429, what, code="concurrency_limit", retry_after_s=1)
        return Body(request.body), client

    async def _answer_other(self, request: ServerRequest, responder: Responder) -> None:
        found = self._others.get(request.path)
        if found is None and request.path.startswith("/v1/models/"):
            found = ("GET", self._model)
        method, handler = found or ("", None)
        if handler is None:
            raise Refused(
                404, "there is no such path here; clients take this address with /v1 as base URL", code="not_found"
            )
        _check_method(request, method)
        await handler(request, responder)

    async def _feedback(self, request: ServerRequest, responder: Responder) -> None:
        self._keyring.client(request.headers.get("authorization"))
        feedback = read_feedback(request.body, request.headers.get("idempotency-key"))
        try:
            await self.link.feedback(feedback)
        except Exception:
            what = "neither the store nor the disk takes it now; send it again"
            raise Refused(503, what, code="not_kept", retry_after_s=5) from None
        self.metrics.count("proveout_gateway_feedback_total").value += 1
        responder.reply(200, (JSON,), orjson.dumps({"id": feedback.id, "object": "feedback", "status": "kept"}))

    async def _model(self, request: ServerRequest, responder: Responder) -> None:
        wanted = unquote(request.path.removeprefix("/v1/models/"))
        if wanted not in self._known_models(request):
            raise Refused(404, "there is no model of this name here", code="model_not_found", param="model")
        responder.reply(200, (JSON,), orjson.dumps(_model_object(wanted)))

    async def _models(self, request: ServerRequest, responder: Responder) -> None:
        data = [_model_object(name) for name in self._known_models(request)]
        responder.reply(200, (JSON,), orjson.dumps({"object": "list", "data": data}))

    def _known_models(self, request: ServerRequest) -> list[str]:
        client = self._keyring.client(request.headers.get("authorization"))
        names: list[str] = []
        for name, route in self._catalog.routes.items():
            if client is None or client.may_ask(name):
                names += [name, *(f"{name}/{variant}" for variant in route.pins)]
        return names

    async def _health(self, request: ServerRequest, responder: Responder) -> None:
        responder.reply(200, (JSON,), b'{"status":"ok"}')

    async def _ready(self, request: ServerRequest, responder: Responder) -> None:
        """Ready to take requests. The store may be away: what is known is served, and what is recorded waits."""
        state = self._state()
        responder.reply(200 if state["status"] == "ready" else 503, (JSON,), orjson.dumps(state))

    def _state(self) -> dict[str, Any]:
        routes = self._catalog.routes
        ready = bool(routes) and not self.draining
        return {
            "status": "ready" if ready else "draining" if self.draining else "not ready",
            "environment": self._catalog.environment,
            "store": "up" if self.link.up else "away",
            "releases": {
                name: {
                    "epoch": route.release.epoch,
                    "weights": {route.arms[arm].name: share for arm, share in route.draw.propensities.items()},
                }
                for name, route in routes.items()
            },
            "problems": list(self._catalog.problems),
        }

    def standing(self) -> dict[str, Any]:
        """How this process stands, for operators."""
        variants = {
            name: {
                arm.name: {"in_flight": arm.in_flight, "places": [place.breaker.state for place in arm.places]}
                for arm in route.arms.values()
            }
            for name, route in self._catalog.routes.items()
        }
        return {
            **self._state(),
            "redis": self.sharing.state,
            "in_flight": int(self._serving.in_flight.value),
            "max_concurrency": self._most,
            "variants": variants,
            "processes": 1 + sum(1 for _ in self._siblings()),
        }

    def keys_standing(self) -> dict[str, dict[str, Any]]:
        """The declared keys by name, never their hashes: what they may do, and what they have used today, here and as
        far as is known elsewhere."""
        used = {client.name: client.meter.today() + client.meter.elsewhere for client in self._keyring}
        return {
            key.name: {
                "services": list(key.services),
                "requests_per_minute": key.quota.requests_per_minute,
                "usd_per_day": key.quota.usd_per_day,
                "usd_today": used.get(key.name),
                "revoked": key.name in self._keyring.revoked,
            }
            for key in self._settings.keys
        }

    async def show_metrics(self, request: ServerRequest, responder: Responder) -> None:
        responder.reply(200, _METRICS_TYPE, rendered(merged([self.samples(), *self._siblings()])))

    def samples(self) -> list[Sample]:
        """This process's metrics now."""
        for route in self._catalog.routes.values():
            for arm in route.arms.values():
                self.metrics.count(
                    "proveout_gateway_breaker_open", service=arm.service, variant=arm.name
                ).value = arm.open_breakers
        return self.metrics.samples()


def _model_object(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "proveout"}


def _check_method(request: ServerRequest, method: str) -> None:
    if request.method != method and not (method == "GET" and request.method == "HEAD"):
        raise Refused(405, f"this path takes {method}", code="method_not_allowed", allow=method)
