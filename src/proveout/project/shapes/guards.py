"""`guards:` of a service: checks of what goes in and of what comes out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from proveout.project.records import GuardSpec
from proveout.project.shapes._base import Count, Name, Refusal, Shape, Text, checked_by, refuse, written_as

KINDS = ("max_chars", "deny_pattern", "no_secrets", "json_valid", "contract")
_OF_ANSWERS = ("json_valid", "contract")
_HELD = 200
"""Characters that are kept back unless something else is written: longer than keys and most phrases."""


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise refuse(f"this is no regular expression: {error}", "Write one that Python's `re` takes.") from None
    return value


Pattern = Annotated[str, AfterValidator(_pattern), written_as("regular expression", {"type": "string"})]


class GuardShape(Shape):
    """One guard: a name, one check, and what is done where it hits."""

    name: Name = Field(description="Its name, in traces and metrics.", examples=["length"])
    max_chars: Count | None = Field(default=None, description="Hits longer texts.", examples=[8000])
    deny_pattern: Pattern | None = Field(
        default=None, description="Hits texts in which this is found.", examples=["(?i)ignore .{0,20}instructions"]
    )
    no_secrets: Literal[True] | None = Field(
        default=None, description="Hits keys, tokens and passwords.", examples=[True]
    )
    json_valid: Literal[True] | None = Field(
        default=None, description="Hits answers that are no JSON.", examples=[True]
    )
    contract: Literal[True] | None = Field(
        default=None, description="Hits answers that don't meet the service's output contract.", examples=[True]
    )
    action: Literal["flag", "block"] = Field(
        default="flag", description="Record it, or also refuse.", examples=["block"]
    )
    refusal: Text | None = Field(
        default=None,
        description="What is answered instead where it blocks; without it, an error.",
        examples=["I can't help with that."],
    )

    hold: Annotated[int, Field(ge=0)] | Literal["all", "none"] | None = Field(
        default=None,
        description="How much of a streamed answer a guard that blocks keeps back: characters at its end, `all`, or "
        "`none`, so that streams are only flagged. Unless set: `all` for `json_valid` and `contract`, which judge "
        f"whole answers, 0 for `max_chars`, {_HELD} for others.",
        examples=[_HELD],
    )
    on_error: Literal["pass", "block"] = Field(
        default="pass",
        description="Let pass, or block, what the guard could not look at because it failed itself.",
        examples=["block"],
    )

    @property
    def held(self) -> int | Literal["all"] | None:
        """What is kept back of a stream; None where streams are only flagged."""
        if self.action != "block" or self.hold == "none":
            return None
        if self.hold is not None:
            return self.hold
        (kind,) = self.kinds
        return "all" if kind in _OF_ANSWERS else 0 if kind == "max_chars" else _HELD

    @property
    def kinds(self) -> list[str]:
        return [kind for kind in KINDS if getattr(self, kind) is not None]


def _unfit(guards: list[GuardShape]) -> Iterator[Refusal]:
    for index, guard in enumerate(guards):
        if len(guard.kinds) != 1:
            what = "a guard has one check" if guard.kinds else "this guard checks nothing"
            yield Refusal(what, f"Write one of {', '.join(KINDS)}.", (index,))
        if guard.refusal is not None and guard.action != "block":
            yield Refusal("only a guard that blocks has a refusal", "Write `action: block`.", (index, "refusal"))
        if guard.hold not in (None, "none") and guard.action != "block":
            yield Refusal("only a guard that blocks holds a stream", "Write `action: block`.", (index, "hold"))
        if guard.on_error == "block" and guard.action != "block":
            yield Refusal("only a guard that blocks can block", "Write `action: block`.", (index, "on_error"))


def _of_answers(guards: list[GuardShape]) -> Iterator[Refusal]:
    for index, guard in enumerate(guards):
        for kind in guard.kinds:
            if kind in _OF_ANSWERS:
                yield Refusal(f"`{kind}` checks answers", "Put it under `output`.", (index, kind))
        if guard.hold is not None:
            yield Refusal("only an answer can be held", "Put the guard under `output`.", (index, "hold"))


class GuardsShape(Shape):
    """Guards by checkpoint, in the order in which they are asked."""

    input: Annotated[list[GuardShape], checked_by(_unfit), checked_by(_of_answers)] = Field(
        default_factory=list,
        description="Before a model is called.",
        examples=[[{"name": "length", "max_chars": 8000, "action": "block"}]],
    )
    output: Annotated[list[GuardShape], checked_by(_unfit)] = Field(
        default_factory=list,
        description="Before an answer is given.",
        examples=[[{"name": "shape", "contract": True}]],
    )


def _twice(guards: GuardsShape) -> Iterator[Refusal]:
    seen: set[str] = set()
    for checkpoint, some in (("input", guards.input), ("output", guards.output)):
        for index, guard in enumerate(some):
            if guard.name in seen:
                yield Refusal(f"there are two guards `{guard.name}`", "Rename one.", (checkpoint, index, "name"))
            seen.add(guard.name)


Guards = Annotated[GuardsShape, checked_by(_twice)]


def guard_records(shape: GuardsShape | None) -> tuple[GuardSpec, ...]:
    """Guards as records."""
    if shape is None:
        return ()
    return (*_records("input", shape.input), *_records("output", shape.output))


def _records(checkpoint: Literal["input", "output"], guards: list[GuardShape]) -> Iterator[GuardSpec]:
    for guard in guards:
        (kind,) = guard.kinds
        value, held = getattr(guard, kind), guard.held if checkpoint == "output" else None
        yield GuardSpec(guard.name, checkpoint, kind, value, guard.action, guard.refusal, held, guard.on_error)
