"""Prediction-powered inference: a few human labels, stretched by many cheap predictions whose bias they correct.

The predictions may be a judge's scores or labels given by a model. However bad they are, the answer stays right; the
better they are, the shorter the interval (Angelopoulos et al. 2023, "Prediction-powered inference"; "PPI++", arXiv
2311.01453, for the power tuning).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from proveout.statistics._base import Estimate, PairedTest
from proveout.statistics._checking import finite_values, within_one
from proveout.statistics.bounded_mean import BoundedMean
from proveout.statistics.distributions import Floats, student_critical, student_sf
from proveout.statistics.mean_limits import CautiousMean, StudentMean, UnmetLosses, level_at, levels_of

ALPHA = 0.05
"""Two-sided error of the interval of a test."""


def prediction_powered_mean(
    labelled: ArrayLike,
    predicted: ArrayLike,
    unlabelled: ArrayLike,
    *,
    power_tuning: bool = True,
    weight: float | None = None,
    alpha: float = 0.05,
) -> Estimate:
    """The mean of human labels, estimated from labels and predictions.

    Args:
        labelled: people's labels, one per cluster, shape (n,).
        predicted: the predictions for the same clusters, shape (n,).
        unlabelled: the predictions for clusters without a label, shape (N,).
        power_tuning: weigh the predictions by what they are worth (PPI++), so that bad ones cannot widen the
            interval; False weighs them 1.
        weight: what to weigh them by instead, for instance `prediction_weight` of differences, so that the means of two
            variants differ by exactly what their test says.
        alpha: two-sided error.

    Returns:
        The estimate with its interval; n counts the labels. NaN limits with fewer than two labels or predictions. As
        `mean_interval` does it allows for what the labels have not met: people's wrong answers where all labelled ones
        were right, or a judge's errors.

    Raises:
        ValueError: lengths differ, or a value is NaN or infinite.
    """
    powered = _powered(labelled, predicted, unlabelled, (None if power_tuning else 1.0) if weight is None else weight)
    if powered is None:
        return _too_few(labelled)
    least, most, known = _bounds(np.asarray(labelled, dtype=float), np.asarray(predicted, dtype=float), powered)
    low = powered.bounded_lower(least, known, alpha / 2)
    high = -powered.mirrored().bounded_lower(-most, known, alpha / 2)
    low, high = (max(low, 0.0), min(high, 1.0)) if known else (low, high)
    return Estimate(powered.value, min(low, powered.value), max(high, powered.value), len(powered.rectifier))


def _bounds(labels: Floats, predictions: Floats, powered: _Powered) -> tuple[float, float, bool]:
    """The least and the most that a label less its weighted prediction can be, and whether that is known: labels and
    predictions within 0 and 1; else the range of what was seen."""
    if within_one(labels) and within_one(predictions):
        return -powered.weight, 1.0, True
    return float(powered.rectifier.min()), float(powered.rectifier.max()), False


def prediction_powered_test(
    labelled: ArrayLike,
    predicted: ArrayLike,
    unlabelled: ArrayLike,
    *,
    margin: float = 0.0,
    higher_is_better: bool = True,
) -> PairedTest:
    """The paired test of challenger against champion, from human-labelled and predicted differences of clusters.

    Its limits allow for skewness and for losses that the labelled clusters have not met, as those of `paired_test` do.

    Args:
        labelled: people's challenger - champion per cluster, shape (n,).
        predicted: the predicted difference of the same clusters, shape (n,).
        unlabelled: predicted differences of clusters that nobody labelled, shape (N,).
        margin: how much worse the challenger may be, >= 0.
        higher_is_better: False where less is better.

    Returns:
        The test; n counts the labelled clusters, and `sd` is the standard error times the root of n, to plan further
        labelling with. NaN with fewer than two labelled or unlabelled clusters.

    Raises:
        ValueError: lengths differ, a value is NaN or infinite, or the margin is negative.
    """
    if not margin >= 0 or math.isinf(margin):
        raise ValueError(f"margin is {margin}; it must be 0 or more, in the unit of the scores")
    sign = 1.0 if higher_is_better else -1.0
    arrays = [sign * np.asarray(values, dtype=float) for values in (labelled, predicted, unlabelled)]
    better = _powered(arrays[0], arrays[1], arrays[2])
    if better is None:
        return PairedTest(_too_few(labelled), margin, math.nan, math.nan, math.nan, "too few labelled clusters")
    worse = better.mirrored()
    low, high = better.lower(ALPHA / 2), -worse.lower(ALPHA / 2)
    if not higher_is_better:
        low, high = -high, -low
    size = len(better.rectifier)
    method = f"prediction-powered, {size:,} labelled clusters and {len(better.extra):,} predicted ones"
    difference = Estimate(sign * better.value, low, high, size)
    return PairedTest(
        difference, margin, better.p_value(-margin), worse.p_value(margin), better.error * math.sqrt(size), method
    )


@dataclass(frozen=True)
class _Powered:
    """The mean of `rectifier` (label less weighted prediction, on labelled clusters) plus that of `extra` (weighted
    predictions of others)."""

    rectifier: Floats
    extra: Floats
    reach: float
    weight: float

    @property
    def value(self) -> float:
        return float(self.rectifier.mean()) + float(self.extra.mean())

    @cached_property
    def error(self) -> float:
        return math.hypot(StudentMean(self.rectifier).error, StudentMean(self.extra).error)

    def mirrored(self) -> _Powered:
        return _Powered(-self.rectifier, -self.extra, self.reach, self.weight)

    def lower(self, alpha: float) -> float:
        critical = student_critical(alpha, len(self.rectifier) - 1)
        return float(self._combined(min(self._cautious.lower(alpha), self._unmet.lower(alpha)), critical))

    def bounded_lower(self, worst: float, known: bool, alpha: float) -> float:
        """The lower limit where no rectifier lies below `worst`, if that is known."""
        limit = min(self._cautious.lower(alpha), UnmetLosses(self.rectifier, worst).lower(alpha))
        if known:
            limit = BoundedMean(self.rectifier, worst).lower_if_above(limit, alpha)
        return float(self._combined(limit, student_critical(alpha, len(self.rectifier) - 1)))

    def p_value(self, theta: float) -> float:
        """The level whose lower limit is `theta`; above one half Student's p-value."""
        levels, criticals = levels_of(len(self.rectifier))
        shortest = np.minimum(self._cautious.lower_at(criticals), self._unmet.lowers())
        level = level_at(theta, levels, self._combined(shortest, criticals))
        if level < levels[-1] or self.error == 0:
            return level
        return max(level, float(student_sf((self.value - theta) / self.error, len(self.rectifier) - 1)))

    def _combined(self, rectifier_limits: float | Floats, criticals: float | Floats) -> Floats:
        shortfalls = float(self.rectifier.mean()) - rectifier_limits
        return self.value - np.hypot(shortfalls, criticals * StudentMean(self.extra).error)

    @cached_property
    def _cautious(self) -> CautiousMean:
        return CautiousMean(self.rectifier)

    @cached_property
    def _unmet(self) -> UnmetLosses:
        return UnmetLosses(self.rectifier, min(-self.reach, float(self.rectifier.min())))


