"""Stability: does a variant answer the same question the same way, and similar questions alike?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from proveout.evaluation.table import ScoreTable
from proveout.gates._base import DEFAULT_MAX_FAILURES, Demand, Evidence, Finding, Findings, not_measured
from proveout.gates.pairing import Paired, from_source, pair, too_many_missing
from proveout.gates.scorecard import Claim, Measure, Notice
from proveout.gates.verdicts import figure
from proveout.project.records import Objective, ObjectiveSpec
from proveout.statistics import (
    Estimate,
    krippendorff_alpha,
    mean_interval,
    paired_test,
    pairwise_agreement,
    proportion_interval,
    total_agreement,
)

DEFAULT_REPEATS = 5
DEFAULT_CLUSTERS = 200

Answers = Sequence[Sequence[int | None]]
"""Per example the hashes of its repeats' answers; None where a call failed."""


@dataclass(frozen=True, slots=True)
class StabilityGate:
    """Agreement over the repeats of one input, and over the inputs of one cluster; both paired between the variants.

    Pairwise agreement decides, because its expectation does not depend on the number of repeats. Total agreement
    (TARr@N, TARa@N: Atil et al., arXiv 2408.04667) falls as N grows, so it stands beside it, taken at equal N.
    """

    objective: ClassVar[Objective] = "stability"

    def demand(self, spec: ObjectiveSpec) -> Demand:
        return Demand(
            sampled=int(spec.settings.get("repeats", DEFAULT_REPEATS)),
            sample=int(spec.settings.get("examples", DEFAULT_CLUSTERS)),
        )

    def measure(self, evidence: Evidence, spec: ObjectiveSpec, claim: Claim) -> Findings:
        table = evidence.table
        limit = float(spec.settings.get("max_failures", DEFAULT_MAX_FAILURES))
        problem = too_many_missing(table, _asked(table), limit)
        if problem is not None:
            return Findings((not_measured("stability", "agreement", spec, claim, problem),))
        answers: list[Answers] = [_repeats(table, arm, table.answer) for arm in (0, 1)]
        findings = [self._over_repeats(evidence, answers, spec, claim)]
        measures: list[Measure] = []
        notices: list[Notice] = []
        shared = _equal_repeats(table, answers)
        if shared is not None:
            measures += self._totals(table, *shared)
        over_clusters = self._over_clusters(evidence, answers, spec)
        if isinstance(over_clusters, Notice):
            notices.append(over_clusters)
        else:
            finding, beside = over_clusters
            findings.append(finding)
            measures += beside
        return Findings(tuple(findings), tuple(measures), tuple(notices))

    def _over_repeats(self, evidence: Evidence, answers: list[Answers], spec: ObjectiveSpec, claim: Claim) -> Finding:
        """Pairwise agreement between the repeats of each example."""
        per_example = [np.array([pairwise_agreement(repeats) for repeats in arm], dtype=float) for arm in answers]
        paired = pair(evidence.table, per_example[0], per_example[1], _asked(evidence.table))
        if not paired.names:
            most = max((len(repeats) for arm in answers for repeats in arm), default=0)
            problem = (
                f"stability needs at least 2 repeats of an example, and there are at most {most}; ask with "
                "--repeats 5, or where answers are recorded, record each example several times"
            )
            return not_measured("stability", "agreement", spec, claim, problem)
        return _finding("agreement", paired, spec, claim, evidence.seed)

    def _over_clusters(
        self, evidence: Evidence, answers: list[Answers], spec: ObjectiveSpec
    ) -> tuple[Finding, list[Measure]] | Notice:
        """Agreement of answers between the different examples of one cluster (which all expect the same answer)."""
        table = evidence.table
        clusters, mixed = _similar(table)
        if len(clusters) < 2:
            why = (
                f"{mixed} clusters expect different answers of their examples"
                if mixed
                else "no cluster has 2 examples or more"
            )
            return Notice(
                kind="no_clusters", message=f"Agreement over similar inputs was not measured: {why}.", count=mixed
            )
        names = list(clusters)
        first = [[_across(arm, clusters[name]) for name in names] for arm in answers]
        kept = [index for index in range(len(names)) if not np.isnan(first[0][index]) and not np.isnan(first[1][index])]
        paired = Paired(
            champion=np.array([first[0][index] for index in kept]),
            challenger=np.array([first[1][index] for index in kept]),
            names=tuple(names[index] for index in kept),
            examples=sum(len(clusters[names[index]]) for index in kept),
            lost=0,
        )
        if len(kept) < 2:
            problem = "too many calls failed to compare the answers within clusters"
            return not_measured("stability", "cluster_agreement", spec, "holds", problem), []
        beside = [_unanimous(paired), _alpha(answers, clusters)]
        return _finding("cluster_agreement", paired, spec, "holds", evidence.seed), beside

    def _totals(self, table: ScoreTable, examples: list[int], repeats: int) -> list[Measure]:
        """TARr@N and TARa@N over the examples that both variants answered N times, and the worst example's
        agreement."""
        measures: list[Measure] = []
        for name, column in (("tar_raw", table.raw), ("tar_answer", table.answer)):
            arms = [_repeats(table, arm, column) for arm in (0, 1)]
            figures = [
                proportion_interval(
                    sum(total_agreement([arm[example][:repeats]]) == 1.0 for example in examples), len(examples)
                )
                for arm in arms
            ]
            measures.append(
                Measure(objective="stability", metric=name, champion=figure(figures[0]), challenger=figure(figures[1]))
            )
        return measures


