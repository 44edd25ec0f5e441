"""How far a judge agrees with people. A judge that has not been shown to is not allowed to decide."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from proveout.evaluation.judges.labels import LabelledOutput
from proveout.evaluation.records import Attempt
from proveout.evaluation.scorers._base import Models, ModelScorer, ScorerFailed, as_text
from proveout.project.records import Answer, Example
from proveout.statistics import Estimate

FEWEST_LABELS = 50
"""Labels below which a judge is not calibrated."""

FEWEST_PER_CLASS = 10
"""Good ones, and bad ones, below which a judge is not calibrated: sensitivity and specificity need both."""

MOST_FAILED = 0.1
"""Share of labelled outputs that the judge may fail to judge."""

CHANCE = 0.5
"""Balanced accuracy of a coin; the judge's must be shown to be above it."""

GOOD_FROM = 0.5
"""A score, and a label, from which an output counts as good."""


@dataclass(frozen=True, slots=True)
class JudgeBias:
    """How much higher a judge scores one variant's outputs than people do."""

    variant: str
    human: float
    judge: float
    bias: Estimate


@dataclass(frozen=True, slots=True)
class JudgeCalibration:
    """A judge against people, with 95 % intervals. `reason` says why it is calibrated, or what is missing.

    `agreement` is the share of equal verdicts and `kappa` (Cohen 1960) the same beyond chance. `sensitivity` is the
    share of good outputs that it finds good, `specificity` of bad ones that it finds bad, `balanced_accuracy` the
    mean of the two. `failed` outputs could not be judged and count nowhere else.
    """

    n: int
    failed: int
    good: int
    agreement: Estimate
    kappa: Estimate
    sensitivity: Estimate
    specificity: Estimate
    balanced_accuracy: Estimate
    calibrated: bool
    reason: str
    by_variant: tuple[JudgeBias, ...] = ()


async def calibrate(
    judge: ModelScorer,
    labels: Sequence[LabelledOutput],
    models: Models,
    *,
    examples: Mapping[str, Example] | None = None,
    concurrency: int = 16,
) -> JudgeCalibration:
    """Let the judge score what people labelled, and compare.

    Args:
        judge: the judge.
        labels: people's labels.
        models: how the judge calls its model.
        examples: the examples that labels name by `id` without giving their input.
        concurrency: judgements at once.

    Returns:
        The comparison. A judgement that failed is counted, never scored.
    """
    slots = asyncio.Semaphore(concurrency)

    async def judged(label: LabelledOutput) -> float | None:
        async with slots:
            try:
                return (await judge.score(labelled_attempt(label, examples or {}), models)).value
            except ScorerFailed:
                return None

    scores = await asyncio.gather(*(judged(label) for label in labels))
    return summarise(list(zip(labels, scores, strict=True)))


def labelled_attempt(label: LabelledOutput, examples: Mapping[str, Example]) -> Attempt:
    """A labelled output as an answer to its example, which the label itself or `examples` describes."""
    known = examples.get(label.id or "")
    name = label.id or f"label on line {label.line}"
    given = label.input if label.input is not None else known.input if known else {}
    expected = label.expected if label.expected is not None else known.expected if known else None
    example = Example(id=name, input=given, expected=expected, cluster=name)
    return Attempt(example=example, text=as_text(label.output), answer=Answer(label.output))


