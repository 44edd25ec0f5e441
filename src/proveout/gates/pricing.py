"""What a variant's requests cost: by the token, or their share of machines that are paid by the hour."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from proveout.economics.capacity import Goodput
from proveout.economics.impact import Traffic
from proveout.economics.machines import Hosting, Serving, hosting
from proveout.economics.prices import priced_name, tier_factor
from proveout.economics.public_prices import public_source
from proveout.gates._base import Pricing
from proveout.gates.scorecard import Hosted, PricesUsed
from proveout.project.records import Price, Service, Variant


class Unmeasured(Exception):
    """Why nothing can be said about cost."""


class ByToken(msgspec.Struct, frozen=True):
    """A variant that is paid by the token, with the factor of its service tier."""

    price: Price
    factor: float


class ByHour(msgspec.Struct, frozen=True):
    """A variant on machines of one's own, at the service's declared traffic."""

    serving: Serving
    goodput: Goodput
    traffic: Traffic
    source: str

    @property
    def month(self) -> Hosting:
        return hosting(self.serving, self.traffic.requests_per_month, self.traffic.peak_to_mean)

    def at(self, goodput: float | None) -> ByHour:
        """The same machines with another goodput; with the same where that is not known."""
        return self if not goodput else replace(self, serving=replace(self.serving, goodput=goodput))

    def using(self, input_tokens: float, output_tokens: float) -> ByHour:
        """With the tokens of a mean request."""
        return replace(self, serving=replace(self.serving, input_tokens=input_tokens, output_tokens=output_tokens))


Tariff = ByToken | ByHour


def tariffs(pricing: Pricing, service: Service) -> tuple[Tariff, Tariff]:
    """How each variant is paid.

    Raises:
        Unmeasured: a price, a goodput or the traffic is unknown; the message says what to write.
    """
    found: list[Tariff] = []
    problems: list[str] = []
    for arm in (0, 1):
        try:
            found.append(_tariff(pricing, service, arm))
        except Unmeasured as problem:
            problems.append(str(problem))
    if problems:
        raise Unmeasured("; ".join(dict.fromkeys(problems)))
    return found[0], found[1]


def declared_traffic(service: Service) -> Traffic | None:
    """The traffic that the service declares; None where it declares none."""
    declared = service.traffic
    requests = declared.get("requests_per_month")
    if not requests:
        return None
    return Traffic(
        float(requests), float(declared.get("uncertainty") or 0.0), float(declared.get("peak_to_mean") or 2.0)
    )


def prices_used(pricing: Pricing) -> PricesUsed | None:
    """The book's date and hash, and what was looked up elsewhere; None where there is neither."""
    book, published = pricing.book, list[str]()
    for variant in pricing.variants:
        price = None if variant.machine is not None else book.price_of(variant.model, pricing.on)
        if price is not None and not book.holds(price) and variant.name not in published:
            published.append(variant.name)
    newest = book.dated(pricing.on)
    if newest is None and not published:
        return None
    return PricesUsed(
        on=pricing.on.isoformat(),
        newest=newest,
        content=None if newest is None else book.digest,
        published=tuple(published),
        publisher=(public_source() or "") if published else "",
    )


def hosted(variant: Variant, tariff: ByHour) -> Hosted:
    """The machines of a variant for the scorecard."""
    month, serving, goodput = tariff.month, tariff.serving, tariff.goodput
    return Hosted(
        variant=variant.name,
        host=serving.host.name,
        machines=serving.machines,
        goodput=serving.goodput,
        goodput_low=goodput.low,
        goodput_high=goodput.high,
        source=tariff.source,
        headroom=serving.headroom,
        replicas=month.replicas,
        spare=serving.spare,
        utilisation=month.utilisation,
        usd_per_month=month.usd_per_month,
        usd_per_request=month.usd_per_request,
        usd_per_million_tokens=month.usd_per_million_tokens,
        requests_per_month=tariff.traffic.requests_per_month,
        peak_to_mean=tariff.traffic.peak_to_mean,
    )


def _tariff(pricing: Pricing, service: Service, arm: int) -> Tariff:
    variant = pricing.variants[arm]
    return _by_token(pricing, variant) if variant.machine is None else _by_hour(pricing, service, arm)


def _by_token(pricing: Pricing, variant: Variant) -> ByToken:
    model, on = variant.model, pricing.on
    price, name = pricing.book.price_of(model, on), priced_name(model)
    tier = variant.parameters.get("service_tier")
    if price is None:
        raise Unmeasured(
            f"the price of {model.provider} {name} (variant {variant.name}) on {on} is unknown; add to "
            f"prices.yaml - {{provider: {model.provider}, model: {name}, since: {on}, input: ..., output: ...}}"
        )
    factor = tier_factor(price, None if tier is None else str(tier))
    if factor is None:
        raise Unmeasured(
            f"the price of {model.provider} {name} in service tier {tier} (variant {variant.name}) is unknown; add the "
            f"tier to its entry in prices.yaml: tiers: {{{tier}: ...}}"
        )
    return ByToken(price, factor)


def _by_hour(pricing: Pricing, service: Service, arm: int) -> ByHour:
    variant, on = pricing.variants[arm], pricing.on
    machine = variant.machine
    assert machine is not None
    host = pricing.book.host(machine.host, on)
    if host is None:
        raise Unmeasured(
            f"the price of a {machine.host} (variant {variant.name}) on {on} is unknown; add to prices.yaml hosts: "
            f"- {{name: {machine.host}, since: {on}, usd_per_hour: ...}}"
        )
    traffic = declared_traffic(service)
    if traffic is None:
        raise Unmeasured(
            f"variant {variant.name} is paid by the hour, so that its requests cost what the traffic makes of it; "
            "declare traffic: {requests_per_month: ...} in service.yaml"
        )
    goodput, source = pricing.measured[arm], "load test"
    if machine.goodput is not None:
        goodput, source = Goodput(machine.goodput), "declared in the variant"
    elif goodput is None:
        raise Unmeasured(
            f"what one replica of variant {variant.name} serves within its SLOs is unknown; measure it with proveout "
            f"loadtest {service.name} {variant.name} --saturation, or declare machine: {{goodput: ...}}"
        )
    elif goodput.measured:
        source = f"load test of {goodput.measured[:10]}"
    serving = Serving(
        host,
        goodput.rate,
        machines=machine.count,
        headroom=machine.headroom,
        spare=machine.spare,
        goodput_doubt=goodput.doubt,
    )
    return ByHour(serving, goodput, traffic, source)
