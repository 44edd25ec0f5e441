"""Cost: what a request, or a success, of both variants costs on the same inputs, and what that makes in a month."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from proveout.economics import ledger as books
from proveout.economics.impact import Impact, Traffic, monthly_impact
from proveout.economics.prices import TokenColumns, costs_usd, priced_name, tier_factor
from proveout.economics.public_prices import public_source
from proveout.economics.waste import Waste, split_bill
from proveout.evaluation.table import ScoreTable
from proveout.gates._base import DEFAULT_MAX_FAILURES, Demand, Evidence, Finding, Findings, Pricing, not_measured
from proveout.gates.pairing import Paired, Values, example_means, from_source, pair, too_many_missing
from proveout.gates.scorecard import Claim, ImpactDriver, Measure, MonthlyImpact, Notice, WasteShare
from proveout.gates.verdicts import figure
from proveout.project.records import Objective, ObjectiveSpec, Price, Service, Variant
from proveout.statistics import Estimate, PairedTest, mean_interval, ratio_interval, ratio_of_ratios_test, ratio_test

PER_REQUEST = "usd_per_request"
PER_SUCCESS = "usd_per_success"

CACHED_MUCH = 0.01
"""The share of input tokens read from a provider's prompt cache from which that is told."""

WASTED_MUCH = 5.0
"""Percent of a bill from which its waste is told."""

_WASTE = {
    "syntax": "JSON syntax",
    "unread": "fields nobody reads",
    "talk": "text beside the answer",
    "reasoning": "needless reasoning",
    "truncated": "cut answers",
    "retried": "paid retries",
    "repeated_prefix": "a repeated beginning that no cache read",
}


class _Unmeasured(Exception):
    """Why nothing can be said about cost."""


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
    a recording. Kept production failures are left out, as the champion was not at its usual on them.
    """

    objective: ClassVar[Objective] = "cost"

    def demand(self, spec: ObjectiveSpec) -> Demand:
        return Demand()

    def measure(self, evidence: Evidence, spec: ObjectiveSpec, claim: Claim) -> Findings:
        metric = spec.metric or PER_REQUEST
        try:
            pricing = evidence.pricing
            if pricing is None:
                raise _Unmeasured("this run knows no prices")
            costs = _costs(evidence, pricing, spec)
            finding = _finding(evidence, costs, metric, spec, claim)
        except _Unmeasured as problem:
            return Findings((not_measured("cost", metric, spec, claim, str(problem)),))
        ledgers = _ledgers(evidence.table, costs)
        impact = _impact(evidence, costs)
        notices = [_price_notice(pricing), *_odd_notices(evidence.table, ledgers, pricing)]
        if impact is not None:
            notices.insert(0, _impact_notice(impact))
        measures = _measures(evidence.table, costs, ledgers, metric)
        bills = _bills(evidence, pricing)
        notices += _waste_notices(bills, pricing)
        return Findings((finding,), tuple(measures), tuple(notices), impact, _waste_shares(bills))


def _costs(evidence: Evidence, pricing: Pricing, spec: ObjectiveSpec) -> _Costs:
    """Price every call.

    Raises:
        _Unmeasured: a price is unknown, an endpoint counts no tokens, or too many calls failed.
    """
    table = evidence.table
    arms, answered = np.asarray(table.arm), np.asarray(table.failed) == 0
    keep = ~from_source(table, "failures")
    limit = float(spec.settings.get("max_failures", DEFAULT_MAX_FAILURES))
    problem = too_many_missing(table, keep, limit)
    if problem is not None:
        raise _Unmeasured(problem)
    usd = np.full(len(table), np.nan)
    unpriced: list[str] = []
    for arm, variant in enumerate(pricing.variants):
        rows = arms == arm
        priced = _price(pricing, variant)
        if isinstance(priced, str):
            unpriced += [] if priced in unpriced else [priced]
            continue
        price, factor = priced
        usd[rows] = costs_usd(price, TokenColumns(*(table.column(name)[rows] for name in _TOKENS)), factor)
        uncounted = int((answered & rows & np.isnan(usd)).sum())
        if uncounted > limit * int((answered & rows).sum()):
            raise _Unmeasured(
                f"{uncounted:,} of {int((answered & rows).sum()):,} answers of {variant.name} came without token "
                "counts (usage), so their cost is unknown"
            )
    if unpriced:
        raise _Unmeasured("; ".join(unpriced))
    return _Costs(usd, _successes(evidence, spec), keep)


_TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")


def _price(pricing: Pricing, variant: Variant) -> tuple[Price, float] | str:
    """A variant's price with its tier's factor, or what is unknown and what to write."""
    model = variant.model
    price = pricing.book.price_of(model, pricing.on)
    name = priced_name(model)
    tier = variant.parameters.get("service_tier")
    if price is None:
        return (
            f"the price of {model.provider} {name} (variant {variant.name}) on {pricing.on} is unknown; add to "
            f"prices.yaml - {{provider: {model.provider}, model: {name}, since: {pricing.on}, input: ..., output: ...}}"
        )
    factor = tier_factor(price, None if tier is None else str(tier))
    if factor is None:
        return (
            f"the price of {model.provider} {name} in service tier {tier} (variant {variant.name}) is unknown; add the "
            f"tier to its entry in prices.yaml: tiers: {{{tier}: ...}}"
        )
    return price, factor


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


def _finding(evidence: Evidence, costs: _Costs, metric: str, spec: ObjectiveSpec, claim: Claim) -> Finding:
    table = evidence.table
    margin = 0.0 if claim == "improves" else spec.margin
    paid = _paired(table, costs.usd, costs)
    if len(paid.names) < 2:
        raise _Unmeasured(f"only {len(paid.names)} clusters of examples have a known cost of both variants")
    if metric == PER_SUCCESS:
        champion, challenger, test = _per_success(evidence, costs, margin)
    else:
        champion, challenger = _amount(paid.champion), _amount(paid.challenger)
        test = ratio_test(paid.champion, paid.challenger, margin=margin, seed=evidence.seed)
    if math.isnan(test.p_value):
        raise _Unmeasured("the champion costs nothing by prices.yaml, and nothing can be compared with that")
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
        per_cluster=paid.per_cluster,
        unit="usd",
    )


def _per_success(evidence: Evidence, costs: _Costs, margin: float) -> tuple[Estimate, Estimate, PairedTest]:
    if costs.success is None:
        raise _Unmeasured("no accuracy metric says which answers are successes; set one in objectives.accuracy")
    table = evidence.table
    known = ~np.isnan(costs.usd) & ~np.isnan(costs.success)
    paid = _paired(table, np.where(known, costs.usd, np.nan), costs)
    good = _paired(table, np.where(known, costs.success, np.nan), costs)
    for name, values in (("champion", good.champion), ("challenger", good.challenger)):
        if not values.sum() > 0:
            raise _Unmeasured(f"the {name} had no success at all, so a success of it has no price")
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
    worst = _Costs(usd, success, costs.keep)
    if metric == PER_SUCCESS:
        return _per_success(evidence, worst, margin)[2]
    paid = _paired(evidence.table, usd, worst)
    return ratio_test(paid.champion, paid.challenger, margin=margin, seed=evidence.seed)


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


def _price_notice(pricing: Pricing) -> Notice:
    """Which prices were used: the book's date and hash, or the package that published them."""
    book = pricing.book
    dated = book.dated(pricing.on)
    message = f"Prices of {pricing.on}"
    if dated is not None:
        message += f", from prices.yaml (newest from {dated}, content {book.digest})"
    outside = [
        variant.name
        for variant in pricing.variants
        if (price := book.price_of(variant.model, pricing.on)) is not None and not book.holds(price)
    ]
    if outside:
        message += f"; of {' and '.join(dict.fromkeys(outside))} as published in {public_source()}"
    return Notice(kind="prices", message=message + ".")


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


