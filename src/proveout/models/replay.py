"""Recorded outputs as a model: `provider: replay`.

A recording is a JSONL file of `{"id" or "input", "output", "timings"?, "usage"?, "finish_reason"?}`; other fields are
ignored. Several lines with one id (or, without ids, with one input) are its successive repeats.

- `output` is the text; or a message `{"content", "tool_calls", "refusal"?}` in OpenAI's shape, told by its
  `tool_calls`; or any other JSON, which is written out as text.
- `timings`: `e2e`, `ttft` and the list `gaps` in seconds (also written `e2e_s`), or `e2e_ms`, `ttft_ms`, `gaps_ms`.
- `usage`: `input_tokens`, `output_tokens`, `cached_tokens`, `reasoning_tokens`, or OpenAI's `prompt_tokens` and
  `completion_tokens`.
"""

from __future__ import annotations

import os
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from proveout.models._base import Generation, ModelError, Request
from proveout.models.recorded_rows import RecordedRow, check_row, read_row
from proveout.project.row_problems import DatasetError, Problems
from proveout.project.rows import canonical, json_rows

_MASK = 2**64 - 1
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_decode = msgspec.json.Decoder(RecordedRow).decode

_open: dict[str, tuple[tuple[int, int, int], Recording]] = {}
_opening = threading.Lock()

COMMON = 0.95
"""Share of the recorded ids that must have a repeat for it to be asked of all."""


class RecordingError(DatasetError):
    """A recording can't be used. `problems` are the first that were found, `total` is how many there are in all."""

    def __str__(self) -> str:
        return super().__str__().replace("The dataset has", "The recording has", 1)


class Recording:
    """A recording's index: where the repeats of every id and input stand in the file. The texts stay in the file.

    Safe to share between threads. A recording that is replaced by another file while it is open is read on from the
    old one.
    """

    most_repeats: int
    """The most repeats that any has."""
    common_repeats: int
    """The most repeats that 95 % of the ids (or, without ids, of the inputs) have: a few that were recorded less often
    don't keep the others from being repeated."""

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Recording:
        """The recording at a path, read once a process for each state of the file.

        Raises:
            RecordingError: rows are bad, or the file can't be read; names all of them by line.
        """
        name = os.path.abspath(path)
        with _opening:
            try:
                status = os.stat(name)
            except OSError:
                return cls(name)
            state = (status.st_ino, status.st_size, status.st_mtime_ns)
            known = _open.get(name)
            if known is None or known[0] != state:
                known = _open[name] = (state, cls(name))
            return known[1]

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        problems = Problems(self.path)
        try:
            self._file = self.path.open("rb")
            self._starts = self._find_lines()
            self._hashes, self._lines = self._index(problems)
        except OSError as error:
            problems.add(None, "", f"it can't be read ({error.strerror})", "Check the path and its permissions.")
        if problems.total:
            raise RecordingError(problems.kept, problems.total)

    def __len__(self) -> int:
        """How many outputs were recorded."""
        return self._count

    def find(self, request: Request) -> Generation:
        """The recorded output for a request: that of its example's id, else of its input.

        Raises:
            ModelError: `no_recording`: there is none, or fewer repeats than asked for.
        """
        for kind, name in _names(request):
            first, end = self._range(kind, name)
            if first == end:
                continue
            if request.repeat >= end - first:
                held = "1 output" if end - first == 1 else f"{end - first} outputs"
                raise self._missing(f"has {held} of {_described(request)}; repeat {request.repeat + 1} was asked for")
            line = self._lines[first + request.repeat]
            row = self._read(line)
            if not _is(row, kind, name):
                raise self._missing(f"has another row than before on line {line}; was it changed?")
            if kind == "id" and _contradicts(row.input, request.input):
                raise self._missing(f"has an input on line {line} that is not that of {_described(request)}")
            return read_row(row)
        raise self._missing(f"has no output for {_described(request)}")

    def repeats(self, request: Request) -> int:
        """How many outputs were recorded for a request."""
        held = (end - first for first, end in (self._range(kind, name) for kind, name in _names(request)))
        return next((count for count in held if count), 0)

    def _missing(self, what: str) -> ModelError:
        return ModelError(f"the recording {self.path.name} {what}", kind="no_recording")

    def _range(self, kind: str, name: bytes) -> tuple[int, int]:
        wanted = _hash(kind, name)
        first = bisect_left(self._hashes, wanted)
        return first, bisect_right(self._hashes, wanted, first)

    def _read(self, line: int) -> RecordedRow:
        start = self._starts[line - 1]
        text = os.pread(self._file.fileno(), self._starts[line] - start, start)
        try:
            return _decode(text.removeprefix(_BYTE_ORDER_MARK))
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._missing(f"can't be read any more on line {line}; was it changed?") from None

    def _find_lines(self) -> array[int]:
        """The byte at which each line starts, and the file's end."""
        starts = array("Q", [0])
        end = 0
        for line in self._file:
            end += len(line)
            starts.append(end)
        return starts

    def _index(self, problems: Problems) -> tuple[array[int], array[int]]:
        """For every name of every row its hash and its line, in the order of hashes, then of lines."""
        entries: list[int] = []
        repeats: dict[int, int] = {}
        self._count = 0
        for line, row in json_rows(self.path, problems):
            if not check_row(row, line, problems):
                continue
            self._count += 1
            hashes = [_hash("id", str(row["id"]).encode())] if row.get("id") is not None else []
            if row.get("input") is not None:
                hashes.append(_hash("input", canonical(row["input"])))
            repeats[hashes[0]] = repeats.get(hashes[0], 0) + 1
            entries.extend(hashed << 32 | line for hashed in hashes)
        if not self._count and not problems.total:
            problems.add(None, "", "there are no outputs in this file", 'Write {"id": ..., "output": ...} on a line.')
        counts = sorted(repeats.values())
        self.common_repeats = counts[int(len(counts) * (1 - COMMON))] if counts else 0
        self.most_repeats = counts[-1] if counts else 0
        entries.sort()
        return array("Q", (entry >> 32 for entry in entries)), array("I", (entry & 0xFFFFFFFF for entry in entries))


