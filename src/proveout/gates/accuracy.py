"""Accuracy: champion and challenger on the same examples, tested on clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from proveout.evaluation.scoring import HUMAN
from proveout.evaluation.table import ScoreTable
from proveout.gates._base import DEFAULT_MAX_FAILURES, Demand, Evidence, Finding, Findings, not_measured
from proveout.gates.pairing import Paired, Values, example_means, from_source, pair, too_many_missing
from proveout.gates.scorecard import Claim, Measure, Notice
from proveout.gates.verdicts import figure
from proveout.project.records import Objective, ObjectiveSpec
from proveout.statistics import (
    Estimate,
    PairedTest,
    mean_interval,
    paired_test,
    prediction_powered_mean,
    prediction_powered_test,
    prediction_weight,
)

FEWEST_LABELLED = 20
"""Human-labelled clusters below which silver labels or a judge are not corrected, but left out."""

Arms = tuple[Values, Values]
"""The champion's values and the challenger's."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Cluster means of both arms to stretch people's labels with: theirs, what was predicted of the same clusters, and
    what was predicted of more."""

    labelled: Arms
    predicted: Arms
    extra: Arms

    def figure(self, arm: int) -> Estimate:
        """One arm's mean; no further out than its scores could be. Both arms weigh predictions alike, so that their
        means differ by what the test says."""
        values = self.labelled[arm], self.predicted[arm], self.extra[arm]
        found = prediction_powered_mean(*values, weight=prediction_weight(*self._differences()))
        if any(len(part) and (part.min() < 0 or part.max() > 1) for part in values):
            return found
        value, low, high = np.clip([found.value, found.low, found.high], 0.0, 1.0).tolist()
        return Estimate(value, low, high, found.n)

    def test(self, margin: float, higher_is_better: bool) -> PairedTest:
        """Of the differences."""
        return prediction_powered_test(*self._differences(), margin=margin, higher_is_better=higher_is_better)

    def _differences(self) -> tuple[Values, Values, Values]:
        labelled, predicted, extra = (arms[1] - arms[0] for arms in (self.labelled, self.predicted, self.extra))
        return labelled, predicted, extra


@dataclass(frozen=True, slots=True)
class AccuracyGate:
    """Superiority of the challenger where the change claims it, else non-inferiority to the margin, on the service's
    metric.

    Golden examples decide. Silver labels, or a judge, only stretch them: the cluster differences that they predict are
    corrected by those that people labelled (prediction-powered inference), and on their own they can't pass unless the
    service trusts them.
    """

    objective: ClassVar[Objective] = "accuracy"

    def demand(self, spec: ObjectiveSpec) -> Demand:
        return Demand(base=int(spec.settings.get("repeats", 1)))

    def measure(self, evidence: Evidence, spec: ObjectiveSpec, claim: Claim) -> Findings:
        table = evidence.table
        metric = spec.metric or table.metrics[0]
        limit = float(spec.settings.get("max_failures", DEFAULT_MAX_FAILURES))
        problem = too_many_missing(table, _deciding(table, spec), limit, table.column(metric))
        if problem is not None:
            return Findings((not_measured("accuracy", metric, spec, claim, problem),))
        finding, notices = self._finding(evidence, metric, spec, claim)
        return Findings((finding,), tuple(self._others(table, metric)), tuple(notices))

    def _finding(
        self, evidence: Evidence, metric: str, spec: ObjectiveSpec, claim: Claim
    ) -> tuple[Finding, list[Notice]]:
        table = evidence.table
        golden = from_source(table, "golden")
        trusted = _trusts_silver(spec)
        arms = _means(table, metric)
        truth = _people(table, metric)
        decided = arms if metric not in evidence.judged or trusted or truth is None else truth
        keep = _deciding(table, spec)
        paired = pair(table, *decided, keep)
        notices: list[Notice] = []
        higher = metric not in evidence.lower_is_better
        margin = 0.0 if claim == "improves" else spec.margin

        if not paired.names:
            problem = "no example has a score from both variants"
            return not_measured("accuracy", metric, spec, claim, problem), notices
        if higher and not paired.champion.any() and not paired.challenger.any():
            notices.append(
                Notice(
                    kind="always_zero",
                    message=(
                        f"Both variants score 0 on every example. Does {metric} fit these answers, and what the "
                        "examples expect?"
                    ),
                    count=len(paired.names),
                )
            )
        test = paired_test(
            paired.champion, paired.challenger, margin=margin, higher_is_better=higher, seed=evidence.seed
        )
        stretched = None if trusted else self._stretched(table, spec, metric, truth, notices)
        finding = Finding(
            objective="accuracy",
            metric=metric,
            claim=claim,
            margin=spec.margin,
            higher_is_better=higher,
            champion=stretched.figure(0) if stretched else mean_interval(paired.champion),
            challenger=stretched.figure(1) if stretched else mean_interval(paired.challenger),
            test=stretched.test(margin, higher) if stretched else test,
            pessimistic=None if stretched else _pessimistic(table, metric, keep, margin, higher, evidence.seed),
            blocked=_blocked(evidence.judged.get(metric), trusted, bool(golden.any()), truth is not None),
            per_cluster=paired.per_cluster,
        )
        return finding, notices

    def _stretched(
        self,
        table: ScoreTable,
        spec: ObjectiveSpec,
        metric: str,
        truth: Arms | None,
        notices: list[Notice],
    ) -> Stretch | None:
        """What stretches people's labels, where enough clusters have both a person's label and a predicted one, and
        several more have only the latter."""
        arms = _means(table, metric)
        found = (
            _silver_clusters(table, arms)
            if truth is None
            else _judged_clusters(table, arms, truth, _deciding(table, spec))
        )
        if found is None or len(found.extra[0]) < 2:
            return None
        if len(found.labelled[0]) < FEWEST_LABELLED:
            notices.append(
                Notice(
                    kind="not_stretched",
                    message=(
                        f"{len(found.extra[0]):,} clusters have only a silver label or a judge's score. They were left "
                        f"out, because only {len(found.labelled[0])} clusters also have a person's label to correct "
                        f"them by (at least {FEWEST_LABELLED} are needed)."
                    ),
                    count=len(found.extra[0]),
                )
            )
            return None
        return found

    def _others(self, table: ScoreTable, metric: str) -> list[Measure]:
        """Every other scorer's figures, beside the gate."""
        others = [name for name in table.metrics if name != metric and not name.endswith(HUMAN)]
        measures: list[Measure] = []
        for name in others:
            paired = pair(table, *_means(table, name), from_source(table, "golden"))
            measures.append(
                Measure(
                    objective="accuracy",
                    metric=name,
                    champion=figure(mean_interval(paired.champion)),
                    challenger=figure(mean_interval(paired.challenger)),
                )
            )
        return measures


