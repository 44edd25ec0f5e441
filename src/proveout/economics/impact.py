"""What a change is worth in a month: a seeded simulation of all that is uncertain, its payback, and one score."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from proveout.economics.machines import Serving, machines_usd_per_month

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 10_000
BINS = 40
MANY_CLUSTERS = 500
PORTION = 500
"""Draws that are made at once, so that memory stays within a few megabytes."""

CAUTION = 0.2
"""The quantile of the net value that the score rests on, so that doubt costs points."""

SCALE = 0.25
"""The share of today's monthly spending that moves the score from 50 to 88."""


class Traffic(msgspec.Struct, frozen=True):
    """Requests in a month, with their relative standard deviation; and how many times the mean the busiest minutes
    have, for which machines of one's own are counted."""

    requests_per_month: float
    uncertainty: float = 0.0
    peak_to_mean: float = 2.0


class Worth(msgspec.Struct, frozen=True):
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


class Driver(msgspec.Struct, frozen=True):
    """How far the monthly outcome moves when only this input varies: its P5 and P95, and its share of the variance that
    all such lone movements add up to. The outcome is the difference of the bills less the worth of more successes."""

    name: str
    low: float
    high: float
    share: float


class Spread(msgspec.Struct, frozen=True):
    """The 5th, 50th and 95th percentile of simulated months, in dollars."""

    p5: float
    p50: float
    p95: float


class Payback(msgspec.Struct, frozen=True):
    """In how many months the value of the median month pays for `usd` of migration, with those of the P95 and of the P5
    month; None: never. `in_time` is the probability that it is paid within `within` months."""

    usd: float
    months: float | None
    soonest: float | None
    latest: float | None
    within: float
    in_time: float


class Impact(msgspec.Struct, frozen=True):
    """The monthly difference in dollars, challenger - champion: less than 0 saves.

    `champion_usd` is what the champion costs in a month. `value` is what a month gains in all: what is saved, and the
    worth of more successes. `middle` is the outcome (see `Driver`) without any doubt. `score` runs from 0 to 100, 50
    being a change that neither earns nor costs. `counts` tell how often the difference fell between two `edges`.
    """

    p5: float
    p50: float
    p95: float
    saves: float
    champion_usd: float
    challenger_usd: float
    value: Spread
    payback: Payback
    middle: float
    drivers: tuple[Driver, ...]
    score: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    draws: int
    seed: int


_Inputs = dict[str, Any]
_Outcome = Callable[[_Inputs], Any]


