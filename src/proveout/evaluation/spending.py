"""Notes what each arm's paid answers were made of, so that the cost gate can say what of the bill was wasted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from proveout.economics.answers import AnswerParts, answer_parts
from proveout.economics.prices import Tokens
from proveout.economics.waste import Spent, repeated_prefix
from proveout.evaluation.runner import Finished
from proveout.project.records import Variant

MOST_KEPT = 10_000
"""Answers of an arm that are looked at: shares of a bill need no more."""

PROMPTS = 100
"""Prompts of an arm that are compared to find what they all begin with."""


@dataclass(slots=True)
class _Arm:
    spent: list[tuple[Tokens, AnswerParts, bool]] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    prompt_tokens: int = 0


@dataclass(slots=True)
class SpendingCollector:
    """Splits the first answers of each arm by what their service uses of them; answers without token counts are left
    out."""

    _arms: tuple[_Arm, _Arm] = field(default_factory=lambda: (_Arm(), _Arm()))

    def __call__(self, finished: Finished) -> None:
        generation, attempt = finished.generation, finished.attempt
        if generation is None or attempt is None or generation.usage is None:
            return
        arm, usage = self._arms[finished.arm], generation.usage
        if len(arm.spent) >= MOST_KEPT:
            return
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
        arm.spent.append((tokens, parts, unread and generation.finish_reason == "length"))
        if len(arm.prompts) < PROMPTS and finished.repeat == 0:
            arm.prompts.append(_prompt(finished.variant, finished.example.input))
            arm.prompt_tokens += usage.input_tokens

    def spent(self) -> tuple[tuple[Spent, ...], tuple[Spent, ...]]:
        """Both arms' requests, with the tokens that all of an arm's prompts begin with (by characters)."""
        first, second = (_with_prefix(arm) for arm in self._arms)
        return first, second


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


def _with_prefix(arm: _Arm) -> tuple[Spent, ...]:
    characters = sum(map(len, arm.prompts))
    prefix = round(repeated_prefix(arm.prompts) * arm.prompt_tokens / characters) if characters else 0
    return tuple(
        Spent(tokens, parts, lost=lost, prefix_tokens=min(prefix, tokens.input_tokens))
        for tokens, parts, lost in arm.spent
    )
