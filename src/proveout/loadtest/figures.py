"""From what a run recorded to its figures, each with its interval or not at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from proveout.loadtest.client_watch import ClientLoad, reasons_invalid
from proveout.loadtest.plan import Failed
from proveout.loadtest.recorder import Recorded
from proveout.loadtest.records import STOPPED, Records
from proveout.loadtest.slo import LATENCIES, Metric, attained, measured, slo_test, time_blocks
from proveout.statistics import Estimate, proportion_interval
from proveout.statistics.clustered_quantiles import clustered_quantile

QUANTILES = (0.5, 0.9, 0.95, 0.99)
MISMATCH = 0.05
"""Share of a wanted number of tokens from which a request counts as another size."""

Quantiles = dict[str, float | None]
Intervals = dict[str, tuple[float | None, float | None] | None]


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """Cross-checks of a run against itself.

    `littles_law`: requests in flight by the records over those that were seen; 1 where both agree. `usage_share`:
    answers whose tokens the endpoint counted. `chunks_per_token`: pieces of content per output token.
    `input_mismatch`, `output_mismatch`: share of requests that were of another size than wanted.
    """

    littles_law: float | None = None
    usage_share: float | None = None
    chunks_per_token: float | None = None
    input_mismatch: float | None = None
    output_mismatch: float | None = None
    cached_share: float | None = None


class SloLine(msgspec.Struct, frozen=True, kw_only=True):
    """One SLO against the run: `kept`, `broken`, or `unresolved` (more requests would tell)."""

    metric: str
    limit_ms: float
    state: str


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one run, as `proveout.loadtest/v1` has them. Quantiles are in milliseconds; null where the number
    of requests can't support them, or (`beyond`) where failures reach up to them. `intervals` are 95 %.
    """

    variant: str
    schedule: dict[str, Any]
    requests: int
    errors: int
    valid: bool
    client: dict[str, float | None]
    ttft_ms: Quantiles
    itl_ms: Quantiles
    tpot_ms: Quantiles
    e2e_ms: Quantiles
    stall_ms: Quantiles
    output_tokens_per_s: float | None
    requests_per_s: float | None
    goodput: float | None
    fingerprint: str = ""
    workload: dict[str, Any] = {}
    seconds: float = 0.0
    invalid: tuple[str, ...] = ()
    ended: str = ""
    intervals: dict[str, Intervals] = {}
    beyond: tuple[str, ...] = ()
    error_rate: tuple[float | None, float | None, float | None] = (None, None, None)
    attainment: tuple[float | None, float | None, float | None] | None = None
    slo: tuple[SloLine, ...] = ()
    failures: tuple[dict[str, Any], ...] = ()
    unfinished: int = 0
    checks: Checks = Checks()
    processing_ms: dict[str, Quantiles] = {}
    notes: tuple[str, ...] = ()
    input_tokens: float | None = None
    output_tokens: float | None = None
    """Mean tokens of a prompt and of an answer, by the endpoint's count."""


