"""Capacity: the highest rate at which the SLOs still hold, and where more load stops paying. Pure, but for the probe
that is handed in."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from proveout.statistics import Estimate
from proveout.statistics.distributions import student_quantile

TOLERANCE = 0.05
MOST_PROBES = 10
FAST_GROWTH, GROWTH = 4.0, 2.0
NEAR = (0.7, 1.5)
"""Shares of the limit between which a probe says where the limit is met."""
FAR_BELOW = 0.5
"""Below this share of every limit, the rate is raised fast."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One rate tried. `state` is what the SLOs resolve to; `share` the largest of measured quantile over limit (1: just
    at the limit); `kept` what the figures alone say."""

    rate: float
    state: Literal["kept", "broken", "unresolved"]
    share: float
    requests: int = 0

    @property
    def kept(self) -> bool:
        return self.state == "kept" or (self.state == "unresolved" and self.share <= 1)


@dataclass(frozen=True, slots=True)
class Saturation:
    """The highest rate that keeps the SLOs, in requests per second. `low` is the highest rate shown to keep them (0:
    none), `high` the lowest shown to break them (infinity: none); `bracketed` says that the search closed in on it."""

    rate: float
    low: float
    high: float
    bracketed: bool
    probes: tuple[Probe, ...]


async def search(
    probe: Callable[[float], Awaitable[Probe]],
    start: float,
    *,
    tolerance: float = TOLERANCE,
    most: int = MOST_PROBES,
) -> Saturation:
    """Raise the rate until the SLOs break, then halve the gap (in ratio) until it is within the tolerance.

    Args:
        probe: tries a rate.
        start: the first rate, surely a low one.
        tolerance: the gap at which to stop, as a share.
        most: probes at most.
    """
    probes: list[Probe] = []
    rate = start
    while len(probes) < most:
        probes.append(await probe(rate))
        following = next_rate(probes, tolerance)
        if following is None:
            break
        rate = following
    return concluded(probes, tolerance)


def next_rate(probes: Sequence[Probe], tolerance: float = TOLERANCE) -> float | None:
    """The rate to try after these; None once the answer is close enough."""
    low, high = _bracket(probes)
    if low is None:
        return min(probe.rate for probe in probes) / FAST_GROWTH
    if high is None:
        best = max(probes, key=lambda probe: probe.rate)
        return low * (FAST_GROWTH if best.share < FAR_BELOW else GROWTH)
    if high / low <= 1 + tolerance:
        return None
    return math.sqrt(low * high)


def concluded(probes: Sequence[Probe], tolerance: float = TOLERANCE) -> Saturation:
    """What the probes show."""
    low, high = _bracket(probes)
    shown = max((probe.rate for probe in probes if probe.state == "kept"), default=0.0)
    broken = min((probe.rate for probe in probes if probe.state == "broken" and probe.rate > shown), default=math.inf)
    if low is None:
        rate = 0.0
    elif high is None:
        rate = low
    else:
        rate = _crossing(probes, low, high)
    closed = low is not None and high is not None and high / low <= (1 + tolerance) * 1.001
    return Saturation(rate, shown, broken, closed, tuple(probes))


def _crossing(probes: Sequence[Probe], low: float, high: float) -> float:
    """The rate at which the line through the probes near the limit reaches it (in logarithms), so that one unlucky
    probe does not decide alone; kept within what the bracket allows."""
    middle = math.sqrt(low * high)
    near = [probe for probe in probes if NEAR[0] < probe.share < NEAR[1]]
    if len({probe.rate for probe in near}) < 3:
        return middle
    x, y = (np.log([getattr(probe, name) for probe in near]) for name in ("rate", "share"))
    slope, level = np.polyfit(x, y, 1)
    if not slope > 0:
        return middle
    spare = high / low
    return float(min(max(math.exp(-level / slope), low / spare), high * spare))


def _bracket(probes: Sequence[Probe]) -> tuple[float | None, float | None]:
    """The highest rate kept below the lowest broken one. A rate that broke outweighs a higher one that was kept by
    luck."""
    high = min((probe.rate for probe in probes if not probe.kept), default=None)
    below = [probe.rate for probe in probes if probe.kept and (high is None or probe.rate < high)]
    return max(below, default=None), high


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
