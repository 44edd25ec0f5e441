"""What is served now: for each service its release, its draw, and its arms. Exchanged whole, so that a request sees one
state from its start to its end."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from proveout.gateway.arms import Arm
from proveout.gateway.assignment import Draw
from proveout.gateway.cache import AnswerCache
from proveout.gateway.errors import Refused
from proveout.gateway.guarding import Guarding, guarding
from proveout.gateway.keys import Client as KnownClient
from proveout.gateway.metrics import Metrics
from proveout.gateway.quotas import Meter
from proveout.gateway.releases import DEV, declared_releases, effective_releases
from proveout.gateway.settings import GatewaySettings, Quota, ServiceSettings
from proveout.gateway.sharing import Sharing
from proveout.models import PriceBook
from proveout.project.records import GuardSpec, Project, Service
from proveout.storage.records import Release
from proveout.wire import Client

log = logging.getLogger("proveout.gateway")


class CannotServe(LookupError):
    """A release can't be served from here; the message says why and what to do."""


@dataclass(slots=True)
class Load:
    """What a service uses in this process; outlives releases."""

    meter: Meter
    shadow_meter: Meter
    cache: AnswerCache | None
    settings: ServiceSettings
    guards: tuple[GuardSpec, ...]
    in_flight: int = 0
    shadows: int = 0


@dataclass(frozen=True, slots=True)
class Route:
    """How one service is served. `pins` are the variants that may be asked for by name."""

    service: Service
    settings: ServiceSettings
    release: Release
    draw: Draw
    arms: Mapping[str, Arm]
    fallbacks: tuple[Arm, ...]
    shadows: tuple[tuple[Arm, float], ...]
    pins: Mapping[str, str]
    load: Load
    guards: Guarding | None = None


