"""Datasets: JSONL and CSV files, streamed into examples. No bad row is dropped in silence, and none stops the search for more."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

import msgspec

from proveout.project.problems import Problem, one_of
from proveout.project.records import DatasetKind, DatasetRef, Example
from proveout.project.rows import Row, csv_rows, json_rows

FIELDS = ("id", "input", "expected", "cluster", "tags", "source")
PROBLEMS_KEPT = 50

_KINDS: tuple[str, ...] = get_args(DatasetKind)
_MISSING: Any = object()
_canonical = msgspec.json.Encoder(order="sorted").encode


class DatasetError(Exception):
    """A dataset's file can't be used. `problems` are the first that were found, `total` is how many there are in all."""

    def __init__(self, problems: Sequence[Problem], total: int) -> None:
        self.problems = tuple(problems)
        self.total = total
        super().__init__(self.problems, total)

    def __str__(self) -> str:
        count = "1 problem" if self.total == 1 else f"{self.total} problems"
        more = [f"  ... and {self.total - len(self.problems)} more"] if self.total > len(self.problems) else []
        return "\n".join([f"The dataset has {count}:", *(f"  {problem}" for problem in self.problems), *more])


class Problems:
    """What is wrong with one file so far; no more is kept of it than a person would read."""

    def __init__(self, path: Path) -> None:
        self.file = _shown(path)
        self.kept: list[Problem] = []
        self.total = 0

    def add(self, line: int | None, field: str, what: str, instead: str, column: int | None = None) -> None:
        self.total += 1
        if len(self.kept) < PROBLEMS_KEPT:
            self.kept.append(Problem(self.file, line, column, field, what, instead))


def read_examples(ref: DatasetRef, inputs: Sequence[str]) -> Iterator[Example]:
    """The examples of a dataset, in the order of its file, one at a time.

    JSONL has one object a line: `input` (an object with the service's inputs; where there is one input, its value alone will
    do), `expected`, and if wanted `id`, `cluster`, `tags`, `source`. CSV has columns named like the inputs (or `input.NAME`)
    and like the other fields; `tags` are separated by semicolons. `ref.columns` says where a file uses other names (dots reach
    into nested JSON). Other fields and columns are ignored.

    An example without an id gets one from its input, which stays the same wherever the row stands; the second example with
    that input gets `#2`. `expected` may be left out of failures only.

    Raises:
        DatasetError: once the file is read, if any row was bad; good rows have been handed out by then.
    """
    problems = Problems(ref.path)
    layout = _Layout(ref, inputs, problems)
    names = _Names(problems)
    count = 0
    for line, row in _rows(ref, layout, problems):
        example = layout.example(line, row, names)
        if example is not None:
            count += 1
            yield example
    if not count and not problems.total:
        problems.add(None, "", "there are no examples in this file", "Write at least one row.")
    if problems.total:
        raise DatasetError(problems.kept, problems.total)


def dataset_version(ref: DatasetRef, inputs: Sequence[str]) -> str:
    """A hash of what a verdict on this dataset rests on: every example's input, expected answer and given cluster.

    It does not depend on the order of rows, on ids, tags and ignored fields, or on the file's format: the error budget that
    is kept under it must not be won back by shuffling a file. Digests of rows are added up (AdHash: Bellare and Micciancio,
    1997), so that repeated rows count.

    Raises:
        DatasetError: as `read_examples`.
    """
    total = 0
    for example in read_examples(ref, inputs):
        cluster = None if example.cluster == example.id else example.cluster
        digest = hashlib.blake2b(_canonical((example.input, example.expected, cluster)), digest_size=32).digest()
        total += int.from_bytes(digest, "big")
    return hashlib.blake2b((total % 2**256).to_bytes(32, "big"), digest_size=12).hexdigest()


def sample_clusters(sizes: Mapping[str, int], limit: int, seed: int) -> frozenset[str]:
    """Whole clusters, drawn at random, that together have at most `limit` examples (though always one cluster).

    Args:
        sizes: how many examples each cluster has. Its order does not matter.
        limit: the most examples wanted.
        seed: the same seed draws the same clusters; a larger limit draws a superset of a smaller one's, but for big clusters.
    """
    order = sorted(sizes)
    random.Random(seed).shuffle(order)  # noqa: S311
    chosen: set[str] = set()
    room = limit
    for name in order:
        if sizes[name] <= room or not chosen:
            chosen.add(name)
            room -= sizes[name]
    return frozenset(chosen)


def input_text(example: Example) -> str:
    """An example's input as one text, to compare it with other texts."""
    values = example.input.values()
    return "\n".join(value if isinstance(value, str) else _canonical(value).decode() for value in values)


def _rows(ref: DatasetRef, layout: _Layout, problems: Problems) -> Iterator[tuple[int, Row]]:
    suffix = ref.path.suffix.lower()
    try:
        if suffix in (".jsonl", ".ndjson", ".json"):
            yield from json_rows(ref.path, problems)
        elif suffix == ".csv":
            yield from csv_rows(ref.path, problems, layout.arrange_columns)
        else:
            problems.add(None, "", f"files that end with {suffix or 'nothing'} are not read", "Name it .jsonl or .csv.")
    except OSError as error:
        problems.add(None, "", f"it can't be read ({error.strerror})", "Check the path and its permissions.")


