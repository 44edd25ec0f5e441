"""Before a run: which gates, which data, how many repeats, what it will cost, and what it can show."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from random import Random

import msgspec

from proveout.evaluation.workload import Repeats, Task, tasks
from proveout.gates._base import Gate
from proveout.gates.scorecard import DatasetUse
from proveout.project import (
    DatasetKind,
    DatasetRef,
    DatasetVersion,
    Example,
    Migration,
    Objective,
    Project,
    Service,
    Stamp,
    Variant,
    find_clusters,
    read_examples,
    sample_clusters,
    stamp,
)

SAMPLED = 100
"""Examples kept of a dataset to plan from."""


class Comparison(msgspec.Struct, frozen=True):
    """What is to be proved: this challenger against this champion, improving `improves` and holding all else."""

    project: Project
    service: Service
    champion: Variant
    challenger: Variant
    improves: tuple[Objective, ...] = ()
    change: str = ""
    hypothesis: str = ""
    stage: str = "dev"
    migration: Migration | None = None


class RunOptions(msgspec.Struct, frozen=True):
    """How a run goes about it; the shared flags of the command line. None means the project's default, or ours."""

    gates: tuple[str, ...] | None = None
    concurrency: int = 32
    repeats: int | None = None
    limit: int | None = None
    seed: int = 0
    max_cost: float | None = None
    max_calls: int | None = None
    cache: bool = True


class Data(msgspec.Struct, frozen=True):
    """One dataset of a run: which clusters of it are used (None: all), and how many examples and clusters that is.

    `seen` is the state of its file, which must stay the same until the run has read it; `sample` are some of its
    examples, drawn at random, to plan from.
    """

    ref: DatasetRef
    version: str
    seen: Stamp | None
    examples: int
    clusters: tuple[str, ...]
    chosen: frozenset[str] | None
    found: Mapping[str, str]
    sample: tuple[Example, ...] = ()

    def read(self, inputs: Sequence[str]) -> Iterator[Example]:
        """The chosen examples, streamed from the file."""
        for example in _clustered(read_examples(self.ref, tuple(inputs), self.seen), self.found):
            if self.chosen is None or example.cluster in self.chosen:
                yield example

    def use(self) -> DatasetUse:
        return DatasetUse(kind=self.ref.kind, version=self.version, examples=self.examples, clusters=len(self.clusters))


def look_at(ref: DatasetRef, inputs: Sequence[str], limit: int | None, seed: int) -> Data:
    """Look through a dataset: check every row, hash it, and choose whole clusters where there is a limit.

    Raises:
        DatasetError: rows are bad; every one is named.
    """
    seen = stamp(ref)
    found: Mapping[str, str] = (
        find_clusters(read_examples(ref, tuple(inputs), seen), ref.find_clusters) if ref.find_clusters else {}
    )
    sizes: dict[str, int] = {}
    sample: list[Example] = []
    random = Random(seed)
    version = DatasetVersion()
    for number, example in enumerate(_clustered(version.of(read_examples(ref, tuple(inputs), seen)), found)):
        sizes[example.cluster] = sizes.get(example.cluster, 0) + 1
        place = number if number < SAMPLED else random.randrange(number + 1)
        if place < SAMPLED:
            sample[place : place + 1] = [example]
    chosen = sample_clusters(sizes, limit, seed) if limit is not None and limit < sum(sizes.values()) else None
    kept = {name: size for name, size in sizes.items() if chosen is None or name in chosen}
    return Data(ref, str(version), seen, sum(kept.values()), tuple(kept), chosen, found, tuple(sample))


class Work(msgspec.Struct, frozen=True):
    """The data and repeats that the gates of a run need together."""

    data: tuple[Data, ...]
    repeats: Repeats
    inputs: tuple[str, ...]

    def tasks(self) -> Iterator[Task]:
        """Every call to make, streamed; repeats to measure stability are asked of golden examples."""
        main, *others = self.data
        return chain(
            tasks(main.read(self.inputs), self.repeats),
            *(tasks(data.read(self.inputs), Repeats(self.repeats.base)) for data in others),
        )

    @property
    def generations(self) -> int:
        """Answers per arm that a full run asks for. Sampled clusters are counted with the dataset's mean cluster
        size."""
        main, *others = self.data
        mean_size = main.examples / len(main.clusters) if main.clusters else 0.0
        extra = max(0, max(self.repeats.base, self.repeats.sampled) - self.repeats.base)
        return (
            main.examples * self.repeats.base
            + round(extra * len(self.repeats.clusters) * mean_size)
            + sum(data.examples * self.repeats.base for data in others)
        )


def gather(
    service: Service,
    gates: Sequence[tuple[Gate, object]],
    options: RunOptions,
    recorded: int | None,
    counts: Callable[[Example], int] | None = None,
) -> Work:
    """Which data to run on: golden (silver where there is none), with silver and failures beside it.

    Args:
        service: whose datasets.
        gates: the gates that run, each with its objective's specification; without any, nothing is asked.
        options: limit, seed and repeats.
        recorded: the repeats that a recording holds, where a variant is replayed: asking for more would only fail.
        counts: how often an example was recorded, where that differs; those with more repeats measure stability.
    """
    order: tuple[DatasetKind, ...] = ("golden", "silver", "failures")
    refs = [service.datasets[kind] for kind in order if kind in service.datasets]
    data = tuple(look_at(ref, service.inputs, options.limit, options.seed) for ref in refs)
    demands = [gate.demand(spec) for gate, spec in gates]  # type: ignore[arg-type]
    base = options.repeats or max((demand.base for demand in demands), default=1)
    sampled = options.repeats or max((demand.sampled for demand in demands), default=1)
    if recorded is not None:
        base, sampled = (min(base, recorded), min(sampled, recorded)) if options.repeats else (recorded, recorded)
    if not gates:
        base = sampled = 0
    wanted = max((demand.sample for demand in demands), default=0)
    clusters = dict.fromkeys(data[0].clusters, 1) if data else {}
    if counts is not None and data and wanted and base == sampled:
        sampled, names = _repeated(data[0].read(tuple(service.inputs)), counts, base, options.repeats)
        clusters = dict.fromkeys(names, 1)
    stable = frozenset(sample_clusters(clusters, wanted, options.seed) if wanted < len(clusters) else clusters)
    return Work(data, Repeats(base, sampled, stable if sampled > base else frozenset()), tuple(service.inputs))


def _repeated(
    examples: Iterator[Example], counts: Callable[[Example], int], base: int, most: int | None
) -> tuple[int, list[str]]:
    """The clusters that were recorded more than `base` times, and how often nearly all of those were."""
    least: dict[str, int] = {}
    for example in examples:
        least[example.cluster] = min(counts(example), least.get(example.cluster, most or sys.maxsize))
    several = sorted(count for count in least.values() if count > base)
    if not several:
        return base, []
    sampled = several[len(several) // 20]
    return sampled, [name for name, count in least.items() if count >= sampled]


def _clustered(examples: Iterator[Example], found: Mapping[str, str]) -> Iterator[Example]:
    if not found:
        yield from examples
        return
    from msgspec.structs import replace

    for example in examples:
        yield replace(example, cluster=found.get(example.id, example.cluster))
