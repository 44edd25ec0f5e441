"""Quantiles with intervals from order statistics: no assumption about the distribution, and no figure where too few
values are there to bound it."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from proveout.statistics._base import Estimate
from proveout.statistics._checking import finite_values
from proveout.statistics.distributions import binomial_cdf


def quantile_interval(values: ArrayLike, probability: float, *, alpha: float = 0.05) -> Estimate:
    """A quantile of independent values with its two-sided interval.

    The number of values below the true quantile is binomial, so two order statistics enclose it with a known
    probability (Thompson 1936). 95 % need 6 values for the median, 29 for p90, 59 for p95 and 299 for p99.

    Args:
        values: shape (N,).
        probability: of the quantile, between 0 and 1.
        alpha: two-sided error.

    Returns:
        The estimate (linear interpolation, as `numpy.quantile`); all NaN where even the smallest and the largest value
        do not enclose the quantile with probability 1 - alpha.

    Raises:
        ValueError: a value is NaN or infinite, or the probability is not between 0 and 1.
    """
    if not 0 < probability < 1:
        raise ValueError(f"probability is {probability}; give one between 0 and 1")
    array = finite_values(values, "values")
    ranks = _ranks(len(array), probability, alpha)
    if ranks is None:
        return Estimate(math.nan, math.nan, math.nan, len(array))
    ordered = np.sort(array)
    low, high = ranks
    return Estimate(float(np.quantile(ordered, probability)), float(ordered[low]), float(ordered[high]), len(array))


@lru_cache(maxsize=1024)
def _ranks(size: int, probability: float, alpha: float) -> tuple[int, int] | None:
    """Zero-based ranks of the two order statistics; half of the error on each side where that is possible, else what
    one side can't use goes to the other. None where there are too few values."""
    if size < 1 or (1 - probability) ** size + probability**size > alpha:
        return None
    below = np.asarray(binomial_cdf(np.arange(size), size, probability))
    least_low, least_high = float(below[0]), float(probability**size)
    low_error = max(min(alpha / 2, alpha - least_high), least_low)
    high_error = max(min(alpha / 2, alpha - least_low), least_high)
    low = max(int(np.searchsorted(below, low_error * (1 + 1e-12), side="right")) - 1, 0)
    high = int(np.searchsorted(below, 1 - high_error * (1 + 1e-12), side="left"))
    return low, min(high, size - 1)
