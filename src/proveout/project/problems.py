"""What is wrong with a project's files, in a form that tells a person where to look and what to write instead."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from proveout.project.sensitive import redacted

FieldPath = tuple[str | int, ...]

_SHOWN_NAMES = 12


class Problem(msgspec.Struct, frozen=True):
    """One thing to mend. `file` is relative to the project's folder; `line` and `column` count from 1.

    Whatever in it looks like a secret is left out.
    """

    file: str
    line: int | None
    column: int | None
    field: str
    what: str
    instead: str

    def __post_init__(self) -> None:
        for name in ("field", "what", "instead"):
            msgspec.structs.force_setattr(self, name, redacted(getattr(self, name)))

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        field = f" {self.field}:" if self.field else ""
        return f"{place}:{field} {self.what}. {self.instead}"


class ProjectError(Exception):
    """A project's files can't be used; `problems` are all that is wrong with them, in order of file and line;
    what has no line comes last of its file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(
            sorted(problems, key=lambda one: (one.file, one.line is None, one.line or 0, one.column or 0))
        )
        super().__init__(self.problems)

    def __str__(self) -> str:
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        return "\n".join([f"The project has {count}:", *(f"  {problem}" for problem in self.problems)])


def dotted(path: FieldPath) -> str:
    """A field path as people write it: `rollout.steps[1].canary.weight`."""
    shown = ""
    for part in path:
        shown += f"[{part}]" if isinstance(part, int) else f".{part}" if shown else part
    return shown


def suggestion(name: str, known: Iterable[str]) -> str:
    """What to write instead of an unknown name: the nearest known one, or all of them where several are as near."""
    import difflib

    names = sorted(known)
    wanted = name.casefold()
    by_folded = {candidate.casefold(): candidate for candidate in names}
    near = difflib.get_close_matches(wanted, by_folded, n=2, cutoff=0.6)
    likeness = [difflib.SequenceMatcher(a=candidate, b=wanted).ratio() for candidate in near]
    if near and len(set(likeness)) == len(near):
        return f"Did you mean `{by_folded[near[0]]}`?"
    return f"Write {one_of(names)}." if names else "There are none yet."


def one_of(names: Sequence[str]) -> str:
    """A short list of alternatives: `a`, `b` or `c`."""
    quoted = [f"`{name}`" for name in names]
    if len(quoted) > _SHOWN_NAMES:
        return f"one of {', '.join(quoted[:_SHOWN_NAMES])} and {len(quoted) - _SHOWN_NAMES} more"
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def as_yaml(value: Any) -> str:
    """A value on one line, as it would be written in a YAML file."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {as_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_yaml, value)) + "]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if not isinstance(value, str) or (_PLAIN.fullmatch(value) and value == value.strip()):
        return str(value)
    return json.dumps(value, ensure_ascii=False) if "'" in value or not value.isprintable() else f"'{value}'"


_PLAIN = re.compile(
    r"(?!(?i:true|false|null)$|[\d.eE+-]+$)\w[^\n:#,\[\]{}']*(?::[^\s\n:#,\[\]{}']+)*|\d[\w.%-]*[a-z%]|\d{4}-\d\d-\d\d"
)
"""Texts that need no quotes, told cautiously."""
