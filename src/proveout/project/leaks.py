"""Leaks: evaluation data that stands in another dataset, or that a prompt shows to the model."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from proveout.project.datasets import even, input_text, read_examples
from proveout.project.example_ids import content_id
from proveout.project.records import DatasetKind, DatasetRef, Example, Service, Variant

if TYPE_CHECKING:
    from proveout.project.documents import Document
    from proveout.project.similarity import Sketches

LIKENESS = 0.8
"""From which share of common pieces on two inputs are the same question in other words. On real customers' questions
(banking77), 96 of 100 groups of such inputs have one label."""

MOST_LISTED = 20
SHORTEST_QUOTE = 15
"""Fewest characters of an input that can be recognised inside a longer text."""

_QUOTED = re.compile(r"[\"“„«'`]([^\"“”„«»'`]+)[\"”“»'`]")


class Leak(msgspec.Struct, frozen=True):
    """An input that is used twice where it must be used once. Places are `file:line`.

    `seen` is in a dataset of another kind, in a worked example, or in a prompt; `evaluated` is in evaluation data.
    `likeness` is 1 where they differ by case, punctuation and white space at most. `more` counts further ones between
    the same two files that are not listed.
    """

    seen: str
    evaluated: str
    likeness: float
    shown_to_model: bool
    more: int = 0

    def __str__(self) -> str:
        verb = "shows the model" if self.shown_to_model else "repeats"
        like = "the input" if self.likeness == 1 else f"an input {min(self.likeness, 0.99):.0%} like that"
        further = f", and {self.more:,} more between these two files" if self.more else ""
        return f"{self.seen} {verb} {like} of {self.evaluated}{further}"


def find_leaks(service: Service) -> tuple[Leak, ...]:
    """Inputs that stand in two of a service's datasets, or in a dataset and in a variant's worked examples or prompt.

    Inputs are compared without case, punctuation and white space; near-duplicates are those that share 80 % of their
    pieces of four characters (see `similarity`). Of two files, at most 20 leaks are listed and the rest counted. Rows
    of one dataset are not compared with one another: what is alike there is a cluster. A silver row with the id
    that a golden row was given is that example labelled again, which is how silver labels are corrected.

    Raises:
        DatasetError: rows are bad.
    """
    shown_texts = list(_shown_texts(service))
    if len(service.datasets) < 2 and not shown_texts:
        return ()
    from proveout.project.similarity import Sketches

    kinds: tuple[DatasetKind, ...] = ("golden", "silver", "failures")
    lines = "\n".join(f" {shown.text} " for shown in shown_texts if shown.example is None)
    places = _Places(service.folder)
    datasets = [
        _Dataset(service.datasets[kind], service.inputs, lines, places) for kind in kinds if kind in service.datasets
    ]
    sketches = Sketches(shown.text for shown in shown_texts)
    leaks: list[Leak] = []
    for dataset in datasets:
        found = dataset.like([shown.text for shown in shown_texts], sketches)
        found |= dataset.quoted_in(shown_texts)
        leaks += [
            Leak(places.of(shown_texts[index]), dataset.place(row), likeness, True)
            for index, (row, likeness) in sorted(found.items())
        ]
    for evaluated, other in combinations(datasets, 2):
        leaks += [
            Leak(other.place(row), evaluated.place(like), likeness, False)
            for row, (like, likeness) in sorted(evaluated.like(other.texts, other.sketches).items())
            if not (other.kind == "silver" and 0 != other.names[row] == evaluated.names[like])
        ]
    return tuple(_shortened(leaks))


def _shortened(leaks: list[Leak]) -> Iterator[Leak]:
    """Each leak once, and no more between two files than a person would read; the last of them counts the rest."""
    by_files: dict[tuple[str, str], dict[tuple[str, str], Leak]] = {}
    for leak in leaks:
        files = leak.seen.rpartition(":")[0], leak.evaluated.rpartition(":")[0]
        by_files.setdefault(files, {}).setdefault((leak.seen, leak.evaluated), leak)
    for found in by_files.values():
        *listed, last = list(found.values())[:MOST_LISTED]
        yield from listed
        yield replace(last, more=len(found) - len(listed) - 1)


class _Dataset:
    """A dataset's inputs with their places: a few bytes of each and its sketch are kept, not the text.

    `names` are hashes of the ids that the file gives, 0 where it gives none. `lines` are those of all prompts, in
    which inputs are looked for as they are read.
    """

    def __init__(self, ref: DatasetRef, inputs: tuple[str, ...], lines: str, places: _Places) -> None:
        from proveout.project.similarity import Sketches

        self._ref, self._inputs, self._file = ref, inputs, places.shown(ref.path)
        self.kind = ref.kind
        self._lines = array("I")
        self.names = array("q")
        self._rows: dict[int, int] = {}
        self._quoted: list[tuple[int, str]] = []

        def texts() -> Iterator[str]:
            for example in read_examples(ref, inputs):
                text = even(input_text(example))
                self._rows.setdefault(hash(text), len(self._lines))
                if len(text) >= SHORTEST_QUOTE and f" {text} " in lines:
                    self._quoted.append((len(self._lines), text))
                self._lines.append(example.line)
                given = not example.id.startswith(content_id(example.input))
                self.names.append(hash(example.id) if given else 0)
                yield text

        self.sketches = Sketches(texts())

    @property
    def texts(self) -> Iterator[str]:
        """Its inputs, evened out, read again."""
        return (even(input_text(example)) for example in read_examples(self._ref, self._inputs))

    def place(self, row: int) -> str:
        return f"{self._file}:{self._lines[row]}"

    def like(self, texts: Iterable[str], sketches: Sketches) -> dict[int, tuple[int, float]]:
        """For each of the texts that is like one of this dataset's inputs: that row, and how like."""
        from proveout.project.similarity import matches

        found = matches(sketches, self.sketches, LIKENESS)
        same = {
            index: (row, 1.0) for index, text in enumerate(texts) if (row := self._rows.get(hash(text))) is not None
        }
        return found | same

    def quoted_in(self, shown: Sequence[_Shown]) -> dict[int, tuple[int, float]]:
        """For each line of a prompt that holds one of this dataset's inputs word for word: the first such row."""
        found: dict[int, tuple[int, float]] = {}
        for row, text in self._quoted:
            for index, line in enumerate(shown):
                if line.example is None and f" {text} " in f" {line.text} ":
                    found.setdefault(index, (row, 1.0))
        return found


