"""Cost: what a request, or a success, of both variants costs on the same inputs, and what that makes in a month."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from proveout.economics import ledger as books
from proveout.economics.prices import TokenColumns, costs_usd
from proveout.evaluation.table import ScoreTable
from proveout.gates._base import (
    CONFIDENCE_ALPHA,
    DEFAULT_MAX_FAILURES,
    Demand,
    Evidence,
    Finding,
    Findings,
    Money,
    Pricing,
    not_measured,
)
from proveout.gates.month import month, staircase
from proveout.gates.pairing import Paired, Values, example_means, from_source, pair, too_many_missing
from proveout.gates.pricing import ByHour, ByToken, Tariff, Unmeasured, hosted, tariffs
from proveout.gates.scorecard import Claim, Measure, Notice
from proveout.gates.verdicts import figure
from proveout.gates.waste import waste
from proveout.project.records import Objective, ObjectiveSpec
from proveout.statistics import Estimate, PairedTest, mean_interval, ratio_interval, ratio_of_ratios_test, ratio_test

PER_REQUEST = "usd_per_request"
PER_SUCCESS = "usd_per_success"

SAME = 1e-12
"""The relative difference up to which two amounts of dollars are the same sum in another order."""

CACHED_MUCH = 0.01
"""The share of input tokens read from a provider's prompt cache from which that is told."""


@dataclass(frozen=True, slots=True)
class _Costs:
    """Dollars and successes of every call, by row, and the examples that count."""

    usd: Values
    success: Values | None
    keep: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CostGate:
    """The ratio of both variants' cost over clusters of the same inputs: superiority where the change claims it, else
    non-inferiority to the margin.

    Every answer counts at what it costs by the price book on the day of the run, also if it came from the cache or from
    a recording. A variant on machines of one's own costs its share of the month's replicas. Kept production failures
    are left out, as the champion was not at its usual on them.
    """

    objective: ClassVar[Objective] = "cost"

    def demand(self, spec: ObjectiveSpec) -> Demand:
        return Demand()

    def measure(self, evidence: Evidence, spec: ObjectiveSpec, claim: Claim) -> Findings:
        metric = spec.metric or PER_REQUEST
        try:
            pricing = evidence.pricing
            if pricing is None:
                raise Unmeasured("this run knows no prices")
            arms = _with_tokens(evidence.table, tariffs(pricing, evidence.service))
            costs = _costs(evidence, pricing, arms, spec)
            finding = _finding(evidence, pricing, arms, costs, metric, spec, claim)
        except Unmeasured as problem:
            return Findings((not_measured("cost", metric, spec, claim, str(problem)),))
        ledgers = _ledgers(evidence.table, costs)
        return Findings(
            (finding,),
            tuple(_measures(evidence.table, costs, ledgers, metric)),
            tuple(_odd_notices(evidence.table, ledgers, pricing)),
            _money(evidence, pricing, arms, costs),
        )


def _money(evidence: Evidence, pricing: Pricing, arms: tuple[Tariff, Tariff], costs: _Costs) -> Money:
    table, (champion, challenger) = evidence.table, pricing.variants
    paid = _paired(table, costs.usd, costs)
    successes = None if costs.success is None else _paired(table, costs.success, costs)
    return Money(
        impact=month(evidence, paid, successes, arms),
        waste=waste(evidence, arms),
        hosting=tuple(
            hosted(variant, tariff)
            for variant, tariff in zip(pricing.variants, arms, strict=True)
            if isinstance(tariff, ByHour)
        ),
        break_even=staircase((champion.name, challenger.name), paid, arms),
    )


def _with_tokens(table: ScoreTable, arms: tuple[Tariff, Tariff]) -> tuple[Tariff, Tariff]:
    """Machines told how many tokens a request has, where that was counted."""

    def filled(arm: int, tariff: Tariff) -> Tariff:
        rows = (np.asarray(table.arm) == arm) & (np.asarray(table.failed) == 0)
        counts = [table.column(name)[rows] for name in ("input_tokens", "output_tokens")]
        if isinstance(tariff, ByToken) or any(np.isnan(column).all() for column in counts):
            return tariff
        return tariff.using(*(float(np.nanmean(column)) for column in counts))

    return filled(0, arms[0]), filled(1, arms[1])


