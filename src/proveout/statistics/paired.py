"""The paired comparison of two variants over clusters of examples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from proveout.statistics._base import Estimate, PairedTest
from proveout.statistics._checking import finite_values, within_one
from proveout.statistics.bounded_mean import BoundedMean
from proveout.statistics.distributions import Floats
from proveout.statistics.mean_limits import CautiousMean, MeanLimits, SignFlips, UnmetLosses
from proveout.statistics.paired_counts import PairedCounts

FEW_CLUSTERS = 40
"""Clusters below which the sign-flip permutation test decides with Student's t."""

ALPHA = 0.05
"""Two-sided error of the intervals."""


def paired_test(
    champion: ArrayLike,
    challenger: ArrayLike,
    *,
    margin: float = 0.0,
    higher_is_better: bool = True,
    seed: int = 0,
) -> PairedTest:
    """Test whether the challenger is better than the champion by more than `-margin`, over cluster means.

    Single yes-or-no scores (all values 0 or 1) are compared exactly: McNemar's test at margin 0, an unconditional
    test at others. Other scores are compared by Student's t with a correction for skewness (`CautiousMean`), by what
    losses too rare to have been met could do (`UnmetLosses`), and by sign flips below 40 clusters; the most careful
    p-value counts. Of scores within 0 and 1 Gaffke's limits for bounded values (`BoundedMean`) suffice too, which show
    more where a few clusters are lost and the others hardly vary.

    Args:
        champion: one mean score per cluster, shape (K,).
        challenger: the same clusters in the same order, shape (K,).
        margin: how much worse the challenger may be, >= 0, in the unit of the scores; 0 asks for superiority.
        higher_is_better: False for scores such as cost, where less is better.
        seed: of the random sign flips, used from 14 to 39 clusters.

    Returns:
        The test. `difference` is challenger - champion whatever is better, with a 95 % interval that agrees with the
        p-values: it excludes the margin on the good side exactly if `p_value` is at most 0.025, and on the bad side
        if `p_worse` is. With fewer than two clusters everything but the difference itself is NaN.

    Raises:
        ValueError: the arrays differ in length or hold NaN or infinite values, or the margin is negative.
    """
    champion, challenger = finite_values(champion, "champion"), finite_values(challenger, "challenger")
    if champion.shape != challenger.shape:
        raise ValueError(
            f"champion has {len(champion)} clusters and challenger {len(challenger)}; give the same clusters"
        )
    if not margin >= 0 or math.isinf(margin):
        raise ValueError(f"margin is {margin}; it must be 0 or more, in the unit of the scores")
    sign = 1.0 if higher_is_better else -1.0
    gains = sign * (challenger - champion)
    size = len(gains)
    if size < 2:
        value = float(sign * gains[0]) if size else math.nan
        return PairedTest(
            Estimate(value, math.nan, math.nan, size), margin, math.nan, math.nan, math.nan, "too few clusters"
        )
    scores = np.concatenate([champion, challenger])
    better, worse, method = _evidence(scores, gains, higher_is_better, seed)
    p_value, p_worse = better.p_value(-margin), worse.p_value(margin)
    low = _agreeing(better.lower(ALPHA / 2), -margin, p_value)
    high = -_agreeing(worse.lower(ALPHA / 2), margin, p_worse)
    if not higher_is_better:
        low, high = -high, -low
    difference = Estimate(float(sign * gains.mean()), low, high, size)
    return PairedTest(difference, margin, p_value, p_worse, float(gains.std(ddof=1)), method, _jump(gains))


def _jump(gains: Floats) -> float:
    squares = gains**2
    second = float(squares.mean())
    return math.sqrt(float(np.mean(squares**2)) / second) if second > 0 else 0.0


def _agreeing(limit: float, theta: float, p_value: float) -> float:
    """A lower limit moved to the side of `theta` where the test puts it: discreteness may leave it a little off."""
    return max(limit, theta) if p_value <= ALPHA / 2 else min(limit, theta)


