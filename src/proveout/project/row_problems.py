"""What is wrong with a file of rows: counted in full, kept as far as a person would read it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from proveout.project.problems import Problem

PROBLEMS_KEPT = 50


class DatasetError(Exception):
    """A dataset's file can't be used. `problems` are the first that were found, `total` is how many there are in
    all.
    """

    def __init__(self, problems: Sequence[Problem], total: int) -> None:
        self.problems = tuple(problems)
        self.total = total
        super().__init__(self.problems, total)

    def listed(self) -> list[Problem]:
        """The problems that were kept, and one that says how many more there are."""
        more = self.total - len(self.problems)
        if not more:
            return [*self.problems]
        last = Problem(
            self.problems[-1].file, None, None, "", f"{more:,} more problems are in this file", "Mend these."
        )
        return [*self.problems, last]

    def __str__(self) -> str:
        count = "1 problem" if self.total == 1 else f"{self.total} problems"
        more = [f"  ... and {self.total - len(self.problems)} more"] if self.total > len(self.problems) else []
        return "\n".join([f"The dataset has {count}:", *(f"  {problem}" for problem in self.problems), *more])


class Problems:
    """What is wrong with one file so far; no more is kept of it than a person would read."""

    def __init__(self, path: Path) -> None:
        self.file = shown(path)
        self.kept: list[Problem] = []
        self.total = 0

    def add(self, line: int | None, field: str, what: str, instead: str, column: int | None = None) -> None:
        self.total += 1
        if len(self.kept) < PROBLEMS_KEPT:
            self.kept.append(Problem(self.file, line, column, field, what, instead))


def shown(path: Path) -> str:
    """The path as a person here would write it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def kind_of(value: object) -> str:
    """A JSON value as a reader of an error should see it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