def _costs(evidence: Evidence, pricing: Pricing, arms: tuple[Tariff, Tariff], spec: ObjectiveSpec) -> _Costs:
    """Price every call.

    Raises:
        Unmeasured: an endpoint counts no tokens, or too many calls failed.
    """
    table = evidence.table
    keep = ~from_source(table, "failures")
    limit = float(spec.settings.get("max_failures", DEFAULT_MAX_FAILURES))
    problem = too_many_missing(table, keep, limit)
    if problem is not None:
        raise Unmeasured(problem)
    usd = _dollars(table, arms)
    answered = np.asarray(table.failed) == 0
    for arm, variant in enumerate(pricing.variants):
        rows = answered & (np.asarray(table.arm) == arm)
        uncounted = int(np.isnan(usd[rows]).sum())
        if uncounted > limit * int(rows.sum()):
            raise Unmeasured(
                f"{uncounted:,} of {int(rows.sum()):,} answers of {variant.name} came without token counts (usage), so "
                "their cost is unknown"
            )
    return _Costs(usd, _successes(evidence, spec), keep)


def _dollars(table: ScoreTable, arms: tuple[Tariff, Tariff]) -> Values:
    """Dollars of every call, NaN for those that failed."""
    usd = np.full(len(table), np.nan)
    for arm, tariff in enumerate(arms):
        rows = np.asarray(table.arm) == arm
        if isinstance(tariff, ByToken):
            tokens = TokenColumns(*(table.column(name)[rows] for name in _TOKENS))
            usd[rows] = costs_usd(tariff.price, tokens, tariff.factor)
        else:
            usd[rows & (np.asarray(table.failed) == 0)] = tariff.month.usd_per_request
    return usd


_TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")


def _successes(evidence: Evidence, spec: ObjectiveSpec) -> Values | None:
    """1 for each answer whose score reaches `success_at`, else 0; None where no metric says what a success is."""
    table = evidence.table
    declared = evidence.service.objectives.get("accuracy")
    metric = (declared.metric if declared else None) or (table.metrics[0] if table.metrics else None)
    if metric not in table.metrics or metric in evidence.lower_is_better:
        return None
    scores = table.column(metric)
    least = float(spec.settings.get("success_at") or 1.0)
    return np.where(np.isnan(scores), np.nan, scores >= least - 1e-12)


def _finding(
    evidence: Evidence,
    pricing: Pricing,
    arms: tuple[Tariff, Tariff],
    costs: _Costs,
    metric: str,
    spec: ObjectiveSpec,
    claim: Claim,
) -> Finding:
    margin = 0.0 if claim == "improves" else spec.margin
    paid = _paired(evidence.table, costs.usd, costs)
    if len(paid.names) < 2:
        raise Unmeasured(f"only {len(paid.names)} clusters of examples have a known cost of both variants")
    champion, challenger, test = _compared(evidence, costs, metric, margin)
    strict = claim == "holds" and margin == 0
    equal = strict and _equal(evidence, costs, metric)
    if equal:
        test = _same_cost(test)
    target, opposite = _words(evidence.table, costs, test, equal=equal) if strict else ("", "")
    if math.isnan(test.p_value):
        raise Unmeasured("the champion costs nothing by prices.yaml, and nothing can be compared with that")
    return Finding(
        objective="cost",
        metric=metric,
        claim=claim,
        margin=spec.margin,
        higher_is_better=False,
        champion=champion,
        challenger=challenger,
        test=test,
        pessimistic=_pessimistic(evidence, costs, metric, margin),
        blocked=_in_doubt(evidence, pricing, arms, costs, metric, margin),
        per_cluster=paid.per_cluster,
        unit="usd",
        target=target,
        opposite=opposite,
    )


def _equal(evidence: Evidence, costs: _Costs, metric: str) -> bool:
    """Whether the variants cost the same on every cluster; for the cost of a success, with as many successes too."""
    columns = [costs.usd] if metric == PER_REQUEST or costs.success is None else [costs.usd, costs.success]
    pairs = [_paired(evidence.table, column, costs) for column in columns]
    return all(np.allclose(pair.challenger, pair.champion, rtol=SAME, atol=0) for pair in pairs)