def _impact(evidence: Evidence, costs: _Costs) -> MonthlyImpact | None:
    """The month that the service's declared traffic makes of it; None where none is declared."""
    traffic = _traffic(evidence.service)
    if traffic is None:
        return None
    paired = _paired(evidence.table, costs.usd, costs)
    found: Impact = monthly_impact(paired.champion, paired.challenger, traffic, seed=evidence.seed)
    return MonthlyImpact(
        requests_per_month=traffic.requests_per_month,
        champion_usd=found.champion_usd,
        challenger_usd=found.challenger_usd,
        p5=found.p5,
        p50=found.p50,
        p95=found.p95,
        saves=found.saves,
        score=found.score,
        drivers=tuple(
            ImpactDriver(name=driver.name, low=driver.low, high=driver.high, share=driver.share)
            for driver in found.drivers
        ),
        draws=found.draws,
        seed=found.seed,
    )


def _impact_notice(impact: MonthlyImpact) -> Notice:
    low, high = sorted((impact.p5, impact.p95))
    depends = f" It depends most on {impact.drivers[0].name}." if impact.drivers else ""
    today = _dollars(impact.champion_usd, sign=False)
    message = (
        f"At {impact.requests_per_month:,.0f} requests a month the bill changes by {_dollars(impact.p50)} (90% "
        f"interval {_dollars(low)} to {_dollars(high)}), from {today} today; it saves with probability "
        f"{impact.saves:.0%}. Economic score {impact.score:.0f} of 100.{depends}"
    )
    return Notice(kind="monthly_impact", message=message)


def _dollars(amount: float, *, sign: bool = True) -> str:
    size = f"${abs(amount):,.0f}" if abs(amount) >= 100 else f"${abs(amount):,.2f}"
    return f"{'−' if amount < 0 else '+'}{size}" if sign else size


def _bills(evidence: Evidence, pricing: Pricing) -> list[Waste]:
    """Both variants' bills, split by use; none where an arm has no answers to split."""
    bills: list[Waste] = []
    for variant, spent in zip(pricing.variants, evidence.spent, strict=True):
        priced = _price(pricing, variant)
        if not spent or isinstance(priced, str):
            return []
        bills.append(split_bill(spent, *priced))
    return bills


def _waste_shares(bills: Sequence[Waste]) -> tuple[WasteShare, ...]:
    if not bills:
        return ()
    pairs = zip(bills[0].lines, bills[1].lines, strict=True)
    return tuple(WasteShare(kind=one.kind, champion=one.percent, challenger=two.percent) for one, two in pairs)


def _waste_notices(bills: Sequence[Waste], pricing: Pricing) -> list[Notice]:
    """What of a bill could be saved, the largest part first, where it is worth a look."""
    notices: list[Notice] = []
    for bill, variant in zip(bills, pricing.variants, strict=False):
        wasted = sorted((line for line in bill.lines if line.kind != "useful"), key=lambda line: -line.percent)
        total = sum(line.percent for line in wasted)
        if total >= WASTED_MUCH:
            parts = ", ".join(f"{_WASTE[line.kind]} {line.percent:.1f}%" for line in wasted if line.percent >= 0.5)
            message = f"About {total:.0f}% of the bill could be saved: {parts}."
            notices.append(Notice(kind="waste", message=message, variant=variant.name))
    return notices


def _traffic(service: Service) -> Traffic | None:
    requests = service.traffic.get("requests_per_month")
    if not requests:
        return None
    return Traffic(float(requests), float(service.traffic.get("uncertainty") or 0.0))
