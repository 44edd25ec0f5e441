"""Datasets: JSONL and CSV files, streamed into examples. No bad row is dropped in silence, and none stops the search
for more.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from proveout.project.example_ids import Names
from proveout.project.layout import Layout
from proveout.project.records import DatasetRef, Example
from proveout.project.row_problems import DatasetError, Problems
from proveout.project.rows import Row, canonical, csv_rows, json_rows

__all__ = [
    "DatasetError",
    "DatasetVersion",
    "Stamp",
    "dataset_version",
    "even",
    "input_text",
    "read_examples",
    "sample_clusters",
    "stamp",
]

_NOT_LETTERS = re.compile(r"[\W_]+")


class Stamp(msgspec.Struct, frozen=True):
    """Which state of a file was seen: it is another after every write."""

    inode: int
    size: int
    modified_ns: int


def stamp(ref: DatasetRef) -> Stamp | None:
    """The state of a dataset's file now; None where there is no file. Taken once and given to every
    `read_examples` of a run, it makes sure that all of them read the same rows.
    """
    try:
        status = ref.path.stat()
    except OSError:
        return None
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns)


def read_examples(ref: DatasetRef, inputs: Sequence[str], seen: Stamp | None = None) -> Iterator[Example]:
    """The examples of a dataset, in the order of its file, one at a time.

    JSONL has one object a line: `input` (an object with the service's inputs; where there is one input, its value
    alone will do), `expected`, and if wanted `id`, `cluster`, `tags`, `source`. CSV has columns named like the inputs
    (or `input.NAME`) and like the other fields, between commas, semicolons or tabs, as the header shows; `tags` are
    separated by semicolons, and every value is text. `ref.columns` says where a file uses other names (dots reach into
    nested JSON). Other fields and columns are ignored.

    An example without an id gets one from its input, which stays the same wherever the row stands; the second example
    with that input gets `#2`. `expected` may be left out of failures only.

    Raises:
        DatasetError: once the file is read, if any row was bad or the file was changed meanwhile (or since `seen`);
            good rows have been handed out by then.
    """
    problems = Problems(ref.path)
    seen = seen or stamp(ref)
    layout = Layout(ref, inputs, problems)
    names = Names(problems)
    count = 0
    for line, row in _rows(ref, layout, problems):
        example = layout.example(line, row, names)
        if example is not None:
            count += 1
            yield example
    if stamp(ref) != seen:
        problems.add(None, "", "the file was changed while it was read", "Run again when it is written.")
    if not count and not problems.total:
        problems.add(None, "", "there are no examples in this file", "Write at least one row.")
    if problems.total:
        raise DatasetError(problems.kept, problems.total)


def dataset_version(ref: DatasetRef, inputs: Sequence[str]) -> str:
    """A hash of what a verdict on this dataset rests on: every example's input, expected answer and given cluster.

    It does not depend on the order of rows or keys, on line ends, on ids, tags and ignored fields, or on the file's
    format (though CSV holds text only: its 5 is the text "5"): the error budget that is kept under it must not be won
    back by shuffling a file. Digests of rows are added up (AdHash: Bellare and Micciancio, 1997), so that repeated
    rows count.

    Raises:
        DatasetError: as `read_examples`.
    """
    version = DatasetVersion()
    deque(version.of(read_examples(ref, inputs)), maxlen=0)
    return str(version)


class DatasetVersion:
    """A `dataset_version` in the making, for who reads all examples anyway."""

    def __init__(self) -> None:
        self._total = 0

    def of(self, examples: Iterable[Example]) -> Iterator[Example]:
        """The same examples, as the file gives them; the version is known once they are all read."""
        for example in examples:
            cluster = None if example.cluster == example.id else example.cluster
            row = canonical((example.input, example.expected, cluster))
            self._total += int.from_bytes(hashlib.blake2b(row, digest_size=32).digest(), "big")
            yield example

    def __str__(self) -> str:
        return hashlib.blake2b((self._total % 2**256).to_bytes(32, "big"), digest_size=12).hexdigest()


def sample_clusters(sizes: Mapping[str, int], limit: int, seed: int) -> frozenset[str]:
    """Whole clusters, drawn at random, that together have at most `limit` examples (though always one cluster).

    Args:
        sizes: how many examples each cluster has. Its order does not matter.
        limit: the most examples wanted.
        seed: the same seed draws the same clusters, as far as it can from several datasets that share them: silver
            labels sharpen people's where both were drawn. A larger limit draws a superset of a smaller one's, but for
            big clusters.
    """

    def lot(name: str) -> bytes:
        return hashlib.blake2b(f"{seed}:{name}".encode(errors="surrogatepass"), digest_size=16).digest()

    order = sorted(sizes, key=lot)
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
    return "\n".join(value if isinstance(value, str) else canonical(value).decode() for value in values)


def even(text: str) -> str:
    """A text without case, punctuation, and differences of white space; as it is where nothing else would be left."""
    plain = _NOT_LETTERS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()
    return plain or text.strip()


def _rows(ref: DatasetRef, layout: Layout, problems: Problems) -> Iterator[tuple[int, Row]]:
    suffix = ref.path.suffix.lower()
    try:
        if suffix == ".jsonl":
            yield from json_rows(ref.path, problems)
        elif suffix == ".csv":
            yield from csv_rows(ref.path, problems, layout.arrange_columns)
        else:
            problems.add(None, "", f"files that end with {suffix or 'nothing'} are not read", "Name it .jsonl or .csv.")
    except OSError as error:
        problems.add(None, "", f"it can't be read ({error.strerror})", "Check the path and its permissions.")
