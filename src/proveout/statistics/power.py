"""Planning: which difference a number of clusters can show, and how many clusters a difference needs.

A *distance* is how far the true difference lies from what must be ruled out: the difference itself for a claim of
improvement, the difference plus the margin for what must hold (the margin alone, where the variants are equal).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from proveout.statistics._checking import finite_values
from proveout.statistics.distributions import binomial_pmf, normal_cdf, normal_quantile, student_critical
from proveout.statistics.paired_counts import PairedCounts, region_chances

_MOST_CLUSTERS = 10**9
_NEGLIGIBLE = 1e-12
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


def power_of_test(distance: float, sd: float, clusters: int, *, alpha: float = 0.05) -> float:
    """The probability that the one-sided paired t test shows a true distance.

    The noncentral t distribution, by Gauss-Legendre quadrature over the spread that the sample may happen to have.

    Args:
        distance: true difference plus margin, in the unit of the scores.
        sd: standard deviation of the paired differences of clusters, > 0.
        clusters: number of clusters, at least 2.
        alpha: one-sided level.
    """
    _check(sd, alpha)
    if clusters < 2:
        return 0.0
    degrees = clusters - 1
    reach = 8 / math.sqrt(2 * degrees)
    low, high = max(0.0, 1 - reach), 1 + reach
    ratios = low + (high - low) * (_NODES + 1) / 2
    logs = (degrees - 1) * np.log(ratios) - degrees * (ratios**2 - 1) / 2
    densities = np.exp(logs) * _WEIGHTS
    shown = normal_cdf(distance / sd * math.sqrt(clusters) - student_critical(alpha, degrees) * ratios)
    return float((densities @ shown) / densities.sum())


def minimal_detectable_difference(sd: float, clusters: int, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true distance that is shown with probability `power`; infinite with fewer than two clusters.

    For a claim this is the smallest improvement to hope for. For what must hold with margin m, a challenger at least
    this distance minus m better than the champion passes; one that is equal passes with the wanted power if m is at
    least this distance.
    """
    _check(sd, alpha, power)
    if clusters < 2:
        return math.inf
    low, high = 0.0, 1.0
    while power_of_test(high, 1.0, clusters, alpha=alpha) < power:
        high *= 2
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if power_of_test(middle, 1.0, clusters, alpha=alpha) < power else (low, middle)
    return high * sd


def clusters_needed(sd: float, distance: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """The least number of clusters that shows a true distance with probability `power`.

    Raises:
        ValueError: the distance is not above 0: no number of clusters shows what is not so.
    """
    _check(sd, alpha, power)
    if not distance > 0:
        raise ValueError(f"a distance of {distance:g} cannot be shown by any number of clusters; it must be above 0")
    guess = ((normal_quantile(1 - alpha) + normal_quantile(power)) * sd / distance) ** 2
    if guess > _MOST_CLUSTERS:
        return _MOST_CLUSTERS
    clusters = max(2, math.floor(guess))
    while power_of_test(distance, sd, clusters, alpha=alpha) < power:
        clusters += max(1, clusters // 500)
    while clusters > 2 and power_of_test(distance, sd, clusters - 1, alpha=alpha) >= power:
        clusters -= 1
    return clusters


def fewest_clusters(margin: float, *, alpha: float = 0.05) -> int:
    """The clusters below which nothing can be shown to hold to a margin where differences are rare, however well it
    goes.

    A challenger that loses one cluster in 1/margin shows no loss at all in K clusters with probability (1 -
    margin)^K, which must be at most alpha: the exact form of the "rule of three", K about 3 / margin.

    Args:
        margin: as a share of the score's range, in (0, 1).
        alpha: one-sided level.
    """
    if not 0 < margin < 1:
        raise ValueError(f"margin is {margin:g}; give a share of the score's range between 0 and 1")
    return math.ceil(math.log(alpha) / math.log1p(-margin) - 1e-9)


def sd_from_discordance(discordance: float, difference: float = 0.0) -> float:
    """The standard deviation of the difference of two yes-or-no scores that differ on a share `discordance` of
    examples."""
    if not abs(difference) <= discordance <= 1:
        raise ValueError(f"discordance is {discordance:g}; it lies between the difference, {abs(difference):g}, and 1")
    return math.sqrt(discordance - difference**2)


def sd_from_runs(first: ArrayLike, second: ArrayLike) -> float:
    """The standard deviation of paired differences to plan with, from two runs of the champion over the same clusters.

    This is the part that a variant's own randomness brings, and so a lower bound: a different variant will differ more.
    """
    first, second = finite_values(first, "first"), finite_values(second, "second")
    if first.shape != second.shape or len(first) < 2:
        raise ValueError("give two runs over the same clusters, at least two of them")
    return float(np.std(second - first, ddof=1))


def power_of_binary(
    difference: float, discordance: float, examples: int, *, margin: float = 0.0, alpha: float = 0.05
) -> float:
    """The probability that the exact test of single yes-or-no scores passes: every outcome's chance, added up.

    Args:
        difference: true difference in the share of right answers.
        discordance: share of examples on which the variants differ.
        examples: number of examples.
        margin: 0 for a claim, else the margin to hold.
        alpha: one-sided level.
    """
    sd_from_discordance(discordance, difference)
    win_rate, loss_rate = (discordance + difference) / 2, (discordance - difference) / 2
    wins = np.arange(examples + 1)
    wins = wins[binomial_pmf(wins, examples, win_rate) > _NEGLIGIBLE]
    allowed = np.full(wins.shape, -1)
    most = -1
    for place, won in enumerate(wins.tolist()):
        while most < examples - won and PairedCounts(won, most + 1, examples).p_value(-margin) <= alpha:
            most += 1
        allowed[place] = min(most, examples - won)
    return min(1.0, float(region_chances(wins, allowed, examples, np.array([win_rate]), np.array([loss_rate]))))


def _check(sd: float, alpha: float, power: float = 0.5) -> None:
    if not sd > 0 or not 0 < alpha < 1 or not 0 < power < 1:
        raise ValueError(
            f"sd is {sd:g}, alpha {alpha:g}, power {power:g}; sd must be above 0, the others between 0 and 1"
        )