def figures(
    recorded: Recorded,
    *,
    variant: str,
    schedule: Mapping[str, Any],
    slo: Mapping[str, float],
    fingerprint: str = "",
    workload: Mapping[str, Any] | None = None,
    arm: int | None = None,
    processing: Mapping[str, Quantiles] | None = None,
) -> Run:
    """The figures of a run, or of one arm of it.

    Args:
        recorded: what was recorded.
        variant: the name that the figures go by.
        schedule: as its `describe` gives it.
        slo: limits in seconds by metric (`ttft_p95`); goodput is null without any.
        fingerprint: of the variant.
        workload: as its `describe` gives it.
        arm: which requests; None: all.
        processing: times of pre- and post-processing.
    """
    mine = recorded.records if arm is None else recorded.records.where(recorded.records.arm == arm)
    under_way = np.array([error == STOPPED for error in mine.error], dtype=bool)
    counted = mine.where(mine.counted & ~under_way)
    seconds = _seconds(counted)
    quantiles, intervals, beyond = _latencies(counted)
    reasons, client = client_figures(recorded.client, mine, counted)
    good = attained(counted, slo) if slo else None
    answered = int(counted.ok.sum())
    tokens = np.nansum(np.where(counted.ok, counted.tokens, np.nan))
    errors = len(counted) - answered
    return Run(
        variant=variant,
        fingerprint=fingerprint,
        schedule=dict(schedule),
        workload=dict(workload or {}),
        requests=len(counted),
        errors=errors,
        unfinished=int((under_way & mine.counted).sum()),
        valid=not reasons,
        invalid=tuple(reasons),
        ended=recorded.ended,
        seconds=round(seconds, 3),
        client=client,
        ttft_ms=quantiles["ttft"],
        itl_ms=quantiles["itl"],
        tpot_ms=quantiles["tpot"],
        e2e_ms=quantiles["e2e"],
        stall_ms=quantiles["stall"],
        intervals=intervals,
        beyond=tuple(beyond),
        requests_per_s=_rate(answered, seconds),
        output_tokens_per_s=_rate(float(tokens), seconds),
        goodput=None if good is None else _rate(int(good.sum()), seconds),
        attainment=None if good is None else _triple(proportion_interval(int(good.sum()), len(good))),
        error_rate=_triple(proportion_interval(errors, len(counted))),
        slo=tuple(_slo_line(counted, name, limit) for name, limit in slo.items()) if len(counted) else (),
        failures=tuple(_failure(failed) for failed in recorded.failures),
        checks=_checks(recorded, counted),
        processing_ms=dict(processing or {}),
        notes=tuple(_notes(counted)),
        input_tokens=_mean(counted.input_tokens[counted.ok]),
        output_tokens=_mean(counted.output_tokens[counted.ok]),
    )


def client_figures(load: ClientLoad, mine: Records, counted: Records) -> tuple[list[str], dict[str, float | None]]:
    """Why the client spoils a run (or nothing), and the figures that say so."""
    lags = mine.lag[~np.isnan(mine.lag)]
    send_lag = float(np.quantile(lags, 0.99)) if len(lags) else 0.0
    loop_lag = float(np.quantile(load.loop_lag, 0.99)) if len(load.loop_lag) else 0.0
    first = counted.ttft[np.isfinite(counted.ttft)]
    middle = float(np.median(first)) if len(first) else math.nan
    told = {
        "send_lag_p99_ms": _ms(send_lag),
        "loop_lag_p99_ms": _ms(loop_lag),
        "cpu_fraction": round(load.cpu_fraction, 4),
        "cpu_ms_per_1000_chunks": round(load.cpu_s * 1e6 / len(mine.stamps), 2) if len(mine.stamps) else None,
        "workers": float(load.workers),
    }
    return reasons_invalid(send_lag, loop_lag, load.cpu_fraction, middle), told


def quantiles_ms(seconds: np.ndarray) -> Quantiles:
    """Quantiles of independent times, in milliseconds."""
    known = seconds[~np.isnan(seconds)]
    return {_name(q): _ms(clustered_quantile(known, q).value) if len(known) else None for q in QUANTILES}


def _latencies(records: Records) -> tuple[dict[str, Quantiles], dict[str, Intervals], list[str]]:
    found: dict[str, Quantiles] = {}
    intervals: dict[str, Intervals] = {}
    beyond: list[str] = []
    for latency in LATENCIES:
        values, owner = measured(records, latency)
        blocks = owner if latency == "itl" else time_blocks(records, owner)
        found[latency], intervals[f"{latency}_ms"] = {}, {}
        for probability in QUANTILES:
            estimate = _estimate(records, latency, probability, values, blocks)
            found[latency][_name(probability)] = _ms(estimate.value)
            known = not math.isnan(estimate.low)
            intervals[f"{latency}_ms"][_name(probability)] = (_ms(estimate.low), _ms(estimate.high)) if known else None
            if math.isinf(estimate.value):
                beyond.append(Metric(latency, probability).name)
    return found, intervals, beyond


def _estimate(records: Records, latency: str, probability: float, values: np.ndarray, blocks: np.ndarray) -> Estimate:
    """Gaps are many, but those of one answer are alike: it takes as many answers as another latency would."""
    if latency == "itl" and math.isnan(clustered_quantile(np.zeros(len(np.unique(blocks))), probability).value):
        return Estimate(math.nan, math.nan, math.nan, len(values))
    return clustered_quantile(values, probability, blocks)


