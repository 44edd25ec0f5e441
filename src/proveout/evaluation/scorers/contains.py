"""Whether an answer holds, or avoids, given texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

from msgspec import Meta

from proveout.evaluation.records import Attempt, Score
from proveout.evaluation.scorers._base import (
    RIGHT,
    Scorer,
    answer_as_text,
    as_text,
    expected_answer,
    shown,
    unparsed,
    wrong,
)
from proveout.evaluation.scorers._registry import scorer
from proveout.project.records import Service


@scorer("contains")
@dataclass(frozen=True)
class Contains(Scorer):
    """1 when the answer holds every text of `all`, at least one of `any`, and none of `none`. Without any of the
    three, it must hold the expected answer (or one of a list of them)."""

    any: Annotated[
        tuple[str, ...], Meta(description="At least one of these.", examples=[["refund", "money back"]])
    ] = ()
    all: Annotated[tuple[str, ...], Meta(description="Each of these.", examples=[["order number", "Monday"]])] = ()
    none: Annotated[tuple[str, ...], Meta(description="Not one of these.", examples=[["as an AI"]])] = ()
    ignore_case: Annotated[bool, Meta(description="`Refund` counts as `refund`.", examples=[False])] = True

    @property
    def needs_expected(self) -> bool:  # type: ignore[override]
        return not (self.any or self.all or self.none)

    @classmethod
    def build(cls, parameters: dict[str, object], service: Service) -> Self:
        for name in ("any", "all", "none"):
            texts = parameters.get(name, ())
            if isinstance(texts, tuple) and "" in texts:
                raise ValueError(f"`{name}` holds an empty text, which every answer contains. Leave it out")
        return cls(**parameters)  # type: ignore[arg-type]

    def score(self, attempt: Attempt) -> Score:
        failed = unparsed(attempt)
        if failed is not None:
            return failed
        text = self._folded(answer_as_text(attempt))
        any_of = self.any if self.any or self.all or self.none else _accepted(expected_answer(attempt))
        missing = [wanted for wanted in self.all if self._folded(wanted) not in text]
        if missing:
            return wrong(f"{shown(missing[0])} is not in the answer")
        found = [unwanted for unwanted in self.none if self._folded(unwanted) in text]
        if found:
            return wrong(f"{shown(found[0])} is in the answer")
        if any_of and not any(self._folded(wanted) in text for wanted in any_of):
            return wrong(f"none of {shown(list(any_of))} is in the answer")
        return RIGHT

    def _folded(self, text: str) -> str:
        return text.casefold() if self.ignore_case else text


def _accepted(expected: object) -> tuple[str, ...]:
    return tuple(map(as_text, expected)) if isinstance(expected, list | tuple) else (as_text(expected),)