class ReplayModel:
    """A recording behind the `Model` protocol. Answers come at once, with the recorded timings; they cost nothing and
    count as no calls."""

    def __init__(self, recording: Recording, name: str = "") -> None:
        self.recording = recording
        self._name = name or recording.path.stem

    async def generate(self, request: Request) -> Generation:
        """The recorded answer.

        Raises:
            ModelError: `no_recording`: there is none.
        """
        generation = self.recording.find(request)
        return generation if generation.model else msgspec.structs.replace(generation, model=self._name)

    async def aclose(self) -> None:
        """Nothing to close: a recording belongs to its process."""


def _names(request: Request) -> Iterator[tuple[str, bytes]]:
    """What a request's output may be recorded under, best first. A lone input may stand there by its value alone."""
    if request.example is not None:
        yield "id", request.example.encode()
    if request.input is not None:
        yield "input", canonical(request.input)
        if len(request.input) == 1:
            yield "input", canonical(next(iter(request.input.values())))


def _hash(kind: str, name: bytes) -> int:
    return hash((kind, name)) & _MASK


def _is(row: RecordedRow, kind: str, name: bytes) -> bool:
    if kind == "id":
        return row.id is not None and str(row.id).encode() == name
    return row.input is not msgspec.UNSET and canonical(msgspec.json.decode(row.input)) == name


def _contradicts(recorded: Any, asked: Mapping[str, Any] | None) -> bool:
    """Whether a row that was found by its id was recorded for another input: one of the same fields with other values.

    A recorded input of another form (a rendered prompt, say) says nothing.
    """
    if recorded is msgspec.UNSET or asked is None:
        return False
    value = msgspec.json.decode(recorded)
    return isinstance(value, dict) and value.keys() == asked.keys() and canonical(value) != canonical(asked)


def _described(request: Request) -> str:
    return f"example {request.example!r}" if request.example is not None else "this input"
