"""What a change is worth in a month: a seeded simulation of all that is uncertain, its payback, and one score."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 10_000
MANY_CLUSTERS = 500
CAUTION = 0.2
"""The quantile of the net value that the score rests on, so that doubt costs points."""

SCALE = 0.25
"""The share of today's monthly spending that moves the score from 50 to 88."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests in a month, with their relative standard deviation."""

    requests_per_month: float
    uncertainty: float = 0.0


@dataclass(frozen=True, slots=True)
class Worth:
    """What beside its bill makes a change worth something; all in dollars, and 0 unless a team says so.

    `migration` is paid once, over `payback_months`; `operations_per_month` is what running the challenger costs more;
    `per_success` is the worth of one more success, of which `successes_gained` come per request (with its standard
    error).
    """

    migration: float = 0.0
    payback_months: float = 12.0
    operations_per_month: float = 0.0
    per_success: float = 0.0
    successes_gained: float = 0.0
    successes_error: float = 0.0


@dataclass(frozen=True, slots=True)
class Driver:
    """How far the monthly difference moves when only this input varies: its P5 and P95, and its share of the variance
    that all such lone movements add up to."""

    name: str
    low: float
    high: float
    share: float


@dataclass(frozen=True, slots=True)
class Impact:
    """The monthly difference in dollars, challenger - champion: less than 0 saves.

    `champion_usd` is what the champion costs in a month; `payback_months` how long the median saving takes to pay the
    migration (None where it never does); `score` runs from 0 to 100, 50 being a change that neither earns nor costs.
    """

    p5: float
    p50: float
    p95: float
    saves: float
    champion_usd: float
    challenger_usd: float
    drivers: tuple[Driver, ...]
    payback_months: float | None
    score: float
    draws: int
    seed: int


_Inputs = dict[str, Any]


def monthly_impact(
    champion: NDArray[Any],
    challenger: NDArray[Any],
    traffic: Traffic,
    *,
    price_uncertainty: tuple[float, float] = (0.0, 0.0),
    worth: Worth | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Impact:
    """Simulate a month's difference.

    Args:
        champion: dollars per request, one mean per cluster, shape (K,).
        challenger: the same clusters in the same order; they are drawn in pairs, as in the paired test.
        traffic: how many requests a month has (lognormal).
        price_uncertainty: relative standard deviations of both variants' prices (lognormal), for offers not yet
            signed and utilisations not yet measured.
        worth: what else counts in money.
        draws: months drawn.
        seed: of every draw.

    Raises:
        ValueError: the arrays differ in length, are empty, or hold NaN.
    """
    if champion.shape != challenger.shape or not len(champion):
        raise ValueError(f"{len(champion)} champion and {len(challenger)} challenger clusters; give the same, and some")
    if np.isnan(champion).any() or np.isnan(challenger).any():
        raise ValueError("a cost is NaN; leave clusters of unknown cost out")
    worth = worth or Worth()
    random = np.random.default_rng(seed)
    first, second = _bootstrap_means(champion, challenger, draws, random)
    inputs = {
        "tokens": (first, second),
        "traffic": (_lognormal(traffic.requests_per_month, traffic.uncertainty, draws, random),),
        "champion's prices": (_lognormal(1.0, price_uncertainty[0], draws, random),),
        "challenger's prices": (_lognormal(1.0, price_uncertainty[1], draws, random),),
        "successes": (random.normal(worth.successes_gained, worth.successes_error, draws),),
    }
    middles = {
        "tokens": (float(champion.mean()), float(challenger.mean())),
        "traffic": (traffic.requests_per_month,),
        "champion's prices": (1.0,),
        "challenger's prices": (1.0,),
        "successes": (worth.successes_gained,),
    }
    bill = _bill(worth)
    difference = bill(inputs)
    value = -difference + worth.per_success * inputs["successes"][0] * inputs["traffic"][0]
    spend = middles["traffic"][0] * middles["tokens"][0]
    p5, p50, p95 = (float(one) for one in np.quantile(difference, (0.05, 0.5, 0.95)))
    return Impact(
        p5=p5,
        p50=p50,
        p95=p95,
        saves=float(np.mean(difference < 0)),
        champion_usd=spend,
        challenger_usd=middles["traffic"][0] * middles["tokens"][1],
        drivers=_drivers(inputs, middles, _net(worth, bill), draws),
        payback_months=worth.migration / -p50 if p50 < 0 else (None if worth.migration or p50 > 0 else 0.0),
        score=economic_score(value - worth.migration / worth.payback_months, spend),
        draws=draws,
        seed=seed,
    )


def economic_score(net_values: NDArray[Any] | float, monthly_spending: float) -> float:
    """One figure from the net values of simulated months: 50 + 50 tanh(Q20 / (SCALE x monthly spending)).

    50 earns nothing and costs nothing; the 20th percentile stands for caution. Without any spending today, only the
    sign of it counts.
    """
    careful = float(np.quantile(net_values, CAUTION))
    if monthly_spending > 0:
        return 50 + 50 * math.tanh(careful / (SCALE * monthly_spending))
    return 50.0 + 50.0 * float(np.sign(careful))


def _bill(worth: Worth) -> Callable[[_Inputs], Any]:
    def difference(inputs: _Inputs) -> Any:
        champion, challenger = inputs["tokens"]
        (requests,), (old,), (new,) = inputs["traffic"], inputs["champion's prices"], inputs["challenger's prices"]
        return requests * (challenger * new - champion * old) + worth.operations_per_month

    return difference


def _net(worth: Worth, bill: Callable[[_Inputs], Any]) -> Callable[[_Inputs], Any]:
    """The monthly difference with the worth of successes taken off."""
    return lambda inputs: bill(inputs) - worth.per_success * inputs["successes"][0] * inputs["traffic"][0]


def _drivers(inputs: _Inputs, middles: _Inputs, outcome: Callable[[_Inputs], Any], draws: int) -> tuple[Driver, ...]:
    """A tornado: each input varies alone while the others stay in the middle; the largest first, without those that
    move nothing."""
    moved: list[tuple[str, float, float, float]] = []
    for name, drawn in inputs.items():
        values = np.broadcast_to(np.asarray(outcome({**middles, name: drawn}), dtype=float), (draws,))
        variance = float(values.var())
        if variance > 1e-18 * max(1.0, float(np.abs(values).max())) ** 2:
            low, high = (float(one) for one in np.quantile(values, (0.05, 0.95)))
            moved.append((name, low, high, variance))
    total = math.fsum(variance for *_, variance in moved)
    drivers = (Driver(name, low, high, variance / total) for name, low, high, variance in moved)
    return tuple(sorted(drivers, key=lambda driver: -driver.share))


def _bootstrap_means(
    champion: NDArray[Any], challenger: NDArray[Any], draws: int, random: np.random.Generator
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Means of clusters drawn with replacement, in pairs; of many clusters, from the normal distribution that they then
    have."""
    size = len(champion)
    pairs = np.column_stack([champion, challenger])
    if size > MANY_CLUSTERS:
        drawn = random.multivariate_normal(pairs.mean(axis=0), np.cov(pairs.T) / size, draws, method="eigh")
        return drawn[:, 0], drawn[:, 1]
    means = np.array([pairs[random.integers(size, size=size)].mean(axis=0) for _ in range(draws)])
    return means[:, 0], means[:, 1]


def _lognormal(mean: float, relative_sd: float, draws: int, random: np.random.Generator) -> NDArray[Any]:
    """Positive draws with this mean and relative standard deviation."""
    variance = math.log1p(relative_sd**2)
    return mean * np.exp(random.normal(-variance / 2, math.sqrt(variance), draws))
