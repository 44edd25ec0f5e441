"""Capacity: the highest rate at which the SLOs still hold, and where more load stops paying. Pure, but for the probe
that is handed in.

A probe near the limit is noisy: answers queue, and what one probe measures differs from the next by more than a step
of a bisection, so that one unlucky probe would lead a bisection astray for good. Instead every probe is evidence on
where the limit lies, and the next is sent where the evidence is split (a Bayesian threshold search: QUEST, Watson &
Pelli 1983; probabilistic bisection, Waeber et al. 2013).
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from proveout.loadtest.schedules import Times, poisson
from proveout.statistics import Estimate
from proveout.statistics.distributions import Floats, student_quantile

PROBE_REQUESTS, FINE_FACTOR = 400, 10
"""Requests of a probe, and how many times more a fine one sends."""
TOLERANCE = 0.05
MOST_PROBES = 10
FAST_GROWTH, GROWTH, CAREFUL_GROWTH = 4.0, 2.0, 1.3
FAR_BELOW, CLOSE_BELOW = 0.5, 0.8
"""Shares of the limit below which the rate is raised fast, and above which only carefully."""
MOVED = 1.15
"""A share below this multiple of the unloaded one has not been moved by load."""
OVERLOADED, SPARE = 2.0, 0.07
"""A share above which an endpoint answers as fast as it can, and how far below that rate the limit is expected."""
DOUBT = 0.04
"""By how much a probe of 3,000 requests may take a rate for another one (standard deviation of the logarithm): what
simulated endpoints of several kinds show."""
MOST_DOUBT = 0.25
LUCK = 0.01
"""Probability that a probe says nothing at all, however far from the limit."""
ROUGHLY = 0.6
"""By how much the slope may be off, as a share of it."""
NEAR = 0.2
"""Logarithm of the share up to which it says how far off the limit is."""
FARTHEST = 4.0
"""A share beyond which a slope would not be one."""
LEAST_STEEP, MOST_STEEP, MIXED_IN = 0.3, 40.0, 0.03**2
EXPECTED = 0.2
"""How sure the first guess is, after the limit was passed (logarithm of the rate)."""
POINTS = 1601
FEWEST_FINE = 4
"""Fine probes before the search may end early."""
CLOSE = 1.2
"""It ends early where the interval is as wide as so many tolerances."""


@dataclass(frozen=True, slots=True)
class Step:
    """What to try next. `fine`: near the limit, where a probe should send more requests."""

    rate: float
    fine: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """One rate tried. `state` is what the SLOs resolve to; `share` the largest of measured quantile over limit (1: just
    at the limit); `throughput` the answers per second, which an overload can't raise further."""

    rate: float
    state: Literal["kept", "broken", "unresolved"]
    share: float
    requests: int = 0
    throughput: float = math.inf
    fine: bool = False

    @property
    def kept(self) -> bool:
        """What the figures alone say."""
        return self.share <= 1


@dataclass(frozen=True, slots=True)
class Saturation:
    """The highest rate that keeps the SLOs, in requests per second, with its 95 % interval. `low` is the highest rate
    shown to keep them (0: none), `high` the lowest shown to break them (infinity: none); `bracketed` says that the
    interval is within the tolerance."""

    rate: float
    low: float
    high: float
    bracketed: bool
    probes: tuple[Probe, ...]
    interval: tuple[float, float] = (0.0, math.inf)


def arrivals(rate: float, count: int, seed: int) -> Times:
    """When a probe's requests are due: a Poisson process, given that it has `count` arrivals in its time. What another
    number would change is no news about the rate; without it probes scatter by a sixth less."""
    times = poisson(rate).times(requests=count, seed=seed)
    return times * (count / rate / times[-1])


async def search(
    probe: Callable[[Step], Awaitable[Probe | None]],
    start: float,
    *,
    tolerance: float = TOLERANCE,
    most: int = MOST_PROBES,
) -> Saturation | None:
    """Raise the rate until the SLOs break, close in, and measure around the limit.

    Args:
        probe: tries a rate; None ends the search.
        start: the first rate, surely a low one.
        tolerance: half the width of the interval at which to stop, as a share.
        most: probes at most.

    Returns:
        What the probes show; None without any.
    """
    probes: list[Probe] = []
    step: Step | None = Step(start)
    while step is not None and len(probes) < most:
        tried = await probe(step)
        if tried is None:
            break
        probes.append(tried)
        step = next_step(probes, tolerance)
    return concluded(probes, tolerance) if probes else None