def _blocked(calibrated: bool | None, trusted: bool, golden: bool, labelled: bool) -> str | None:
    """Why a pass may not stand. `calibrated` is None for a metric that no model judges."""
    if calibrated is False:
        return "the judge is not calibrated against people's labels (give it a calibration file)"
    if calibrated and not labelled and not trusted:
        return "nobody has labelled answers of these two variants, so the judge's bias between them is unknown"
    if not golden and not trusted:
        return (
            "there are no golden examples, and AI-labelled ones alone may not pass (trust_silver: true would allow it)"
        )
    return None


def _trusts_silver(spec: ObjectiveSpec) -> bool:
    return bool(spec.settings.get("trust_silver", False))


def _deciding(table: ScoreTable, spec: ObjectiveSpec) -> NDArray[np.bool_]:
    """The examples that decide: golden ones where there are any; else, or where silver is trusted, silver ones too.

    Kept production failures never do: they were chosen because the champion failed on them.
    """
    golden = from_source(table, "golden")
    return golden if golden.any() and not _trusts_silver(spec) else golden | from_source(table, "silver")


def _people(table: ScoreTable, metric: str) -> tuple[Values, Values] | None:
    """People's labels of both arms' answers; None where no example has one of both."""
    if metric + HUMAN not in table.metrics:
        return None
    champion, challenger = _means(table, metric + HUMAN)
    return (champion, challenger) if bool((~np.isnan(champion) & ~np.isnan(challenger)).any()) else None


def _means(table: ScoreTable, metric: str) -> tuple[Values, Values]:
    values = table.column(metric)
    return example_means(table, values, 0), example_means(table, values, 1)


def _pessimistic(
    table: ScoreTable, metric: str, keep: NDArray[np.bool_], margin: float, higher: bool, seed: int
) -> PairedTest | None:
    """The test with failed calls counted against the challenger; None where none failed or the scores are not within 0
    and 1."""
    values = table.column(metric)
    missing = np.isnan(values)
    known = values[~missing]
    if not missing.any() or not len(known) or known.min() < 0 or known.max() > 1:
        return None
    best, worst = (1.0, 0.0) if higher else (0.0, 1.0)
    filled = np.where(missing, np.where(np.asarray(table.arm) == 0, best, worst), values)
    paired: Paired = pair(table, example_means(table, filled, 0), example_means(table, filled, 1), keep)
    return paired_test(paired.champion, paired.challenger, margin=margin, higher_is_better=higher, seed=seed)


def _judged_clusters(
    table: ScoreTable, judge: tuple[Values, Values], truth: tuple[Values, Values], keep: NDArray[np.bool_]
) -> Stretch | None:
    """Means by cluster: people's, the judge's on the same clusters, and the judge's where people have not
    looked."""
    seen = keep & ~np.isnan(truth[0] + truth[1]) & ~np.isnan(judge[0] + judge[1])
    return _stretch(pair(table, *truth, seen), pair(table, *judge, seen), pair(table, *judge, keep & ~seen))


def _silver_clusters(table: ScoreTable, arms: tuple[Values, Values]) -> Stretch | None:
    """Means by cluster: against people's labels, against silver ones for the same examples, and against silver
    ones alone."""
    silver, golden = from_source(table, "silver"), from_source(table, "golden")
    if not silver.any() or not golden.any():
        return None
    ids = np.asarray(table.examples.ids, dtype=object)
    both = np.isin(ids.astype(str), list(set(ids[silver]) & set(ids[golden])))
    people, machine = pair(table, *arms, golden & both), pair(table, *arms, silver & both)
    golden_clusters = pair(table, *arms, golden).names
    rest = pair(table, *arms, silver & ~both)
    return _stretch(people, machine, rest, golden_clusters)


def _stretch(people: Paired, machine: Paired, rest: Paired, known: Sequence[str] = ()) -> Stretch | None:
    """The means of three pairings, without clusters that are in several; None where nothing is left to add."""
    taken = {*people.names, *known}
    unseen = [index for index, name in enumerate(rest.names) if name not in taken]
    if people.names != machine.names or not unseen:
        return None
    return Stretch(
        labelled=(people.champion, people.challenger),
        predicted=(machine.champion, machine.challenger),
        extra=(rest.champion[unseen], rest.challenger[unseen]),
    )
