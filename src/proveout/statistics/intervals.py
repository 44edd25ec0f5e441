"""Intervals for one proportion and for one mean."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from proveout.statistics._base import Estimate
from proveout.statistics._checking import finite_values, within_one
from proveout.statistics.bounded_mean import BoundedMean
from proveout.statistics.distributions import Floats, beta_quantile, normal_quantile
from proveout.statistics.mean_limits import CautiousMean, UnmetLosses

ProportionMethod = Literal["clopper-pearson", "wilson", "jeffreys"]


def proportion_interval(
    successes: int, trials: int, *, method: ProportionMethod = "clopper-pearson", alpha: float = 0.05
) -> Estimate:
    """A proportion with its two-sided interval.

    Args:
        successes: from 0 to `trials`.
        trials: independent trials.
        method: `clopper-pearson` (1934) covers at least 1 - alpha always; `wilson` (1927) and `jeffreys` (Brown, Cai
            & DasGupta 2001) are shorter and cover it on average, with dips where few successes or failures are
            expected.
        alpha: two-sided error.

    Returns:
        The estimate; NaN without a trial.

    Raises:
        ValueError: successes are not within 0 and `trials`.
    """
    successes, trials = int(successes), int(trials)
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials; give 0 to {trials}")
    if not trials:
        return Estimate(math.nan, math.nan, math.nan, 0)
    share = successes / trials
    if method == "wilson":
        z = normal_quantile(1 - alpha / 2)
        centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
        half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
        low, high = centre - half, centre + half
    else:
        more = 0.5 if method == "jeffreys" else 0.0
        low = float(beta_quantile(alpha / 2, max(successes, 1) + more, trials - max(successes, 1) + 1 - more))
        fails = max(trials - successes, 1)
        high = 1 - float(beta_quantile(alpha / 2, fails + more, trials - fails + 1 - more))
    return Estimate(share, low if successes else 0.0, high if successes < trials else 1.0, trials)


def mean_interval(values: ArrayLike, *, bounds: tuple[float, float] | None = None, alpha: float = 0.05) -> Estimate:
    """The mean of independent values, one per cluster, with its two-sided interval.

    Single yes-or-no scores get Clopper and Pearson's interval. Others get Student's t, corrected for skewness, and no
    shorter than values at the bounds that are too rare to have been met allow (see `UnmetLosses`): no spread is not
    no doubt. Between known bounds Gaffke's limits (`BoundedMean`) take their place where they are shorter.

    Args:
        values: one value per cluster, shape (K,).
        bounds: the least and largest possible value; taken as 0 and 1 where all values lie within, else as the range
            seen with 0 included, which then does not cut the interval.
        alpha: two-sided error.

    Returns:
        The estimate; NaN limits with fewer than two values.

    Raises:
        ValueError: a value is NaN or infinite, or outside the given bounds.
    """
    array = finite_values(values, "values")
    size = len(array)
    if not size:
        return Estimate(math.nan, math.nan, math.nan, 0)
    if bounds in (None, (0.0, 1.0)) and np.isin(array, (0.0, 1.0)).all():
        return proportion_interval(int(array.sum()), size, alpha=alpha)
    mean = float(array.mean())
    if size < 2:
        return Estimate(mean, math.nan, math.nan, size)
    least, most, known = _bounds(array, bounds)
    low, high = _lower_limit(array, least, known, alpha / 2), -_lower_limit(-array, -most, known, alpha / 2)
    return Estimate(mean, max(low, least) if known else low, min(high, most) if known else high, size)


def _bounds(values: Floats, bounds: tuple[float, float] | None) -> tuple[float, float, bool]:
    least, most = float(values.min()), float(values.max())
    if bounds is not None:
        if least < bounds[0] or most > bounds[1]:
            raise ValueError(
                f"values reach from {least:g} to {most:g}, beyond the bounds {bounds[0]:g} to {bounds[1]:g}"
            )
        return *bounds, True
    return (0.0, 1.0, True) if within_one(values) else (min(least, 0.0), max(most, 0.0), False)


def _lower_limit(values: Floats, least: float, known: bool, alpha: float) -> float:
    careful = min(CautiousMean(values).lower(alpha), UnmetLosses(values, least).lower(alpha))
    return BoundedMean(values, least).lower_if_above(careful, alpha) if known else careful
