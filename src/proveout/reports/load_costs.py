"""What a load costs on machines of one's own, and what their engine said, in a load test's reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout.reports.figures import known, percent, plain, usd
from proveout.reports.money import requests_in_words
from proveout.reports.text import counted
from proveout.reports.words import name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proveout.loadtest.hosting import EngineFigures, HostedLoad, HostedMonth
    from proveout.loadtest.report import Report

MOST_LOADS = 12


def costs_in_words(report: Report) -> list[str]:
    """A sentence for each variant's loads, for the month at the declared traffic, and for each engine."""
    variants = dict.fromkeys(load.variant for load in report.hosting)
    lines = [loads_in_words([load for load in report.hosting if load.variant == variant]) for variant in variants]
    lines += [month_in_words(load, load.month) for load in report.hosting if load.month is not None]
    lines += [report.prices] if report.prices else []
    return [*lines, *(engine_in_words(engine) for engine in report.engines[:4])]


def loads_in_words(loads: Sequence[HostedLoad]) -> str:
    """What a request costs at one variant's loads: `$0.001 at 2 good requests/s, $0.0005 at 4, ...`."""
    first = loads[0]
    machines = name(first.host) if first.machines == 1 else f"{first.machines:,} × {name(first.host)}"
    each = [f"{usd(load.usd_per_request)} at {_kept(load)}" for load in loads[:MOST_LOADS]]
    each[0] += " good requests/s"
    rest = f" and {len(loads) - MOST_LOADS:,} more" if len(loads) > MOST_LOADS else ""
    tokens = [load.usd_per_million_output_tokens for load in loads if known(load.usd_per_million_output_tokens)]
    prices = [usd(price) for price in dict.fromkeys((max(tokens), min(tokens)))] if tokens else []
    written = f"; a million output tokens {' to '.join(prices)}" if prices else ""
    return (
        f"{name(first.variant)}, a replica on {machines} for {usd(first.usd_per_hour)} an hour: a request costs "
        f"{', '.join(each)}{rest}{written}."
    )


def _kept(load: HostedLoad) -> str:
    return f"{percent(load.headroom)} of {plain(load.goodput)}" if load.headroom < 1 else plain(load.goodput)


def month_in_words(load: HostedLoad, month: HostedMonth) -> str:
    """What the service's declared traffic takes."""
    spare = f", {month.spare:,} of them spare" if month.spare else ""
    return (
        f"At {requests_in_words(month.requests_per_month)}, with a peak of {plain(month.peak_to_mean)} times the mean, "
        f"{name(load.variant)} takes {counted(month.replicas, 'replica')}{spare}, {percent(month.utilisation)} busy on "
        f"average: {usd(month.usd_per_month)} a month, {usd(month.usd_per_request)} a request."
    )


def engine_in_words(engine: EngineFigures) -> str:
    """What an engine's own page said over the test."""
    parts = [
        f"{plain(value)} {words}"
        for value, words in (
            (engine.requests_per_s, "requests/s"),
            (engine.input_tokens_per_s, "tokens/s read"),
            (engine.output_tokens_per_s, "tokens/s written"),
            (engine.running, "requests at once"),
            (engine.most_running, "at most"),
            (engine.most_waiting, "waiting at most"),
        )
        if known(value)
    ]
    parts += [
        f"{words} {percent(value)}"
        for value, words in (
            (engine.cache_used, "KV cache up to"),
            (engine.prefix_hit_rate, "prefix cache hits"),
            (engine.gpu_busy, "GPUs busy"),
        )
        if known(value)
    ]
    told = ", ".join(parts) or "nothing that is known here"
    return f"{name(engine.variant)}'s engine says ({counted(engine.looks, 'look')}): {told}."
