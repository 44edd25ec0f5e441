"""Ratios of means over clusters: how much dearer a challenger is, what one success costs, and how that compares.

A ratio is tested without dividing, after Fieller (1954): the ratio of the means of y and x is below k exactly if the
mean of k x - y is above 0, which is a test of one mean. So a ratio inherits the tests of means, with their correction
for long tails (see `mean_limits`), and its interval holds every k that no test rejects.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from proveout.statistics._base import Estimate, PairedTest
from proveout.statistics._checking import finite_values
from proveout.statistics.distributions import Floats
from proveout.statistics.mean_limits import EXACT_FLIPS, RANDOM_FLIPS, StudentMean

FEW_CLUSTERS = 40
"""Clusters below which a permutation test decides together with Student's t."""

ALPHA = 0.05
"""Two-sided error of the intervals."""

WIDER = 1.1
"""How much wider than the other's a variant's costs must spread before one more request as bad as its worst is added
to what is held against it. Without it, 8 to 10 % pass at the margin where 5 % may (benchmarks/economics/ratios.py)."""

_LARGEST = 1e9
_SMALLEST = 1e-9
_HALVINGS = 60
_NOTHING = Estimate(math.nan, math.nan, math.nan, 0)


def ratio_test(
    champion: ArrayLike, challenger: ArrayLike, *, margin: float = 0.0, higher_is_better: bool = False, seed: int = 0
) -> PairedTest:
    """Test whether the challenger's mean is within a factor of the champion's, over cluster means.

    Args:
        champion: one mean per cluster, shape (K,), not negative.
        challenger: the same clusters in the same order, shape (K,), not negative.
        margin: how much worse the challenger may be, as a share of the champion's mean, >= 0; 0 asks for superiority.
        higher_is_better: True for amounts of which more is better.
        seed: of the random sign flips, used from 14 to 39 clusters.

    Returns:
        The test. `difference` is challenger / champion - 1, with a 95 % interval that agrees with the p-values. All is
        NaN with fewer than two clusters, or where the champion's mean is 0.

    Raises:
        ValueError: the arrays differ in length, hold NaN, infinite or negative values, or the margin is negative.
    """
    x, y = _amounts(champion, "champion"), _amounts(challenger, "challenger")
    _same_length(x, y)
    size = len(x)
    if size < 2 or not x.mean() > 0:
        return _untested(size, margin)
    scale = float(x.mean())
    x, y = x / scale, y / scale
    ratio = float(y.mean())
    return _test(_RatioOfMeans(x, y, _subset_ratios(seed, x, y)), ratio, margin, higher_is_better, y - ratio * x)


def ratio_of_ratios_test(
    champion: tuple[ArrayLike, ArrayLike],
    challenger: tuple[ArrayLike, ArrayLike],
    *,
    margin: float = 0.0,
    higher_is_better: bool = False,
    seed: int = 0,
) -> PairedTest:
    """Test whether the challenger's ratio of two means, such as cost per success, is within a factor of the champion's.

    The logarithm of the ratio of ratios is tested by its first-order influence of each cluster (delta method).

    Args:
        champion: numerators and denominators by cluster, each of shape (K,), not negative.
        challenger: the same clusters in the same order.
        margin, higher_is_better, seed: as for `ratio_test`.

    Returns:
        The test, as of `ratio_test`; NaN where one of the four means is 0.

    Raises:
        ValueError: as for `ratio_test`.
    """
    parts = [
        _amounts(part, f"{name} {what}")
        for name, pair in (("champion", champion), ("challenger", challenger))
        for part, what in zip(pair, ("numerators", "denominators"), strict=True)
    ]
    for part in parts[1:]:
        _same_length(parts[0], part)
    size = len(parts[0])
    if size < 2 or not all(part.mean() > 0 for part in parts):
        return _untested(size, margin)
    cost0, good0, cost1, good1 = (part / part.mean() for part in parts)
    influence = (cost1 - good1) - (cost0 - good0)
    ratio = float(parts[2].mean() * parts[1].mean() / (parts[3].mean() * parts[0].mean()))
    subsets = _subset_ratios(seed, cost0, cost1, good1, good0)
    more, less = (
        np.append(influence, influence.max()) if spreads_more(parts[2], parts[0]) else influence,
        np.append(influence, influence.min()) if spreads_more(parts[0], parts[2]) else influence,
    )
    evidence = _LogRatio(math.log(ratio), more, less, None if subsets is None else subsets * ratio)
    return _test(evidence, ratio, margin, higher_is_better, influence * ratio)