class Catalog:
    """Holds the routes and makes new ones. Arms outlive releases, and with them their health and load."""

    def __init__(self, environment: str, client: Client, metrics: Metrics, sharing: Sharing) -> None:
        self.environment = environment
        self.routes: Mapping[str, Route] = {}
        self.problems: tuple[str, ...] = ()
        self._client = client
        self._metrics = metrics
        self._sharing = sharing
        self._arms: dict[tuple[str, str], Arm] = {}
        self._loads: dict[str, Load] = {}
        self._prices = PriceBook()
        self._failures = metrics.count("proveout_gateway_reload_failures_total")

    def route(self, model: str, client: KnownClient | None) -> tuple[Route, str | None]:
        """The route that a request's `model` names, and the fingerprint of the variant that it pins.

        Raises:
            Refused: 404: there is no such service or variant here; 403: this key may not ask it.
        """
        route = self.routes.get(model)
        if route is not None:
            self._check(model, client)
            return route, None
        service, _, variant = model.partition("/")
        route = self.routes.get(service)
        if route is None:
            known = ", ".join(name for name in self.routes if client is None or client.may_ask(name)) or "none"
            what = f"there is no service of this name in {self.environment}; there is {known}"
            raise Refused(404, what, code="model_not_found", param="model")
        self._check(service, client)
        pinned = route.pins.get(variant)
        if pinned is None:
            what = f"{service} serves no variant of this name in {self.environment}; it serves {', '.join(route.pins)}"
            raise Refused(404, what, code="model_not_found", param="model")
        return route, pinned

    @staticmethod
    def _check(service: str, client: KnownClient | None) -> None:
        if client is not None and not client.may_ask(service):
            raise Refused(403, "this key may not ask this service", code="forbidden_service", param="model")

    def arm(self, route: Route, fingerprint: str) -> Arm:
        """One of a service's arms, opened when first asked for.

        Raises:
            Refused: 503: it can't be opened, say for want of a secret.
        """
        found = route.arms.get(fingerprint) or self._arms.get((route.service.name, fingerprint))
        if found is not None:
            return found
        variant = next(one for one in route.service.variants.values() if one.fingerprint == fingerprint)
        try:
            return self._open(route.service, fingerprint, route.settings, self._prices)
        except CannotServe as error:
            log.warning("%s", error)
            what = f"the variant {variant.name} can't be called from here; the gateway's log says why"
            raise Refused(503, what, code="variant_unavailable") from None

    def exchange(self, project: Project, settings: GatewaySettings, stored: Mapping[str, Release]) -> None:
        """Serve this from now on. A service whose new release can't be served keeps the one that it has.

        Raises:
            CannotServe: a service has none yet, and can't get one.
            UnknownEnvironment: the project has no such environment.
        """
        declared = declared_releases(project, self.environment)
        effective = effective_releases(project, declared, stored)
        prices = self._prices = PriceBook(project.prices)
        routes: dict[str, Route] = {}
        problems = list(effective.problems)
        for name, release in effective.releases.items():
            try:
                routes[name] = self._route(project.services[name], settings.service(name), release, declared, prices)
            except CannotServe as error:
                if name not in self.routes:
                    raise
                routes[name] = self.routes[name]
                problems.append(str(error))
        self.routes = routes
        self._tell(tuple(problems))
        declared_arms = {
            (name, variant.fingerprint)
            for name, service in project.services.items()
            for variant in service.variants.values()
        }
        for key in self._arms.keys() - declared_arms:
            del self._arms[key]  # Requests in flight keep theirs.

    def _tell(self, problems: tuple[str, ...]) -> None:
        for problem in problems:
            if problem not in self.problems:
                log.warning("%s", problem)
                self._failures.value += 1
        self.problems = problems
        for name in ("proveout_gateway_weight_ratio", "proveout_gateway_release_epoch"):
            self._metrics.forget(name)
        for name, route in self.routes.items():
            self._metrics.count("proveout_gateway_release_epoch", service=name).value = route.release.epoch
            for fingerprint, share in route.draw.propensities.items():
                variant = route.arms[fingerprint].name
                self._metrics.count("proveout_gateway_weight_ratio", service=name, variant=variant).value = share

    def _route(
        self,
        service: Service,
        settings: ServiceSettings,
        release: Release,
        declared: Mapping[str, Release],
        prices: PriceBook,
    ) -> Route:
        file = declared[service.name]
        draw = Draw(service.name, release.weights)
        fallbacks = list(dict.fromkeys([*release.fallback, *file.fallback, file.champion]))
        needed = dict.fromkeys([*draw.propensities, *fallbacks, *release.shadow])
        arms = {fingerprint: self._open(service, fingerprint, settings, prices) for fingerprint in needed}
        names = {variant.name: variant.fingerprint for variant in service.variants.values()}
        if self.environment != DEV:  # Elsewhere nothing is served that no release names.
            served = {*draw.propensities, *fallbacks}
            names = {name: fingerprint for name, fingerprint in names.items() if fingerprint in served}
        return Route(
            service=service,
            settings=settings,
            release=release,
            draw=draw,
            arms=arms,
            fallbacks=tuple(arms[fingerprint] for fingerprint in fallbacks),
            shadows=tuple((arms[fingerprint], share) for fingerprint, share in release.shadow.items() if share > 0),
            pins=names,
            load=self._load(service, settings),
            guards=guarding(service, self._metrics),
        )

    def _load(self, service: Service, settings: ServiceSettings) -> Load:
        name = service.name
        known = self._loads.get(name)
        if known is not None and known.settings == settings and known.guards == service.guards:
            return known
        cache = None if settings.cache is None else AnswerCache(settings.cache, self._sharing, service)
        budget = Quota(settings.shadow.requests_per_minute, settings.shadow.usd_per_day)
        meter, shadow_meter = Meter(settings.quota, f"service {name}"), Meter(budget, f"shadows of {name}")
        load = Load(meter, shadow_meter, cache, settings, service.guards)
        if known is not None:
            load.meter.carry(known.meter)
            load.shadow_meter.carry(known.shadow_meter)
        self._sharing.watch(load.meter)
        self._loads[name] = load
        return load

    def _open(self, service: Service, fingerprint: str, settings: ServiceSettings, prices: PriceBook) -> Arm:
        key = (service.name, fingerprint)
        variant = next(one for one in service.variants.values() if one.fingerprint == fingerprint)
        known = self._arms.get(key)
        if known is not None and known.variant == variant and known.settings == settings:
            return known
        try:
            arm = Arm(service, variant, settings, prices.price(variant.model), self._client, self._metrics)
        except (LookupError, ValueError) as error:
            raise CannotServe(f"{service.name}/{variant.name} can't be served: {error}") from error
        self._arms[key] = arm
        return arm

    async def aclose(self) -> None:
        for arm in self._arms.values():
            await arm.aclose()
