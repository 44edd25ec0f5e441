"""Which calls an evaluation makes: examples, and how often each is repeated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from proveout.project.records import Example


class Task(NamedTuple):
    """One example to be answered by every arm, `repeats` times each."""

    example: Example
    repeats: int


class Repeats(msgspec.Struct, frozen=True):
    """How often to ask: `base` times for every example, `sampled` times for the clusters chosen to measure
    stability."""

    base: int = 1
    sampled: int = 1
    clusters: frozenset[str] = frozenset()

    def of(self, example: Example) -> int:
        if example.cluster in self.clusters:
            return max(self.base, self.sampled)
        return self.base


def tasks(examples: Iterable[Example], repeats: Repeats) -> Iterator[Task]:
    """Every example with the number of its repeats, in the order of the data."""
    for example in examples:
        yield Task(example, repeats.of(example))