def ratio_interval(numerators: ArrayLike, denominators: ArrayLike, *, alpha: float = ALPHA, seed: int = 0) -> Estimate:
    """The ratio of two means over clusters, such as dollars per success, with its two-sided interval.

    Args:
        numerators: one mean per cluster, shape (K,), not negative.
        denominators: the same clusters, shape (K,), not negative.
        alpha: two-sided error.
        seed: of the random subsets, used from 14 to 39 clusters.

    Returns:
        The estimate; an upper limit is infinite where the denominator may be 0. NaN without a denominator above 0.

    Raises:
        ValueError: the arrays differ in length, or hold NaN, infinite or negative values.
    """
    x, y = _amounts(denominators, "denominators"), _amounts(numerators, "numerators")
    _same_length(x, y)
    size = len(x)
    if not size or not x.mean() > 0:
        return Estimate(math.nan, math.nan, math.nan, size)
    ratio = float(y.mean() / x.mean())
    if size < 2:
        return Estimate(ratio, math.nan, math.nan, size)
    if ratio == 0:
        return Estimate(0.0, 0.0, 0.0, size)
    x, y = x / x.mean(), y / y.mean()
    evidence = _RatioOfMeans(x, y, _subset_ratios(seed, x, y))
    return Estimate(ratio, evidence.lower(alpha / 2) * ratio, evidence.upper(alpha / 2) * ratio, size)


class _RatioEvidence(Protocol):
    """Evidence about a ratio: p-values of its being below or above k, and the limits that go with them."""

    def p_below(self, k: float) -> float: ...
    def p_above(self, k: float) -> float: ...
    def lower(self, alpha: float) -> float: ...
    def upper(self, alpha: float) -> float: ...
    @property
    def method(self) -> str: ...


@dataclass(frozen=True)
class _Residuals(StudentMean):
    """The mean of sign (k x - y), from moments of x (`values`) and y that are the same for every k."""

    moments: tuple[Floats, Floats, Floats]
    k: float
    sign: float

    @cached_property
    def mean(self) -> float:
        means, _, _ = self.moments
        return self.sign * float(self.k * means[0] - means[1])

    @cached_property
    def error(self) -> float:
        size = len(self.values)
        return math.sqrt(max(self._variance, 0.0) / (size - 1))

    @cached_property
    def skew(self) -> float:
        _, _, third = self.moments
        k = self.k
        cubed = float(k**3 * third[0] - 3 * k**2 * third[1] + 3 * k * third[2] - third[3])
        return self.sign * cubed / self._variance**1.5 / math.sqrt(len(self.values)) if self._variance > 1e-24 else 0.0

    @cached_property
    def _variance(self) -> float:
        _, second, _ = self.moments
        return float(self.k**2 * second[0] - 2 * self.k * second[1] + second[2])


