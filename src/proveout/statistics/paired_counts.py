"""Exact comparison of two yes-or-no scores of the same examples, from the examples that differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from proveout.statistics.distributions import Floats, beta_quantile, binomial_cdf, binomial_pmf, binomial_sf
from proveout.statistics.mean_limits import loss_ceiling

Counts = NDArray[np.int64]

NUISANCE_ERROR = 1e-6
"""Error spent on leaving out win rates that the wins rule out (Berger & Boos 1994).

No p-value at a margin is below it.
"""

_GRID = 24
"""Win rates among which the worst is sought."""

_REACH = 6.5
"""Standard deviations from the mean beyond which outcomes are left out: they hold less than 1e-10."""


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """Evidence that the win rate is above the loss rate, from `examples` pairs of which `wins` improved and `losses`
    got worse."""

    wins: int
    losses: int
    examples: int

    def p_value(self, theta: float) -> float:
        """The p-value of the null `win rate - loss rate <= theta`.

        At `theta = 0` McNemar's exact test (1947): under the null a differing example is a coin toss at best.
        Elsewhere an exact unconditional test (Hsueh, Liu & Chen 2001): the worst probability, over all win rates that
        the wins leave possible (Berger & Boos 1994), of a score statistic (Tango 1998) as high as the one seen. Its
        error is at most the level by construction, where asymptotic tests let rare losses pass.
        """
        at_zero = _mcnemar(self.wins, self.losses)
        if theta == 0:
            return at_zero
        elsewhere = _unconditional(self.wins, self.losses, self.examples, theta)
        return min(at_zero, elsewhere) if theta < 0 else max(at_zero, elsewhere)

    def lower(self, alpha: float) -> float:
        """The lower limit of win rate - loss rate with one-sided error `alpha`, in agreement with McNemar's test
        about 0."""
        limit = _limit(self.wins, self.losses, self.examples, alpha)
        return max(limit, 0.0) if _mcnemar(self.wins, self.losses) <= alpha else min(limit, 0.0)

    def swapped(self) -> PairedCounts:
        """The same pairs seen from the other variant."""
        return PairedCounts(self.losses, self.wins, self.examples)


@lru_cache(maxsize=65_536)
def _mcnemar(wins: int, losses: int) -> float:
    return float(binomial_sf(wins, wins + losses, 0.5)) if wins + losses else 1.0


def _limit(wins: int, losses: int, examples: int, alpha: float) -> float:
    """The lower limit of the difference of two rates of one multinomial, recovered from a limit for each (MOVER: Zou
    & Donner 2008; Tang, Li & Tang 2010). Where nothing was won it is Clopper and Pearson's for the losses.
    """
    win_rate, loss_rate = wins / examples, losses / examples
    below = win_rate - _win_floor(wins, examples, alpha)
    above = loss_ceiling(losses, examples, alpha) - loss_rate
    win_odds, loss_odds = wins / max(examples - wins, 1), losses / max(examples - losses, 1)
    squares = below**2 + above**2 + 2 * math.sqrt(win_odds * loss_odds) * below * above
    return win_rate - loss_rate - math.sqrt(squares)


def limits_of_counts(most: int, examples: int, alpha: float) -> Floats:
    """`_limit` of all outcomes of 0 to `most` wins (rows) and losses (columns)."""
    counts = np.arange(most + 1)
    shares, odds = counts / examples, counts / np.maximum(examples - counts, 1)
    below = shares - [_win_floor(wins, examples, alpha) for wins in counts.tolist()]
    above = np.array([loss_ceiling(losses, examples, alpha) for losses in counts.tolist()]) - shares
    products = np.sqrt(np.outer(odds, odds)) * np.outer(below, above)
    return np.subtract.outer(shares, shares) - np.sqrt(np.add.outer(below**2, above**2) + 2 * products)


def chances_of_counts(most: int, examples: int, win_rate: float, loss_rate: float) -> Floats:
    """The chances of the same outcomes."""
    counts = np.arange(most + 1)
    rest = examples - counts[:, None]
    lost = np.where(counts <= rest, binomial_pmf(np.minimum(counts, rest), rest, loss_rate / (1 - win_rate)), 0.0)
    return binomial_pmf(counts, examples, win_rate)[:, None] * lost


@lru_cache(maxsize=4096)
def _win_floor(wins: int, examples: int, alpha: float) -> float:
    """Jeffreys' lower limit of the win rate: the beta quantile with half a win and half a miss added; 0 without a
    win."""
    limit = float(beta_quantile(alpha, wins + 0.5, examples - wins + 0.5))
    return min(limit, wins / examples) if wins else 0.0


@lru_cache(maxsize=65_536)
def _unconditional(wins: int, losses: int, examples: int, theta: float) -> float:
    """The largest probability of evidence as strong as this when win rate - loss rate is `theta`, over plausible win
    rates."""
    win_rates = _plausible_win_rates(wins, examples, theta)
    if not win_rates.size:
        return NUISANCE_ERROR
    seen = float(_score(np.array(wins), np.array(losses), examples, theta))
    won = _range(win_rates, examples)
    lost = _most_losses(won, seen, examples, theta)
    chances = region_chances(won, lost, examples, win_rates[:, None], np.clip(win_rates[:, None] - theta, 0, 1))
    return min(1.0, float(chances.max()) + NUISANCE_ERROR)


def region_chances(won: Counts, lost: Counts, examples: int, win_rates: Floats, loss_rates: Floats) -> Floats:
    """The chance of an outcome with `won[i]` wins and at most `lost[i]` losses (-1: none) for some i, at rates of
    shape (R, 1); returns shape (R,)."""
    rest = np.maximum(1 - win_rates, 1e-300)
    at_most = binomial_cdf(lost, examples - won, np.minimum(loss_rates / rest, 1.0))
    return np.sum(binomial_pmf(won, examples, win_rates) * at_most, axis=-1)


def _plausible_win_rates(wins: int, examples: int, theta: float) -> Floats:
    """Win rates that leave room for a difference of `theta`, within Clopper and Pearson's limits for the wins seen."""
    low, high = _win_limits(wins, examples)
    low, high = max(low, theta, 0.0), min(high, (1 + theta) / 2)
    return np.linspace(math.sqrt(low), math.sqrt(high), _GRID) ** 2 if low <= high else np.empty(0)


