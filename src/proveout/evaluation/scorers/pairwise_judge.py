"""A model that says which of two answers is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from msgspec import Meta

from proveout.evaluation.judges.asking import Manners, ask, reason_of
from proveout.evaluation.judges.prompts import judge_fingerprint, messages, response_format
from proveout.evaluation.records import Attempt
from proveout.evaluation.scorers._base import Models, PairwiseResult, PairwiseScorer
from proveout.evaluation.scorers._registry import scorer
from proveout.evaluation.scorers.llm_judge import request_parameters
from proveout.project.records import Example, ModelSpec

_TASK = (
    "Which answer meets the rubric better? Think about the reason first, then decide; say tie where neither "
    "is better. Reply with JSON "
    'only: {"reason": "one or two sentences", "winner": "1" or "2" or "tie"}'
)
_SHAPE = response_format(
    "comparison", {"reason": {"type": "string"}, "winner": {"type": "string", "enum": ["1", "2", "tie"]}}
)
_WINNERS = {"1": -1, "answer 1": -1, "first": -1, "2": 1, "answer 2": 1, "second": 1, "tie": 0, "both": 0, "neither": 0}


@scorer("pairwise_judge")
@dataclass(frozen=True)
class PairwiseJudge(PairwiseScorer):
    """A model compares champion's and challenger's answers to one example by your rubric, in both orders; a
    preference that changes with the order is a tie. Score: 1 for a win, 0 for a loss, 0.5 for a tie. Equal answers
    tie without a call; an answer that could not be parsed loses to one that could. Its agreement with people is not
    calibrated, so it can't pass an accuracy claim on its own."""

    model: Annotated[
        ModelSpec,
        Meta(
            description="Who judges.",
            examples=[{"provider": "openai", "name": "gpt-4o-mini", "key": "env:OPENAI_API_KEY"}],
        ),
    ]
    rubric: Annotated[
        str,
        Meta(
            description="What makes an answer better, in your words.",
            min_length=1,
            examples=["More helpful, and nothing invented."],
        ),
    ]
    reference: Annotated[
        bool, Meta(description="Whether the judge sees the expected answer, where there is one.", examples=[False])
    ] = True
    parameters: Annotated[
        dict[str, Any],
        Meta(
            description="Request parameters beside temperature 0; null leaves one out.", examples=[{"max_tokens": 300}]
        ),
    ] = field(default_factory=dict)
    structured: Annotated[
        bool, Meta(description="Whether to ask the endpoint for JSON of a fixed schema.", examples=[False])
    ] = True
    tries: Annotated[
        int, Meta(description="How often to ask until the verdict can be read.", ge=1, le=5, examples=[2])
    ] = 2
    binary = False
    needs_expected = False
    _manners: Manners = field(default_factory=Manners, init=False, repr=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """The hash of all that its verdicts depend on."""
        parts = ["pairwise", self.rubric.strip(), self.reference, self.parameters, self.structured, _TASK]
        return judge_fingerprint(self.model, parts)

    async def compare(self, example: Example, first: Attempt, second: Attempt, models: Models) -> PairwiseResult:
        without = [attempt.answer.problem is not None for attempt in (first, second)]
        if any(without):
            preference = int(without[0]) - int(without[1])
            return PairwiseResult(preference, (first.answer.problem or second.answer.problem or "",))
        if first.answer.value == second.answer.value:
            return PairwiseResult(0, ("both answers are the same",))
        forward, reason = await self._ask(example, first, second, models)
        backward, other_reason = await self._ask(example, second, first, models)
        agreed = forward == -backward
        return PairwiseResult(forward if agreed else 0, (reason, other_reason))

    async def _ask(self, example: Example, first: Attempt, second: Attempt, models: Models) -> tuple[int, str]:
        pieces: dict[str, Any] = {"input": dict(example.input)}
        if self.reference and example.expected is not None:
            pieces["reference answer"] = example.expected
        pieces |= {"answer 1": first.answer.value, "answer 2": second.answer.value}
        parameters = request_parameters(self.parameters, _SHAPE if self.structured else None)
        return await ask(
            models, self.model, messages(self.rubric, pieces, _TASK), parameters, _read, self.tries, self._manners
        )


def _read(answer: Mapping[str, Any]) -> tuple[int, str]:
    winner = _WINNERS.get(str(answer.get("winner")).strip().lower())
    if winner is None:
        raise ValueError("no `winner` of 1, 2 or tie")
    return winner, reason_of(answer)
