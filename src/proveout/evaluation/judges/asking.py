"""Asking a judge, and reading what it says. What can't be read is a failed measurement, never a verdict."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from proveout.evaluation.scorers._base import Models, ScorerFailed, shown
from proveout.project.records import Message, ModelSpec

if TYPE_CHECKING:
    from proveout.models import Generation, Request

T = TypeVar("T")

_THOUGHTS = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_DECODER = json.JSONDecoder()


DISPENSABLE = ("response_format", "temperature")
"""Parameters that a judge does without where its endpoint does not take them: not all know the one, and some newer
models refuse the other."""


@dataclass(slots=True)
class Manners:
    """What a judge's endpoint has shown of itself: the dispensable parameters that it refuses."""

    refused: set[str] = field(default_factory=set)


async def ask(
    models: Models,
    model: ModelSpec,
    messages: tuple[Message, ...],
    parameters: Mapping[str, Any],
    read: Callable[[Mapping[str, Any]], T],
    tries: int,
    manners: Manners,
) -> T:
    """One judgement. `read` turns a JSON object of the judge's answer into it, or raises ValueError where it is none.

    An endpoint that refuses `response_format` or `temperature` is asked without it, then and later.

    Raises:
        ScorerFailed: the model gave no answer, or none that can be read in `tries` tries.
    """
    from proveout.models import ModelError, Request

    problem = ""
    for repeat in range(tries):
        request = Request(messages=messages, parameters=parameters, repeat=repeat)
        try:
            generation = await _generate(models, model, request, manners)
        except ModelError as error:
            raise ScorerFailed(f"the judge gave no answer: {error}") from error
        try:
            return find(generation.text, read)
        except ValueError as error:
            cut = ", which was cut at its longest" if generation.finish_reason == "length" else ""
            problem = f"{error} in the judge's answer {shown(generation.text)}{cut}"
    raise ScorerFailed(problem)


async def _generate(models: Models, model: ModelSpec, request: Request, manners: Manners) -> Generation:
    """One answer, without what the endpoint refuses: what its error names, else first the one, then the other."""
    import msgspec

    from proveout.models import ModelError

    refused = set(manners.refused)
    while True:
        parameters = {name: value for name, value in request.parameters.items() if name not in refused}
        try:
            generation = await models.judge(model, msgspec.structs.replace(request, parameters=parameters))
        except ModelError as error:
            left = [name for name in DISPENSABLE if name in parameters]
            if error.kind != "bad_request" or not left:
                raise
            refused.add(next((name for name in left if name in str(error)), left[0]))
        else:
            manners.refused |= refused
            return generation


def find(text: str, read: Callable[[Mapping[str, Any]], T]) -> T:
    """The judgement in a judge's answer: the last JSON object that reads as one, also inside other text or a code
    fence.

    Raises:
        ValueError: there is none; says what is wrong with the last object.
    """
    problem = "no JSON object"
    for found in reversed(_objects(_THOUGHTS.sub("", text))):
        try:
            return read(found)
        except ValueError as error:
            problem = str(error)
    raise ValueError(problem)


def _objects(text: str) -> list[Mapping[str, Any]]:
    """Every JSON object of a text that is not inside another one."""
    found: list[Mapping[str, Any]] = []
    position = text.find("{")
    while position >= 0:
        try:
            value, end = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            end = position + 1
        else:
            found.append(value)
        position = text.find("{", end)
    return found


def reason_of(answer: Mapping[str, Any]) -> str:
    """The judge's reason, short enough to keep."""
    reason = answer.get("reason", "")
    return (reason if isinstance(reason, str) else json.dumps(reason))[:1000]
