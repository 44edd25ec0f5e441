"""Where in a dataset's row the fields of an example stand, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, cast, get_args

from proveout.project.contract import is_choice
from proveout.project.example_ids import Names
from proveout.project.problems import one_of, suggestion
from proveout.project.records import DatasetKind, DatasetRef, Example
from proveout.project.row_problems import Problems, kind_of
from proveout.project.rows import Row

FIELDS = ("id", "input", "expected", "cluster", "tags", "source")

_KINDS: tuple[str, ...] = get_args(DatasetKind)
_MISSING: Any = object()


class Layout:
    """Where in a row each field of an example stands."""

    def __init__(self, ref: DatasetRef, inputs: Sequence[str], problems: Problems) -> None:
        self._ref = ref
        self._problems = problems
        self._inputs = tuple(inputs)
        self._is_csv = ref.path.suffix.lower() == ".csv"
        self._needs_expected = ref.kind != "failures"
        self._misspelt: dict[str, str | None] = dict.fromkeys(FIELDS)
        known = [*(name for name in FIELDS if name != "input"), *(f"input.{name}" for name in inputs)]
        self._columns = {name if name in known else f"input.{name}": column for name, column in ref.columns.items()}
        for name in ref.columns:
            if name not in known and f"input.{name}" not in known:
                problems.add(None, f"columns.{name}", "there is no such field", f"Write {one_of(known)}.")
        self._paths: dict[str, tuple[str, ...]] = {name: self._path(name) for name in known}
        self._input_paths = [(name, self._paths[f"input.{name}"]) for name in inputs]
        self._lone = self._inputs[0] if len(inputs) == 1 and f"input.{inputs[0]}" not in self._columns else None

    def _path(self, name: str) -> tuple[str, ...]:
        column = self._columns.get(name)
        if column is None:
            return ("input", name.removeprefix("input.")) if name.startswith("input.") else (name,)
        return (column,) if self._is_csv else tuple(column.split("."))

    def arrange_columns(self, header: Sequence[str]) -> bool:
        """Find the fields among a CSV file's columns; whether the file can be read at all."""
        before = self._problems.total
        for name in self._paths:
            short = name.removeprefix("input.")
            column = self._columns.get(name, name if name in header else short)
            self._paths[name] = (column,)
            needed = name in self._columns or name.startswith("input.") or (name == "expected" and self._needs_expected)
            if needed and column not in header:
                instead = f"Add it, or say under `columns` which of {one_of(list(header))} holds `{name}`."
                self._problems.add(1, name, f"there is no column {column!r}", instead)
        self._input_paths = [(name, self._paths[f"input.{name}"]) for name in self._inputs]
        self._lone = None
        if not self._columns:
            self._look_at_names(header, 1)
        return self._problems.total == before

    def example(self, line: int, row: Row, names: Names) -> Example | None:
        """The example in a row; None, and a problem more, if it has none that can be used."""
        before = self._problems.total
        if not self._is_csv and not self._columns:
            self._look_at_names(row, line)
        values = self._values(row, line)
        expected = self._expected(row, line)
        identifier = self._label("id", row, line)
        cluster = self._label("cluster", row, line)
        tags = self._tags(row, line)
        source = self._source(row, line)
        if self._problems.total > before:
            return None
        identifier = names.made(values, line) if identifier is None else names.given(identifier, line)
        if identifier is None:
            return None
        return Example(identifier, values, expected, identifier if cluster is None else cluster, tags, source, line)

    def _values(self, row: Row, line: int) -> dict[str, Any]:
        if self._lone is not None:
            value = row.get("input", _MISSING)
            if value is not _MISSING and not isinstance(value, dict):
                if value is None:
                    self._problems.add(line, "input", "it is null", 'Write the input\'s text; an empty one is "".')
                return {self._lone: value}
        values: dict[str, Any] = {}
        for name, path in self._input_paths:
            value = _find(row, path)
            if value is _MISSING or value is None:
                self._missing_input(name, path, row, line)
            values[name] = value
        return values

    def _missing_input(self, name: str, path: tuple[str, ...], row: Row, line: int) -> None:
        outer = row.get(path[0], _MISSING)
        if len(path) > 1 and outer is not _MISSING and not isinstance(outer, dict):
            what = f"`{path[0]}` is {kind_of(outer)}"
            self._problems.add(line, path[0], what, f'Write an object: {{"{path[1]}": ...}}.')
            return
        what = "it is null" if _find(row, path) is None else "it is missing"
        field = ".".join(path)
        self._problems.add(line, field, what, f'Give the service\'s input `{name}`; an empty one is "".')

    def _expected(self, row: Row, line: int) -> Any:
        path = self._paths["expected"]
        value = _find(row, path)
        if self._is_csv and value == "":
            value = _MISSING
        if value is not _MISSING:
            if not self._can_be_answered(value):
                what = f"no answer can be {kind_of(value)}: it is none of the service's `output.choices`"
                choices = self._ref.choices or ()
                instead = suggestion(value, choices) if isinstance(value, str) else f"Write {one_of(choices)}."
                self._problems.add(line, ".".join(path), what, instead)
            return value
        if self._needs_expected:
            instead = "Write the right answer" + ("." if self._is_csv else "; where there is none, null.")
            self._problems.add(line, ".".join(path), "it is missing", instead)
        return None

    def _can_be_answered(self, expected: Any) -> bool:
        """Whether some answer within the service's choices can be this one, or one of these. What is no text is left
        to the scorers.
        """
        choices = self._ref.choices
        texts = expected if isinstance(expected, list) else [expected]
        if choices is None or not texts or not all(isinstance(text, str) for text in texts):
            return True
        return any(is_choice(choices, text) for text in texts)

    def _label(self, field: str, row: Row, line: int) -> str | None:
        """An id or a cluster: a text, or a whole number taken as one."""
        path = self._paths[field]
        value = _find(row, path)
        if type(value) is str and value and "\0" not in value:
            return value
        if type(value) is int:
            return str(value)
        if value is _MISSING or value is None or (value == "" and self._is_csv):
            return None
        what = "it is empty" if value == "" else f"it is {kind_of(value)}"
        self._problems.add(line, ".".join(path), what, "Write a text or a whole number, or leave it out.")
        return None

    def _tags(self, row: Row, line: int) -> tuple[str, ...]:
        path = self._paths["tags"]
        value = _find(row, path)
        if value is _MISSING or value is None:
            return ()
        if self._is_csv:
            return tuple(tag.strip() for tag in cast(str, value).split(";") if tag.strip())
        if isinstance(value, list) and all(isinstance(tag, str) and tag and "\0" not in tag for tag in value):
            return tuple(value)
        self._problems.add(
            line, ".".join(path), f"it is {kind_of(value)}", 'Write a list of texts: ["refund", "german"].'
        )
        return ()

    def _source(self, row: Row, line: int) -> DatasetKind:
        """The kind of dataset that a row belongs to. Another text is where the example came from, as the team says it,
        and changes nothing; a misspelt kind would change who is believed.
        """
        path = self._paths["source"]
        value = _find(row, path)
        if value is _MISSING or value is None or (value == "" and self._is_csv):
            return self._ref.kind
        if isinstance(value, str) and value in _KINDS:
            return cast(DatasetKind, value)
        if isinstance(value, str) and _near_kind(value) is None:
            return self._ref.kind
        instead = f"Write {one_of(_KINDS)}, or in another text where the example comes from."
        self._problems.add(line, ".".join(path), f"{kind_of(value)} is no kind of dataset", instead)
        return self._ref.kind

    def _look_at_names(self, names: Iterable[str], line: int) -> None:
        """A misspelt `cluster` would change what counts as one example, so near misses are problems, not ignored
        fields.
        """
        for name in names:
            if name in self._misspelt:
                meant = self._misspelt[name]
            else:
                meant = self._misspelt[name] = None if name in self._inputs else _near(name)
            if meant is not None:
                self._problems.add(
                    line, name, "there is no such field", f"Write `{meant}`, or another name if it is your own."
                )


def _find(row: Row, path: tuple[str, ...]) -> Any:
    value: Any = row
    for name in path:
        if type(value) is not dict:
            return _MISSING
        value = value.get(name, _MISSING)
    return value


@lru_cache(maxsize=256)
def _near_kind(text: str) -> str | None:
    """The kind of dataset that somebody who wrote this text probably meant."""
    import difflib

    near = difflib.get_close_matches(text.casefold().strip(), _KINDS, n=1, cutoff=0.75)
    return near[0] if near else None


def _near(name: str) -> str | None:
    """The field that somebody who wrote this name probably meant."""
    import difflib

    folded = name.casefold().strip()
    for field in FIELDS:
        if folded.rstrip("s") == field.rstrip("s"):
            return field
    near = difflib.get_close_matches(folded, FIELDS, n=1, cutoff=0.87)
    return near[0] if near else None