def prediction_weight(labelled: ArrayLike, predicted: ArrayLike, unlabelled: ArrayLike) -> float:
    """What predictions are worth beside labels: the weight of PPI++, from 0 to 1."""
    return _weight(*(np.asarray(values, dtype=float) for values in (labelled, predicted, unlabelled)))


def _powered(
    labelled: ArrayLike, predicted: ArrayLike, unlabelled: ArrayLike, weight: float | None = None
) -> _Powered | None:
    y, f = finite_values(labelled, "labelled"), finite_values(predicted, "predicted")
    extra = finite_values(unlabelled, "unlabelled")
    if y.shape != f.shape:
        raise ValueError(f"{len(y)} labels and {len(f)} predictions for them; give one of each per cluster")
    if len(y) < 2 or len(extra) < 2:
        return None
    weight = _weight(y, f, extra) if weight is None else weight
    reach = max(1.0, float(np.abs(np.concatenate([y, f, extra])).max()))
    return _Powered(y - weight * f, weight * extra, reach, weight)


def _weight(y: Floats, f: Floats, extra: Floats) -> float:
    """The weight of the predictions that makes the variance smallest (PPI++, proposition 2), within 0 and 1."""
    spread = float(np.var(np.concatenate([f, extra]), ddof=1)) * (1 + len(y) / len(extra))
    return min(1.0, max(0.0, float(np.cov(y, f)[0, 1]) / spread)) if spread > 0 else 0.0


def _too_few(labelled: ArrayLike) -> Estimate:
    size = len(finite_values(labelled, "labelled"))
    return Estimate(math.nan, math.nan, math.nan, size)
