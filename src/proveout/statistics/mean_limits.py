"""One-sided confidence limits, and the p-values that go with them, for the mean of independent values.

Each class answers two questions that agree with each other: `p_value(theta)`, of the null that the mean is at most
theta, and `lower(alpha)`, the largest theta that is rejected at level alpha. Limits from above are those of the
mirrored values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from proveout.statistics.distributions import (
    Floats,
    beta_quantile,
    normal_as_student,
    normal_quantile,
    normal_sf,
    student_as_normal,
    student_critical,
    student_quantile,
    student_sf,
)

EXACT_FLIPS = 13
"""Values up to which all 2^K sign flips are enumerated."""

RANDOM_FLIPS = 19_999
"""Random sign flips beyond that; with the values as they are, 20,000."""

_SAME = 1e-12
_SHARES = 33
_PARTS = 1 - np.linspace(1.0, 0.0, _SHARES) ** 2
"""How much of a level, as a part of its logarithm, is spent on not meeting a loss; denser towards all of it, where the
worst of values that hardly vary lies."""

_FARTHEST = 4.0
"""Standard errors above the sample's mean up to which the mean of values without losses is considered."""

_LEVELS = np.sort(np.append(np.geomspace(1e-9, 0.5, 240), (0.01, 0.025, 0.05, 0.1)))


class MeanLimits(Protocol):
    """Evidence about a mean."""

    def p_value(self, theta: float) -> float:
        """The p-value of the null that the mean is at most `theta`."""
        ...

    def lower(self, alpha: float) -> float:
        """The lower limit with one-sided error `alpha`: the mean is shown to be above every value below it."""
        ...


@dataclass(frozen=True)
class StudentMean:
    """Student's t, or Hall's (1992) skewness-corrected t where that is more careful.

    A t limit is too high when the values have a long lower tail: the sample that misses the tail has both too good a
    mean and too small a spread. Hall's cubic transformation undoes that to second order; taking the more careful of
    both never relies on its correction the other way.
    """

    values: Floats

    @cached_property
    def mean(self) -> float:
        return float(self.values.mean())

    @cached_property
    def error(self) -> float:
        """The standard error of the mean."""
        return float(self._spreading.std(ddof=1)) / math.sqrt(len(self.values))

    @cached_property
    def skew(self) -> float:
        """Skewness over the root of the number of values: how far from normal the mean is."""
        values = self._spreading
        centred: Floats = values - float(values.mean())
        variance = float(np.mean(centred**2))
        return float(np.mean(centred**3)) / variance**1.5 / math.sqrt(len(self.values)) if variance > _SAME**2 else 0.0

    @property
    def _spreading(self) -> Floats:
        """The values that tell spread and skewness."""
        return self.values

    @property
    def still(self) -> bool:
        """Whether the values do not spread at all."""
        return self.error <= _SAME * max(1.0, abs(self.mean))

    def p_value(self, theta: float) -> float:
        if self.still:
            return 0.5 ** len(self.values) if self.mean > theta + _SAME else 1.0
        return float(student_sf(self.statistic(theta), len(self.values) - 1))

    def statistic(self, theta: float | Floats) -> Floats:
        """The t statistic of a mean, or its correction where that is lower."""
        t = (self.mean - np.asarray(theta)) / self.error
        return np.minimum(t, _corrected(t, self.skew))

    def lower(self, alpha: float) -> float:
        return float(self.lower_at(student_critical(alpha, len(self.values) - 1)))

    def lower_at(self, critical: float | Floats) -> Floats:
        """Lower limits for critical values of t."""
        return self.mean - np.maximum(critical, uncorrected(np.asarray(critical), self.skew)) * self.error


def _corrected(t: Floats, skew: float) -> Floats:
    """Hall's transformation of a t statistic, ((1 + g t / 3)^3 - 1) / g + g / 6, for the skewness g of the mean."""
    return t if abs(skew) < 1e-9 else ((1 + skew * t / 3) ** 3 - 1) / skew + skew / 6


def uncorrected(t: Floats, skew: float) -> Floats:
    """The inverse of `_corrected`."""
    return t if abs(skew) < 1e-9 else 3 / skew * (np.cbrt(1 + skew * (t - skew / 6)) - 1)


@dataclass(frozen=True)
class CautiousMean(StudentMean):
    """Student's t with Hall's correction, for the spread and the skewness that the values have with one more like the
    lowest.

    A sample shows less of a long lower tail than there is, so that Hall's correction alone passes 6 to 7 % of
    left-skewed scores where 5 % may. One value more, as low as the lowest, makes up for it, and costs 1 to 3 points
    of power (docs/statistics.md).
    """

    @property
    def _spreading(self) -> Floats:
        return np.append(self.values, self.values.min())