def _seconds(records: Records) -> float:
    """The time that the run's blocks took, each from its first request to its last answer."""
    total = 0.0
    for block in np.unique(records.block):
        part = records.block == block
        ends = np.where(np.isnan(records.done[part]), records.asked[part], records.done[part])
        begins = records.due[part]
        if np.isfinite(ends).any() and np.isfinite(begins).any():
            total += float(np.nanmax(ends) - np.nanmin(begins))
    return total


def _checks(recorded: Recorded, counted: Records) -> Checks:
    answered = counted.where(counted.ok)
    everything = recorded.records
    took = everything.done - everything.asked
    seen = recorded.client.in_flight
    by_records = float(np.nansum(took)) / recorded.seconds if recorded.seconds > 0 else math.nan
    if not len(answered):
        return Checks()
    counts = ~np.isnan(answered.output_tokens)
    return Checks(
        littles_law=round(by_records / seen, 4) if seen > 0.05 and not recorded.ended else None,
        usage_share=float(counts.mean()),
        chunks_per_token=_share(answered.chunks[counts].sum(), (answered.tokens[counts]).sum()),
        input_mismatch=_mismatch(answered.input_tokens, answered.wanted_input),
        output_mismatch=_mismatch(answered.output_tokens, answered.wanted_output),
        cached_share=_share(np.nansum(answered.cached_tokens), np.nansum(answered.input_tokens)),
    )


def _notes(counted: Records) -> list[str]:
    answered = counted.where(counted.ok)
    found: list[str] = []
    if not len(answered):
        return found
    silent = int((answered.chunks == 0).sum())
    if silent:
        found.append(f"{silent:,} answers came whole, not streamed: they have no time to first token")
    if np.isnan(answered.output_tokens).all():
        found.append("the endpoint counts no tokens: tokens are taken to be the pieces that were streamed")
    for what, tokens, wanted in (
        ("prompts", answered.input_tokens, answered.wanted_input),
        ("answers", answered.output_tokens, answered.wanted_output),
    ):
        other = _mismatch(tokens, wanted) or 0.0
        if other > MISMATCH:
            found.append(
                f"{other:.0%} of the {what} were of another size than asked for: "
                f"{np.nanmean(tokens):,.4g} tokens on average, {np.nanmean(wanted):,.4g} wanted"
            )
    if (_share(np.nansum(answered.cached_tokens), np.nansum(answered.input_tokens)) or 0.0) > MISMATCH:
        found.append("the endpoint read prompts from its cache: first tokens came sooner than for new prompts")
    return found


def _mismatch(tokens: np.ndarray, wanted: np.ndarray) -> float | None:
    known = ~np.isnan(tokens) & ~np.isnan(wanted)
    if not known.any():
        return None
    allowed = np.maximum(1.0, MISMATCH * wanted[known])
    return float((np.abs(tokens[known] - wanted[known]) > allowed).mean())


def _slo_line(records: Records, name: str, limit: float) -> SloLine:
    return SloLine(metric=name, limit_ms=limit * 1000, state=slo_test(records, name, limit).state)


def _failure(failed: Failed) -> dict[str, Any]:
    return {"kind": failed.kind, "count": failed.count, "message": failed.message[:500]}


def _mean(tokens: np.ndarray) -> float | None:
    known = tokens[~np.isnan(tokens)]
    return round(float(known.mean()), 2) if len(known) else None


def _name(probability: float) -> str:
    return f"p{probability * 100:.0f}"


def _ms(seconds: float) -> float | None:
    return round(seconds * 1000, 4) if math.isfinite(seconds) else None


def _rate(count: float, seconds: float) -> float | None:
    return round(count / seconds, 4) if seconds > 0 else None


def _share(part: float, whole: float) -> float | None:
    return round(float(part) / float(whole), 4) if whole > 0 else None


def _triple(estimate: Estimate) -> tuple[float | None, float | None, float | None]:
    return tuple(  # type: ignore[return-value]
        round(number, 6) if math.isfinite(number) else None for number in (estimate.value, estimate.low, estimate.high)
    )
