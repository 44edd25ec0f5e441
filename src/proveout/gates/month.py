"""What a change makes of the month, and where machines of one's own become cheaper than an API."""

from __future__ import annotations

import math

from proveout.economics.impact import Impact, Worth, monthly_impact
from proveout.economics.machines import break_even
from proveout.gates._base import Evidence
from proveout.gates.pairing import Paired
from proveout.gates.pricing import ByHour, ByToken, Tariff, declared_traffic
from proveout.gates.scorecard import BreakEven, HostingStep, ImpactDriver, MonthlyImpact, Payback, Spread
from proveout.project.records import Migration

MOST_STEPS = 64
"""Numbers of replicas in a staircase."""


def month(
    evidence: Evidence, paid: Paired, successes: Paired | None, arms: tuple[Tariff, Tariff]
) -> MonthlyImpact | None:
    """The month that the service's declared traffic makes of it; None where none is declared.

    Args:
        evidence: the run, with the service's worth of answers and the change's migration.
        paid: dollars per request by cluster.
        successes: shares of right answers by cluster; None where nothing says which are right.
        arms: how each variant is paid.
    """
    traffic = declared_traffic(evidence.service)
    if traffic is None or not paid.names:
        return None
    worth = _worth(evidence, successes)
    serving = [tariff.serving if isinstance(tariff, ByHour) else None for tariff in arms]
    found = monthly_impact(
        paid.champion,
        paid.challenger,
        traffic,
        price_uncertainty=(_price_doubt(arms[0]), _price_doubt(arms[1])),
        machines=(serving[0], serving[1]),
        worth=worth,
        seed=evidence.seed,
    )
    return _record(found, traffic.requests_per_month, worth)


def _price_doubt(tariff: Tariff) -> float:
    return tariff.price.uncertainty if isinstance(tariff, ByToken) else 0.0


def staircase(names: tuple[str, str], paid: Paired, arms: tuple[Tariff, Tariff]) -> BreakEven | None:
    """Own machines against the API, where one variant is the one and the other the other."""
    own = [arm for arm, tariff in enumerate(arms) if isinstance(tariff, ByHour)]
    if len(own) != 1 or not paid.names:
        return None
    tariff = arms[own[0]]
    assert isinstance(tariff, ByHour)
    api = float((paid.challenger if own[0] == 0 else paid.champion).mean())
    if not api > 0:
        return None
    requests = tariff.traffic.requests_per_month
    steps = min(MOST_STEPS, max(6, 3 * (tariff.month.replicas - tariff.serving.spare)))
    found = break_even(tariff.serving, api, peak_to_mean=tariff.traffic.peak_to_mean, most_replicas=steps)
    return BreakEven(
        own=names[own[0]],
        api=names[1 - own[0]],
        api_usd_per_request=api,
        requests_per_month=requests,
        first=found.first,
        always=found.always,
        needed_utilisation=found.needed_utilisation,
        steps=tuple(
            HostingStep(
                replicas=step.replicas,
                most_requests=step.most_requests,
                usd_per_month=step.usd_per_month,
                cheaper=step.cheaper,
            )
            for step in found.steps
        ),
    )


def _worth(evidence: Evidence, successes: Paired | None) -> Worth:
    """The service's worth of an answer and the change's effort. A success more is a failure less, so that what both are
    worth is added."""
    declared, migration = evidence.service.worth, evidence.migration or Migration()
    each = declared.get("usd_per_success", 0.0) + declared.get("usd_per_failure", 0.0)
    gained = error = 0.0
    if each and successes is not None and len(successes.names) > 1:
        differences = successes.challenger - successes.champion
        gained = float(differences.mean())
        error = float(differences.std(ddof=1)) / math.sqrt(len(differences))
    return Worth(
        migration=migration.usd,
        payback_months=migration.payback_months,
        operations_per_month=migration.usd_per_month,
        per_success=each,
        successes_gained=gained,
        successes_error=error,
    )


def _record(found: Impact, requests_per_month: float, worth: Worth) -> MonthlyImpact:
    payback = found.payback
    return MonthlyImpact(
        requests_per_month=requests_per_month,
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
        value=Spread(p5=found.value.p5, p50=found.value.p50, p95=found.value.p95),
        usd_per_success=worth.per_success,
        payback=None
        if not worth.migration
        else Payback(
            usd=payback.usd,
            months=payback.months,
            soonest=payback.soonest,
            latest=payback.latest,
            within=payback.within,
            in_time=payback.in_time,
        ),
        middle=found.middle,
        edges=found.edges,
        counts=found.counts,
    )