@dataclass(frozen=True)
class UnmetLosses:
    """Limits that allow for total losses so rare that the sample has not met one: the "rule of three" for values that
    vary.

    Let a share e of all values be as bad as can be (`worst`). None of K values is one of them with probability (1 -
    e)^K. If all together have mean theta, the others have mean (theta - e worst) / (1 - e), so (1 - e)^K times
    Student's p-value of *that* mean is the chance of meeting no loss and looking as good as the sample does. The worst
    share e counts, as in Berger & Boos (1994). Without any spread this is Clopper and Pearson's limit, 1 -
    alpha^(1/K); where the values are many or spread much, it is Student's.
    """

    values: Floats
    worst: float

    @cached_property
    def _student(self) -> StudentMean:
        return StudentMean(self.values)

    def p_value(self, theta: float) -> float:
        student, size = self._student, len(self.values)
        if not student.mean > max(theta, self.worst) + _SAME:
            return 1.0
        if student.still:
            return (1 - self._share(theta, student.mean)) ** size
        shares = self._share(theta, student.mean + _FARTHEST * student.error) * _PARTS
        statistics = student.statistic((theta - shares * self.worst) / (1 - shares))
        return float(np.max((1 - shares) ** size * normal_sf(student_as_normal(statistics, size - 1))))

    def _share(self, theta: float, mean: float) -> float:
        """The share of losses that would bring values of this mean down to theta."""
        return (mean - theta) / (mean - self.worst)

    def lower(self, alpha: float) -> float:
        return float(self._lowers(*losses_not_met(alpha, len(self.values))))

    def lowers(self) -> Floats:
        """The lower limits at the levels of `levels_of`."""
        size = len(self.values)
        return self._lowers(-np.expm1(np.log(_LEVELS)[:, None] * _PARTS / size), normal_as_student(_scores(), size - 1))

    def _lowers(self, shares: Floats, criticals: Floats) -> Floats:
        return np.min((1 - shares) * self._student.lower_at(criticals) + shares * self.worst, axis=-1)


def losses_not_met(alpha: float, size: int) -> tuple[Floats, Floats]:
    """Shares of losses that `size` values miss with at least the chance `alpha`, and beside each the critical value of
    t at what of `alpha` is then left, alpha / (1 - share)^size. Shape (33,) each."""
    return -np.expm1(math.log(alpha) * _PARTS / size), normal_as_student(_left(alpha), size - 1)


@lru_cache(maxsize=1024)
def _left(alpha: float) -> Floats:
    """Normal scores of alpha to the power of 1 - `_PARTS`."""
    return -np.array([normal_quantile(min(alpha ** (1 - part), 1 - _SAME)) for part in _PARTS.tolist()])


@lru_cache(maxsize=1)
def _scores() -> Floats:
    """`_left` of all levels, one a row."""
    return np.array([_left(level) for level in _LEVELS.tolist()])


@dataclass(frozen=True)
class SignFlips:
    """The sign-flip permutation test, exact for values that are symmetric about their mean (Fisher 1935).

    Flipping the signs of (values - theta) on a subset raises their mean as soon as the subset's own mean is at most
    theta. So the sorted means of subsets (Hartigan 1969, "typical values") hold the p-value of every theta and every
    limit at once. All subsets are used up to 13 values, else 19,999 random ones; the values as they are count as one
    more, so that no p-value is 0.
    """

    subset_means: Floats
    tolerance: float

    @classmethod
    def of(cls, values: Floats, seed: int) -> SignFlips:
        """The flips of these values; their order does not matter, and mirrored values have mirrored flips."""
        direction = 1.0 if float(values.sum()) >= 0 else -1.0
        means = direction * _subset_means(np.sort(direction * values), seed)
        return cls(np.sort(means), _SAME * max(1.0, float(np.abs(values).max())))

    def p_value(self, theta: float) -> float:
        as_strong = int(np.searchsorted(self.subset_means, theta + self.tolerance, side="right"))
        return (as_strong + 1) / (len(self.subset_means) + 1)

    def lower(self, alpha: float) -> float:
        rank = math.floor(alpha * (len(self.subset_means) + 1) + 1e-9) - 1
        return float(self.subset_means[rank]) if rank >= 0 else -math.inf

    def mirrored(self) -> SignFlips:
        return SignFlips(-self.subset_means[::-1], self.tolerance)


def _subset_means(values: Floats, seed: int) -> Floats:
    members = _subsets(len(values), seed).astype(np.float64)
    return (members @ values) / members.sum(axis=1)


@lru_cache(maxsize=8)
def _subsets(size: int, seed: int) -> NDArray[np.bool_]:
    """Subsets but the empty one, one a row: all of them, or random ones."""
    if size <= EXACT_FLIPS:
        return (np.arange(1, 1 << size)[:, None] >> np.arange(size)) % 2 == 1
    subsets = np.random.default_rng(seed).random((RANDOM_FLIPS, size)) < 0.5
    return subsets[subsets.any(axis=1)]


@lru_cache(maxsize=64)
def levels_of(size: int) -> tuple[Floats, Floats]:
    """Levels from tiny to one half, 9 % apart, with Student's critical value for `size` values at each."""
    return _LEVELS, -student_quantile(_LEVELS, size - 1)


def level_at(theta: float, levels: Floats, lowers: Floats) -> float:
    """The level whose lower limit is `theta`, from limits that rise with the levels."""
    return float(np.exp(np.interp(theta, lowers, np.log(levels))))


@lru_cache(maxsize=4096)
def loss_ceiling(losses: int, size: int, alpha: float) -> float:
    """Clopper and Pearson's (1934) exact upper limit of a rate, from `losses` in `size`."""
    return 1 - float(beta_quantile(alpha, size - losses, losses + 1)) if losses < size else 1.0
