"""A model as a judge of answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from proveout.evaluation.judges.asking import Manners, ask, reason_of
from proveout.evaluation.judges.prompts import judge_fingerprint, messages, response_format
from proveout.evaluation.records import Attempt, Score
from proveout.evaluation.scorers._base import Models, ModelScorer, unparsed
from proveout.evaluation.scorers._registry import scorer
from proveout.project.records import Message, ModelSpec

Scale = Literal["pass", "1-3", "1-5", "1-10"]

_EXAMPLE_MODEL = {"provider": "openai", "name": "gpt-4o-mini", "key": "env:OPENAI_API_KEY"}


@scorer("llm_judge")
@dataclass(frozen=True)
class LLMJudge(ModelScorer):
    """A model's verdict on the answer by your rubric: pass or fail, or a grade that is put on 0 to 1. The judge sees
    the example's input, its expected answer where there is one, and the answer, which is what the service would use
    of it. A judge that fails or can't be read is a failed measurement, not a 0. Without `calibration` against
    people's labels it can't pass an accuracy claim."""

    model: Annotated[ModelSpec, Meta(description="Who judges.", examples=[_EXAMPLE_MODEL])]
    rubric: Annotated[
        str,
        Meta(
            description="What makes an answer good, in your words.",
            min_length=1,
            examples=["Answers the question and invents nothing."],
        ),
    ]
    scale: Annotated[
        Scale, Meta(description="pass or fail, or a grade of which the highest is best.", examples=["1-5"])
    ] = "pass"
    reference: Annotated[
        bool, Meta(description="Whether the judge sees the expected answer, where there is one.", examples=[False])
    ] = True
    calibration: Annotated[
        Path | None,
        Meta(description="JSONL of outputs that people labelled.", examples=["datasets/judged.jsonl"]),
    ] = None
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
    needs_expected = False
    binary: bool = field(init=False, repr=False)
    _manners: Manners = field(default_factory=Manners, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "binary", self.scale == "pass")

    @property
    def bounds(self) -> tuple[float, float]:
        """The worst and the best number of the scale; people's labels may use it too."""
        if self.scale == "pass":
            return 0.0, 1.0
        low, _, high = self.scale.partition("-")
        return float(low), float(high)

    @property
    def fingerprint(self) -> str:
        """The hash of all that its verdicts depend on."""
        parts = [self.rubric.strip(), self.scale, self.reference, self.parameters, self.structured, self._task()]
        return judge_fingerprint(self.model, parts)

    async def score(self, attempt: Attempt, models: Models) -> Score:
        failed = unparsed(attempt)
        if failed is not None:
            return failed
        asked = self.messages(attempt)
        return await ask(models, self.model, asked, self._parameters(), self._read, self.tries, self._manners)

    def messages(self, attempt: Attempt) -> tuple[Message, ...]:
        """What the judge is asked about an answer."""
        pieces: dict[str, Any] = {"input": dict(attempt.example.input)}
        if self.reference and attempt.example.expected is not None:
            pieces["reference answer"] = attempt.example.expected
        pieces["answer"] = attempt.answer.value
        return messages(self.rubric, pieces, self._task())

    def _task(self) -> str:
        if self.scale == "pass":
            question, verdict = "Does the answer meet the rubric?", '"pass": true or false'
        else:
            low, high = self.bounds
            question = f"How well does the answer meet the rubric, from {low:g} (not at all) to {high:g} (fully)?"
            verdict = f'"score": a whole number from {low:g} to {high:g}'
        reply = f'Reply with JSON only: {{"reason": "one or two sentences", {verdict}}}'
        return f"{question} Think about the reason first, then decide. {reply}"

    def _parameters(self) -> dict[str, Any]:
        return request_parameters(self.parameters, self._shape() if self.structured else None)

    def _shape(self) -> dict[str, Any]:
        low, high = self.bounds
        verdict = (
            {"type": "boolean"}
            if self.scale == "pass"
            else {"type": "integer", "enum": list(range(int(low), int(high) + 1))}
        )
        return response_format(
            "judgement", {"reason": {"type": "string"}, "pass" if self.scale == "pass" else "score": verdict}
        )

    def _read(self, answer: Mapping[str, Any]) -> Score:
        if self.scale == "pass":
            return Score(value=float(_flag(answer.get("pass"))), reason=reason_of(answer))
        low, high = self.bounds
        grade = _number(answer.get("score"))
        if not low <= grade <= high:
            raise ValueError(f"the score {grade:g} is not within {self.scale}")
        return Score(value=(grade - low) / (high - low), reason=reason_of(answer))


def request_parameters(given: Mapping[str, Any], shape: Mapping[str, Any] | None) -> dict[str, Any]:
    """The judge's request parameters: temperature 0 and the shape of the answer unless the team says otherwise."""
    parameters: dict[str, Any] = {"temperature": 0, **({"response_format": shape} if shape else {}), **given}
    return {name: value for name, value in parameters.items() if value is not None}


_FLAGS = {"true": True, "yes": True, "pass": True, "false": False, "no": False, "fail": False}


def _flag(value: Any) -> bool:
    if isinstance(value, str):
        value = _FLAGS.get(value.strip().lower())
    if not isinstance(value, bool):
        raise ValueError("no `pass` of true or false")
    return value


def _number(value: Any) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("no `score` that is a number")
    return float(value)