def _evidence(scores: Floats, gains: Floats, higher_is_better: bool, seed: int) -> tuple[MeanLimits, MeanLimits, str]:
    """Evidence that the challenger is better, that it is worse, and the name of the test."""
    if np.isin(scores, (0.0, 1.0)).all():
        counts = PairedCounts(int(np.sum(gains > 0)), int(np.sum(gains < 0)), len(gains))
        return (
            counts,
            counts.swapped(),
            f"exact paired test ({counts.wins} better, {counts.losses} worse of {counts.examples:,})",
        )
    gains = np.where(np.abs(gains) <= 1e-12 * score_range(scores), 0.0, gains)
    if within_one(scores):
        better = Gains.of(gains, _total_loss(scores if higher_is_better else 1 - scores), seed, bounded=True)
    else:
        better = Gains.of(gains, _largest_met(scores, gains), seed, bounded=False)
    return better, better.mirrored(), better.method


def score_range(scores: Floats) -> float:
    """How far apart two scores can lie: 1 if all lie within 0 and 1, else the range seen, 0 included."""
    return 1.0 if within_one(scores) else max(float(scores.max()), 0.0) - min(float(scores.min()), 0.0)


def _total_loss(scores: Floats) -> float:
    """What losing a cluster altogether costs: the best score that either variant got on any; 1 where that is not what
    most get, as then better ones may have been missed."""
    best = float(scores.max())
    return best if float(np.median(scores)) >= best / 2 > 0 else 1.0


def _largest_met(scores: Floats, gains: Floats) -> float:
    """The largest loss to reckon with of scores without bounds: the largest difference met; the range of the scores, if
    most clusters do not differ."""
    return score_range(scores) if 2 * np.count_nonzero(gains) <= len(gains) else float(np.abs(gains).max())


@dataclass(frozen=True)
class Gains:
    """Evidence that the mean of the paired gains of clusters is above a value.

    `flips` decides at every margin below 40 clusters, `flips_of_differing` at no difference below 40 clusters that
    differ. `bounded` says that no cluster can lose more than `reach`.
    """

    gains: Floats
    reach: float
    bounded: bool
    flips: SignFlips | None
    flips_of_differing: SignFlips | None

    @classmethod
    def of(cls, gains: Floats, reach: float, seed: int, *, bounded: bool) -> Gains:
        flips = SignFlips.of(gains, seed) if len(gains) < FEW_CLUSTERS else None
        differing = gains[gains != 0]
        of_differing = flips
        if len(differing) < len(gains):
            of_differing = SignFlips.of(differing, seed) if 0 < len(differing) < FEW_CLUSTERS else None
        return cls(gains, reach, bounded, flips, of_differing)

    def mirrored(self) -> Gains:
        """The same evidence for the other variant."""
        flips = self.flips.mirrored() if self.flips else None
        of_differing = self.flips_of_differing.mirrored() if self.flips_of_differing else None
        return Gains(-self.gains, self.reach, self.bounded, flips, of_differing)

    def p_value(self, theta: float) -> float:
        careful = self._careful_p_value(theta)
        return min(careful, self._bounded_mean.p_value(theta)) if self.bounded else careful

    def lower(self, alpha: float) -> float:
        careful = self._careful_lower(alpha)
        return self._bounded_mean.lower_if_above(careful, alpha) if self.bounded else careful

    @property
    def method(self) -> str:
        name = "sign-flip permutation and paired t" if self.flips else "paired t"
        return f"{name} over {len(self.gains):,} clusters, allowing for losses not met"

    def _careful_p_value(self, theta: float) -> float:
        if theta == 0:
            return self._at_zero
        elsewhere = max(limits.p_value(theta) for limits in self._limits)
        return max(self._at_zero, elsewhere) if theta > 0 else elsewhere

    def _careful_lower(self, alpha: float) -> float:
        limit = max(min(limits.lower(alpha) for limits in self._limits), -self.reach)
        return max(limit, 0.0) if self._at_zero <= alpha else min(limit, 0.0)

    @cached_property
    def _bounded_mean(self) -> BoundedMean:
        return BoundedMean(self.gains, -self.reach)

    @cached_property
    def _limits(self) -> tuple[MeanLimits, ...]:
        limits = CautiousMean(self.gains), UnmetLosses(self.gains, -self.reach)
        return (*limits, self.flips) if self.flips else limits

    @cached_property
    def _at_zero(self) -> float:
        """The p-value at no difference: there the signs of the gains of clusters that differ are exchangeable too."""
        if not self.gains.any():
            return 1.0
        elsewhere = max(limits.p_value(0.0) for limits in self._limits)
        return max(elsewhere, self.flips_of_differing.p_value(0.0)) if self.flips_of_differing else elsewhere
