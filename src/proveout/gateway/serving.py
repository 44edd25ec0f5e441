"""One request from its body to its trace: choose, try, fall back, answer, record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from itertools import chain
from random import Random
from time import monotonic

import msgspec

from proveout.gateway.arms import Arm, Place
from proveout.gateway.assignment import unit_hash
from proveout.gateway.attempt import Asked, Attempt
from proveout.gateway.bodies import Body
from proveout.gateway.catalog import Catalog, Route
from proveout.gateway.errors import Refused
from proveout.gateway.export import Exporter, Finished
from proveout.gateway.guarding import Withheld, refuse
from proveout.gateway.keys import Client
from proveout.gateway.metrics import Metrics
from proveout.gateway.sharing import Sharing
from proveout.gateway.store_link import StoreLink
from proveout.gateway.upstreams import UpstreamFailed
from proveout.storage.records import Trace, coin
from proveout.wire import Responder, ServerRequest, encode_headers

PAUSE_S = 0.05
"""Before another try at the same place; a provider that names a longer one is not asked again."""
_random = Random()  # Seeded by the system, in each process for itself.


class Serving:
    """Serves requests by the catalog, and records what it served."""

    def __init__(self, catalog: Catalog, link: StoreLink, metrics: Metrics, sharing: Sharing) -> None:
        self.exporter: Exporter | None = None
        """Where traces are told to, beside the store."""
        self._catalog = catalog
        self._link = link
        self.in_flight = metrics.count("proveout_gateway_in_flight_requests")
        self._metrics = metrics
        self._sharing = sharing
        self._shadows: set[asyncio.Task[None]] = set()

    def answer(
        self, request: ServerRequest, responder: Responder, body: Body, client: Client | None, operation: str
    ) -> Awaitable[None]:
        """Answer a request and keep its trace, whatever becomes of it.

        Raises:
            Refused: it was not taken; nothing is traced.
        """
        route, pinned = self._catalog.route(body.model, client)
        asked, arm = self._choose(request, body, route, client, operation, pinned)
        if self._sharing.on:
            return self._answer_where_all_admit(asked, arm, responder)
        if client is not None:
            client.meter.admit()
        route.load.meter.admit()
        _check_room(route)
        return self._serve(asked, arm, responder)

    async def _answer_where_all_admit(self, asked: Asked, arm: Arm, responder: Responder) -> None:
        """Answer, if the limits that gateways share allow it. Raises as `answer`."""
        meter = asked.route.load.meter
        await self._sharing.admit(*(() if asked.client is None else (asked.client.meter,)), meter)
        _check_room(asked.route)
        await self._serve(asked, arm, responder)

    async def aclose(self) -> None:
        """End the copies that are still under way."""
        for task in self._shadows:
            task.cancel()
        if self._shadows:
            await asyncio.wait(self._shadows)

    def _choose(
        self,
        request: ServerRequest,
        body: Body,
        route: Route,
        client: Client | None,
        operation: str,
        pinned: str | None,
    ) -> tuple[Asked, Arm]:
        header = request.headers.first
        now = time.time()
        id = new_id(now)
        unit, parent = header(b"x-proveout-unit"), header(b"traceparent")
        unit = unit.decode("latin-1") if unit else body.user
        if pinned is not None:
            chosen, propensity = pinned, 1.0
        else:
            chosen, propensity = route.draw.again(unit) if unit else route.draw(id)
        arm = self._catalog.arm(route, chosen)
        name, release = route.service.name, route.release
        trace = Trace(
            id=id,
            service=name,
            environment=release.environment,
            operation=operation,
            started=now,
            epoch=release.epoch,
            step=release.step,
            chosen=chosen,
            propensity=propensity,
            unit=None if unit is None else unit_hash(name, unit),
            streamed=body.stream,
            parent=None if parent is None else parent.decode("latin-1"),
            client=None if client is None else client.name,
        )
        content = route.settings.content
        captured = content.capture == "all" or (content.capture == "sampled" and coin(id) < content.share)
        lines = b"x-proveout-trace-id: %b\r\n" % id.encode()
        return Asked(
            request, body, route, client, operation, pinned is not None, trace, request.received, lines, captured
        ), arm

    async def _serve(self, asked: Asked, arm: Arm, responder: Responder) -> None:
        trace, load = asked.trace, asked.route.load
        content: tuple[str, str] | None = None
        load.in_flight += 1
        self.in_flight.value += 1
        try:
            arm.admit()
            try:
                if asked.route.guards is not None:
                    asked.route.guards.asked(asked.body, trace)
                if asked.operation == "chat" and asked.route.shadows:
                    self._copy(asked)
                content = await self._try_all(asked, arm, responder)
            except Withheld as withheld:
                refuse(withheld, asked.body, asked.operation, trace, responder, asked.header_lines)
        except Refused as refused:
            trace.status, trace.error = refused.status, trace.error or refused.code
            if not responder.started:
                responder.reply(refused.status, encode_headers(refused.headers) + asked.header_lines, refused.body)
        except asyncio.CancelledError:
            trace.status, trace.error = 499, "client_gone"
            raise
        except Exception:
            trace.status, trace.error = 500, "internal"
            raise
        finally:
            self.in_flight.value -= 1
            load.in_flight -= 1
            trace.e2e = monotonic() - asked.started
            self._finish(asked, arm, content)

    def _finish(self, asked: Asked, arm: Arm, content: tuple[str, str] | None) -> None:
        trace = asked.trace
        arm.metrics.record(trace)
        if trace.cost_usd:
            asked.route.load.meter.charge(trace.cost_usd)
            if asked.client is not None:
                asked.client.meter.charge(trace.cost_usd)
        self._record(trace, arm, content)

    def _record(self, trace: Trace, arm: Arm, content: tuple[str, str] | None) -> None:
        self._link.trace(trace, content)
        if self.exporter is not None:
            model = arm.variant.model
            self.exporter.add(Finished(trace, model.provider, model.name))

    async def _try_all(self, asked: Asked, chosen: Arm, responder: Responder) -> tuple[str, str] | None:
        """Try the chosen variant, then the fallbacks in their order; the client gets the first whole answer."""
        last: UpstreamFailed | None = None
        others = () if asked.pinned else (one for one in asked.route.fallbacks if one is not chosen)
        for arm in chain((chosen,), others):
            attempt = Attempt(asked, arm, responder)
            call = attempt.plain_call() or await attempt.prepared()
            if asked.route.load.cache is not None and await attempt.from_cache(call):
                return attempt.content
            tried: list[Place] = []
            while (place := arm.place(tried)) is not None:
                if place in tried:
                    await asyncio.sleep(PAUSE_S * (1 + _random.random()))
                tried.append(place)
                asked.trace.attempts += 1
                try:
                    await attempt.made(place, call)
                    return attempt.content
                except UpstreamFailed as failed:
                    last = failed
                    asked.trace.error = failed.kind
                    if attempt.started:
                        attempt.broken(failed)
                        return attempt.content
                    if not failed.elsewhere:
                        attempt.passed_on(failed)
                        return None
                    if not failed.again or (failed.retry_after_s or 0) > PAUSE_S * 4:
                        break
        raise _gave_up(last, asked.trace)

    # Shadows

    def _copy(self, asked: Asked) -> None:
        """Send copies to shadow variants, beside the answer and within their budget."""
        route = asked.route
        load, budget = route.load, route.settings.shadow
        for arm, share in route.shadows:
            if share < 1 and _random.random() >= share:
                continue
            labels = {"service": route.service.name, "variant": arm.name}
            try:
                if load.shadows >= budget.concurrency:
                    raise Refused(429, "", code="shadow_budget")
                load.shadow_meter.admit()
            except Refused:
                self._metrics.count("proveout_gateway_shadow_skipped_total", **labels).value += 1
                continue
            self._metrics.count("proveout_gateway_shadow_requests_total", **labels).value += 1
            load.shadows += 1
            task = asyncio.get_running_loop().create_task(self._shadow(asked, arm))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)

    async def _shadow(self, asked: Asked, arm: Arm) -> None:
        """One copy: asked, read and recorded like a request, and answered to nobody."""
        main, load, now = asked.trace, asked.route.load, time.time()
        trace = Trace(
            id=new_id(now),
            service=main.service,
            environment=main.environment,
            operation=main.operation,
            started=now,
            epoch=main.epoch,
            step=main.step,
            chosen=arm.fingerprint,
            unit=main.unit,
            streamed=main.streamed,
            shadow_of=main.id,
        )
        copy = msgspec.structs.replace(asked, trace=trace, started=monotonic(), client=None)
        content: tuple[str, str] | None = None
        try:
            arm.admit()
            attempt = Attempt(copy, arm, None)
            call = attempt.plain_call() or await attempt.prepared()
            place = arm.place()
            if place is None:
                raise UpstreamFailed("breaker", "the endpoint is left alone", again=False)
            trace.attempts = 1
            await attempt.made(place, call)
            content = attempt.content
        except UpstreamFailed as failed:
            trace.error, trace.status = failed.kind, failed.status or 502
        except Refused as refused:
            trace.error, trace.status = refused.code, refused.status
        except asyncio.CancelledError:
            trace.error, trace.status = "cancelled", 499
            raise
        except Exception:
            trace.error, trace.status = "internal", 500
            raise
        finally:
            load.shadows -= 1
            trace.e2e = monotonic() - copy.started
            if trace.cost_usd:
                load.shadow_meter.charge(trace.cost_usd)
            self._record(trace, arm, content)


def _check_room(route: Route) -> None:
    """
    Raises:
        Refused: 429: as many requests as the service takes are in flight.
    """
    most = route.settings.max_concurrency
    if most is not None and route.load.in_flight >= most:
        what = f"{most} requests of this service are in flight, which is its limit"
        raise Refused(429, what, code="concurrency_limit", retry_after_s=1)


def _gave_up(last: UpstreamFailed | None, trace: Trace) -> Refused:
    """Nobody answered: what the client is told."""
    if last is None:
        trace.error = "breaker"
        what = "every endpoint of this service failed lately and is left alone for a moment"
        return Refused(503, what, code="upstreams_unavailable", retry_after_s=1)
    if last.kind == "rate_limit":
        return Refused(429, "the provider is rate-limited", code="rate_limit", retry_after_s=last.retry_after_s or 1)
    if last.kind == "timeout":
        return Refused(504, "the provider did not answer in time", code="upstream_timeout")
    what = {
        "auth": "the provider refused the gateway's credentials",
        "malformed": "the provider's answer could not be read",
        "connect": "the provider could not be reached",
        "cut": "the provider's answer was cut off",
    }
    return Refused(502, what.get(last.kind, "the provider failed"), code=f"upstream_{last.kind}")


def new_id(now: float) -> str:
    """A trace's id: 48 bits of milliseconds and 80 random bits (the order of UUID version 7), so that an index on it
    grows at its end."""
    return f"{int(now * 1000) << 80 | _random.getrandbits(80):032x}"


def reseed() -> None:
    """After a fork, so that no two processes draw alike."""
    _random.seed()
