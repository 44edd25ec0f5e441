"""Whether the fields of a JSON answer are the expected ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

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
from proveout.evaluation.scorers.numeric import Numeric

_ABSENT = object()
_EXACT: Mapping[str, bool] = {"ignore_case": True, "ignore_whitespace": True, "ignore_punctuation": True}
_NUMERIC = ("tolerance", "relative")


@scorer("json_fields")
@dataclass(frozen=True)
class JsonFields(Scorer):
    """The share of fields that are right, or with `require: all` 1 only when all are. Fields are compared exactly,
    or by number where a tolerance is given. Other fields of the answer are not looked at. An answer that is no JSON
    object scores 0 and counts as unreadable."""

    fields: Annotated[
        tuple[str, ...] | dict[str, dict[str, Any] | None],
        Meta(
            description="Fields to compare, as names or dotted paths, each with `tolerance`, `relative`, "
            "`ignore_case`, `ignore_whitespace` "
            "or `ignore_punctuation` where wanted; by default every field of the expected object.",
            examples=[{"intent": {"ignore_case": True}, "order.total": {"tolerance": 0.01}}],
        ),
    ] = ()
    require: Annotated[Literal["share", "all"], Meta(description="What the score is.", examples=["all"])] = "share"
    binary: bool = field(init=False, repr=False)
    _compare: dict[str, ExactMatch | Numeric] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        options = self.fields if isinstance(self.fields, Mapping) else dict.fromkeys(self.fields)
        object.__setattr__(self, "binary", self.require == "all")
        object.__setattr__(self, "_compare", {name: _comparison(name, given or {}) for name, given in options.items()})

    def score(self, attempt: Attempt) -> Score:
        failed = unparsed(attempt)
        if failed is not None:
            return failed
        expected = _object(expected_answer(attempt))
        if expected is None:
            raise ScorerFailed(
                f"example {attempt.example.id} expects {shown(attempt.example.expected)}, which is no JSON object"
            )
        answer = _object(attempt.answer.value)
        if answer is None:
            return unreadable(f"no JSON object: {shown(attempt.answer.value)}")
        names = tuple(self._compare) or tuple(expected)
        problems = [problem for name in names if (problem := self._problem(name, expected, answer, attempt))]
        if not problems:
            return RIGHT
        reason = "; ".join(problems)
        return wrong(reason) if self.require == "all" else Score(value=1 - len(problems) / len(names), reason=reason)

    def _problem(
        self, name: str, expected: Mapping[str, Any], answer: Mapping[str, Any], attempt: Attempt
    ) -> str | None:
        wanted, got = _at(expected, name), _at(answer, name)
        if wanted is _ABSENT:
            return None if got is _ABSENT else f"{name}: expected none, got {shown(got)}"
        if got is _ABSENT:
            return f"{name}: missing"
        comparison = self._compare.get(name, _PLAIN)
        if isinstance(comparison, Numeric):
            number, target = comparison.read(got), comparison.read(wanted)
            if target is None:
                raise ScorerFailed(
                    f"example {attempt.example.id} expects {shown(wanted)} in {name}, which is no number"
                )
            same = number is not None and comparison.close(number, target)
        else:
            same = comparison.accepts(wanted, got)
        return None if same else f"{name}: expected {shown(wanted)}, got {shown(got)}"


_PLAIN = ExactMatch()


def _comparison(name: str, given: Mapping[str, Any]) -> ExactMatch | Numeric:
    for option, value in given.items():
        if option in _NUMERIC:
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ValueError(
                    f"fields: {name}: {option} is not a number of at least 0. Write for example `{option}: 0.01`"
                )
        elif option not in _EXACT:
            from proveout.project.problems import suggestion

            raise ValueError(
                f"fields: {name}: there is no option `{option}`. {suggestion(option, (*_NUMERIC, *_EXACT))}"
            )
        elif not isinstance(value, bool):
            raise ValueError(f"fields: {name}: {option} is not true or false. Write `{option}: true`")
    tolerance, relative = given.get("tolerance"), given.get("relative")
    if tolerance is None and relative is None:
        return ExactMatch(**given)
    if not given.keys() <= set(_NUMERIC):
        raise ValueError(f"fields: {name}: a tolerance and a way to compare text don't go together. Leave one out")
    return Numeric(tolerance=float(tolerance or 0), relative=float(relative or 0))


def _object(value: Any) -> Mapping[str, Any] | None:
    try:
        value = read_json(value)
    except ValueError:
        return None
    return value if isinstance(value, Mapping) else None


def _at(value: Mapping[str, Any], path: str) -> Any:
    """What stands at a name or a dotted path."""
    if path in value:
        return value[path]
    found: Any = value
    for part in path.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return _ABSENT
        found = found[part]
    return found
