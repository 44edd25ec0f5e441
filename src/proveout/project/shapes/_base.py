"""What every shape is made of: a strict base class, quantities with units, names, references, and unions told apart
by their key.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from proveout.project import quantities

# Looking for plug-ins of pydantic would read the metadata of every installed package at each start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class Shape(BaseModel):
    """A mapping in a file: known keys only, no conversions between types."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True, protected_namespaces=())


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a value can't be used and what to write instead; `at` leads from the checked value to the offending part."""

    what: str
    instead: str
    at: tuple[str | int, ...] = ()


def refuse(what: str, instead: str) -> PydanticCustomError:
    """The error that a validator raises for one refusal."""
    return _refused([Refusal(what, instead)])


def _refused(refusals: list[Refusal]) -> PydanticCustomError:
    return PydanticCustomError("refused", "this value can't be used", {"refusals": refusals})


def checked_by(check: Callable[[Any], Iterable[Refusal]]) -> AfterValidator:
    """A validator that reports every refusal that `check` finds, not only the first."""

    def validate(value: Any) -> Any:
        refusals = list(check(value))
        if refusals:
            raise _refused(refusals)
        return value

    return AfterValidator(validate)


def repeated(values: Sequence[str]) -> Iterator[Refusal]:
    """The values that a list holds more than once."""
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield Refusal(f"`{value}` stands here twice", "Keep one of them.", (index,))
        seen.add(value)


def _seconds(value: object) -> float:
    try:
        return quantities.seconds(value)
    except ValueError as error:
        raise refuse("this is no duration", f"Write it so: {error}.") from None


def _share(value: object) -> float:
    try:
        return quantities.share(value)
    except ValueError as error:
        raise refuse("this is neither a number nor a percentage", f"Write it so: {error}.") from None


def _below_one(value: float) -> float:
    if not 0 <= value < 1:
        raise refuse("a margin lies between 0 and 1", "Write a share of one such as 0.02, or a percentage such as 2%.")
    return value


def _weight(value: float) -> float:
    if not 0 < value <= 1:
        raise refuse("a share of traffic lies above 0 and up to 1", "Write a percentage such as 5%, or 0.05.")
    return value


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise refuse("this is not a finite number", "Write a plain number.")
    return value


def _secret_reference(value: str) -> str:
    kind, _, name = value.partition(":")
    if kind == "env" and name.isascii() and name.isidentifier():
        return value
    if kind == "file" and name and "\n" not in name:
        return value
    raise refuse("a secret must not stand in a file", "Write env:NAME for an environment variable, or file:PATH.")


_QUANTITY = r"^[0-9]+(\.[0-9]+)?\s?"


def written_as(kind: str, schema: dict[str, Any]) -> WithJsonSchema:
    """The JSON Schema of a value in a file, with its kind in the words of the reference."""
    return WithJsonSchema({**schema, KIND: kind})


KIND = "x-kind"
"""Where a schema says its kind in words, for the reference; editors pass over it."""

Duration = Annotated[
    float, BeforeValidator(_seconds), written_as("duration", {"type": "string", "pattern": _QUANTITY + "(ms|s|m|h|d)$"})
]
"""Seconds, written with a unit."""

_SHARE_SCHEMA = written_as(
    "share",
    {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": _QUANTITY + "%$"}]},
)
Margin = Annotated[float, BeforeValidator(_share), AfterValidator(_below_one), _SHARE_SCHEMA]
MetricMargin = Annotated[
    float,
    BeforeValidator(_share),
    Field(ge=0),
    AfterValidator(_finite),
    written_as("share", {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": _QUANTITY + "%$"}]}),
]
"""A margin in the unit of a metric that may be any number."""

Weight = Annotated[float, BeforeValidator(_share), AfterValidator(_weight), _SHARE_SCHEMA]
Amount = Annotated[float, AfterValidator(_finite), Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Text = Annotated[str, Field(min_length=1)]
Name = Annotated[
    str,
    Field(min_length=1, max_length=120, pattern=NAME_PATTERN),
    written_as("name", {"type": "string", "pattern": NAME_PATTERN, "maxLength": 120}),
]
RelativePath = Annotated[str, Field(min_length=1), written_as("path", {"type": "string", "minLength": 1})]
SecretReference = Annotated[
    str,
    AfterValidator(_secret_reference),
    written_as("secret reference", {"type": "string", "pattern": "^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$"}),
]


def tag(name: str) -> str:
    """The tag of one branch of a union, marked so that it is never taken for a field when an error is located."""
    return f"<{name}>"


def is_tag(part: object) -> bool:
    """Whether a part of an error's place is a union's branch instead of a field."""
    return isinstance(part, str) and part.startswith("<") and part.endswith(">")


@dataclass(frozen=True, slots=True)
class Alternatives:
    """What to say of a value that fits no branch of a union. `noun` says what the names in `known` are names of."""

    what: str
    instead: str
    noun: str = ""
    known: tuple[str, ...] = ()


ALTERNATIVES: dict[str, Alternatives] = {}
"""By the type of the error that pydantic reports."""


def told_apart_by(
    choose: Callable[[Any], str | None], what: str, instead: str, *, noun: str = "", known: Iterable[str] = ()
) -> Discriminator:
    """A union whose branch `choose` picks from the raw value, so that only that branch's errors are reported."""

    def branch(value: Any) -> str | None:
        chosen = choose(value)
        return None if chosen is None else tag(chosen)

    kind = f"no_branch_{len(ALTERNATIVES)}"
    ALTERNATIVES[kind] = Alternatives(what, instead, noun, tuple(known))
    return Discriminator(branch, custom_error_type=kind, custom_error_message=what)


def only_key(value: Any) -> str | None:
    """The key of a mapping that has just one; the name itself of a plain string."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and len(value) == 1:
        return next(iter(value))
    if isinstance(value, BaseModel):
        return next(iter(type(value).model_fields))
    return None
