"""The scorers of one service under their metric names, with people's labels of judged outputs beside each judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from proveout.evaluation.records import Attempt, Score
from proveout.evaluation.runner import Metric
from proveout.evaluation.scorers import ModelScorer, PairwiseScorer, Scorer, ScorerError, ScorerFailed, create_scorer
from proveout.project.records import ScorerSpec, Service
from proveout.project.row_problems import shown

if TYPE_CHECKING:
    from proveout.evaluation.judges import JudgeCalibration, LabelBook, LabelledOutput
    from proveout.evaluation.scorers import Models

HUMAN = ":human"
"""Suffix of the column that holds people's labels of the answers which a judge scored."""


@dataclass(frozen=True)
class PeopleLabels(Scorer):
    """What people said of this very output; not measured where nobody looked at it."""

    book: LabelBook

    def score(self, attempt: Attempt) -> Score:
        label = self.book.label(attempt)
        if label is None:
            raise ScorerFailed("nobody has labelled this output")
        return Score(value=label)


class Scoring(msgspec.Struct, frozen=True):
    """How a service's answers are scored: a metric for each declared scorer, and one more for people's labels of each
    calibrated judge.

    `labels` holds, by the judge's metric, the outputs that people labelled.
    """

    metrics: tuple[Metric, ...]
    labels: Mapping[str, tuple[LabelledOutput, ...]]

    @classmethod
    def of(cls, service: Service) -> Scoring:
        """The scoring that a service declares.

        Raises:
            ScorerError: scorers can't be built as they are declared; all of them are named.
            LabelsError: a judge's calibration file can't be used.
        """
        metrics: list[Metric] = []
        labels: dict[str, tuple[LabelledOutput, ...]] = {}
        problems: list[str] = []
        for place, spec in enumerate(service.scorers or (_implied(service),)):
            try:
                scorer = create_scorer(spec, service)
            except ScorerError as error:
                line = "" if spec.line is None else f":{spec.line}"
                number = place if spec.place is None else spec.place
                problems.append(f"{shown(service.path)}{line}: scorers[{number}]: {error}")
                continue
            metrics.append(Metric(spec.metric, scorer))
            calibration = getattr(scorer, "calibration", None)
            if isinstance(scorer, ModelScorer) and calibration is not None:
                from proveout.evaluation.judges import LabelBook, read_labels

                low, high = getattr(scorer, "bounds", (0.0, 1.0))
                labels[spec.metric] = read_labels(calibration, low, high)
                metrics.append(Metric(spec.metric + HUMAN, PeopleLabels(LabelBook(labels[spec.metric])), optional=True))
        if problems:
            raise ScorerError("\n".join(problems))
        return cls(tuple(metrics), labels)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(metric.name for metric in self.metrics)

    @property
    def lower_is_better(self) -> frozenset[str]:
        """The metrics of which less is better."""
        return frozenset(metric.name for metric in self.metrics if not metric.scorer.higher_is_better)

    def index(self, name: str) -> int:
        """A metric's place among the scores of a call."""
        return self.names.index(name)

    async def calibrate(self, models: Models) -> dict[str, JudgeCalibration]:
        """Let every judge score what people labelled for it, and compare; by metric.

        A pairwise judge has no labels of single outputs, so it is never among them.
        """
        if not self.labels:
            return {}
        from proveout.evaluation.judges import calibrate

        scorers = {metric.name: metric.scorer for metric in self.metrics}
        found: dict[str, JudgeCalibration] = {}
        for name, labelled in self.labels.items():
            judge = scorers[name]
            if isinstance(judge, ModelScorer):
                found[name] = await calibrate(judge, labelled, models)
        return found

    def judged(self, calibrations: Mapping[str, JudgeCalibration]) -> dict[str, bool]:
        """Which metrics are a judge's opinion, and whether that judge was shown to agree with people."""
        return {
            metric.name: metric.name in calibrations and calibrations[metric.name].calibrated
            for metric in self.metrics
            if isinstance(metric.scorer, PairwiseScorer) or hasattr(metric.scorer, "rubric")
        }


def _implied(service: Service) -> ScorerSpec:
    """What a service without scorers means: its choices compared, or its schema met.

    Raises:
        ScorerError: the output is free text, of which nothing is implied.
    """
    if service.output.choices is not None:
        return ScorerSpec("exact_match", "exact_match")
    if service.output.schema is not None:
        return ScorerSpec("json_fields", "json_fields")
    raise ScorerError(f"service {service.name} has no scorers. Write `scorers: [exact_match]`, or others that fit")
