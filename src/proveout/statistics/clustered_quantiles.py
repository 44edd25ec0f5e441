"""Quantiles of values that come in groups which are alike within (requests of one moment, gaps of one answer), and
tests of them against a limit. Values may be +inf: a request that failed took forever."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from proveout.statistics._base import Estimate
from proveout.statistics.distributions import Floats, binomial_cdf, binomial_sf
from proveout.statistics.quantiles import (
    _ranks,  # pyright: ignore[reportPrivateUsage]  (one definition of what a sample can support)
)


@dataclass(frozen=True, slots=True)
class LimitTest:
    """A test of `quantile <= limit`. `p_value` tests the null that the quantile lies above the limit, `p_worse` the
    null that it lies at or below."""

    p_value: float
    p_worse: float


def fewest_for_quantile(probability: float, alpha: float = 0.05) -> int:
    """How many values it takes to bound a quantile at all: 29 for p90, 59 for p95, 299 for p99."""
    size = 1
    while (1 - probability) ** size + probability**size > alpha:
        size += 1
    return size


def clustered_quantile(
    values: ArrayLike, probability: float, clusters: ArrayLike | None = None, *, alpha: float = 0.05
) -> Estimate:
    """A quantile with its two-sided interval from order statistics, made wider where values of one cluster are alike.

    The number of values below the true quantile is binomial for independent ones; clusters that are alike within leave
    fewer independent ones (design effect: Kish 1965; intervals of quantiles by inversion: Woodruff 1952).

    Args:
        values: shape (N,); +inf allowed, no NaN.
        probability: of the quantile, between 0 and 1.
        clusters: a label for each value; None: all are independent.
        alpha: two-sided error.

    Returns:
        The estimate, infinite where failures reach up to it; `n` counts effective values, rounded down. All NaN where
        the values are too few to bound it.

    Raises:
        ValueError: a value is NaN, or the shapes differ.
    """
    array, labels = _checked(values, clusters)
    if _ranks(len(array), probability, alpha) is None:
        return Estimate(math.nan, math.nan, math.nan, len(array))
    ordered = np.sort(array)
    value = _interpolated(ordered, probability)
    effective = max(1, math.floor(len(array) / _design_effect(array > value, labels, 1 - probability)))
    ranks = _ranks(effective, probability, alpha)
    if ranks is None:
        return Estimate(value, float(ordered[0]), float(ordered[-1]), effective)
    scale = len(array) / effective
    low = ordered[max(0, math.floor(ranks[0] * scale))]
    high = ordered[min(len(array) - 1, math.ceil((ranks[1] + 1) * scale) - 1)]
    return Estimate(value, float(low), float(high), effective)


def quantile_limit_test(
    values: ArrayLike, probability: float, limit: float, clusters: ArrayLike | None = None
) -> LimitTest:
    """Whether a quantile is within a limit: an exact binomial test of how many values exceed it, with as many fewer
    values as their clusters are alike.

    Args:
        values: shape (N,); +inf allowed, no NaN.
        probability: of the quantile.
        limit: the most that the quantile may be.
        clusters: a label for each value; None: all are independent.

    Returns:
        The test; both p-values are NaN without values.
    """
    array, labels = _checked(values, clusters)
    if not len(array):
        return LimitTest(math.nan, math.nan)
    above = array > limit
    effect = _design_effect(above, labels, 1 - probability)
    size = max(1, math.floor(len(array) / effect))
    exceeding = int(above.sum()) / effect
    share = 1 - probability
    within = float(binomial_cdf(min(math.ceil(exceeding), size), size, share))
    fewer = min(math.floor(exceeding), size)
    beyond = 1.0 if fewer == 0 else float(binomial_sf(fewer - 1, size, share))
    return LimitTest(within, beyond)


def _checked(values: ArrayLike, clusters: ArrayLike | None) -> tuple[Floats, NDArray[np.int64] | None]:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or np.isnan(array).any():
        raise ValueError("give a list of values without NaN")
    if clusters is None:
        return array, None
    labels = np.asarray(clusters)
    if labels.shape != array.shape:
        raise ValueError(f"{len(array)} values have {labels.size} cluster labels; give one for each")
    return array, np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _design_effect(above: NDArray[np.bool_], labels: NDArray[np.int64] | None, share: float) -> float:
    """By how much the share of values above a point varies more between clusters than independent values would; at
    least 1. Half a standard error is taken off, so that chance alone does not widen every interval."""
    if labels is None or not len(above):
        return 1.0
    sizes = np.bincount(labels)
    count = len(sizes)
    if count < 2 or count == len(above):
        return 1.0
    exceeding = np.bincount(labels, weights=above)
    seen = exceeding.sum() / sizes.sum()
    residual = exceeding - seen * sizes
    variance = count / (count - 1) * float(residual @ residual) / float(sizes.sum()) ** 2
    independent = max(seen * (1 - seen), share * (1 - share)) / len(above)
    chance = math.sqrt(2 / (count - 1)) / 2
    return max(1.0, variance / independent - chance) if independent > 0 else 1.0


def _interpolated(ordered: Floats, probability: float) -> float:
    place = probability * (len(ordered) - 1)
    below, above = float(ordered[math.floor(place)]), float(ordered[math.ceil(place)])
    if math.isinf(above):
        return above if place > math.floor(place) or math.isinf(below) else below
    return below + (place - math.floor(place)) * (above - below)
