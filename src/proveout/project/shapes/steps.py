"""The steps of `preprocess` and `postprocess`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, Tag

from proveout.project.shapes._base import Count, Shape, Text, only_key, refuse, tag, told_apart_by, written_as

PlainTextStep = Literal["strip", "lower", "upper"]
PlainStep = Literal["strip", "lower", "upper", "first_line", "last_line", "json", "number", "choice"]


def _reference(value: str) -> str:
    path, separator, function = value.rpartition(":")
    if not separator or not path.endswith(".py") or not function.isidentifier():
        raise refuse(
            "this names no Python function", "Write file.py:function, the file beside the service's other files."
        )
    return value


def _group(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str | None):
        raise refuse("this names no group", "Write its number or its name.")
    return value


Group = Annotated[Any, AfterValidator(_group), written_as("number or name", {"type": ["integer", "string"]})]
FunctionReference = Annotated[
    str, AfterValidator(_reference), written_as("function", {"type": "string", "pattern": r"^.+\.py:[A-Za-z_]\w*$"})
]


class Replacement(Shape):
    """Old text and new text."""

    old: Text = Field(description="Text to look for, as it stands.", examples=["Answer:"])
    new: str = Field(default="", description="What to put in its place.", examples=[""])


class Pattern(Shape):
    """A regular expression and which of its groups to keep."""

    pattern: Text = Field(description="The regular expression.", examples=[r"Intent: (\w+)"])
    group: Group = Field(
        default=None, description="Number or name of the group; by default the first, or the whole match.", examples=[1]
    )


class ReplaceStep(Shape):
    """Replaces text, as it stands."""

    replace: Replacement = Field(
        description="Replace all of an old text by a new one.", examples=[{"old": "Answer:", "new": ""}]
    )


class TruncateStep(Shape):
    """Keeps the start."""

    truncate: Count = Field(description="Keep at most this many characters from the start.", examples=[2000])


class PythonStep(Shape):
    """A function of the team's own."""

    python: FunctionReference = Field(
        description="A function of yours: it takes the value (for `preprocess`, the whole input) and returns "
        "the new one.",
        examples=["processing.py:clean"],
    )


class JsonFieldStep(Shape):
    """A field of JSON in the text."""

    json_field: Text = Field(
        description="This field (dots lead inwards) of the first JSON object in the text, with or without a fence.",
        examples=["intent"],
    )


class RegexStep(Shape):
    """A regular expression's first match."""

    regex: Annotated[
        Annotated[str, Tag(tag("pattern"))] | Annotated[Pattern, Tag(tag("settings"))],
        told_apart_by(
            lambda value: (
                "pattern" if isinstance(value, str) else "settings" if isinstance(value, dict | Pattern) else None
            ),
            "expected a regular expression",
            "Write `regex: 'A: (.*)'` or `regex: {pattern: ..., group: 1}`.",
        ),
    ] = Field(description="The first match of a regular expression.", examples=[r"Intent: (\w+)"])


class AfterStep(Shape):
    """What follows a marker."""

    after: Text = Field(description="What follows the last place where this text stands.", examples=["A:"])


class BeforeStep(Shape):
    """What precedes a marker."""

    before: Text = Field(description="What precedes the first place where this text stands.", examples=["\n\n"])


def _input_step(value: Any) -> str | None:
    key = only_key(value)
    if isinstance(value, str):
        return "plain" if key in get_args(PlainTextStep) else None
    return key if key in INPUT_STEPS else None


def _output_step(value: Any) -> str | None:
    key = only_key(value)
    if isinstance(value, str):
        return "plain" if key in get_args(PlainStep) else None
    return key if key in OUTPUT_STEPS else None


INPUT_STEPS = ("replace", "truncate", "python")
OUTPUT_STEPS = ("replace", "truncate", "python", "json_field", "regex", "after", "before")
INPUT_STEP_NAMES = (*get_args(PlainTextStep), *INPUT_STEPS)
OUTPUT_STEP_NAMES = (*get_args(PlainStep), *OUTPUT_STEPS)

InputStep = Annotated[
    Annotated[PlainTextStep, Tag(tag("plain"))]
    | Annotated[ReplaceStep, Tag(tag("replace"))]
    | Annotated[TruncateStep, Tag(tag("truncate"))]
    | Annotated[PythonStep, Tag(tag("python"))],
    told_apart_by(
        _input_step, "expected a step", "Write `- strip` or `- truncate: 2000`.", noun="step", known=INPUT_STEP_NAMES
    ),
]
OutputStep = Annotated[
    Annotated[PlainStep, Tag(tag("plain"))]
    | Annotated[ReplaceStep, Tag(tag("replace"))]
    | Annotated[TruncateStep, Tag(tag("truncate"))]
    | Annotated[PythonStep, Tag(tag("python"))]
    | Annotated[JsonFieldStep, Tag(tag("json_field"))]
    | Annotated[RegexStep, Tag(tag("regex"))]
    | Annotated[AfterStep, Tag(tag("after"))]
    | Annotated[BeforeStep, Tag(tag("before"))],
    told_apart_by(
        _output_step, "expected a step", "Write `- strip` or `- truncate: 2000`.", noun="step", known=OUTPUT_STEP_NAMES
    ),
]