def summarise(pairs: Iterable[tuple[LabelledOutput, float | None]]) -> JudgeCalibration:
    """The comparison of people's labels with a judge's scores of the same outputs; None for a score that could not
    be had."""
    from proveout.statistics import proportion_interval

    pairs = list(pairs)
    judged = [(label, score) for label, score in pairs if score is not None]
    verdicts = [(label.label >= GOOD_FROM, score >= GOOD_FROM) for label, score in judged]
    good = [found for is_good, found in verdicts if is_good]
    bad = [found for is_good, found in verdicts if not is_good]
    sensitivity = proportion_interval(sum(good), len(good))
    specificity = proportion_interval(len(bad) - sum(bad), len(bad))
    balanced = _mean_of_two(sensitivity, specificity)
    failed = len(pairs) - len(judged)
    problem = _problem(len(judged), len(good), len(bad), failed, balanced)
    return JudgeCalibration(
        n=len(judged),
        failed=failed,
        good=len(good),
        agreement=proportion_interval(sum(is_good == found for is_good, found in verdicts), len(verdicts)),
        kappa=kappa(verdicts),
        sensitivity=sensitivity,
        specificity=specificity,
        balanced_accuracy=balanced,
        calibrated=problem is None,
        reason=problem or f"better than chance on {len(judged)} labels: balanced accuracy at least {balanced.low:.2f}",
        by_variant=_by_variant(judged),
    )


def _problem(n: int, good: int, bad: int, failed: int, balanced: Estimate) -> str | None:
    if n < FEWEST_LABELS:
        return f"{n} labels are too few; at least {FEWEST_LABELS} are needed"
    if min(good, bad) < FEWEST_PER_CLASS:
        return f"{good} good and {bad} bad outputs are labelled; at least {FEWEST_PER_CLASS} of each are needed"
    if failed > MOST_FAILED * (n + failed):
        return f"the judge failed on {failed} of {n + failed} labelled outputs"
    if not balanced.low > CHANCE:
        return (
            f"not shown to be better than chance: balanced accuracy {balanced.value:.2f}, at least {balanced.low:.2f}"
        )
    return None


def _mean_of_two(first: Estimate, second: Estimate) -> Estimate:
    """The mean of two independent proportions, its interval recovered from theirs (MOVER; Zou & Donner 2008)."""
    value = (first.value + second.value) / 2
    below = math.hypot(first.value - first.low, second.value - second.low) / 2
    above = math.hypot(first.high - first.value, second.high - second.value) / 2
    return Estimate(value, value - below, value + above, min(first.n, second.n))


def kappa(verdicts: Sequence[tuple[bool, bool]]) -> Estimate:
    """Cohen's kappa of two raters' yes or no, with its large-sample 95 % interval (Fleiss, Cohen & Everitt 1969);
    NaN where neither rater ever differs from one class, as there is then no agreement beyond chance to speak of."""
    n = len(verdicts)
    share = {
        key: verdicts.count(key) / n if n else math.nan
        for key in [(a, b) for a in (True, False) for b in (True, False)]
    }
    rows = {side: share[side, True] + share[side, False] for side in (True, False)}
    columns = {side: share[True, side] + share[False, side] for side in (True, False)}
    observed = share[True, True] + share[False, False]
    by_chance = sum(rows[side] * columns[side] for side in (True, False))
    if not by_chance < 1:
        return Estimate(math.nan, math.nan, math.nan, n)
    value = (observed - by_chance) / (1 - by_chance)
    agreeing = sum(share[s, s] * (1 - (rows[s] + columns[s]) * (1 - value)) ** 2 for s in (True, False))
    differing = (1 - value) ** 2 * sum(share[s, not s] * (columns[s] + rows[not s]) ** 2 for s in (True, False))
    excess = (value - by_chance * (1 - value)) ** 2
    deviation = math.sqrt(max(0.0, agreeing + differing - excess) / n) / (1 - by_chance)
    return Estimate(value, max(-1.0, value - 1.959964 * deviation), min(1.0, value + 1.959964 * deviation), n)


def _by_variant(judged: Sequence[tuple[LabelledOutput, float]]) -> tuple[JudgeBias, ...]:
    """The judge's bias for each variant that labels name: what it adds to people's mean."""
    from proveout.statistics import mean_interval

    groups: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for label, score in judged:
        if label.variant is not None:
            groups[label.variant].append((label.label, score))
    return tuple(
        JudgeBias(
            variant=variant,
            human=math.fsum(human for human, _ in pairs) / len(pairs),
            judge=math.fsum(score for _, score in pairs) / len(pairs),
            bias=mean_interval([score - human for human, score in pairs]),
        )
        for variant, pairs in sorted(groups.items())
    )