def monthly_impact(
    champion: NDArray[Any],
    challenger: NDArray[Any],
    traffic: Traffic,
    *,
    price_uncertainty: tuple[float, float] = (0.0, 0.0),
    machines: tuple[Serving | None, Serving | None] = (None, None),
    worth: Worth | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Impact:
    """Simulate a month's difference.

    Args:
        champion: dollars per request, one mean per cluster, shape (K,).
        challenger: the same clusters in the same order; they are drawn in pairs, as in the paired test.
        traffic: how many requests a month has (lognormal).
        price_uncertainty: relative standard deviations of both variants' prices (lognormal), for offers not yet signed.
        machines: what serves each variant that is paid by the hour. Its month costs whole replicas for the drawn
            traffic at the drawn goodput, whatever its dollars per request say.
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
    inputs: _Inputs = {
        "tokens": _bootstrap_means(champion, challenger, draws, random),
        "traffic": _lognormal(traffic.requests_per_month, traffic.uncertainty, draws, random),
    }
    middles: _Inputs = {
        "tokens": (float(champion.mean()), float(challenger.mean())),
        "traffic": traffic.requests_per_month,
    }
    for arm, name in enumerate(("champion", "challenger")):
        inputs[f"{name}'s prices"] = _lognormal(1.0, price_uncertainty[arm], draws, random)
        middles[f"{name}'s prices"] = 1.0
    inputs["successes"] = random.normal(worth.successes_gained, worth.successes_error, draws)
    middles["successes"] = worth.successes_gained
    for name, serving in zip(("champion", "challenger"), machines, strict=True):
        if serving is not None:
            inputs[f"{name}'s goodput"] = _lognormal(serving.goodput, serving.goodput_doubt, draws, random)
            middles[f"{name}'s goodput"] = serving.goodput
    bills = _bills(traffic, machines)
    difference = _difference(bills, worth)
    net = _net(difference, worth)
    changes, value = difference(inputs), -net(inputs)
    edges, counts = _histogram(changes)
    spread, gained = _spread(changes), _spread(value)
    champion_usd, challenger_usd = (float(bill(middles)) for bill in bills)
    return Impact(
        p5=spread.p5,
        p50=spread.p50,
        p95=spread.p95,
        saves=float(np.mean(changes < 0)),
        champion_usd=champion_usd,
        challenger_usd=challenger_usd,
        value=gained,
        payback=_payback(gained, value, worth),
        middle=float(net(middles)),
        drivers=_drivers(inputs, middles, net, draws),
        score=economic_score(value - worth.migration / worth.payback_months, champion_usd),
        edges=edges,
        counts=counts,
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


def _bills(traffic: Traffic, machines: tuple[Serving | None, Serving | None]) -> tuple[_Outcome, _Outcome]:
    """What a month costs, of each variant: by the token, or in whole replicas."""

    def bill(arm: int, name: str, serving: Serving | None) -> _Outcome:
        if serving is None:
            return lambda inputs: inputs["traffic"] * inputs["tokens"][arm] * inputs[f"{name}'s prices"]

        def hosted(inputs: _Inputs) -> Any:
            month = machines_usd_per_month(
                serving, inputs["traffic"], traffic.peak_to_mean, inputs[f"{name}'s goodput"]
            )
            return month * inputs[f"{name}'s prices"]

        return hosted

    return bill(0, "champion", machines[0]), bill(1, "challenger", machines[1])


def _difference(bills: tuple[_Outcome, _Outcome], worth: Worth) -> _Outcome:
    return lambda inputs: bills[1](inputs) - bills[0](inputs) + worth.operations_per_month


def _net(difference: _Outcome, worth: Worth) -> _Outcome:
    """The monthly difference with the worth of successes taken off."""
    return lambda inputs: difference(inputs) - worth.per_success * inputs["successes"] * inputs["traffic"]


def _spread(values: NDArray[Any]) -> Spread:
    return Spread(*(float(one) for one in np.quantile(values, (0.05, 0.5, 0.95))))


def _payback(gained: Spread, value: NDArray[Any], worth: Worth) -> Payback:
    def months(usd_per_month: float) -> float | None:
        if usd_per_month > 0:
            return worth.migration / usd_per_month
        return None if worth.migration or usd_per_month < 0 else 0.0

    return Payback(
        usd=worth.migration,
        months=months(gained.p50),
        soonest=months(gained.p95),
        latest=months(gained.p5),
        within=worth.payback_months,
        in_time=float(np.mean(value * worth.payback_months >= worth.migration)),
    )


def _histogram(values: NDArray[Any]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Equal bins from the 0.1st to the 99.9th percentile, the end bins with all beyond; nothing where there is no
    doubt."""
    low, high = (float(one) for one in np.quantile(values, (0.001, 0.999)))
    if not high - low > 1e-9 * max(abs(low), abs(high)):
        return (), ()
    counts, edges = np.histogram(np.clip(values, low, high), BINS, (low, high))
    return tuple(float(edge) for edge in edges), tuple(int(count) for count in counts)


def _drivers(inputs: _Inputs, middles: _Inputs, outcome: _Outcome, draws: int) -> tuple[Driver, ...]:
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
    means = np.empty((2, draws))
    for start in range(0, draws, PORTION):
        chosen = random.integers(size, size=(min(PORTION, draws - start), size))
        for arm, values in enumerate((champion, challenger)):
            means[arm, start : start + len(chosen)] = values[chosen].mean(axis=1)
    return means[0], means[1]


def _lognormal(mean: float, relative_sd: float, draws: int, random: np.random.Generator) -> NDArray[Any]:
    """Positive draws with this mean and relative standard deviation."""
    variance = math.log1p(relative_sd**2)
    return mean * np.exp(random.normal(-variance / 2, math.sqrt(variance), draws))