def _finding(metric: str, paired: Paired, spec: ObjectiveSpec, claim: Claim, seed: int) -> Finding:
    margin = 0.0 if claim == "improves" else spec.margin
    return Finding(
        objective="stability",
        metric=metric,
        claim=claim,
        margin=spec.margin,
        higher_is_better=True,
        champion=mean_interval(paired.champion),
        challenger=mean_interval(paired.challenger),
        test=paired_test(paired.champion, paired.challenger, margin=margin, seed=seed),
        per_cluster=paired.per_cluster,
    )


def _repeats(table: ScoreTable, arm: int, hashes: Sequence[int]) -> Answers:
    """Per example, one arm's hashes in the order of the repeats; None for a call without an answer."""
    found: list[list[tuple[int, int | None]]] = [[] for _ in range(len(table.examples))]
    for row, row_arm in enumerate(table.arm):
        if row_arm == arm:
            found[table.example[row]].append((table.repeat[row], None if table.failed[row] else hashes[row]))
    return [[answer for _, answer in sorted(repeats, key=lambda pair: pair[0])] for repeats in found]


def _equal_repeats(table: ScoreTable, answers: list[Answers]) -> tuple[list[int], int] | None:
    """The examples that both variants answered completely, at the largest number of repeats that they share; None
    without 2 repeats."""
    complete = [
        (index, min(len(champion), len(challenger)))
        for index, (champion, challenger) in enumerate(zip(*answers, strict=True))
        if None not in champion and None not in challenger
    ]
    repeats = max((count for _, count in complete), default=0)
    examples = [index for index, count in complete if count == repeats]
    return (examples, repeats) if repeats >= 2 and len(examples) >= 2 else None


def _asked(table: ScoreTable) -> NDArray[np.bool_]:
    """The examples whose answers are compared: golden ones, or silver ones where there are no golden.

    Silver rows beside golden ones are often the same inputs again, which would agree with themselves, and a wrong
    silver label would make a cluster look as if it expected several answers.
    """
    golden = from_source(table, "golden")
    return golden if golden.any() else from_source(table, "silver")


def _similar(table: ScoreTable) -> tuple[dict[str, list[int]], int]:
    """Clusters of at least two different examples that expect the same answer; and how many were left out as they do
    not."""
    members: defaultdict[str, list[int]] = defaultdict(list)
    for index in np.flatnonzero(_asked(table)).tolist():
        members[table.examples.clusters[index]].append(index)
    several = {name: rows for name, rows in members.items() if len(rows) > 1}
    alike = {name: rows for name, rows in several.items() if len({table.examples.expected[row] for row in rows}) == 1}
    return alike, len(several) - len(alike)


def _across(answers: Answers, examples: Sequence[int]) -> float:
    """Agreement between the first answers of a cluster's examples."""
    return pairwise_agreement([answers[example][0] if answers[example] else None for example in examples])


def _unanimous(paired: Paired) -> Measure:
    """The worst case: the share of clusters in which no input at all got another answer than the others."""
    shares = [
        proportion_interval(int((values == 1.0).sum()), len(values)) for values in (paired.champion, paired.challenger)
    ]
    return Measure(
        objective="stability",
        metric="cluster_unanimous",
        champion=figure(shares[0]),
        challenger=figure(shares[1]),
    )


def _alpha(answers: list[Answers], clusters: dict[str, list[int]]) -> Measure:
    """Krippendorff's alpha over clusters: agreement beyond what the mix of answers would give by chance."""
    figures: list[Estimate] = []
    for arm in answers:
        units = [[arm[example][0] if arm[example] else None for example in rows] for rows in clusters.values()]
        figures.append(krippendorff_alpha(units))
    return Measure(
        objective="stability",
        metric="cluster_alpha",
        champion=figure(figures[0]),
        challenger=figure(figures[1]),
    )