def _same_cost(test: PairedTest) -> PairedTest:
    """The sign test of costs that differ nowhere: were the challenger dearer on half of the clusters or more, none of K
    would show it with probability 1/2^K at most. No mean of equal costs could be shown to be below a margin of 0."""
    size = test.difference.n
    nothing = Estimate(0.0, 0.0, 0.0, size)
    return PairedTest(nothing, 0.0, 0.5**size, 1.0, 0.0, f"exact sign test: equal cost in all of {size:,} clusters")


def _words(table: ScoreTable, costs: _Costs, test: PairedTest, *, equal: bool) -> tuple[str, str]:
    """What a margin of 0 asks and what its failure shows, in words that follow "shown"."""
    if equal:
        return "no dearer than the champion: every request costs the same", ""
    more = [f"{_token_change(table, costs, kind):+.3g} {kind}" for kind in ("input", "output")]
    return (
        "cheaper than the champion, which a margin of 0% asks where costs differ at all",
        f"dearer than the champion by {test.difference.value:.2%} ({' and '.join(more)} tokens a request), and a "
        "margin of 0% allows none of it",
    )


def _token_change(table: ScoreTable, costs: _Costs, kind: str) -> float:
    paired = _paired(table, table.column(f"{kind}_tokens"), costs)
    return float((paired.challenger - paired.champion).mean()) if paired.names else 0.0


def _compared(evidence: Evidence, costs: _Costs, metric: str, margin: float) -> tuple[Estimate, Estimate, PairedTest]:
    """Both variants' cost, and the test of their ratio."""
    if metric == PER_SUCCESS:
        return _per_success(evidence, costs, margin)
    paid = _paired(evidence.table, costs.usd, costs)
    test = ratio_test(paid.champion, paid.challenger, margin=margin, seed=evidence.seed)
    return _amount(paid.champion), _amount(paid.challenger), test


def _in_doubt(
    evidence: Evidence, pricing: Pricing, arms: tuple[Tariff, Tariff], costs: _Costs, metric: str, margin: float
) -> str | None:
    """Why a pass hangs on a goodput that the load test has not surely shown; None where it does not."""
    champion, challenger = arms
    if isinstance(champion, ByHour):
        champion = champion.at(champion.goodput.high)
    if isinstance(challenger, ByHour):
        challenger = challenger.at(challenger.goodput.low)
    if (champion, challenger) == arms:
        return None
    worst = _Costs(_dollars(evidence.table, (champion, challenger)), costs.success, costs.keep)
    if _compared(evidence, worst, metric, margin)[2].p_value <= CONFIDENCE_ALPHA:
        return None
    own = [variant.name for variant, tariff in zip(pricing.variants, arms, strict=True) if isinstance(tariff, ByHour)]
    return f"not at the goodput of {' and '.join(own)} that the load test has surely shown; measure it longer"


def _per_success(evidence: Evidence, costs: _Costs, margin: float) -> tuple[Estimate, Estimate, PairedTest]:
    if costs.success is None:
        raise Unmeasured("no accuracy metric says which answers are successes; set one in objectives.accuracy")
    table = evidence.table
    known = ~np.isnan(costs.usd) & ~np.isnan(costs.success)
    paid = _paired(table, np.where(known, costs.usd, np.nan), costs)
    good = _paired(table, np.where(known, costs.success, np.nan), costs)
    for name, values in (("champion", good.champion), ("challenger", good.challenger)):
        if not values.sum() > 0:
            raise Unmeasured(f"the {name} had no success at all, so a success of it has no price")
    champion = ratio_interval(paid.champion, good.champion, seed=evidence.seed)
    challenger = ratio_interval(paid.challenger, good.challenger, seed=evidence.seed)
    test = ratio_of_ratios_test(
        (paid.champion, good.champion), (paid.challenger, good.challenger), margin=margin, seed=evidence.seed
    )
    return champion, challenger, test


def _pessimistic(evidence: Evidence, costs: _Costs, metric: str, margin: float) -> PairedTest | None:
    """The test with every unknown call held against the challenger: its own as dear as its dearest and no success, the
    champion's as cheap as its cheapest and a success. None where nothing is unknown."""
    arms = np.asarray(evidence.table.arm)
    unknown = np.isnan(costs.usd)
    if not unknown.any():
        return None
    cheapest = float(np.nanmin(costs.usd[arms == 0]))
    dearest = float(np.nanmax(costs.usd[arms == 1]))
    usd = np.where(unknown, np.where(arms == 0, cheapest, dearest), costs.usd)
    success = None if costs.success is None else np.where(unknown, arms == 0, costs.success)
    return _compared(evidence, _Costs(usd, success, costs.keep), metric, margin)[2]