def next_step(probes: Sequence[Probe], tolerance: float = TOLERANCE) -> Step | None:
    """What to try after these; None once the answer is close enough."""
    if not any(probe.kept for probe in probes):
        return Step(min(probe.rate for probe in probes) / FAST_GROWTH)
    if all(probe.kept for probe in probes):
        last = max(probes, key=lambda probe: probe.rate)
        return Step(last.rate * _growth(last.share, min(probe.share for probe in probes)))
    low, middle, high = _limit(probes)
    if sum(probe.fine for probe in probes) >= FEWEST_FINE and high / low <= (1 + tolerance) ** CLOSE:
        return None
    return Step(middle, fine=True)


def concluded(probes: Sequence[Probe], tolerance: float = TOLERANCE) -> Saturation:
    """What the probes show."""
    shown = max((probe.rate for probe in probes if probe.state == "kept"), default=0.0)
    broken = min((probe.rate for probe in probes if probe.state == "broken" and probe.rate > shown), default=math.inf)
    kept = [probe.rate for probe in probes if probe.kept]
    if not kept or len(kept) == len(probes):
        return Saturation(max(kept, default=0.0), shown, broken, False, tuple(probes))
    low, middle, high = _limit(probes)
    return Saturation(middle, shown, broken, high / low <= (1 + tolerance) ** CLOSE, tuple(probes), (low, high))


def _growth(share: float, least: float) -> float:
    """By how much to raise the rate. A share that load has not moved yet says that the limit is far, however high."""
    if share < FAR_BELOW or share < MOVED * least:
        return FAST_GROWTH
    return GROWTH if share < CLOSE_BELOW else CAREFUL_GROWTH


def _limit(probes: Sequence[Probe]) -> tuple[float, float, float]:
    """The 2.5, 50 and 97.5 % points of where the limit lies, by all probes.

    Each says on which side of it the limit lies; one whose share is near 1 says by the slope how far off, too.
    """
    rates = [math.log(probe.rate) for probe in probes]
    place = np.linspace(min(rates) - 1, max(rates) + 1, POINTS)
    slope = _slope(probes)
    evidence = _expected(probes, place)
    for probe, rate in zip(probes, rates, strict=True):
        doubt = min(DOUBT * math.sqrt(3000 / (probe.requests or 3000)), MOST_DOUBT)
        height = math.log(probe.share) if 0 < probe.share < math.inf else math.inf
        near = abs(height) < NEAR
        above = 1 / (1 + np.exp(-1.7 * (place - rate) / (2 * doubt if near else doubt)))
        likely = above if probe.kept else 1 - above
        if near:
            away = math.hypot(doubt, ROUGHLY * height / slope)
            likely = likely * np.exp(-0.5 * ((place - rate + height / slope) / away) ** 2)
        evidence = evidence + np.log(likely + LUCK)
    share = np.cumsum(np.exp(evidence - evidence.max()))
    low, middle, high = np.interp(np.array([0.025, 0.5, 0.975]) * share[-1], share, place)
    return math.exp(low), math.exp(middle), math.exp(high)


def _expected(probes: Sequence[Probe], place: Floats) -> Floats:
    """How likely the limit is to lie at each place (logarithm) before shares are looked at: near what the endpoint
    answered when it had far too much to do, but anywhere is possible."""
    kept, broke = _around(probes)
    full = broke.throughput * (1 - SPARE)
    if broke.share <= OVERLOADED or not kept.rate < full < broke.rate:
        return np.zeros(len(place))
    return np.log(np.exp(-0.5 * ((place - math.log(full)) / EXPECTED) ** 2) + 0.05)


def _slope(probes: Sequence[Probe]) -> float:
    """By how much the logarithm of the share grows with that of the rate near the limit: a line through the fine probes
    there (least squares), with the slope between coarse ones mixed in, as fine ones lie close together."""
    kept, broke = _around(probes)
    usual = math.log(min(broke.share, FARTHEST) / max(kept.share, 1 / FARTHEST)) / math.log(broke.rate / kept.rate)
    fine = [probe for probe in probes if probe.fine and 1 / OVERLOADED < probe.share < OVERLOADED]
    if len(fine) < 2:
        return min(max(usual, LEAST_STEEP), MOST_STEEP)
    x, y = (np.log([getattr(probe, name) for probe in fine]) for name in ("rate", "share"))
    spread, common = float(np.mean((x - x.mean()) ** 2)), float(np.mean((x - x.mean()) * y))
    return min(max((common + MIXED_IN * usual) / (spread + MIXED_IN), LEAST_STEEP), MOST_STEEP)


