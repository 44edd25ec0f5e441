"""Whether an answer calls the expected tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta

from proveout.evaluation.records import Attempt, Score
from proveout.evaluation.scorers._base import (
    RIGHT,
    Scorer,
    ScorerFailed,
    expected_answer,
    shown,
    unparsed,
    unreadable,
    wrong,
)
from proveout.evaluation.scorers._registry import scorer
from proveout.evaluation.scorers.exact_match import ExactMatch
from proveout.evaluation.scorers.json_valid import read_json


class Call(NamedTuple):
    """One tool call: the tool's name and its arguments."""

    name: str
    arguments: Mapping[str, Any]


@scorer("tool_call")
@dataclass(frozen=True)
class ToolCall(Scorer):
    """1 when the tool calls are the expected ones: `{name: ..., arguments: {...}}`, a list of such, or `[]` for
    none. Calls are taken from the answer's tool calls; without any, from an answer that is such JSON itself.
    Arguments that are no JSON object score 0 and count as unreadable."""

    arguments: Annotated[
        Literal["exact", "subset", "ignore"],
        Meta(
            description="All arguments equal; the expected ones equal and others allowed; or names only.",
            examples=["subset"],
        ),
    ] = "exact"
    ordered: Annotated[bool, Meta(description="Whether calls must come in the expected order.", examples=[False])] = (
        True
    )
    extra_calls: Annotated[bool, Meta(description="Whether other calls may be made too.", examples=[True])] = False

    def score(self, attempt: Attempt) -> Score:
        if not attempt.tool_calls and (failed := unparsed(attempt)) is not None:
            return failed
        try:
            expected = read_calls(expected_answer(attempt))
        except ValueError as error:
            raise ScorerFailed(f"example {attempt.example.id}: the expected tool call can't be read: {error}") from None
        try:
            made = read_calls(attempt.tool_calls or _calls_in(attempt.answer.value))
        except ValueError as error:
            return unreadable(str(error))
        if self._matches(expected, made):
            return RIGHT
        return wrong(f"expected {_in_words(expected)}, got {_in_words(made)}")

    def _matches(self, expected: list[Call], made: list[Call]) -> bool:
        if len(made) < len(expected) or (len(made) > len(expected) and not self.extra_calls):
            return False
        return self._in_order(expected, made) if self.ordered else self._in_any_order(expected, made)

    def _in_order(self, expected: list[Call], made: list[Call]) -> bool:
        rest = iter(made)
        return all(any(self._same(wanted, call) for call in rest) for wanted in expected)

    def _in_any_order(self, expected: list[Call], made: list[Call]) -> bool:
        """Whether each expected call can be given a made call of its own (augmenting paths: subsets may fit
        several)."""
        taken: dict[int, int] = {}

        def place(wanted: int, tried: set[int]) -> bool:
            for index, call in enumerate(made):
                if index not in tried and self._same(expected[wanted], call):
                    tried.add(index)
                    if index not in taken or place(taken[index], tried):
                        taken[index] = wanted
                        return True
            return False

        return all(place(wanted, set()) for wanted in range(len(expected)))

    def _same(self, expected: Call, made: Call) -> bool:
        if expected.name != made.name:
            return False
        if self.arguments == "ignore":
            return True
        if self.arguments == "exact" and expected.arguments.keys() != made.arguments.keys():
            return False
        return all(
            name in made.arguments and _ARGUMENTS.same(value, made.arguments[name])
            for name, value in expected.arguments.items()
        )


_ARGUMENTS = ExactMatch()


def read_calls(value: Any) -> list[Call]:
    """Tool calls in OpenAI's shape or as plain `{name, arguments}`; one or a list.

    Raises:
        ValueError: one of them has no name, or arguments that are no JSON object.
    """
    value = read_json(value)
    return [_call(one) for one in (value if isinstance(value, Sequence) else [value])]


def _call(value: Any) -> Call:
    if isinstance(value, Mapping) and isinstance(value.get("function"), Mapping):
        value = value["function"]
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise ValueError(f"no tool call: {shown(value)}")
    arguments = value.get("arguments")
    try:
        arguments = read_json(arguments) if arguments not in (None, "") else {}
    except ValueError as error:
        raise ValueError(f"{value['name']}: the arguments are {error}") from None
    if not isinstance(arguments, Mapping):
        raise ValueError(f"{value['name']}: the arguments are no JSON object: {shown(arguments)}")
    return Call(value["name"], arguments)


def _calls_in(value: Any) -> Any:
    """An answer that is itself a call, or a list of them, in JSON; anything else is talk, and calls nothing."""
    try:
        found = read_json(value)
    except ValueError:
        return []
    named = found if isinstance(found, list) else [found]
    return (
        found
        if named and all(isinstance(one, Mapping) and ("name" in one or "function" in one) for one in named)
        else []
    )


def _in_words(calls: list[Call]) -> str:
    return ", ".join(f"{call.name}({shown(dict(call.arguments))})" for call in calls) or "no call"
