"""A/A comparisons on a team's own data: how often would Proveout pass a change that changes nothing?"""

from __future__ import annotations

import msgspec
import numpy as np

from proveout.evaluation import Arm, FailureCollector, OpenModels, Scoring, Tally, evaluate
from proveout.gates._base import CONFIDENCE_ALPHA
from proveout.gates.pairing import Values, example_means, from_source, pair
from proveout.gates.preparation import RunOptions, gather
from proveout.gates.registry import GATES
from proveout.gates.scorecard import Figure
from proveout.gates.verdicts import figure
from proveout.project import Project, Service
from proveout.statistics import paired_test, proportion_interval
from proveout.storage import Store

REPEATS = 2
"""Answers of the champion to each example: two independent ones make an honest pair of equals."""


class NothingMeasured(Exception):
    """Too few examples could be scored to compare anything."""


class SelfTest(msgspec.Struct, frozen=True, kw_only=True):
    """How A/A comparisons came out: the share that passed a claim of improvement, and the share that was called worse.

    `across_examples` says that the champion's two answers scored alike everywhere, so that the scores of different
    examples were paired instead; `holds` is whether neither share is shown to be above the level.
    """

    schema: str = "proveout.selftest/v1"
    service: str
    metric: str
    comparisons: int
    clusters: int
    level: float
    false_pass: Figure
    false_worse: Figure
    across_examples: bool
    holds: bool


async def run_self_test(
    project: Project, service: Service, options: RunOptions, store: Store, comparisons: int
) -> SelfTest:
    """Ask the champion twice about every golden example, and compare it with itself in random pairings.

    Each comparison draws clusters with replacement and swaps the two answers of each by a coin, so that no difference
    exists by construction; the accuracy gate's own test then judges it at its own level.

    Raises:
        CannotOpen: the champion can't be called as declared.
        NothingMeasured: too few examples could be scored.
    """
    scoring = Scoring.of(service)
    spec = service.objectives.get("accuracy")
    metric = (spec.metric if spec else None) or scoring.metrics[0].name
    champion = service.variants[service.champion]
    gates = [(GATES["accuracy"](), spec)] if spec else []
    recorded = OpenModels.recorded_repeats((champion,))
    repeats = REPEATS if recorded is None else min(REPEATS, recorded)
    work = gather(service, gates, msgspec.structs.replace(options, repeats=repeats), None)
    async with OpenModels(project, store, options) as models:
        table = await evaluate(
            work.tasks(),
            [Arm(champion, models.open(champion.model))],
            scoring.metrics,
            concurrency=options.concurrency,
            observers=[Tally((True,)), FailureCollector()],
            models=models,
        )
    values = table.column(metric)
    repeat = np.asarray(table.repeat)
    halves = [example_means(table, np.where(repeat == number, values, np.nan), 0) for number in (0, repeats - 1)]
    paired = pair(table, halves[0], halves[1], from_source(table, work.data[0].ref.kind))
    return _compare(service.name, metric, paired.champion, paired.challenger, comparisons, options.seed)


def _compare(service: str, metric: str, first: Values, second: Values, comparisons: int, seed: int) -> SelfTest:
    """Judge `comparisons` pairings in which, by construction, neither side is better."""
    random = np.random.default_rng(seed)
    clusters = len(first)
    if clusters < 2:
        raise NothingMeasured(f"{metric} could be measured on {clusters} clusters only; a self-test needs at least 2")
    across = bool(np.array_equal(first, second))
    passed = worse = 0
    for number in range(comparisons):
        drawn = random.integers(clusters, size=clusters)
        one, other = first[drawn], first[random.integers(clusters, size=clusters)] if across else second[drawn]
        swap = random.random(clusters) < 0.5
        test = paired_test(np.where(swap, other, one), np.where(swap, one, other), seed=seed + number)
        passed += test.p_value <= CONFIDENCE_ALPHA
        worse += test.p_worse <= CONFIDENCE_ALPHA
    false_pass, false_worse = proportion_interval(passed, comparisons), proportion_interval(worse, comparisons)
    return SelfTest(
        service=service,
        metric=metric,
        comparisons=comparisons,
        clusters=clusters,
        level=CONFIDENCE_ALPHA,
        false_pass=figure(false_pass),
        false_worse=figure(false_worse),
        across_examples=across,
        holds=false_pass.low <= CONFIDENCE_ALPHA and false_worse.low <= CONFIDENCE_ALPHA,
    )
