"""Scores of live answers: which answers are scored, by what, and under which signal's name. No input or output.

A live request has no expected answer, so a scorer that needs one is used in shadows alone, where the champion's answer
stands in: that is agreement, and says how alike two variants are, not which one is better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from proveout.project.records import Example, Online, ScorerSpec, Service, Variant
from proveout.storage.records import Trace, coin

if TYPE_CHECKING:
    from proveout.evaluation import Attempt
    from proveout.evaluation.scorers import ModelScorer, PairwiseScorer, Scorer

AGREEMENT = "scorer:agreement"
"""How much a shadow's answer agrees with the champion's."""

FORMAT = "scorer:format"
"""Whether an answer could be read as the service's output contract asks; gateways note that of managed prompts."""

HOW_TO_KEEP = "only answers that are kept can be scored: write `content: {capture: all}` into gateway.yaml"

_UNDECLARED = Online(sample=0.0)
"""Where a service says nothing: shadows are compared by what costs nothing, and nothing else is scored."""


class CannotScore(ValueError):
    """Declared online scorers can't be used; the message has a line for each: file, line, what is wrong, and what to
    do.
    """


class Declared(NamedTuple):
    """A score that is waited for. One of `pairs` alone comes in shadows only."""

    name: str
    higher_is_better: bool
    pairs: bool


UNUSABLE = Declared("scorer:declared", True, False)
"""Stands for declared scorers that can't be built; `proveout check` says why."""


@dataclass(frozen=True)
class LiveScoring:
    """How one service's live answers are scored, by the name of the signal.

    `each` judge one answer, `pairwise` two answers to one request; `reference` is the scorer that compares an answer
    with an expected one, None where equality must do.
    """

    online: Online
    declared: bool
    each: Mapping[str, Scorer | ModelScorer]
    pairwise: Mapping[str, PairwiseScorer]
    reference: Scorer | None

    @classmethod
    def of(cls, service: Service) -> LiveScoring:
        """
        Raises:
            CannotScore: declared online scorers can't be built, or need an expected answer; all of them are named.
            ScorerError: one of the service's own can't be built.
        """
        from proveout.evaluation.scorers import PairwiseScorer, Scorer, ScorerError, create_scorer

        online = service.online or _UNDECLARED
        each: dict[str, Scorer | ModelScorer] = {}
        pairwise: dict[str, PairwiseScorer] = {}
        problems: list[str] = []
        for place, spec in enumerate(online.scorers or service.scorers):
            try:
                scorer = create_scorer(spec, service)
            except ScorerError as error:
                if not online.scorers:
                    raise
                problems.append(f"{_place(service, spec, place)} {error}")
                continue
            if scorer.needs_expected:
                if online.scorers:
                    problems.append(
                        f"{_place(service, spec, place)} {spec.name} needs an expected answer, which live requests "
                        "don't have. Leave it out: in a shadow, agreement with the champion's answer is measured "
                        "anyway."
                    )
            elif isinstance(scorer, Scorer):
                each[f"scorer:{spec.metric}"] = scorer
            elif service.online is not None:  # Judges cost money, so that they are asked only where that is declared.
                if isinstance(scorer, PairwiseScorer):
                    pairwise[f"judge:{spec.metric}"] = scorer
                else:
                    each[f"judge:{spec.metric}"] = scorer
        if problems:
            raise CannotScore("\n".join(problems))
        own = [create_scorer(spec, service) for spec in service.scorers]
        reference = next((scorer for scorer in own if isinstance(scorer, Scorer) and scorer.needs_expected), None)
        return cls(online, service.online is not None, each, pairwise, reference)

    @property
    def live(self) -> bool:
        """Whether anything is scored outside of shadows."""
        return self.declared and bool(self.each)

    @property
    def asks_models(self) -> bool:
        """Whether judges are asked."""
        return any(name.startswith("judge:") for name in (*self.each, *self.pairwise))

    def is_due(self, trace: Trace) -> bool:
        """Whether an answer belongs to the sample. Both answers of a pair do, or neither."""
        if trace.status != 200 or trace.error is not None or trace.variant != trace.chosen or trace.cached:
            return False
        return trace.operation == "chat" and coin(trace.shadow_of or trace.id) < share(self.online, trace)

    @property
    def expected(self) -> tuple[Declared, ...]:
        """The scores that a rollout waits for: those that are declared."""
        if not self.declared:
            return ()
        found = [Declared(name, scorer.higher_is_better, False) for name, scorer in self.each.items()]
        found += [Declared(name, True, True) for name in self.pairwise]
        if self.online.agreement is not None:
            found.append(Declared(AGREEMENT, True, True))
        return tuple(found)

    def agreement(self, mine: Attempt, champions: Attempt) -> float | None:
        """How much an answer agrees with the champion's; None where the champion's can't be read."""
        from proveout.evaluation.runner import answer_text
        from proveout.evaluation.scorers import ScorerFailed

        if champions.answer.problem is not None:
            return None
        if self.reference is None:
            return float(mine.answer.problem is None and answer_text(mine) == answer_text(champions))
        example = msgspec.structs.replace(mine.example, expected=champions.answer.value)
        try:
            return self.reference.score(msgspec.structs.replace(mine, example=example)).value
        except ScorerFailed:
            return None


