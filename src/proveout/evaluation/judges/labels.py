"""People's labels of outputs, and which of them belong to which answer."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proveout.evaluation.records import Attempt
from proveout.evaluation.scorers._base import as_text

_SHOWN_PROBLEMS = 20


class LabelsError(ValueError):
    """A file of labels can't be used; the message names every bad line (the first 20 where there are more)."""


@dataclass(frozen=True, slots=True)
class LabelledOutput:
    """One output that a person labelled. `label` lies between 0 (bad) and 1 (good); `line` counts from 1."""

    output: Any
    label: float
    id: str | None = None
    input: Mapping[str, Any] | None = None
    expected: Any = None
    variant: str | None = None
    line: int = 0


def read_labels(path: Path, low: float = 0.0, high: float = 1.0) -> tuple[LabelledOutput, ...]:
    """Labels from JSONL: `{"id"?, "input"?, "output", "label": true | false | number, "expected"?, "variant"?}`.

    Args:
        path: the file.
        low: the number that means bad.
        high: the number that means good. Numbers are put on 0 to 1 by these two.

    Raises:
        LabelsError: the file can't be read, holds no label, or has bad rows.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise LabelsError(f"{path.name} can't be read: {error.strerror}") from None
    labels: list[LabelledOutput] = []
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                labels.append(_label(line, number, low, high))
            except ValueError as error:
                problems.append(f"{path.name}:{number}: {error}")
    if problems:
        more = [f"and {len(problems) - _SHOWN_PROBLEMS} more"] if len(problems) > _SHOWN_PROBLEMS else []
        raise LabelsError("\n".join(problems[:_SHOWN_PROBLEMS] + more))
    if not labels:
        raise LabelsError(f'{path.name} holds no label. Write lines of {{"input": ..., "output": ..., "label": true}}')
    return tuple(labels)


def _label(line: bytes, number: int, low: float, high: float) -> LabelledOutput:
    import orjson

    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error}). Write one object on a line") from None
    if not isinstance(row, dict):
        raise ValueError("not a JSON object. Write one object on a line")
    if row.get("output") is None:
        raise ValueError("`output` is missing. Write the text that the person labelled")
    label = row.get("label")
    if not isinstance(label, bool | int | float):
        raise ValueError(f"`label` is {label!r}. Write true, false, or a number from {low:g} to {high:g}")
    if not isinstance(label, bool):
        if not low <= label <= high:
            raise ValueError(f"`label` is {label:g}. Write true, false, or a number from {low:g} to {high:g}")
        label = (label - low) / (high - low)
    given = row.get("input")
    if given is not None and not isinstance(given, dict):
        given = {"input": given}
    identity = row.get("id")
    variant = row.get("variant")
    return LabelledOutput(
        output=row["output"],
        label=float(label),
        id=None if identity is None else str(identity),
        input=given,
        expected=row.get("expected"),
        variant=None if variant is None else str(variant),
        line=number,
    )


@dataclass(slots=True)
class LabelBook:
    """Finds people's labels of an answer: by example and output, else by input and output, else by output alone.

    Outputs are compared without the white space around them, with the raw text and with the parsed answer. Several
    people's labels of one output are averaged. A label belongs to what it names: one that has an `id` never counts
    for another example.
    """

    labels: Iterable[LabelledOutput]
    _by_key: dict[bytes, list[float]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._by_key = defaultdict(list)
        for label in self.labels:
            about = ("id", label.id) if label.id is not None else ("input", label.input) if label.input else ("", "")
            self._by_key[_key(*about, label.output)].append(label.label)

    def label(self, attempt: Attempt) -> float | None:
        """People's label of an answer, from 0 to 1; None where nobody labelled it."""
        example = attempt.example
        for about in (("id", example.id), ("input", example.input), ("", "")):
            for output in (attempt.text, attempt.answer.value):
                found = self._by_key.get(_key(*about, output))
                if found:
                    return sum(found) / len(found)
        return None


def _key(kind: str, about: Any, output: Any) -> bytes:
    text = "\0".join((kind, as_text(dict(about) if isinstance(about, Mapping) else about), as_text(output).strip()))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