@lru_cache(maxsize=4096)
def _win_limits(wins: int, examples: int) -> tuple[float, float]:
    ends = np.array([max(wins, 1), max(examples - wins, 1)])
    low, below_high = beta_quantile(NUISANCE_ERROR / 2, ends, examples - ends + 1)
    return (float(low) if wins else 0.0, 1 - float(below_high) if wins < examples else 1.0)


def _range(rates: Floats, examples: int) -> Counts:
    """The counts that can come up at these rates."""
    means = rates * examples
    reach = _REACH * np.sqrt(means * (1 - rates)) + 2 * _REACH
    return np.arange(max(0, math.floor((means - reach).min())), min(examples, math.ceil((means + reach).max())) + 1)


def _most_losses(won: Counts, seen: float, examples: int, theta: float) -> Counts:
    """For each number of wins the most losses whose score statistic is still at least `seen`; -1 where none is.

    By bisection: the statistic falls with every loss.
    """
    strong, weak = np.full(won.shape, -1), examples - won + 1
    while np.any(weak - strong > 1):
        middle = (strong + weak) // 2
        enough = _score(won, middle, examples, theta) >= seen - 1e-9
        strong, weak = np.where(enough, middle, strong), np.where(enough, weak, middle)
    return strong


def _score(wins: Counts, losses: Counts, examples: int, theta: float) -> Floats:
    """Tango's score statistic (1998): the difference less `theta`, over its standard error were `theta` true."""
    linear = wins * (1 + 3 * theta) + losses * (1 + theta) + 2 * (examples - wins - losses) * theta
    constant = -wins * theta * (1 + theta)
    root = np.sqrt(np.maximum(linear**2 + 8 * examples * constant, 0.0))
    win_rate = np.maximum((linear + root) / (4 * examples), max(theta, 0.0))
    variance = 2 * win_rate - theta - theta**2
    return (wins - losses - examples * theta) / np.sqrt(np.maximum(examples * variance, 1e-12))