def _place(service: Service, spec: ScorerSpec, number: int) -> str:
    """Where a scorer of `online` stands: file, line and field."""
    from proveout.project.row_problems import shown

    line = "" if spec.line is None else f":{spec.line}"
    return f"{shown(service.path)}{line}: online.scorers[{number}]:"


def has_contract(service: Service, variant: Variant) -> bool:
    """Whether an answer of a variant can be in the wrong form."""
    return bool(variant.postprocess) or service.output.choices is not None or service.output.schema is not None


def share(online: Online, trace: Trace) -> float:
    """Which share of requests like this one is scored."""
    return online.pairs if trace.step == "shadow" else online.sample


def attempt_of(service: Service, variant: Variant, trace: Trace, content: tuple[str, str]) -> Attempt | None:
    """What a scorer looks at, from a trace and its kept content; None where no answer can be found in it.

    Of a managed prompt that was not streamed, the kept answer is already what post-processing made of it.
    """
    from proveout.evaluation.records import Attempt
    from proveout.project.processing import postprocess

    request = _object(content[0])
    found = _answer(content[1])
    if request is None or found is None:
        return None
    text, calls, finish = found
    variables = _object_in(request.get("proveout")).get("variables")
    done = variables is not None and not trace.streamed and trace.valid is True
    answer = postprocess((), variant.output, text) if done else variant.parse(text)
    input = cast("dict[str, Any]", variables) if isinstance(variables, dict) else _asked(service, request)
    return Attempt(
        example=Example(id=trace.id, input=input, expected=None, cluster=trace.id),
        text=text,
        answer=answer,
        tool_calls=calls,
        finish_reason=finish or trace.finish or "stop",
    )


def _asked(service: Service, request: Mapping[str, Any]) -> dict[str, Any]:
    """A plain conversation as a service's input: what the user said last."""
    messages: Any = request.get("messages")
    said: Any = ""
    for message in reversed(cast("list[Any]", messages) if isinstance(messages, list) else []):
        if _object_in(message).get("role") == "user":
            said = _object_in(message).get("content")
            break
    return {service.inputs[0] if len(service.inputs) == 1 else "message": said}


def _answer(kept: str) -> tuple[str, tuple[Any, ...], str | None] | None:
    """Text, tool calls and finish reason of a kept answer: a whole one as JSON, a stream's as its text."""
    body = _object(kept)
    if body is None or "choices" not in body:
        return (kept, (), None)
    choices: Any = body["choices"]
    if not isinstance(choices, list) or not choices:
        return None
    choice = _object_in(cast("list[Any]", choices)[0])
    message = _object_in(choice.get("message"))
    content, calls = message.get("content"), message.get("tool_calls")
    if not isinstance(content, str) and not calls:
        return None
    found = tuple(cast("list[Any]", calls)) if isinstance(calls, list) else ()
    finish = choice.get("finish_reason")
    return (content if isinstance(content, str) else "", found, finish if isinstance(finish, str) else None)


def _object(text: str) -> dict[str, Any] | None:
    try:
        found: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def _object_in(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