def _around(probes: Sequence[Probe]) -> tuple[Probe, Probe]:
    """The coarse probes next to the limit, on both sides."""
    coarse = [probe for probe in probes if not probe.fine]
    broke = min((probe for probe in coarse if not probe.kept), key=lambda probe: probe.rate)
    kept = max((probe for probe in coarse if probe.kept and probe.rate < broke.rate), key=lambda probe: probe.rate)
    return kept, broke


@dataclass(frozen=True, slots=True)
class Scaling:
    """Gunther's Universal Scalability Law over a sweep: throughput X(n) = λn / (1 + σ(n−1) + κn(n−1)).

    `serial` is σ (waiting for each other) and `crosstalk` κ (costs that grow with every pair). `peak` is the
    concurrency of the most throughput; None where the sweep does not reach far enough to tell.
    """

    single: float
    serial: float
    crosstalk: float
    peak: Estimate | None


def fit_scaling(concurrency: Sequence[float], throughput: Sequence[float]) -> Scaling | None:
    """Fit the law, linear in n / X; None with fewer than 5 levels or where it does not describe them."""
    n, x = np.asarray(concurrency, dtype=float), np.asarray(throughput, dtype=float)
    if len(n) < 5 or not (x > 0).all():
        return None
    columns = np.stack([np.ones_like(n), n - 1, n * (n - 1)], axis=1)
    weight = x / n  # Errors of X are about proportional to it, and so are those of n / X.
    keep = [0, 1, 2]
    while True:
        found, *_ = np.linalg.lstsq(columns[:, keep] * weight[:, None], np.ones_like(n), rcond=None)
        below = [place for place, value in zip(keep, found, strict=True) if place > 0 and value < 0]
        if not below:
            break
        keep.remove(below[-1])
    values = np.zeros(3)
    values[keep] = found
    if not values[0] > 0:
        return None
    serial, crosstalk = values[1] / values[0], values[2] / values[0]
    return Scaling(float(1 / values[0]), float(serial), float(crosstalk), _peak(columns, weight, values, keep, n))


def _peak(
    columns: np.ndarray, weight: np.ndarray, values: np.ndarray, keep: list[int], n: np.ndarray
) -> Estimate | None:
    """Where throughput peaks, with the interval that the doubt about crosstalk leaves; None where that has no end, or
    where the sweep did not go half as far."""
    freedom = len(n) - len(keep)
    if 2 not in keep or freedom < 1:
        return None
    design = columns[:, keep] * weight[:, None]
    residual = np.ones(len(n)) - design @ values[keep]
    covariance = float(residual @ residual) / freedom * np.linalg.inv(design.T @ design)
    error = math.sqrt(covariance[-1, -1]) * float(student_quantile(0.975, freedom))
    least, most = (values[2] - error) / values[0], (values[2] + error) / values[0]
    serial = min(values[1] / values[0], 1.0)
    if least <= 0:
        return None
    at, low, high = (math.sqrt((1 - serial) / kappa) for kappa in (values[2] / values[0], most, least))
    if at > 2 * n.max():
        return None
    return Estimate(at, low, high, len(n))


def knee_in_words(concurrency: Sequence[int], throughput: Sequence[float], scaling: Scaling | None) -> str:
    """Where more requests at once stop paying, as a sentence."""
    levels = sorted(zip(concurrency, throughput, strict=True))
    if len(levels) < 2:
        return ""
    for (n, x), (more, y) in pairwise(levels):
        gain = (y - x) / x if x > 0 else math.inf
        if gain < 0.25 * (more - n) / n:
            tail = (
                ""
                if scaling is None or scaling.peak is None
                else (
                    f" Throughput peaks near {scaling.peak.value:.0f} at once "
                    f"(95% interval {scaling.peak.low:.0f} to {scaling.peak.high:.0f})."
                )
            )
            return (
                f"The knee is near {n} requests at once: {more} bring {max(gain, 0):.0%} more throughput for "
                f"{more / n - 1:.0%} more requests, the rest is waiting.{tail}"
            )
    return f"No knee up to {levels[-1][0]} requests at once: throughput still grows."