@dataclass(frozen=True)
class _RatioOfMeans:
    """mean(y) / mean(x), where both means are near 1 and `subsets` are the ratios of random subsets of few clusters."""

    x: Floats
    y: Floats
    subsets: Floats | None

    @cached_property
    def _against_below(self) -> tuple[Floats, tuple[Floats, Floats, Floats]]:
        return _moments(
            *_with_unseen(self.x, self.y, self.y - float(self.y.mean()) * self.x, spreads_more(self.y, self.x))
        )

    @cached_property
    def _against_above(self) -> tuple[Floats, tuple[Floats, Floats, Floats]]:
        return _moments(
            *_with_unseen(self.x, self.y, float(self.y.mean()) * self.x - self.y, spreads_more(self.x, self.y))
        )

    def _below(self, k: float) -> StudentMean:
        return _Residuals(*self._against_below, k, 1.0)

    def _above(self, k: float) -> StudentMean:
        return _Residuals(*self._against_above, k, -1.0)

    def p_below(self, k: float) -> float:
        return max(self._below(k).p_value(0.0), _share_above(self.subsets, k))

    def p_above(self, k: float) -> float:
        return max(self._above(k).p_value(0.0), _share_below(self.subsets, k))

    def upper(self, alpha: float) -> float:
        """The smallest k that the ratio is shown to be below."""
        found = _boundary(lambda k: self._below(k).lower(alpha) > 0, float(self.y.mean()), up=True)
        return max(found, _subset_limit(self.subsets, alpha, up=True))

    def lower(self, alpha: float) -> float:
        found = _boundary(lambda k: self._above(k).lower(alpha) > 0, float(self.y.mean()), up=False)
        return min(found, _subset_limit(self.subsets, alpha, up=False))

    @property
    def method(self) -> str:
        return _method("paired ratio of means (Fieller)", len(self.x), self.subsets)


def spreads_more(one: Floats, other: Floats) -> bool:
    """Whether one amount varies visibly more than the other, by the standard deviations of their logarithms. Then its
    long tail is what a sample is likely to have missed."""
    both = (one > 0) & (other > 0)
    return int(both.sum()) > 2 and bool(np.log(one[both]).std() > WIDER * np.log(other[both]).std() + 1e-9)


def _with_unseen(x: Floats, y: Floats, badness: Floats, wanted: bool) -> tuple[Floats, Floats]:
    """The clusters with the worst of them once more, where that is wanted: one like it may have been missed."""
    worst = int(badness.argmax())
    return (np.append(x, x[worst]), np.append(y, y[worst])) if wanted else (x, y)


def _moments(x: Floats, y: Floats) -> tuple[Floats, tuple[Floats, Floats, Floats]]:
    """x, and the means, second and third central moments, from those of x alone to those of y alone."""
    dx, dy = x - x.mean(), y - y.mean()
    second, third = [dx * dx, dx * dy, dy * dy], [dx**3, dx * dx * dy, dx * dy * dy, dy**3]
    return x, (_means([x, y]), _means(second), _means(third))


@dataclass(frozen=True)
class _LogRatio:
    """The exponential of a mean whose clusters have this influence: `more` with what speaks for a higher one, `less`
    with what speaks for a lower."""

    log_ratio: float
    more: Floats
    less: Floats
    subsets: Floats | None

    def p_below(self, k: float) -> float:
        student = StudentMean(math.log(k) - self.log_ratio - self.more) if k > 0 else None
        return max(student.p_value(0.0) if student else 1.0, _share_above(self.subsets, k))

    def p_above(self, k: float) -> float:
        student = StudentMean(self.log_ratio - math.log(k) + self.less) if k > 0 else None
        return max(student.p_value(0.0) if student else 0.0, _share_below(self.subsets, k))

    def upper(self, alpha: float) -> float:
        found = math.exp(min(-StudentMean(-self.log_ratio - self.more).lower(alpha), 700.0))
        return max(found, _subset_limit(self.subsets, alpha, up=True))

    def lower(self, alpha: float) -> float:
        found = math.exp(StudentMean(self.log_ratio + self.less).lower(alpha))
        return min(found, _subset_limit(self.subsets, alpha, up=False))

    @property
    def method(self) -> str:
        return _method("paired ratio of costs per success (delta)", min(len(self.more), len(self.less)), self.subsets)


def _test(
    evidence: _RatioEvidence, ratio: float, margin: float, higher_is_better: bool, residuals: Floats
) -> PairedTest:
    if not margin >= 0 or math.isinf(margin):
        raise ValueError(f"margin is {margin}; it must be 0 or more, as a share of the champion's mean")
    bound = 1 - margin if higher_is_better else 1 + margin
    below, above = evidence.p_below(bound), evidence.p_above(bound)
    p_value, p_worse = (above, below) if higher_is_better else (below, above)
    difference = Estimate(ratio - 1, evidence.lower(ALPHA / 2) - 1, evidence.upper(ALPHA / 2) - 1, len(residuals))
    return PairedTest(difference, margin, p_value, p_worse, float(residuals.std(ddof=1)), evidence.method)


