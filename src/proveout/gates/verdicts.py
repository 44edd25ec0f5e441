"""From a finding to a verdict: pure decisions, no clock, no input or output."""

from __future__ import annotations

import math

from proveout.gates._base import CONFIDENCE_ALPHA, DEFAULT_POWER, Finding
from proveout.gates.scorecard import Difference, Figure, GateResult, Needs, Verdict
from proveout.statistics import Estimate, PairedTest, clusters_needed, fewest_clusters, upper_spread


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
    if finding.claim == "improves" and test.difference.value == 0:
        enough = "; nothing differs so far, so that no number of examples is known to decide"
    if finding.claim == "holds" and finding.margin == 0 and not finding.target:
        enough += "; a margin of 0 asks for better, so give one above 0 if equal is good enough"
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
        return f"{finding.margin * 100:g}%"
    if is_share(finding):
        return "1 point" if finding.margin == 0.01 else f"{finding.margin * 100:g} points"
    return f"{finding.margin:g}"


def examples_needed(finding: Finding, test: PairedTest, alpha: float, power: float = DEFAULT_POWER) -> int:
    """How many examples would decide, were the true difference the one observed; 0 when no number would (nothing
    differs).

    Few examples know neither the spread nor the difference well. So the spread is taken at its upper limit (Browne
    1995), shares with half a total loss more, and a challenger that must only hold is not taken for better than the
    champion.
    """
    sign = 1.0 if finding.higher_is_better else -1.0
    seen = sign * test.difference.value + test.margin
    distance = min(seen, test.margin) if test.margin > 0 and seen > 0 else abs(seen)
    if not distance > 0 or math.isnan(distance):
        return 0
    clusters = test.difference.n
    share = is_share(finding)
    sd = math.sqrt((test.sd * upper_spread(clusters)) ** 2 + (0.5 / (clusters + 1) if share else 0.0))
    reach = max(0.0, 1.0 - test.margin) if share else 0.0
    jump = test.jump if share else 0.0
    needed = clusters_needed(sd, distance, alpha=alpha, power=power, reach=reach, jump=jump) if sd > 0 else 0
    return math.ceil(max(needed, _fewest(test, alpha), clusters + 1) * finding.per_cluster)


def is_share(finding: Finding) -> bool:
    """Whether the scores behind a finding lie within 0 and 1, as far as can be seen."""
    arms = finding.champion.value, finding.challenger.value
    return finding.objective not in ("latency", "cost") and all(0 <= value <= 1 for value in arms)


def _surest(alpha: float) -> int:
    """The clusters below which no test by signs reaches a level, even if all of them differ in one direction."""
    return math.ceil(-math.log2(alpha))


def _fewest(test: PairedTest, alpha: float) -> int:
    """The clusters below which no data would decide."""
    rare = fewest_clusters(test.margin, alpha=alpha) if 0 < test.margin < 1 else 0
    return max(_surest(alpha), rare)


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
