"""Whether an answer matches a pattern."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from proveout.evaluation.records import Attempt, Score
from proveout.evaluation.scorers._base import (
    RIGHT,
    Scorer,
    answer_as_text,
    as_text,
    expected_answer,
    shown,
    unparsed,
    unreadable,
    wrong,
)
from proveout.evaluation.scorers._registry import scorer


@scorer("regex")
@dataclass(frozen=True)
class Regex(Scorer):
    """1 when the pattern is found in the answer; with `group`, when what that group caught equals the expected
    answer. Without a match there is nothing to compare, so the answer then counts as unreadable."""

    pattern: Annotated[
        str, Meta(description="A Python regular expression.", min_length=1, examples=["^[A-Z]{2}-\\d{4}$"])
    ]
    match: Annotated[
        Literal["search", "full"], Meta(description="Somewhere in the answer, or all of it.", examples=["full"])
    ] = "search"
    ignore_case: Annotated[bool, Meta(description="`A` matches `a`.", examples=[True])] = False
    group: Annotated[
        int | str | None,
        Meta(description="Number or name of the group to compare with the expected answer.", examples=[1]),
    ] = None
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            compiled = re.compile(self.pattern, re.IGNORECASE if self.ignore_case else 0)
        except re.error as error:
            raise ValueError(f"pattern: {self.pattern!r} is no regular expression ({error}). Mend it") from None
        groups = (*range(compiled.groups + 1), *compiled.groupindex)
        if self.group is not None and self.group not in groups:
            raise ValueError(
                f"group: the pattern has no group {self.group!r}. Write one of {', '.join(map(str, groups))}"
            )
        object.__setattr__(self, "_compiled", compiled)

    @property
    def needs_expected(self) -> bool:  # type: ignore[override]
        return self.group is not None

    def score(self, attempt: Attempt) -> Score:
        failed = unparsed(attempt)
        if failed is not None:
            return failed
        text = answer_as_text(attempt)
        found = self._compiled.search(text) if self.match == "search" else self._compiled.fullmatch(text)
        if self.group is None:
            return RIGHT if found else wrong(f"{shown(text)} does not match {self.pattern}")
        if found is None or found[self.group] is None:
            return unreadable(f"{shown(text)} does not match {self.pattern}")
        expected = expected_answer(attempt)
        accepted = expected if isinstance(expected, list | tuple) else (expected,)
        caught = found[self.group].strip()
        if any(self._same(caught, as_text(value).strip()) for value in accepted):
            return RIGHT
        return wrong(f"expected {shown(expected)}, caught {shown(caught)}")

    def _same(self, caught: str, expected: str) -> bool:
        return caught.casefold() == expected.casefold() if self.ignore_case else caught == expected
