"""Serving by a bandit, and deciding beside it.

Serving and deciding are kept apart. Thompson sampling (1933) sends traffic where it pays; its posterior probability
of "best" is no evidence, because it is looked at all the time and because arms that are served at different hours are
not comparable. A winner is declared by inverse-propensity weighting alone (AIPW), whose confidence sequence holds
however often one looks, and under drift that all arms share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from proveout.statistics._base import Estimate
from proveout.statistics.distributions import Floats, beta_cdf

FEWEST_BATCHES = 5
"""Batches before which the confidence sequence, which is asymptotic, says nothing."""

TUNED_AT = 20
"""Batches at which the confidence sequence is tightest; it holds at all others too."""

_REACH = np.linspace(-8, 8, 65)
"""Standard deviations from an arm's mean at which its posterior is evaluated."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests served under the same shares; one entry per arm.

    `rewards` and `squares` are the sums of rewards within 0 and 1, and of their squares (the same for yes-or-no
    rewards). `shares` are the probabilities with which each request was given to each arm, and above 0.
    """

    requests: tuple[int, ...]
    rewards: tuple[float, ...]
    squares: tuple[float, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.requests) == len(self.rewards) == len(self.squares) == len(self.shares):
            raise ValueError("give requests, rewards, squares and shares of every arm")
        if min(self.shares) <= 0 or not math.isclose(sum(self.shares), 1, abs_tol=1e-9):
            raise ValueError(f"shares {list(self.shares)} must be above 0 and add up to 1; a floor keeps them there")


def thompson_shares(batches: Sequence[Batch], arms: int, *, floor: float = 0.05, discount: float = 0.95) -> Floats:
    """The shares to serve the next batch with: the probability that each arm is best, and never less than the floor.

    Older batches count less by the factor `discount` per batch, so that a change is noticed (Raj & Kalyani 2017). The
    probabilities are integrated over beta posteriors, not drawn, so that equal data give equal shares.

    Args:
        batches: what was observed, in order.
        arms: number of arms.
        floor: least share of an arm, below 1 / `arms`.
        discount: within 0 and 1; 1 forgets nothing.

    Returns:
        Shares of shape (arms,), adding up to 1.
    """
    if not 0 <= floor * arms < 1:
        raise ValueError(f"a floor of {floor:g} leaves {arms} arms nothing to share; it must be below {1 / arms:g}")
    weights = discount ** np.arange(len(batches) - 1, -1, -1.0)
    rewards = weights @ _column(batches, "rewards", arms)
    requests = weights @ _column(batches, "requests", arms)
    won, lost = 1 + rewards, 1 + requests - rewards
    means, spreads = won / (won + lost), np.sqrt(won * lost / (won + lost + 1)) / (won + lost)
    edges = np.unique(np.clip(np.append(means + spreads * _REACH[:, None], (0.0, 1.0)), 0.0, 1.0))
    below = beta_cdf(edges[:, None], won, lost)
    mass, middle = np.diff(below, axis=0), (below[1:] + below[:-1]) / 2
    others = np.stack([np.prod(np.delete(middle, arm, axis=1), axis=1) for arm in range(arms)], axis=1)
    best = np.sum(mass * others, axis=0)
    return floor + (1 - floor * arms) * best / best.sum()


def arm_difference(batches: Sequence[Batch], one: int, other: int, *, alpha: float = 0.05) -> Estimate:
    """The difference of two arms' mean rewards (`one` - `other`), with a confidence sequence.

    Each batch gives the augmented inverse-propensity estimate of every arm's mean over all of its requests (Robins,
    Rotnitzky & Zhao 1994), with the arm's mean before the batch as the guess, so that drift which all arms share
    cancels out. The sequence is the asymptotic one of Waudby-Smith et al. (2024, "Time-uniform central limit theory").

    Returns:
        The estimate, n counting batches; its limits are NaN before 5 batches.
    """
    size = len(batches)
    if not size:
        return Estimate(math.nan, math.nan, math.nan, 0)
    means, variances = _estimates(batches)
    value = float((means[:, one] - means[:, other]).mean())
    if size < FEWEST_BATCHES:
        return Estimate(value, math.nan, math.nan, size)
    spread = float((variances[:, one] + variances[:, other]).mean())
    tuning = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / TUNED_AT
    scaled = size * tuning + 1
    half = math.sqrt(spread * 2 * scaled / (size**2 * tuning) * math.log(math.sqrt(scaled) / alpha))
    return Estimate(value, value - half, value + half, size)


def bandit_winner(batches: Sequence[Batch], *, alpha: float = 0.05) -> int | None:
    """The arm that is shown to be better than every other by now, if there is one.

    The chance of ever naming a wrong one is about `alpha`, however often it is asked.
    """
    if not batches:
        return None
    arms = len(batches[0].requests)
    for arm in range(arms):
        others = (
            arm_difference(batches, arm, other, alpha=alpha / (arms - 1)) for other in range(arms) if other != arm
        )
        if all(found.low > 0 for found in others):
            return arm
    return None


def _column(batches: Sequence[Batch], name: str, arms: int) -> Floats:
    return np.array([getattr(batch, name) for batch in batches], dtype=float).reshape(len(batches), arms)


def _estimates(batches: Sequence[Batch]) -> tuple[Floats, Floats]:
    """Each batch's estimate of each arm's mean, and its variance; shape (batches, arms)."""
    arms = len(batches[0].requests)
    requests, rewards, squares, shares = (
        _column(batches, name, arms) for name in ("requests", "rewards", "squares", "shares")
    )
    before = np.cumsum(rewards, axis=0) - rewards, np.cumsum(requests, axis=0) - requests
    guesses = (1 + before[0]) / (2 + before[1])
    weighted = np.maximum(requests.sum(axis=1, keepdims=True), 1) * shares
    means = guesses + (rewards - requests * guesses) / weighted
    variances = np.maximum(squares - 2 * guesses * rewards + requests * guesses**2, 0.0) / weighted**2
    return means, variances
