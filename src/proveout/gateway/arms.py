"""Arms: a service's variants ready to serve, each with its places, their health, its price and its load."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from msgspec.structs import replace

from proveout.economics.prices import cost_usd
from proveout.gateway.breaker import Breaker
from proveout.gateway.errors import Refused
from proveout.gateway.metrics import Count, Histogram, Metrics
from proveout.gateway.settings import ServiceSettings
from proveout.gateway.upstreams import Upstream, open_upstream
from proveout.models import Usage
from proveout.project.records import Price, Service, Variant
from proveout.storage.records import Trace
from proveout.wire import Client, encode_headers

_SLOW_STEPS = frozenset({"python", "regex"})


class Place:
    """One endpoint of a variant."""

    __slots__ = ("breaker", "in_flight", "upstream")

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.breaker = Breaker()
        self.in_flight = 0


class Arm:
    """One variant of a service."""

    def __init__(
        self,
        service: Service,
        variant: Variant,
        settings: ServiceSettings,
        price: Price | None,
        client: Client,
        metrics: Metrics,
    ) -> None:
        """
        Raises:
            LookupError: a secret is not set, an address or an extra is missing; says what to do.
            DatasetError: a recording can't be used.
        """
        spec = variant.model
        specs = [spec, *(replace(spec, url=url) for url in settings.endpoints.get(variant.name, ()))]
        self.service = service.name
        self.settings = settings
        self.variant = variant
        self.name = variant.name
        self.fingerprint = variant.fingerprint
        self.places = [Place(open_upstream(one, variant, service, client)) for one in specs]
        self._lone = self.places[0] if len(self.places) == 1 else None
        self._most_tries = max(1 + min(settings.retries, spec.limits.retries), len(self.places))
        self.limit = spec.limits.concurrency
        self.in_flight = 0
        self.header_lines = encode_headers([("x-proveout-variant", variant.name)])
        self.processed = bool(variant.postprocess)
        self.checked = self.processed or variant.output.choices is not None or variant.output.schema is not None
        self.slow = any(name in _SLOW_STEPS for step in (*variant.preprocess, *variant.postprocess) for name in step)
        self.metrics = ArmMetrics(metrics, service.name, variant.name)
        self._free = spec.provider in ("tiny", "replay")
        self._price = price

    def place(self, tried: Sequence[Place] = ()) -> Place | None:
        """Where to try next: of the places whose breaker lets a call pass, those least tried before, and of these the
        least loaded. None after as many tries as there may be."""
        if len(tried) >= self._most_tries:
            return None
        if self._lone is not None:
            allowed = self._lone.breaker.state == "closed" or self._lone.breaker.allows(monotonic())
            return self._lone if allowed else None
        now = monotonic()
        ranked = sorted(self.places, key=lambda place: (tried.count(place), place.in_flight))
        return next((place for place in ranked if place.breaker.allows(now)), None)

    def admit(self) -> None:
        """
        Raises:
            Refused: 429: as many calls as the variant's endpoint takes are in flight.
        """
        if self.limit is not None and self.in_flight >= self.limit:
            what = f"{self.limit} requests to this variant are in flight, which is its limit"
            raise Refused(429, what, code="concurrency_limit", retry_after_s=1)

    def cost(self, usage: Usage | None) -> float | None:
        """Dollars for an answer; None where its price or its tokens are unknown."""
        if self._free:
            return 0.0
        if usage is None or self._price is None:
            return None
        return cost_usd(self._price, usage)

    @property
    def open_breakers(self) -> int:
        return sum(place.breaker.state == "open" for place in self.places)

    async def aclose(self) -> None:
        for place in self.places:
            await place.upstream.aclose()


class ArmMetrics:
    """A variant's series, looked up once."""

    __slots__ = (
        "_labels",
        "_metrics",
        "_statuses",
        "attempts",
        "cached",
        "cost",
        "duration",
        "input_tokens",
        "output_tokens",
        "ttft",
    )

    def __init__(self, metrics: Metrics, service: str, variant: str) -> None:
        self._metrics = metrics
        labels = self._labels = {"service": service, "variant": variant}
        self._statuses: dict[int, Count] = {}
        self.duration: Histogram = metrics.histogram("proveout_gateway_request_duration_seconds", **labels)
        self.ttft: Histogram = metrics.histogram("proveout_gateway_time_to_first_token_seconds", **labels)
        self.input_tokens = metrics.count("proveout_gateway_tokens_total", **labels, direction="input")
        self.output_tokens = metrics.count("proveout_gateway_tokens_total", **labels, direction="output")
        self.cost = metrics.count("proveout_gateway_cost_usd_total", **labels)
        self.attempts = metrics.count("proveout_gateway_attempts_total", **labels)
        self.cached = metrics.count("proveout_gateway_cache_hits_total", **labels)

    def record(self, trace: Trace) -> None:
        """Count a finished request. Answers from the cache say nothing about speed, tokens or cost."""
        status = self._statuses.get(trace.status)
        if status is None:
            status = self._statuses[trace.status] = self._metrics.count(
                "proveout_gateway_requests_total", **self._labels, status=str(trace.status)
            )
        status.value += 1
        self.attempts.value += trace.attempts
        if trace.error is not None:
            self._metrics.count("proveout_gateway_errors_total", **self._labels, error=trace.error).value += 1
        if trace.variant and trace.variant != trace.chosen:
            self._metrics.count("proveout_gateway_fallbacks_total", **self._labels).value += 1
        if trace.cached:
            self.cached.value += 1
            return
        self.duration.observe(trace.e2e)
        if trace.ttft is not None:
            self.ttft.observe(trace.ttft)
        if trace.input_tokens is not None:
            self.input_tokens.value += trace.input_tokens
            self.output_tokens.value += trace.output_tokens or 0
        if trace.cost_usd:
            self.cost.value += trace.cost_usd
