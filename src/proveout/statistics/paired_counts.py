"""Exact comparison of two yes-or-no scores of the same examples, from the examples that differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from proveout.statistics.distributions import Floats, beta_quantile, binomial_sf

Counts = NDArray[np.int64]

NUISANCE_ERROR = 1e-6
"""Error spent on leaving out win rates that the wins rule out (Berger & Boos 1994).

No p-value at a margin is below it.
"""

_FEW = 200
_GRID_OF_FEW, _GRID_OF_MANY = 24, 8
"""Win rates among which the worst is sought, up to 200 differing examples and above, where it matters less."""

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


def _mcnemar(wins: int, losses: int) -> float:
    return float(binomial_sf(wins, wins + losses, 0.5)) if wins + losses else 1.0


def _win_floors(wins: Counts, examples: int, alpha: float) -> Floats:
    """Jeffreys' lower limit of the win rate: the beta quantile with half a win and half a miss added; 0 without a
    win."""
    limits = beta_quantile(alpha, wins + 0.5, examples - wins + 0.5)
    return np.where(wins > 0, np.minimum(limits, wins / examples), 0.0)


def _loss_ceilings(losses: Counts, examples: int, alpha: float) -> Floats:
    """Clopper and Pearson's exact upper limit of the loss rate."""
    rest = np.maximum(examples - losses, 1)
    return np.where(losses < examples, 1 - beta_quantile(alpha, rest, losses + 1), 1.0)


def _combined(wins: Counts, losses: Counts, floors: Floats, ceilings: Floats, examples: int) -> Floats:
    """The lower limit of the difference of two rates of one multinomial, recovered from a limit for each (MOVER: Zou
    & Donner 2008; Tang, Li & Tang 2010). Where nothing was won it is Clopper and Pearson's for the losses.
    """
    win_rate, loss_rate = wins / examples, losses / examples
    below, above = win_rate - floors, ceilings - loss_rate
    win_odds = wins / np.maximum(examples - wins, 1)
    loss_odds = losses / np.maximum(examples - losses, 1)
    squares = below**2 + above**2 + 2 * np.sqrt(win_odds * loss_odds) * below * above
    return win_rate - loss_rate - np.sqrt(squares)


@lru_cache(maxsize=65_536)
def _unconditional(wins: int, losses: int, examples: int, theta: float) -> float:
    """The largest probability of evidence as strong as this when win rate - loss rate is `theta`, over plausible win
    rates."""
    win_rates = _plausible_win_rates(wins, losses, examples, theta)
    loss_rates = np.clip(win_rates - theta, 0, 1)
    if not win_rates.size:
        return NUISANCE_ERROR
    won, lost = _as_strong(wins, losses, examples, theta, _range(win_rates, examples), _range(loss_rates, examples))
    ways = _ways(won, lost, examples)
    worst = 0.0
    for win_rate, loss_rate in zip(win_rates.tolist(), loss_rates.tolist(), strict=True):
        chances = np.exp(ways + _log_rates(won, lost, examples, win_rate, loss_rate))
        worst = max(worst, float(chances.sum()))
    return min(1.0, worst + NUISANCE_ERROR)


def _plausible_win_rates(wins: int, losses: int, examples: int, theta: float) -> Floats:
    """Win rates that leave room for a difference of `theta`, within Clopper and Pearson's limits for the wins seen."""
    error = NUISANCE_ERROR / 2
    high = 1 - float(beta_quantile(error, examples - wins, wins + 1)) if wins < examples else 1.0
    low = float(beta_quantile(error, wins, examples - wins + 1)) if wins else 0.0
    high = min(high, (1 + theta) / 2)
    if low > high:
        return np.empty(0)
    points = _GRID_OF_FEW if wins + losses <= _FEW else _GRID_OF_MANY
    return np.linspace(math.sqrt(low), math.sqrt(high), points) ** 2


def _range(rates: Floats, examples: int) -> Counts:
    """The counts that can come up at these rates."""
    means = rates * examples
    reach = _REACH * np.sqrt(means * (1 - rates)) + 2 * _REACH
    return np.arange(max(0, math.floor((means - reach).min())), min(examples, math.ceil((means + reach).max())) + 1)


def _as_strong(
    wins: int, losses: int, examples: int, theta: float, win_range: Counts, loss_range: Counts
) -> tuple[Counts, Counts]:
    """Every (wins, losses) within the ranges whose score statistic is at least that of the outcome seen."""
    scores = _score(win_range[:, None], loss_range[None, :], examples, theta)
    seen = float(_score(np.array(wins), np.array(losses), examples, theta))
    possible = win_range[:, None] + loss_range[None, :] <= examples
    rows, columns = np.nonzero((scores >= seen - 1e-9) & possible)
    return win_range[rows], loss_range[columns]


def _score(wins: Counts, losses: Counts, examples: int, theta: float) -> Floats:
    """Tango's score statistic (1998): the difference less `theta`, over its standard error were `theta` true."""
    linear = wins * (1 + 3 * theta) + losses * (1 + theta) + 2 * (examples - wins - losses) * theta
    constant = -wins * theta * (1 + theta)
    root = np.sqrt(np.maximum(linear**2 + 8 * examples * constant, 0.0))
    win_rate = np.maximum((linear + root) / (4 * examples), max(theta, 0.0))
    variance = 2 * win_rate - theta - theta**2
    return (wins - losses - examples * theta) / np.sqrt(np.maximum(examples * variance, 1e-12))


def _limit(wins: int, losses: int, examples: int, alpha: float) -> float:
    won, lost = np.array(wins), np.array(losses)
    floor, ceiling = _win_floors(won, examples, alpha), _loss_ceilings(lost, examples, alpha)
    return float(_combined(won, lost, floor, ceiling, examples))


@lru_cache(maxsize=16)
def _log_factorials(largest: int) -> Floats:
    return np.cumsum(np.log(np.maximum(np.arange(largest + 1.0), 1.0)))


def _times_log(counts: Counts, rate: float) -> Floats:
    """counts * log(rate), with 0 * log(0) = 0."""
    impossible = np.where(counts > 0, -np.inf, 0.0)
    return counts.astype(np.float64) * math.log(rate) if rate > 0 else impossible


def log_chances(win_rate: float, loss_rate: float, examples: int) -> tuple[Counts, Counts, Floats]:
    """All outcomes (wins, losses) of note at these rates, and the logarithm of each one's chance."""
    won, lost = np.meshgrid(
        _range(np.array([win_rate]), examples), _range(np.array([loss_rate]), examples), indexing="ij"
    )
    possible = won + lost <= examples
    won, lost = won[possible], lost[possible]
    return won, lost, _ways(won, lost, examples) + _log_rates(won, lost, examples, win_rate, loss_rate)


def _ways(won: Counts, lost: Counts, examples: int) -> Floats:
    factorials = _log_factorials(examples)
    chosen = factorials[won] + factorials[lost] + factorials[examples - won - lost]
    return float(factorials[examples]) - chosen


def _log_rates(won: Counts, lost: Counts, examples: int, win_rate: float, loss_rate: float) -> Floats:
    tied = examples - won - lost
    tie_rate = max(1 - win_rate - loss_rate, 0.0)
    return _times_log(won, win_rate) + _times_log(lost, loss_rate) + _times_log(tied, tie_rate)