def _paired(table: ScoreTable, values: Values, costs: _Costs) -> Paired:
    return pair(table, example_means(table, values, 0), example_means(table, values, 1), costs.keep)


def _ledgers(table: ScoreTable, costs: _Costs) -> tuple[books.Ledger, books.Ledger]:
    """Both variants' answered calls on the examples that count."""
    examples, arms = np.asarray(table.example), np.asarray(table.arm)
    _, clusters = np.unique(np.asarray(table.examples.clusters, dtype=object).astype(str), return_inverse=True)
    used = costs.keep[examples] & (np.asarray(table.failed) == 0)
    found: list[books.Ledger] = []
    for arm in (0, 1):
        rows = used & (arms == arm)
        found.append(
            books.Ledger(
                input_tokens=table.column("input_tokens")[rows],
                output_tokens=table.column("output_tokens")[rows],
                usd=costs.usd[rows],
                clusters=clusters[examples[rows]],
                success=None if costs.success is None else costs.success[rows],
                cut=table.column("cut")[rows],
            )
        )
    return found[0], found[1]


def _measures(
    table: ScoreTable, costs: _Costs, ledgers: tuple[books.Ledger, books.Ledger], decided: str
) -> list[Measure]:
    """Tokens per request, and the cost that does not decide."""
    measures: list[Measure] = []
    for column in ("input_tokens", "output_tokens"):
        paired = _paired(table, table.column(column), costs)
        measures.append(_measure(column, _amount(paired.champion), _amount(paired.challenger)))
    if decided != PER_REQUEST:
        paired = _paired(table, costs.usd, costs)
        measures.append(_measure(PER_REQUEST, _amount(paired.champion), _amount(paired.challenger)))
    if decided != PER_SUCCESS and costs.success is not None:
        measures.append(_measure(PER_SUCCESS, *(ledger.usd_per_success() for ledger in ledgers)))
    return measures


def _amount(values: Values) -> Estimate:
    """The mean of dollars or tokens with its interval.

    They are counted in units in which the dearest is 2: figures between 0 and 1 are taken for scores, whose rare others
    could have been 1.
    """
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0.0:
        return Estimate(0.0, 0.0, 0.0, len(values))
    unit = largest / 2
    scaled = mean_interval(values / unit)
    return Estimate(scaled.value * unit, scaled.low * unit, scaled.high * unit, scaled.n)


def _measure(metric: str, champion: Estimate, challenger: Estimate) -> Measure:
    return Measure(objective="cost", metric=metric, champion=figure(champion), challenger=figure(challenger))


def _odd_notices(table: ScoreTable, ledgers: Sequence[books.Ledger], pricing: Pricing) -> list[Notice]:
    notices: list[Notice] = []
    for arm, (ledger, variant) in enumerate(zip(ledgers, pricing.variants, strict=True)):
        found = ledger.anomalies()
        if found.odd:
            message = f"{len(found.odd):,} of {len(ledger):,} requests used far more or fewer tokens than the others."
            notices.append(Notice(kind="odd_tokens", message=message, variant=variant.name, count=len(found.odd)))
        if found.heavy_tail:
            message = f"The dearest 1% of requests take {found.tail_share:.0%} of all cost."
            notices.append(Notice(kind="cost_tail", message=message, variant=variant.name))
        if found.cut > books.CUT_OFTEN:
            count = round(found.cut * len(ledger))
            message = f"{found.cut:.1%} of answers were paid for and cut at the token limit."
            notices.append(Notice(kind="cut_and_paid", message=message, variant=variant.name, count=count))
        rows = np.asarray(table.arm) == arm
        sent, read = np.nansum(table.column("input_tokens")[rows]), np.nansum(table.column("cached_tokens")[rows])
        if sent > 0 and read / sent > CACHED_MUCH:
            message = (
                f"{read / sent:.0%} of input tokens were read from the provider's prompt cache and are priced so; in "
                "production that share may differ."
            )
            notices.append(Notice(kind="prompt_cache", message=message, variant=variant.name))
    return notices