def _untested(size: int, margin: float) -> PairedTest:
    return PairedTest(
        Estimate(math.nan, math.nan, math.nan, size), margin, math.nan, math.nan, math.nan, "too little to compare"
    )


def _means(columns: list[Floats]) -> Floats:
    return np.array([float(column.mean()) for column in columns])


def _boundary(shown: Callable[[float], bool], start: float, *, up: bool) -> float:
    """The k nearest to `start`, on one side of it, from which on `shown` holds; 0 or infinity where it never does."""
    inside = outside = start
    step = 0.05 if start > 0 else _SMALLEST
    while not shown(outside):
        if step > _LARGEST:
            return math.inf if up else 0.0
        inside, step = outside, step * 2
        outside = (start or _SMALLEST) * (1 + step if up else 1 / (1 + step))
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        if abs(outside - inside) <= 1e-8 * outside:
            break
        inside, outside = (inside, middle) if shown(middle) else (middle, outside)
    return outside


def _subset_ratios(seed: int, x: Floats, y: Floats, *factors: Floats) -> Floats | None:
    """The ratios of random subsets of few clusters, sorted: sum(y) / sum(x), or with factors (sum(y) / sum(a)) /
    (sum(x) / sum(b)). None for many clusters.

    The chance that a random subset's sum of k x - y is not above 0 is the p-value of the sign-flip test of its mean, as
    flipping signs and choosing subsets are the same (Hartigan 1969).
    """
    size = len(x)
    if size >= FEW_CLUSTERS:
        return None
    columns = np.column_stack([x, y, *factors])
    columns = columns[np.lexsort(columns.T)]
    if size <= EXACT_FLIPS:
        members = ((np.arange(1, 1 << size)[:, None] >> np.arange(size)) % 2).astype(float)
    else:
        drawn = np.random.default_rng(seed).random((RANDOM_FLIPS, size)) < 0.5
        members = drawn[drawn.any(axis=1)].astype(float)
    sums = members @ columns
    low, high = sums[:, 0], sums[:, 1]
    if factors:
        low, high = low * sums[:, 2], high * sums[:, 3]
    ratios = np.where(high > 0, math.inf, 1.0)
    np.divide(high, low, out=ratios, where=low > 0)
    return np.sort(ratios)


def _share_above(subsets: Floats | None, k: float) -> float:
    if subsets is None:
        return 0.0
    return (len(subsets) - int(np.searchsorted(subsets, k * (1 - 1e-12), side="left")) + 1) / (len(subsets) + 1)


def _share_below(subsets: Floats | None, k: float) -> float:
    if subsets is None:
        return 0.0
    return (int(np.searchsorted(subsets, k * (1 + 1e-12), side="right")) + 1) / (len(subsets) + 1)


def _subset_limit(subsets: Floats | None, alpha: float, *, up: bool) -> float:
    """The limit that agrees with the shares; the least careful one for many clusters, so that it decides nothing."""
    if subsets is None:
        return 0.0 if up else math.inf
    rank = math.floor(alpha * (len(subsets) + 1) + 1e-9) - 1
    if rank < 0:
        return math.inf if up else 0.0
    return float(subsets[len(subsets) - 1 - rank] if up else subsets[rank])


def _method(name: str, clusters: int, subsets: Floats | None) -> str:
    return f"{name} over {clusters:,} clusters" + ("" if subsets is None else ", with sign flips")


def _amounts(values: ArrayLike, name: str) -> Floats:
    array = finite_values(values, name)
    if len(array) and float(array.min()) < 0:
        raise ValueError(f"{name} hold {float(array.min()):g}; amounts are 0 or more")
    return array


def _same_length(first: Floats, second: Floats) -> None:
    if first.shape != second.shape:
        raise ValueError(f"{len(first)} clusters on one side and {len(second)} on the other; give the same clusters")