class _Names:
    """Hands out ids, and finds those that are used twice. Ids are remembered by a 64-bit hash, to be small."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._lines: dict[int, int] = {}
        self._repeats: dict[str, int] = {}

    def given(self, name: str, line: int) -> str | None:
        """The id if it is free, else None."""
        first = self._lines.setdefault(hash(name), line)
        if first == line:
            return name
        what = f"id {name!r} is on line {first} too"
        self._problems.add(line, "id", what, "Give every example an id of its own, or leave ids out.")
        return None

    def made(self, values: Mapping[str, Any], line: int) -> str:
        """An id from the content."""
        content = hashlib.blake2b(_canonical(values), digest_size=8).hexdigest()
        name = content
        while self._lines.setdefault(hash(name), line) != line:
            self._repeats[content] = self._repeats.get(content, 1) + 1
            name = f"{content}#{self._repeats[content]}"
        return name


class _Layout:
    """Where in a row each field of an example stands."""

    def __init__(self, ref: DatasetRef, inputs: Sequence[str], problems: Problems) -> None:
        self._ref = ref
        self._problems = problems
        self._inputs = tuple(inputs)
        self._is_csv = ref.path.suffix.lower() == ".csv"
        self._needs_expected = ref.kind != "failures"
        self._misspelt: dict[str, str | None] = dict.fromkeys(FIELDS)
        known = [*(name for name in FIELDS if name != "input"), *(f"input.{name}" for name in inputs)]
        for name in ref.columns:
            if name not in known:
                problems.add(None, f"columns.{name}", "there is no such field", f"Write {one_of(known)}.")
        self._paths: dict[str, tuple[str, ...]] = {name: self._path(name) for name in known}
        self._input_paths = [(name, self._paths[f"input.{name}"]) for name in inputs]
        self._lone = (
            self._inputs[0] if len(self._inputs) == 1 and f"input.{self._inputs[0]}" not in ref.columns else None
        )

    def _path(self, name: str) -> tuple[str, ...]:
        column = self._ref.columns.get(name)
        if column is None:
            return ("input", name.removeprefix("input.")) if name.startswith("input.") else (name,)
        return (column,) if self._is_csv else tuple(column.split("."))

    def arrange_columns(self, header: Sequence[str]) -> bool:
        """Find the fields among a CSV file's columns; whether the file can be read at all."""
        before = self._problems.total
        for name in self._paths:
            short = name.removeprefix("input.")
            column = self._ref.columns.get(name, name if name in header else short)
            self._paths[name] = (column,)
            needed = (
                name in self._ref.columns or name.startswith("input.") or (name == "expected" and self._needs_expected)
            )
            if needed and column not in header:
                instead = f"Add it, or say under `columns` which of {one_of(list(header))} holds `{name}`."
                self._problems.add(1, name, f"there is no column {column!r}", instead)
        self._input_paths = [(name, self._paths[f"input.{name}"]) for name in self._inputs]
        self._lone = None
        if not self._ref.columns:
            self._look_at_names(header, 1)
        return self._problems.total == before

    def example(self, line: int, row: Row, names: _Names) -> Example | None:
        """The example in a row; None, and a problem more, if it has none that can be used."""
        before = self._problems.total
        if not self._is_csv and not self._ref.columns:
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
            what = f"`{path[0]}` is {_kind_of(outer)}"
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
            return value
        if self._needs_expected:
            instead = "Write the right answer" + ("." if self._is_csv else "; where there is none, null.")
            self._problems.add(line, ".".join(path), "it is missing", instead)
        return None

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
        what = "it is empty" if value == "" else f"it is {_kind_of(value)}"
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
            line, ".".join(path), f"it is {_kind_of(value)}", 'Write a list of texts: ["refund", "german"].'
        )
        return ()

    def _source(self, row: Row, line: int) -> DatasetKind:
        path = self._paths["source"]
        value = _find(row, path)
        if value is _MISSING or value is None or (value == "" and self._is_csv):
            return self._ref.kind
        if isinstance(value, str) and value in _KINDS:
            return cast(DatasetKind, value)
        instead = f"Write {one_of(_KINDS)}, or leave it out; say where an example comes from in `tags`."
        self._problems.add(line, ".".join(path), f"{_kind_of(value)} is no kind of dataset", instead)
        return self._ref.kind

    def _look_at_names(self, names: Iterable[str], line: int) -> None:
        """A misspelt `cluster` would change what counts as one example, so near misses are problems, not ignored fields."""
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


def _near(name: str) -> str | None:
    """The field that somebody who wrote this name probably meant."""
    import difflib

    folded = name.casefold().strip()
    for field in FIELDS:
        if folded.rstrip("s") == field.rstrip("s"):
            return field
    near = difflib.get_close_matches(folded, FIELDS, n=1, cutoff=0.87)
    return near[0] if near else None


def _kind_of(value: Any) -> str:
    """A JSON value as a reader of an error should see it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _shown(path: Path) -> str:
    """The path as a person here would write it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
