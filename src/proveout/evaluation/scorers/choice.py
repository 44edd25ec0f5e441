"""Whether an answer names the expected one of several choices."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

from msgspec import Meta

from proveout.evaluation.records import Attempt, Score
from proveout.evaluation.scorers._base import (
    RIGHT,
    Scorer,
    ScorerFailed,
    answer_as_text,
    as_text,
    expected_answer,
    last_match,
    shown,
    unparsed,
    unreadable,
    wrong,
)
from proveout.evaluation.scorers._registry import scorer
from proveout.project.records import Service

_AROUND = " \t\r\n\"'`*_()[]{}<>.,:;!?#-"
_ANNOUNCED = re.compile(r"(?i:\b(?:answer|choice|option|label|intent|category|class)\b)[\s*_`]{0,9}(?:(?i:is)\b|[:=])")


@scorer("choice")
@dataclass(frozen=True)
class Choice(Scorer):
    """1 when the answer names the expected choice: the answer is the choice, announces it (`Answer: B`), or names it
    and no other. An answer that names none, or several, scores 0 and counts as unreadable. By default the choices
    are those of the service's `output`."""

    choices: Annotated[
        tuple[str, ...],
        Meta(
            description="What can be chosen; by default the service's output choices.", examples=[["A", "B", "C", "D"]]
        ),
    ] = ()
    ignore_case: Annotated[bool, Meta(description="`Refund` names `refund`.", examples=[False])] = True
    _by_text: dict[str, str] = field(init=False, repr=False, compare=False)
    _anywhere: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_text = {self._folded(choice): choice for choice in self.choices}
        if len(by_text) != len(self.choices) or "" in by_text:
            raise ValueError("choices: two of them are the same, or one is empty. Write each once")
        words = sorted(self.choices, key=len, reverse=True)
        object.__setattr__(self, "_by_text", by_text)
        object.__setattr__(self, "_anywhere", re.compile("|".join(map(self._as_word, words)) or r"(?!)"))

    @classmethod
    def build(cls, parameters: dict[str, Any], service: Service) -> Self:
        parameters.setdefault("choices", service.output.choices or ())
        if len(parameters["choices"]) < 2:
            raise ValueError(
                "there are no choices. Write `choices: [a, b]`, or `output: {choices: [a, b]}` in the service"
            )
        return cls(**parameters)

    def score(self, attempt: Attempt) -> Score:
        failed = unparsed(attempt)
        if failed is not None:
            return failed
        expected = expected_answer(attempt)
        accepted = [
            self._known(value, attempt) for value in (expected if isinstance(expected, list | tuple) else (expected,))
        ]
        named = self.read(answer_as_text(attempt))
        if len(named) != 1:
            found = f"names several: {', '.join(sorted(named))}" if named else "names none of the choices"
            return unreadable(f"the answer {found}")
        return RIGHT if named <= set(accepted) else wrong(f"expected {shown(expected)}, got {shown(next(iter(named)))}")

    def read(self, text: str) -> set[str]:
        """The choices that a text names; one where it is clear."""
        whole = self._by_text.get(self._folded(text))
        if whole is not None:
            return {whole}
        announced = last_match(_ANNOUNCED, text)
        if announced is not None:
            after = self._anywhere.match(text[announced.end() :].lstrip(_AROUND))
            if after is not None:
                return {self._by_text[self._folded(after[0])]}
        return {self._by_text[self._folded(found[0])] for found in self._anywhere.finditer(text)}

    def _known(self, value: Any, attempt: Attempt) -> str:
        choice = self._by_text.get(self._folded(as_text(value)))
        if choice is None:
            raise ScorerFailed(f"example {attempt.example.id} expects {shown(value)}, which is none of the choices")
        return choice

    def _folded(self, text: str) -> str:
        text = text.strip(_AROUND) or text.strip()
        return text.casefold() if self.ignore_case else text

    def _as_word(self, choice: str) -> str:
        """A choice inside a sentence. One letter must stand as written: `a` is an article, `A` is a choice."""
        flag = "i" if self.ignore_case and len(choice) > 1 else "-i"
        return rf"(?<!\w)(?{flag}:{re.escape(choice)})(?!\w)"
