"""From a finding to a verdict: pure decisions, no clock, no input or output."""

from __future__ import annotations

import math

from proveout.gates._base import CONFIDENCE_ALPHA, DEFAULT_POWER, Finding
from proveout.gates.scorecard import Difference, Figure, GateResult, Needs, Verdict
from proveout.statistics import Estimate, PairedTest, clusters_needed, fewest_clusters


def judge(finding: Finding, alpha: float = CONFIDENCE_ALPHA) -> GateResult:
    """The verdict on one finding.

    Args:
        finding: what was measured.
        alpha: the one-sided level at which a claim is tested; what must hold is always tested at 5 %.

    Returns: `error` when it could not be measured; `pass` when the claim is shown (also with all failed calls held
        against the challenger, and nothing blocks it); `fail` when the opposite is shown at 5 %; otherwise, and where
        there is too little to test, `inconclusive` with the number of examples that would decide.
    """
    level = alpha if finding.claim == "improves" else CONFIDENCE_ALPHA
    verdict, reason, needs = _verdict(finding, level)
    test = finding.test
    return GateResult(
        objective=finding.objective,
        metric=finding.metric,
        claim=finding.claim,
        margin=finding.margin,
        higher_is_better=finding.higher_is_better,
        champion=figure(finding.champion),
        challenger=figure(finding.challenger),
        difference=difference(test.difference if test else None),
        p_value=_number(test.p_value) if test else None,
        alpha=level,
        method=test.method if test else "not measured",
        verdict=verdict,
        reason=reason,
        needs=Needs(examples=needs),
        unit=finding.unit,
    )


def _verdict(finding: Finding, alpha: float) -> tuple[Verdict, str, int]:
    test = finding.test
    if finding.needs and finding.problem is None:
        return "inconclusive", f"{finding.needs:,} requests of each variant are needed to tell.", finding.needs
    if finding.problem is not None or test is None:
        return "error", f"Could not measure: {finding.problem or 'no test was possible'}.", 0
    if math.isnan(test.p_value):
        least = math.ceil(_fewest(test, alpha) * finding.per_cluster)
        return "inconclusive", f"Too little to test anything; at least {least:,} examples are needed.", least
    target = _target(finding)
    if test.p_value <= alpha:
        if finding.blocked is not None:
            return "inconclusive", f"The figures would pass, but {finding.blocked}.", 0
        if finding.pessimistic is not None and not finding.pessimistic.p_value <= alpha:
            return (
                "inconclusive",
                f"Shown {target} only if the failed calls are left out; run again to fill them in.",
                0,
            )
        return "pass", f"Shown {target} (p {_p(test.p_value)} at level {alpha:.2g}).", 0
    if test.p_worse <= CONFIDENCE_ALPHA:
        return "fail", f"Shown {_opposite(finding)} (p {_p(test.p_worse)}).", 0
    needs = examples_needed(finding, test, alpha)
    enough = f"; about {needs:,} examples would decide if the difference stays as it is" if needs else ""
    return "inconclusive", f"Not shown {target} (p {_p(test.p_value)} at level {alpha:.2g}){enough}.", needs


def _target(finding: Finding) -> str:
    if finding.target:
        return finding.target
    if finding.claim == "improves":
        return "better than the champion"
    if finding.margin == 0:
        return "no worse than the champion"
    return f"no worse than the champion by the margin of {_margin(finding)}"


def _opposite(finding: Finding) -> str:
    """What a failed gate has shown."""
    if finding.opposite:
        return finding.opposite
    if finding.claim == "improves" or finding.margin == 0:
        return "worse than the champion"
    return f"worse than the champion by more than the margin of {_margin(finding)}"


def _margin(finding: Finding) -> str:
    """The margin as people say it: per cent of a ratio, points of a share, else the number itself."""
    if finding.objective in ("latency", "cost"):
        return f"{finding.margin * 100:g} %"
    if all(0 <= arm.value <= 1 for arm in (finding.champion, finding.challenger)):
        return f"{finding.margin * 100:g} points"
    return f"{finding.margin:g}"


def examples_needed(finding: Finding, test: PairedTest, alpha: float, power: float = DEFAULT_POWER) -> int:
    """How many examples would decide, were the true difference the one observed; 0 when no number would (nothing
    differs)."""
    sign = 1.0 if finding.higher_is_better else -1.0
    distance = abs(sign * test.difference.value + test.margin)
    if not distance > 0 or math.isnan(distance):
        return 0
    if test.sd > 0:
        clusters = clusters_needed(test.sd, distance, alpha=alpha, power=power)
    elif 0 < test.margin < 1:
        clusters = fewest_clusters(test.margin, alpha=alpha)
    else:
        clusters = 0
    needed = math.ceil(max(clusters, _surest(alpha)) * finding.per_cluster)
    return max(needed, math.ceil((test.difference.n + 1) * finding.per_cluster))


def _surest(alpha: float) -> int:
    """The clusters below which no test by signs reaches a level, even if all of them differ in one direction."""
    return math.ceil(-math.log2(alpha))


def _fewest(test: PairedTest, alpha: float) -> int:
    """The clusters below which no data would decide."""
    rare = fewest_clusters(test.margin, alpha=alpha) if 0 < test.margin < 1 else 0
    return max(_surest(alpha), rare)


def holm_levels(findings: list[tuple[Finding, float]], alpha: float) -> list[float]:
    """Holm's step-down levels for several claims of one change that share the level `alpha`, in the order given.

    The smallest p-value is tested at alpha/m, the next at alpha/(m-1), and so on; once one is not rejected all later
    ones are tested at the level that stopped it (Holm 1979).
    """
    order = sorted(range(len(findings)), key=lambda index: findings[index][1])
    levels = [0.0] * len(findings)
    level = 0.0
    stopped = False
    for rank, index in enumerate(order):
        if not stopped:
            level = alpha / (len(findings) - rank)
        levels[index] = level
        stopped = stopped or not findings[index][1] <= level
    return levels


def figure(estimate: Estimate) -> Figure:
    """An estimate as it stands in the scorecard: NaN becomes null."""
    return Figure(value=_number(estimate.value), low=_number(estimate.low), high=_number(estimate.high), n=estimate.n)


def difference(estimate: Estimate | None) -> Difference:
    if estimate is None:
        return Difference(value=None, low=None, high=None)
    return Difference(value=_number(estimate.value), low=_number(estimate.low), high=_number(estimate.high))


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"= {value:.2g}"
