"""What a load test hands out: `proveout.loadtest/v1`, and the series that pictures are drawn from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from proveout.loadtest.compare import Compared
from proveout.loadtest.figures import Run
from proveout.loadtest.hosting import EngineFigures, HostedLoad
from proveout.loadtest.records import STOPPED, Records
from proveout.loadtest.saturation import Saturation, Scaling
from proveout.statistics import Estimate

SCHEMA = "proveout.loadtest/v1"
POINTS = 101
MOST_BINS = 120

Verdict = Literal["pass", "fail", "inconclusive", "error"]
Number = float | None


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A value with its 95 % interval and n; null where it could not be measured."""

    value: Number
    low: Number
    high: Number
    n: int


class ComparedMetric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of both arms. Times in milliseconds; `difference` is the ratio - 1. `slo` says what the challenger
    makes of the service's limit."""

    metric: str
    champion: Figure
    challenger: Figure
    difference: Figure
    margin: float
    p_value: Number
    verdict: Verdict
    reason: str
    method: str
    slo: str | None = None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two variants under the same load, interleaved.

    `load`: how many times the rate that was asked for or expected; only 1 decides. `rate_from` says in words where a
    rate comes from that nobody asked for. `runs` are the places of both variants' figures in the report.
    """

    champion: str
    challenger: str
    interleave: str
    pairs: int
    requests: int
    schedule: dict[str, Any]
    metrics: tuple[ComparedMetric, ...]
    verdict: Verdict
    workload: dict[str, Any] = {}
    load: float = 1.0
    rate_from: str = ""
    runs: tuple[int, int] = (0, 1)

    @property
    def decides(self) -> bool:
        return self.load == 1.0


class ProbeLine(msgspec.Struct, frozen=True, kw_only=True):
    rate: float
    state: str
    share_of_limit: Number
    requests: int


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """The highest rate that keeps the SLOs, with its 95 % `interval` once the limit was passed; `low` is shown to keep
    them, `high` shown to break them."""

    variant: str
    rate: float
    interval: tuple[float, float] | None
    low: float
    high: Number
    bracketed: bool
    probes: tuple[ProbeLine, ...]
    words: str


class ScalingLaw(msgspec.Struct, frozen=True, kw_only=True):
    """The Universal Scalability Law over a sweep; `peak` is null where the sweep can't tell."""

    variant: str
    serial: float
    crosstalk: float
    peak: Figure | None
    words: str


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Proveout's own floor against a reference server whose timings are known."""

    ttft_error_p50_ms: Number
    ttft_error_p99_ms: Number
    gap_error_p99_ms: Number
    send_lag_p99_ms: Number
    loop_lag_p99_ms: Number
    cpu_fraction: float
    cpu_ms_per_1000_chunks: Number
    chunks_per_s: float
    usable: bool
    words: str


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """What pictures are drawn from: per latency 101 quantiles in ms, and stretches of time with what happened then."""

    variant: str
    run: int
    distributions: dict[str, tuple[Number, ...]]
    seconds: float
    bins: tuple[dict[str, Number], ...]
    stalls: tuple[tuple[float, float], ...]
    """When the longest stalls began (s from the start), and how long they were (ms)."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A whole load test. `comparison` is the one of `comparisons` that decides: of those at the expected rate, the
    first with the worst verdict."""

    schema: str = SCHEMA
    service: str = ""
    runs: tuple[Run, ...] = ()
    comparison: Comparison | None = None
    comparisons: tuple[Comparison, ...] = ()
    saturation: Capacity | None = None
    scaling: ScalingLaw | None = None
    calibration: Calibration | None = None
    series: tuple[Series, ...] = ()
    slo_ms: dict[str, float] = {}
    seed: int = 0
    started: str = ""
    version: str = ""
    interrupted: bool = False
    hosting: tuple[HostedLoad, ...] = ()
    engines: tuple[EngineFigures, ...] = ()
    prices: str = ""
    """Which price book stands behind the dollars: its date and hash."""

    @property
    def valid(self) -> bool:
        """Whether the endpoint was measured, and not the client. A comparison that decides nothing spoils nothing."""
        beside = {place for one in self.comparisons if not one.decides for place in one.runs}
        deciding = [run for place, run in enumerate(self.runs) if place not in beside]
        return all(run.valid for run in deciding) and (self.calibration is None or self.calibration.usable)

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 inconclusive, 4 could not measure (also where the client was the bottleneck)."""
        measured = [run for run in self.runs if run.requests > run.errors]
        if not self.valid or (self.runs and not measured):
            return 4
        if self.comparison is not None:
            return {"pass": 0, "fail": 1, "inconclusive": 3, "error": 4}[self.comparison.verdict]
        return 0

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


def series(records: Records, variant: str, run: int) -> Series:
    """The pictures' data of one run or arm; only requests that count and came to an end."""
    ended = np.array([error != STOPPED for error in records.error], dtype=bool)
    records = records.where(records.counted & ended)
    seconds = float(np.nanmax(np.append(records.due, 0.0))) if len(records) else 0.0
    count = int(min(MOST_BINS, max(1, len(records) // 4)))
    edges = np.linspace(0, seconds + 1e-9, count + 1)
    place = np.clip(np.searchsorted(edges, records.due, side="right") - 1, 0, count - 1)
    bins: list[dict[str, Number]] = []
    for number in range(count):
        here = place == number
        if not here.any():
            continue
        ttft = records.ttft[here]
        bins.append(
            {
                "at": round(float(edges[number]), 3),
                "requests": float(here.sum()),
                "errors": float((~records.ok[here]).sum()),
                "ttft_p50_ms": _quantile(ttft, 0.5),
                "ttft_p95_ms": _quantile(ttft, 0.95),
                "stall_ms": _quantile(records.stall[here], 1.0),
            }
        )
    return Series(
        variant=variant,
        run=run,
        distributions={name: _distribution(getattr(records, name)) for name in ("ttft", "tpot", "e2e", "stall")},
        seconds=round(seconds, 3),
        bins=tuple(bins),
        stalls=_longest_stalls(records),
    )


def comparison_report(
    rows: Sequence[Compared],
    *,
    names: tuple[str, str],
    interleave: str,
    pairs: int,
    requests: int,
    schedule: dict[str, Any],
    margin: float,
    workload: dict[str, Any] | None = None,
    load: float = 1.0,
    rate_from: str = "",
    runs: tuple[int, int] = (0, 1),
) -> Comparison:
    """The comparison with its verdict: every metric non-inferior to the margin, and every SLO kept."""
    metrics = tuple(_compared_metric(row, margin) for row in rows)
    return Comparison(
        champion=names[0],
        challenger=names[1],
        interleave=interleave,
        pairs=pairs,
        requests=requests,
        schedule=schedule,
        metrics=metrics,
        verdict=_worst([metric.verdict for metric in metrics]),
        workload=workload or {},
        load=load,
        rate_from=rate_from,
        runs=runs,
    )


def decisive(comparisons: Sequence[Comparison]) -> Comparison | None:
    """The comparison that decides; None without any."""
    deciding = [one for one in comparisons if one.decides]
    if not deciding:
        return None
    worst = _worst([one.verdict for one in deciding])
    return next(one for one in deciding if one.verdict == worst)


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    order: tuple[Verdict, ...] = ("fail", "error", "inconclusive", "pass")
    worst: list[Verdict] = [verdict for verdict in order if verdict in verdicts]
    return worst[0] if worst else "error"


def _compared_metric(row: Compared, margin: float) -> ComparedMetric:
    verdict, reason = _verdict(row, margin)
    test = row.test
    scale = 1.0 if row.metric == "goodput" else 1000.0
    return ComparedMetric(
        metric=row.metric,
        champion=figure(row.champion, scale),
        challenger=figure(row.challenger, scale),
        difference=figure(test.difference) if test else Figure(value=None, low=None, high=None, n=0),
        margin=margin,
        p_value=_finite(test.p_value) if test else None,
        verdict=verdict,
        reason=reason,
        method=test.method if test else "not tested",
        slo=None if row.slo is None else row.slo.state,
    )


def _verdict(row: Compared, margin: float, alpha: float = 0.05) -> tuple[Verdict, str]:
    state = None if row.slo is None else row.slo.state
    limit = "" if row.slo is None else f"the SLO of {row.slo.limit * 1000:g} ms"
    if state == "broken":
        return "fail", f"The challenger breaks {limit}."
    if row.test is None:
        return "inconclusive", f"{row.metric} needs {row.too_few:,} requests of each variant."
    if math.isnan(row.test.p_value):
        return "inconclusive", f"{row.test.difference.n} pairs of blocks are too few to compare."
    worse = "lower" if row.metric == "goodput" else "slower"
    if row.test.p_value <= alpha:
        if state == "unresolved":
            return "inconclusive", f"Not {worse} by {margin:.0%}, but whether {limit} is kept is not resolved."
        return "pass", f"Shown not {worse} by more than {margin:.0%}" + (f", and {limit} is kept." if limit else ".")
    if row.test.p_worse <= alpha:
        return "fail", f"Shown {worse} by more than {margin:.0%}."
    return "inconclusive", f"Neither shown within {margin:.0%} nor beyond; more requests would tell."


def capacity_report(variant: str, found: Saturation, slo: Sequence[str]) -> Capacity:
    """The saturation search in figures and words."""
    limits = " and ".join(slo)
    known = math.isfinite(found.interval[1])
    if not found.rate:
        words = f"No rate tried keeps {limits}."
    elif not known:
        words = f"{limits} hold at {found.rate:.3g} requests/s, the highest rate tried."
    else:
        low, high = found.interval
        words = f"{limits} hold up to about {found.rate:.3g} requests/s (95% interval {low:.3g} to {high:.3g})."
    return Capacity(
        variant=variant,
        rate=round(found.rate, 4),
        interval=(round(found.interval[0], 4), round(found.interval[1], 4)) if known else None,
        low=round(found.low, 4),
        high=_finite(found.high),
        bracketed=found.bracketed,
        probes=tuple(
            ProbeLine(
                rate=round(probe.rate, 4),
                state=probe.state,
                share_of_limit=_finite(probe.share),
                requests=probe.requests,
            )
            for probe in found.probes
        ),
        words=words,
    )


def scaling_report(variant: str, law: Scaling | None, words: str) -> ScalingLaw | None:
    if law is None:
        return None
    return ScalingLaw(
        variant=variant,
        serial=round(law.serial, 6),
        crosstalk=round(law.crosstalk, 8),
        peak=None if law.peak is None else figure(law.peak),
        words=words,
    )


def figure(estimate: Estimate, scale: float = 1.0) -> Figure:
    return Figure(
        value=_finite(estimate.value * scale),
        low=_finite(estimate.low * scale),
        high=_finite(estimate.high * scale),
        n=estimate.n,
    )


def _longest_stalls(records: Records, most: int = 20) -> tuple[tuple[float, float], ...]:
    gaps, _ = records.gaps
    if not len(gaps):
        return ()
    owner = np.repeat(np.arange(len(records)), records.chunks)
    inside = (owner[1:] == owner[:-1]) & records.ok[owner[1:]]
    begins = records.stamps[:-1][inside]
    longest = np.argsort(-gaps)[:most]
    return tuple((round(float(begins[place]), 3), round(float(gaps[place]) * 1000, 2)) for place in longest)


def _distribution(values: np.ndarray) -> tuple[Number, ...]:
    """101 quantiles in ms; null where failures reach up to them."""
    known = np.sort(values[~np.isnan(values)])
    if not len(known):
        return ()
    places = np.minimum((np.linspace(0, 1, POINTS) * len(known)).astype(int), len(known) - 1)
    return tuple(round(float(value) * 1000, 3) if math.isfinite(value) else None for value in known[places])


def _quantile(values: np.ndarray, probability: float) -> Number:
    known = values[np.isfinite(values)]
    return round(float(np.quantile(known, probability)) * 1000, 3) if len(known) else None


def _finite(value: float) -> Number:
    return round(float(value), 8) if math.isfinite(value) else None
