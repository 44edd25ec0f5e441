"""What the load of a test costs on a variant's own machines, and what their engine did meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import msgspec

from proveout.economics.machines import HOURS_PER_MONTH, Serving, hosting, replica_usd_per_month
from proveout.economics.prices import PriceBook
from proveout.project.records import Variant

if TYPE_CHECKING:
    from proveout.economics.engine import EngineSeen
    from proveout.loadtest.figures import Run
    from proveout.loadtest.report import Capacity

USUAL_PEAK = 2.0
"""How many times the mean the busiest minutes have, where a service doesn't say."""


class HostedMonth(msgspec.Struct, frozen=True, kw_only=True):
    """Whole replicas for the service's declared traffic; `utilisation` is the mean traffic's share of their goodput."""

    requests_per_month: float
    peak_to_mean: float
    replicas: int
    spare: int
    utilisation: float
    usd_per_month: float
    usd_per_request: float


class HostedLoad(msgspec.Struct, frozen=True, kw_only=True):
    """What a request costs on one replica that is kept at some goodput (good requests per second).

    `run` is the place of the run that had it; null for the capacity, of which only `headroom` is planned with. `month`
    says what the declared traffic takes at that capacity; null without traffic.
    """

    variant: str
    host: str
    machines: int
    usd_per_hour: float
    run: int | None
    goodput: float
    headroom: float
    usd_per_request: float
    usd_per_million_output_tokens: float | None
    month: HostedMonth | None = None


class EngineFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine's own metrics page said over the test; null where it does not say. Shares lie within 0 and 1."""

    variant: str
    looks: int
    seconds: float
    requests_per_s: float | None
    input_tokens_per_s: float | None
    output_tokens_per_s: float | None
    prefix_hit_rate: float | None
    running: float | None
    most_running: float | None
    most_waiting: float | None
    cache_used: float | None
    gpu_busy: float | None


def hosted_loads(
    runs: Sequence[Run],
    capacity: Capacity | None,
    variants: Sequence[Variant],
    traffic: Mapping[str, Any],
    book: PriceBook,
    on: date,
) -> tuple[HostedLoad, ...]:
    """Price every valid run, or the capacity, of variants that declare their machines, where these have a price on that
    day; nothing is said of others."""
    found: list[HostedLoad] = []
    for variant in variants:
        serving = _serving(variant, book, on)
        if serving is None:
            continue
        mine = [
            (place, run) for place, run in enumerate(runs) if run.variant == variant.name and run.valid and run.goodput
        ]
        if capacity is not None and capacity.variant == variant.name and capacity.rate > 0:
            tokens = _output_tokens([run for _, run in mine])
            found.append(_load(variant, serving, None, capacity.rate, tokens, _month(serving, capacity.rate, traffic)))
        else:
            found += [_load(variant, serving, place, run.goodput or 0.0, _output_tokens([run])) for place, run in mine]
    return tuple(found)


def engine_figures(variant: str, seen: EngineSeen) -> EngineFigures:
    load = seen.load
    return EngineFigures(
        variant=variant,
        looks=seen.looks,
        seconds=round(seen.seconds, 3),
        requests_per_s=load.requests_per_s,
        input_tokens_per_s=load.input_tokens_per_s,
        output_tokens_per_s=load.output_tokens_per_s,
        prefix_hit_rate=load.prefix_hit_rate,
        running=seen.running,
        most_running=seen.most_running,
        most_waiting=seen.most_waiting,
        cache_used=seen.cache_used,
        gpu_busy=seen.gpu_busy,
    )


def _serving(variant: Variant, book: PriceBook, on: date) -> Serving | None:
    """The variant's machines, with a goodput still to be set; None without them, or without their price."""
    machine = variant.machine
    host = None if machine is None else book.host(machine.host, on)
    if machine is None or host is None:
        return None
    return Serving(host, 1.0, machines=machine.count, headroom=machine.headroom, spare=machine.spare)


def _load(
    variant: Variant,
    serving: Serving,
    run: int | None,
    goodput: float,
    output_tokens: float | None,
    month: HostedMonth | None = None,
) -> HostedLoad:
    per_hour = replica_usd_per_month(serving) / HOURS_PER_MONTH
    headroom = serving.headroom if run is None else 1.0
    each = per_hour / 3600 / (goodput * headroom)
    return HostedLoad(
        variant=variant.name,
        host=serving.host.name,
        machines=serving.machines,
        usd_per_hour=per_hour,
        run=run,
        goodput=goodput,
        headroom=headroom,
        usd_per_request=each,
        usd_per_million_output_tokens=each / output_tokens * 1e6 if output_tokens else None,
        month=month,
    )


def _month(serving: Serving, goodput: float, traffic: Mapping[str, Any]) -> HostedMonth | None:
    requests = float(traffic.get("requests_per_month") or 0.0)
    if not requests > 0:
        return None
    peak = float(traffic.get("peak_to_mean") or USUAL_PEAK)
    at_capacity = Serving(
        serving.host, goodput, machines=serving.machines, headroom=serving.headroom, spare=serving.spare
    )
    found = hosting(at_capacity, requests, peak)
    return HostedMonth(
        requests_per_month=requests,
        peak_to_mean=peak,
        replicas=found.replicas,
        spare=serving.spare,
        utilisation=found.utilisation,
        usd_per_month=found.usd_per_month,
        usd_per_request=found.usd_per_request,
    )


def _output_tokens(runs: Sequence[Run]) -> float | None:
    """Output tokens of a mean request, over runs that counted them."""
    counted = [(run.output_tokens_per_s, run.requests_per_s) for run in runs]
    known = [(tokens, requests) for tokens, requests in counted if tokens and requests]
    return sum(tokens for tokens, _ in known) / sum(requests for _, requests in known) if known else None
