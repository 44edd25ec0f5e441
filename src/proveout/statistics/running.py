"""The test by betting (`anytime_test`), one difference at a time: what a controller holds in memory."""

from __future__ import annotations

import math
from array import array
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from proveout.statistics._base import Estimate
from proveout.statistics.betting import STAKES

_STAKES = tuple(float(stake) for stake in STAKES)
EVEN = (1 / len(_STAKES),) * len(_STAKES)
_HALVINGS = 24


class RunningTest:
    """Bets on each paired difference as it comes, with the same numbers as `anytime_test` where `purses` are even.

    `purses` are what each stake's player has at first, adding up to 1: more for the stakes that suit the differences
    that matter finds those sooner.

    `design_effect` (1 and up) is by how much requests of one unit repeat each other: all wealth is taken to the power
    of one over it. For small stakes the wealth is then a fair game again although the bets of a unit depend on each
    other, because the variance of their sum is that many times larger and so is what the bets allow for it.
    """

    def __init__(self, *, margin: float = 0.0, higher_is_better: bool = True, purses: Sequence[float] = EVEN) -> None:
        """
        Raises:
            ValueError: the margin is not from 0 to below 1, or the purses don't fit.
        """
        if len(purses) != len(_STAKES) or min(purses) <= 0 or not math.isclose(sum(purses), 1):
            raise ValueError(f"purses are {list(purses)}; give each of the {len(_STAKES)} stakes one, 1 together")
        if not 0 <= margin < 1:
            raise ValueError(f"margin is {margin}; it lies from 0 to below 1")
        self.margin = margin
        self.higher_is_better = higher_is_better
        self.design_effect = 1.0
        self._log_purses = [math.log(purse) for purse in purses]
        self._gains = array("d")
        self._worse = [0.0] * len(_STAKES)
        self._not_worse = [0.0] * len(_STAKES)
        self._most_worse = self._most_not_worse = 0.0

    def __len__(self) -> int:
        return len(self._gains)

    def add(self, difference: float) -> None:
        """Bet on one more difference, challenger - champion.

        Raises:
            ValueError: it does not lie within -1 and 1.
        """
        if not -1 <= difference <= 1:
            raise ValueError(f"the difference is {difference:g}; scores must lie within 0 and 1")
        gain = difference if self.higher_is_better else -difference
        self._gains.append(gain)
        more = gain + self.margin
        for place, stake in enumerate(_STAKES):
            self._worse[place] += math.log1p(-gain * stake)
            self._not_worse[place] += math.log1p(more * stake)
        self._most_worse = max(self._most_worse, self._wealth(self._worse))
        self._most_not_worse = max(self._most_not_worse, self._wealth(self._not_worse))

    def extend(self, differences: Iterable[float]) -> None:
        for difference in differences:
            self.add(difference)

    @property
    def e_worse(self) -> float:
        """The wealth won by now against "not worse at all"."""
        return math.exp(min(self._wealth(self._worse), 700.0))

    @property
    def e_not_worse(self) -> float:
        """The wealth won by now against "worse by the margin or more"."""
        return math.exp(min(self._wealth(self._not_worse), 700.0))

    @property
    def p_worse(self) -> float:
        return math.exp(-self._most_worse)

    @property
    def p_not_worse(self) -> float:
        return math.exp(-self._most_not_worse)

    @property
    def growth(self) -> tuple[float, float]:
        """By how much the logarithm of the best player's wealth grew per difference, for "worse" and "not worse"."""
        count = max(len(self._gains), 1) * self.design_effect
        return max(self._worse) / count, max(self._not_worse) / count

    def difference(self, alpha: float = 0.05) -> Estimate:
        """Challenger - champion, with its confidence sequence of error `alpha`; NaN without a difference."""
        if not self._gains:
            return Estimate(math.nan, math.nan, math.nan, 0)
        gains, counts = np.unique(np.round(np.asarray(self._gains), 4), return_counts=True)
        mean = float(np.asarray(self._gains).mean())
        low, high = self._lower(gains, counts, alpha / 2), -self._lower(-gains, counts, alpha / 2)
        if not self.higher_is_better:
            mean, low, high = -mean, -high, -low
        return Estimate(mean, low, high, len(self._gains))

    def _wealth(self, logs: list[float]) -> float:
        """The logarithm of all players' wealth together."""
        shares = [log / self.design_effect + purse for log, purse in zip(logs, self._log_purses, strict=True)]
        most = max(shares)
        return most + math.log(sum(math.exp(share - most) for share in shares))

    def _lower(self, gains: np.ndarray, counts: np.ndarray, alpha: float) -> float:
        """The largest mean that the wealth by now rejects."""
        low, high = -1.0, 1.0
        target = math.log(1 / alpha)
        while high - low > 2.0**-_HALVINGS:
            middle = (low + high) / 2
            logs = counts @ np.log1p(np.outer(gains - middle, STAKES / (1 + max(middle, 0.0))))
            low, high = (middle, high) if self._wealth([float(log) for log in logs]) >= target else (low, middle)
        return low


class Clustering:
    """How much values of one unit resemble each other, as they come (one-way analysis of variance), and in how many
    comparisons each unit takes part.
    """

    def __init__(self) -> None:
        self._units: dict[str, tuple[int, float, int, Hashable]] = {}
        self._count = self._parts = 0
        self._total = self._squares = self._of_sizes = self._of_parts = self._between = 0.0

    def add(self, unit: str, value: float, comparison: Hashable = None) -> None:
        """One more value. Those of one unit within one comparison are averaged there; without a comparison given, each
        value is one of its own.
        """
        count, total, parts, last = self._units.get(unit, (0, 0.0, 0, None))
        if count:
            self._between -= total * total / count
        if comparison is None or comparison != last:
            self._of_parts += 2 * parts + 1
            self._parts += 1
            parts += 1
        self._units[unit] = (count + 1, total + value, parts, comparison)
        self._between += (total + value) ** 2 / (count + 1)
        self._of_sizes += 2 * count + 1
        self._count += 1
        self._total += value
        self._squares += value * value

    @property
    def design_effect(self) -> float:
        """By how much the variance of the mean over comparisons exceeds that of as many of different units; 1 and up.

        1 + (m - 1) x r (Kish 1965) with m the mean number of comparisons that a unit takes part in. The intraclass
        correlation of single values is by analysis of variance, one standard error (Fisher 1925, equal sizes) on the
        safe side; r is that of means of as many values as a unit has in one comparison (Spearman 1910, Brown 1910).
        """
        units, count = len(self._units), self._count
        if units == self._parts:
            return 1.0
        parts = self._of_parts / self._parts
        if units < 2:
            return parts
        size = self._of_sizes / count
        typical = (count - size) / (units - 1)
        within = max(self._squares - self._between, 0.0) / (count - units)
        between = max(self._between - self._total**2 / count, 0.0) / (units - 1)
        whole = between + (typical - 1) * within
        if whole <= 0:
            return 1.0
        alike = max(0.0, (between - within) / whole)
        spread = (1 - alike) * (1 + (typical - 1) * alike)
        error = spread * math.sqrt(2 / (typical * max(typical - 1, 0.1) * (units - 1)))
        alike = min(1.0, alike + error)
        together = count / self._parts
        return 1 + (parts - 1) * together * alike / (1 + (together - 1) * alike)
