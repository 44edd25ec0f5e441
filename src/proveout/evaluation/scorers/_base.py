"""What a scorer is: a frozen dataclass with one method. Its fields are its configuration, so YAML comes free."""

from __future__ import annotations

import re
import reprlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from proveout.evaluation.records import Attempt, Score
from proveout.project.records import Example, Service

if TYPE_CHECKING:
    from proveout.models import Generation, Request
    from proveout.project.records import ModelSpec


class ScorerError(ValueError):
    """A declared scorer can't be built. The message names the scorer and the parameter, what is wrong, and what to
    write instead."""


class ScorerFailed(Exception):
    """A scorer could not measure this answer. That is a failed measurement, never a score of 0."""


class Models(Protocol):
    """What the runner lends to scorers that call a model. Calls go through the run's budget, cache and retries."""

    async def judge(self, spec: ModelSpec, request: Request) -> Generation:
        """One answer of a model.

        Raises:
            ModelError: no answer was had.
        """
        ...

    async def embed(self, spec: ModelSpec, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector per text, in order.

        Raises:
            ModelError: no answer was had.
        """
        ...


class _Scoring(ABC):  # noqa: B024
    """What all kinds of scorers share.

    An answer that the variant's post-processing could not parse scores 0 with `parse_failed`, whatever the scorer:
    see `unparsed`.
    """

    name: ClassVar[str] = ""
    """The registered name, set by `@scorer`."""

    higher_is_better: bool = True
    """Which way is good."""

    binary: bool = True
    """Whether scores are only 0 and 1."""

    needs_expected: bool = True
    """Whether it compares with an expected answer; one that does not can score live answers too."""

    @classmethod
    def build(cls, parameters: dict[str, Any], service: Service) -> Self:
        """The scorer of checked parameters, with defaults that the service implies.

        Raises:
            ScorerError: the parameters don't go together, or the service does not allow them.
        """
        return cls(**parameters)


class Scorer(_Scoring):
    """A pure, fast judgement of one answer: no input or output, no clock, no randomness."""

    @abstractmethod
    def score(self, attempt: Attempt) -> Score:
        """The score of one answer.

        Raises:
            ScorerFailed: this answer can't be measured, for instance because its example has no expected answer.
        """


class ModelScorer(_Scoring):
    """A judgement that has to wait, for a model or for a process."""

    @abstractmethod
    async def score(self, attempt: Attempt, models: Models) -> Score:
        """The score of one answer.

        Raises:
            ScorerFailed: it could not be measured: the model failed, or its answer can't be read.
        """


@dataclass(frozen=True, slots=True)
class PairwiseResult:
    """Which of two answers is better: -1 the first, 1 the second, 0 neither. `reasons` are for the reader, one per
    order asked."""

    preference: int
    reasons: tuple[str, ...] = ()


class PairwiseScorer(_Scoring):
    """A judgement of two answers to the same example beside each other."""

    @abstractmethod
    async def compare(self, example: Example, first: Attempt, second: Attempt, models: Models) -> PairwiseResult:
        """Which of two answers is better.

        Raises:
            ScorerFailed: it could not be measured.
        """


RIGHT = Score(value=1.0)

_SHOWN = 80


def wrong(reason: str) -> Score:
    """A score of 0 with its reason."""
    return Score(value=0.0, reason=reason)


def unreadable(reason: str) -> Score:
    """A score of 0 for an answer that could not be read at all; counted apart."""
    return Score(value=0.0, reason=reason, parse_failed=True)


def unparsed(attempt: Attempt) -> Score | None:
    """The score of an answer that post-processing could not parse: 0 with `parse_failed`; None for an answer that it
    could."""
    problem = attempt.answer.problem
    return None if problem is None else unreadable(problem)


def expected_answer(attempt: Attempt) -> Any:
    """What the example expects.

    Raises:
        ScorerFailed: it expects nothing, so that there is nothing to compare with.
    """
    expected = attempt.example.expected
    if expected is None:
        raise ScorerFailed(f"example {attempt.example.id} has no expected answer")
    return expected


def accepted_texts(attempt: Attempt) -> list[str]:
    """The texts that the example accepts: its expected answer, or each of a list of them.

    Raises:
        ScorerFailed: it expects nothing.
    """
    expected = expected_answer(attempt)
    return (
        [as_text(one) for one in expected] if isinstance(expected, list | tuple) and expected else [as_text(expected)]
    )


def answer_as_text(attempt: Attempt) -> str:
    """The parsed answer where it is text, else its JSON."""
    value = attempt.answer.value
    return value if isinstance(value, str) else as_text(value)


def as_text(value: Any) -> str:
    """A value as text: text itself, anything else as JSON."""
    if isinstance(value, str):
        return value
    import json

    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=repr)
    except (TypeError, ValueError, RecursionError):
        return reprlib.repr(value)


def last_match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """The last match of a pattern in a text."""
    return next(iter(deque(pattern.finditer(text), maxlen=1)), None)


def shown(value: Any) -> str:
    """A value short enough for a reason."""
    text = repr(value[: _SHOWN + 1]) if isinstance(value, str) else as_text(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
