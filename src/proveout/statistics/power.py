"""Planning: which difference a number of clusters can show, and how many clusters a difference needs.

A *distance* is how far the true difference lies from what must be ruled out: the difference itself for a claim of
improvement, the difference plus the margin for what must hold (the margin alone, where the variants are equal).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from proveout.statistics.distributions import Floats, normal_cdf, normal_quantile, student_critical
from proveout.statistics.mean_limits import losses_not_met, uncorrected
from proveout.statistics.paired_counts import chances_of_counts, limits_of_counts

_MOST_CLUSTERS = 10**9
_MANY_JUMPS = 50
"""Differing clusters beyond which their number hardly matters: differences are as good as smooth."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


def power_of_test(
    distance: float, sd: float, clusters: int, *, alpha: float = 0.05, reach: float = 0.0, jump: float = 0.0
) -> float:
    """The probability that `paired_test` shows a true distance, for averaged scores without much skewness.

    The noncentral t distribution, by Gauss-Legendre quadrature over the spread that the sample may happen to have, with
    the critical values of the tests that decide: Student's t with one more value like the lowest, and losses not met.

    Args:
        distance: true difference plus margin, in the unit of the scores.
        sd: standard deviation of the paired differences of clusters, > 0.
        clusters: number of clusters, at least 2.
        alpha: one-sided level.
        reach: how far below what must be ruled out a cluster's difference can lie: 1 - margin for scores within 0 and
            1; 0 reckons with no losses but those met.
        jump: how large differences are where there is one (`PairedTest.jump`): 1 for single yes-or-no scores. A few
            large ones are a matter of luck, which the spread does not tell. It counts for what must hold within 0 and
            1, where `reach` is below 1. 0 if unknown, or if differences are smooth.
    """
    _check(sd, alpha)
    if clusters < 2:
        return 0.0
    smooth = _smooth_power(distance, sd, clusters, alpha, reach)
    if jump > 0 and 0 < reach < 1:
        margin = 1 - reach
        return min(smooth, _jumping_power(margin / jump, (distance - margin) / jump, sd / jump, clusters, alpha))
    return smooth


def _smooth_power(distance: float, sd: float, clusters: int, alpha: float, reach: float) -> float:
    degrees = clusters - 1
    span = 8 / math.sqrt(2 * degrees)
    low, high = max(0.0, 1 - span), 1 + span
    ratios = low + (high - low) * (_NODES + 1) / 2
    logs = (degrees - 1) * np.log(ratios) - degrees * (ratios**2 - 1) / 2
    densities = np.exp(logs) * _WEIGHTS
    error = sd / math.sqrt(clusters)
    needed = _cautious_critical(alpha, clusters) * ratios
    if reach > 0:
        shares, criticals = losses_not_met(alpha, clusters)
        lost = shares / (1 - shares) * reach / error
        needed = np.maximum(needed, np.max(lost + criticals * ratios[:, None], axis=1))
    shown = normal_cdf(distance / error - needed)
    return float((densities @ shown) / densities.sum())


def _jumping_power(margin: float, difference: float, sd: float, clusters: int, alpha: float) -> float:
    """The probability that wins and losses of 1 on a share of clusters show the margin, everything in units of a jump:
    all outcomes added up."""
    differing = sd**2 + difference**2
    if differing > 1 or abs(difference) > differing or differing * clusters > _MANY_JUMPS:
        return 1.0
    win_rate, loss_rate = (differing + difference) / 2, (differing - difference) / 2
    most = _most_counts(max(win_rate, loss_rate) * clusters, clusters)
    chances = chances_of_counts(most, clusters, win_rate, loss_rate)
    return float(np.sum(chances[_limits(most, clusters, alpha) > -margin]))


def _most_counts(expected: float, clusters: int) -> int:
    """Counts beyond which next to nothing happens; in steps, so that limits are worked out seldom."""
    most = math.ceil(expected + 5 * math.sqrt(expected) + 6)
    return min(clusters, 8 * math.ceil(most / 8))


@lru_cache(maxsize=256)
def _limits(most: int, clusters: int, alpha: float) -> Floats:
    return limits_of_counts(most, clusters, alpha)


@lru_cache(maxsize=1024)
def _cautious_critical(alpha: float, clusters: int) -> float:
    """What `CautiousMean` asks of a t statistic, on average over normal values, whose lowest lies at Blom's (1958)
    score."""
    lowest = normal_quantile((1 - 0.375) / (clusters + 0.25))
    spread = (clusters - 1) / clusters + (lowest**2 + 0.25) / (clusters + 1)
    skew = lowest**3 / (clusters + 1) / spread**1.5 / math.sqrt(clusters)
    critical = student_critical(alpha, clusters - 1)
    return max(critical, float(uncorrected(np.asarray(critical), skew))) * math.sqrt(spread)


def minimal_detectable_difference(
    sd: float,
    clusters: int,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    reach: float = 0.0,
    jump: float = 0.0,
    holds: bool = False,
) -> float:
    """The smallest true distance that is shown with probability `power`; infinite with fewer than two clusters.

    For a claim this is the smallest improvement to hope for. For what must hold (`holds`) it is the smallest margin
    that an equal challenger passes; one that is better by d passes at a margin smaller by d. `reach` and `jump` are
    those of `power_of_test`, `reach` at margin 0.
    """
    _check(sd, alpha, power)
    if clusters < 2:
        return math.inf

    def shown(distance: float) -> bool:
        room = max(reach - distance, 0.0) if holds else reach
        return power_of_test(distance, sd, clusters, alpha=alpha, reach=room, jump=jump) >= power

    low, high = 0.0, sd
    while not shown(high):
        low, high = high, high * 2
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if shown(middle) else (middle, high)
    return high


def clusters_needed(
    sd: float, distance: float, *, alpha: float = 0.05, power: float = 0.8, reach: float = 0.0, jump: float = 0.0
) -> int:
    """The least number of clusters that shows a true distance with probability `power`. `reach` and `jump` are those
    of `power_of_test`.

    Raises:
        ValueError: the distance is not above 0: no number of clusters shows what is not so.
    """
    _check(sd, alpha, power)
    if not distance > 0:
        raise ValueError(f"a distance of {distance:g} cannot be shown by any number of clusters; it must be above 0")
    guess = ((normal_quantile(1 - alpha) + normal_quantile(power)) * sd / distance) ** 2
    if guess > _MOST_CLUSTERS:
        return _MOST_CLUSTERS

    def shown(clusters: int) -> bool:
        return power_of_test(distance, sd, clusters, alpha=alpha, reach=reach, jump=jump) >= power

    low, high = 1, max(2, math.ceil(guess))
    while not shown(high):
        low, high = high, math.ceil(high * 1.25) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shown(middle) else (middle, high)
    return high


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


def upper_spread(clusters: int, *, confidence: float = 0.8) -> float:
    """What to multiply a standard deviation from few clusters by before planning with it: its upper limit (Browne 1995,
    "On the use of a pilot sample for sample size determination"), by Wilson and Hilferty's chi-square quantile."""
    degrees = max(clusters - 1, 1)
    ninth = 2 / (9 * degrees)
    return max(1.0, (1 - ninth + normal_quantile(1 - confidence) * math.sqrt(ninth)) ** -1.5)


def _check(sd: float, alpha: float, power: float = 0.5) -> None:
    if not sd > 0 or not 0 < alpha < 1 or not 0 < power < 1:
        raise ValueError(
            f"sd is {sd:g}, alpha {alpha:g}, power {power:g}; sd must be above 0, the others between 0 and 1"
        )
