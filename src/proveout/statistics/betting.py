"""Comparisons that may be looked at after every request: tests by betting.

A fair game cannot make anybody rich. Bet at even terms that the challenger is worse; if it is not, the wealth won by
then exceeds 1 / alpha with probability at most alpha, ever (Ville 1939; Waudby-Smith & Ramdas 2024, "Estimating means
of bounded random variables by betting"). So the wealth is evidence (an e-value), and one may stop whenever one likes.
Nothing is asymptotic: the promise holds for rare errors too.

The stakes are a fixed mixture of small and large shares of the wealth: small ones win slowly against small
differences, large ones fast against large ones.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from proveout.statistics._base import Estimate
from proveout.statistics._checking import finite_values
from proveout.statistics.distributions import Floats

STAKES = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.8])
"""Shares of the wealth that are bet, one player each; together they own the mean of their wealth."""

_HALVINGS = 30


@dataclass(frozen=True, slots=True)
class AnytimeTest:
    """What paired differences say by now, valid however often it is asked.

    `difference` is challenger - champion with its confidence sequence: at all times together it holds the truth with
    probability at least 1 - alpha. `p_worse` is of the null that the challenger is not worse at all, `p_not_worse` of
    the null that it is worse by the margin or more; `e_worse` and `e_not_worse` are the wealth won against them by now.
    """

    difference: Estimate
    margin: float
    p_worse: float
    p_not_worse: float
    e_worse: float
    e_not_worse: float


def anytime_test(
    differences: ArrayLike, *, margin: float = 0.0, higher_is_better: bool = True, alpha: float = 0.05
) -> AnytimeTest:
    """Test by betting on paired differences in the order in which they came.

    Args:
        differences: challenger - champion per block (see `block_differences`), each within -1 and 1, shape (n,).
        margin: how much worse the challenger may be, from 0 to below 1.
        higher_is_better: False for errors, refusals and the like.
        alpha: two-sided error of the confidence sequence.

    Returns:
        The test; without a difference p-values are 1 and the interval is NaN.

    Raises:
        ValueError: a difference is NaN or beyond -1 and 1, or the margin is not within 0 and 1.
    """
    values = finite_values(differences, "differences")
    if values.size and float(np.abs(values).max()) > 1:
        worst = int(np.abs(values).argmax())
        raise ValueError(f"differences[{worst}] is {values[worst]:g}; scores must lie within 0 and 1")
    if not 0 <= margin < 1:
        raise ValueError(f"margin is {margin}; it lies from 0 to below 1")
    if not values.size:
        return AnytimeTest(Estimate(math.nan, math.nan, math.nan, 0), margin, 1.0, 1.0, 1.0, 1.0)
    sign = 1.0 if higher_is_better else -1.0
    gains = sign * values
    worse, not_worse = _log_wealth(-gains, 0.0), _log_wealth(gains, -margin)
    low, high = _lower(gains, alpha / 2), -_lower(-gains, alpha / 2)
    if not higher_is_better:
        low, high = -high, -low
    return AnytimeTest(
        Estimate(float(values.mean()), low, high, len(values)),
        margin,
        _p_value(worse),
        _p_value(not_worse),
        math.exp(min(float(worse[-1]), 700.0)),
        math.exp(min(float(not_worse[-1]), 700.0)),
    )


def block_differences(
    challenger: Sequence[bool], values: ArrayLike, epochs: Sequence[Hashable] | None = None
) -> Floats:
    """Differences between the variants within short stretches of traffic, so that what drifts cancels out.

    A block is closed by the first request that gives it both variants; its difference is the mean of the challenger's
    values less that of the champion's. No value is used twice, so that blocks are independent where requests are.

    Args:
        challenger: for each request in the order of arrival, whether the challenger served it.
        values: a score of each request, within 0 and 1; shape (n,).
        epochs: the period of constant weights of each request. A block never spans two; what an epoch leaves open is
            dropped.

    Returns:
        One difference per block, in order.

    Raises:
        ValueError: lengths differ, or a value is NaN or infinite.
    """
    scores = finite_values(values, "values")
    if len(challenger) != len(scores) or (epochs is not None and len(epochs) != len(scores)):
        raise ValueError("give the variant, the value and the epoch of each request")
    found: list[float] = []
    sums, counts, epoch = [0.0, 0.0], [0, 0], None
    for place, (arm, score) in enumerate(zip(challenger, scores.tolist(), strict=True)):
        if epochs is not None and epochs[place] != epoch:
            sums, counts, epoch = [0.0, 0.0], [0, 0], epochs[place]
        sums[bool(arm)] += score
        counts[bool(arm)] += 1
        if all(counts):
            found.append(sums[1] / counts[1] - sums[0] / counts[0])
            sums, counts = [0.0, 0.0], [0, 0]
    return np.array(found)


def _log_bets(gains: Floats, theta: float) -> Floats:
    """The logarithm of what each player's wealth is multiplied by at each bet against a mean of at most `theta`."""
    return np.log1p(np.outer(gains - theta, STAKES / (1 + max(theta, 0.0))))


def _log_mean(logs: Floats) -> Floats:
    """The logarithm of the players' mean wealth; players in the last axis."""
    most = logs.max(axis=-1, keepdims=True)
    return most[..., 0] + np.log(np.mean(np.exp(logs - most), axis=-1))


def _log_wealth(gains: Floats, theta: float) -> Floats:
    """The logarithm of the wealth after each bet."""
    return _log_mean(np.cumsum(_log_bets(gains, theta), axis=0))


def _p_value(log_wealth: Floats) -> float:
    return math.exp(-max(0.0, float(log_wealth.max())))


def _lower(gains: Floats, alpha: float) -> float:
    """The largest mean that the wealth by now rejects, by bisection: a higher mean makes every bet worse."""
    low, high = -1.0, 1.0
    target = math.log(1 / alpha)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        rejected = float(_log_mean(_log_bets(gains, middle).sum(axis=0))) >= target
        low, high = (middle, high) if rejected else (low, middle)
    return low
