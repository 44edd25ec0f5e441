"""Notes what each arm's paid answers were made of, so that the cost gate can say what of the bill was wasted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from proveout.economics.answers import AnswerParts, answer_parts
from proveout.economics.prices import Tokens
from proveout.economics.waste import Spent, repeated_prefix
from proveout.evaluation.runner import Finished
from proveout.project.records import Variant

MOST_KEPT = 10_000
"""Answers of an arm that are looked at: shares of a bill need no more."""

PROMPTS = 100
"""Prompts of an arm that are compared to find what they all begin with."""

_Call = tuple[str, int]


class _Paid(msgspec.Struct, frozen=True):
    tokens: Tokens
    parts: AnswerParts
    lost: bool
    discarded: int
    score: float | None


class _Arm(msgspec.Struct):
    paid: dict[_Call, _Paid] = {}
    prompts: list[str] = []
    prompt_tokens: int = 0
    discarded: int = 0
    """Tries that were billed and brought no answer at all."""

    def usual_input(self) -> Tokens:
        total = sum(one.tokens.input_tokens for one in self.paid.values())
        return Tokens(round(total / len(self.paid)) if self.paid else 0, 0)

    def prefix_tokens(self) -> int:
        """The tokens that all prompts begin with, by their share of the characters."""
        characters = sum(map(len, self.prompts))
        return round(repeated_prefix(self.prompts) * self.prompt_tokens / characters) if characters else 0


class SpendingCollector(msgspec.Struct):
    """Splits the first answers of each arm by what their service uses of them; answers without token counts are left
    out.

    `metric` is the place of the score that says whether an answer is right (more is better); without one nothing is
    told of reasoning that changed nothing.
    """

    metric: int | None = None
    _arms: tuple[_Arm, _Arm] = msgspec.field(default_factory=lambda: (_Arm(), _Arm()))

    def __call__(self, finished: Finished) -> None:
        generation, attempt, arm = finished.generation, finished.attempt, self._arms[finished.arm]
        if finished.failure is not None:
            arm.discarded += finished.failure.discarded
        if generation is None or attempt is None or generation.usage is None or len(arm.paid) >= MOST_KEPT:
            return
        usage, score = generation.usage, self._score(finished)
        tokens = Tokens(
            usage.input_tokens,
            usage.output_tokens,
            usage.cached_tokens,
            usage.cache_write_tokens,
            usage.reasoning_tokens,
        )
        unread = attempt.answer.problem is not None
        value = None if unread else attempt.answer.value
        parts = answer_parts(attempt.text, value, fields_read(finished.variant.postprocess))
        lost = generation.finish_reason == "length" and (unread or score == 0)
        key = f"{finished.example.source}\0{finished.example.id}", finished.repeat
        arm.paid[key] = _Paid(tokens, parts, lost, generation.discarded, score)
        if len(arm.prompts) < PROMPTS and finished.repeat == 0:
            arm.prompts.append(_prompt(finished.variant, finished.example.input))
            arm.prompt_tokens += usage.input_tokens

    def spent(self) -> tuple[tuple[Spent, ...], tuple[Spent, ...]]:
        """Both arms' requests. Tries that brought no answer stand at the end, at the arm's usual input."""
        champion, challenger = self._arms
        return _spent(champion, challenger), _spent(challenger, champion)

    def _score(self, finished: Finished) -> float | None:
        score = finished.scores[self.metric] if self.metric is not None and finished.scores else None
        return None if score is None else score.value


def fields_read(steps: Sequence[Mapping[str, object]]) -> tuple[str, ...] | None:
    """The JSON fields that post-processing takes; None where it may use all of them."""
    for step in steps:
        path = step.get("json_field")
        if isinstance(path, str):
            names = [name for name in path.split(".") if not name.isdecimal()]
            return tuple(names[-1:])
    return None


def _prompt(variant: Variant, example: Mapping[str, object]) -> str:
    return "\n".join(f"{message.role}: {message.content}" for message in variant.render(example))


def _spent(arm: _Arm, other: _Arm) -> tuple[Spent, ...]:
    prefix = arm.prefix_tokens()
    answered = tuple(
        Spent(
            paid.tokens,
            paid.parts,
            needless_reasoning=_needless(paid, other.paid.get(call)),
            lost=paid.lost,
            billed_retries=paid.discarded,
            prefix_tokens=min(prefix, paid.tokens.input_tokens),
        )
        for call, paid in arm.paid.items()
    )
    if not arm.discarded or not answered:
        return answered
    return (*answered, Spent(arm.usual_input(), billed_retries=arm.discarded, answered=False))


def _needless(mine: _Paid, other: _Paid | None) -> int:
    """Reasoning tokens beyond those that the other variant needed for an answer to the same input that was as right."""
    if other is None or mine.score is None or other.score is None or other.score < mine.score:
        return 0
    return max(0, mine.tokens.reasoning_tokens - other.tokens.reasoning_tokens)
