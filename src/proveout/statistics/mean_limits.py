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

from proveout.statistics.distributions import Floats, beta_quantile, student_critical, student_quantile, student_sf

EXACT_FLIPS = 13
"""Values up to which all 2^K sign flips are enumerated."""

RANDOM_FLIPS = 19_999
"""Random sign flips beyond that; with the values as they are, 20,000."""

_SAME = 1e-12
_LEVELS = np.union1d(np.geomspace(1e-9, 0.5, 240), (0.01, 0.025, 0.05, 0.1))


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
        return float(self.values.std(ddof=1)) / math.sqrt(len(self.values))

    @cached_property
    def skew(self) -> float:
        """Skewness over the root of the number of values: how far from normal the mean is."""
        centred = self.values - self.mean
        variance = float(np.mean(centred**2))
        return float(np.mean(centred**3)) / variance**1.5 / math.sqrt(len(self.values)) if variance > _SAME**2 else 0.0

    def p_value(self, theta: float) -> float:
        if self.error <= _SAME * max(1.0, abs(self.mean)):
            return 0.5 ** len(self.values) if self.mean > theta + _SAME else 1.0
        t = (self.mean - theta) / self.error
        return float(student_sf(min(t, _corrected(t, self.skew)), len(self.values) - 1))

    def lower(self, alpha: float) -> float:
        return float(self.lower_at(student_critical(alpha, len(self.values) - 1)))

    def lower_at(self, critical: float | Floats) -> Floats:
        """Lower limits for critical values of t."""
        return self.mean - np.maximum(critical, _uncorrected(np.asarray(critical), self.skew)) * self.error


def _corrected(t: float, skew: float) -> float:
    """Hall's transformation of a t statistic, ((1 + g t / 3)^3 - 1) / g + g / 6, for the skewness g of the mean."""
    return t if abs(skew) < 1e-9 else ((1 + skew * t / 3) ** 3 - 1) / skew + skew / 6


def _uncorrected(t: Floats, skew: float) -> Floats:
    """The inverse of `_corrected`."""
    return t if abs(skew) < 1e-9 else 3 / skew * (np.cbrt(1 + skew * (t - skew / 6)) - 1)


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


@dataclass(frozen=True)
class RareLosses:
    """Limits where most values are the same and losses from there are rare, so that the sample may not have met them
    at all.

    Student's t passes such a sample because it sees no spread. Here losses of more than half the possible size are
    counted as whole ones, with Clopper and Pearson's exact limit (none in K values: up to 1 - alpha^(1/K), the "rule
    of three"); the rest is left to Student's t, and both shortfalls are added in squares (MOVER: Zou & Donner 2008).

    `usual` is the value that most share, `reach` how far below it a value can lie.
    """

    values: Floats
    usual: float
    reach: float

    @cached_property
    def losses(self) -> int:
        return int(np.sum(self._large))

    @cached_property
    def _large(self) -> NDArray[np.bool_]:
        return self.values < self.usual - self.reach / 2

    @cached_property
    def _rest(self) -> StudentMean:
        return StudentMean(np.where(self._large, self.usual, self.values))

    def p_value(self, theta: float) -> float:
        """At least one half is given as one half."""
        levels, criticals = levels_of(len(self.values))
        return level_at(theta, levels, self.lower_at(criticals, _ceilings_of(self.losses, len(self.values))))

    def lower(self, alpha: float) -> float:
        size = len(self.values)
        return float(self.lower_at(student_critical(alpha, size - 1), loss_ceiling(self.losses, size, alpha)))

    def lower_at(self, criticals: float | Floats, ceilings: float | Floats | None = None) -> Floats:
        """Lower limits for critical values of t and upper limits of the loss rate, by default those of `levels_of`."""
        if ceilings is None:
            ceilings = _ceilings_of(self.losses, len(self.values))
        shortfall = self._rest.mean - self._rest.lower_at(criticals)
        unmet = (ceilings - self.losses / len(self.values)) * self.reach
        return float(self.values.mean()) - np.hypot(unmet, shortfall)


@lru_cache(maxsize=64)
def levels_of(size: int) -> tuple[Floats, Floats]:
    """Levels from tiny to one half, 9 % apart, with Student's critical value for `size` values at each."""
    return _LEVELS, -student_quantile(_LEVELS, size - 1)


def level_at(theta: float, levels: Floats, lowers: Floats) -> float:
    """The level whose lower limit is `theta`, from limits that rise with the levels."""
    return float(np.exp(np.interp(theta, lowers, np.log(levels))))


@lru_cache(maxsize=256)
def _ceilings_of(losses: int, size: int) -> Floats:
    return 1 - beta_quantile(_LEVELS, size - losses, losses + 1) if losses < size else np.ones_like(_LEVELS)


@lru_cache(maxsize=4096)
def loss_ceiling(losses: int, size: int, alpha: float) -> float:
    """Clopper and Pearson's (1934) exact upper limit of a rate, from `losses` in `size`."""
    return 1 - float(beta_quantile(alpha, size - losses, losses + 1)) if losses < size else 1.0


def usual_value(values: Floats) -> float | None:
    """The value that more than half of the values share, if there is one."""
    found, counts = np.unique(values, return_counts=True)
    most = int(counts.argmax())
    return float(found[most]) if 2 * int(counts[most]) > len(values) else None