# --- what a variant shows to the model


class _Shown(msgspec.Struct, frozen=True):
    """A text that a variant shows: the input of its worked example of this number, or from this line of a template."""

    text: str
    variant: Variant
    example: int | None = None
    line: int = 0
    template: str | None = None


def _shown_texts(service: Service) -> Iterator[_Shown]:
    seen: set[str] = set()
    choices = _any_of(service.output.choices or ())
    for variant in service.variants.values():
        for index, pair in enumerate(variant.examples):
            asked = pair["input"]
            yield _Shown(even(input_text(Example("", asked, None, ""))), variant, example=index)
        templates = {None: variant.prompt.source, **getattr(variant.prompt, "includes", {})}
        for template, source in templates.items():
            if source in seen:
                continue
            seen.add(source)
            for number, line in enumerate(source.split("\n"), start=1):
                parts = {even(part) for part in _parts(line, choices)}
                yield from (
                    _Shown(part, variant, line=number, template=template)
                    for part in sorted(parts, key=len)
                    if len(part) >= SHORTEST_QUOTE
                )


def _any_of(choices: Sequence[str]) -> re.Pattern[str] | None:
    names = "|".join(map(re.escape, sorted(choices, key=len, reverse=True)))
    return re.compile(rf"(?<!\w)(?:{names})(?!\w)", re.IGNORECASE) if names else None


def _parts(line: str, choices: re.Pattern[str] | None) -> Iterator[str]:
    """What of a prompt's line may be somebody's input: all of it, what stands after a label, what stands in quotes.

    Where it lists three or more of the service's choices, only what stands between them: names of intents side by side
    often read like a question.
    """
    if "{{" in line or "{%" in line:
        return
    pieces = choices.split(line) if choices else [line]
    for piece in pieces if len(pieces) > 3 else [line]:
        yield piece
        _, label, rest = piece.partition(":")
        if label:
            yield rest
        for match in _QUOTED.finditer(piece):
            yield match[1]


class _Places:
    """Where texts stand. Files are only read again when there is a leak to report."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._documents: dict[Path, Document] = {}

    def shown(self, path: Path) -> str:
        """A path as the project's files write it: from the project's folder on."""
        root = self._folder.parents[1]
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)

    def of(self, shown: _Shown) -> str:
        document = self._document(shown.variant)
        if shown.example is None:
            path = self._folder / (shown.template or document.data.get("prompt", ""))
            return f"{self.shown(path)}:{shown.line}"
        declared = document.data.get("examples")
        if not isinstance(declared, str):
            line, _ = document.position(("examples", shown.example))
            return f"{self.shown(shown.variant.path)}:{line}"
        lines = (self._folder / declared).read_text("utf-8-sig").split("\n")
        numbers = [number for number, line in enumerate(lines, start=1) if line.strip()]
        return f"{self.shown(self._folder / declared)}:{numbers[shown.example]}"

    def _document(self, variant: Variant) -> Document:
        from proveout.project.documents import Document, read_document

        path = variant.path
        if path not in self._documents:
            self._documents[path] = read_document(path, "", []) or Document(path, "", {})
        return self._documents[path]
