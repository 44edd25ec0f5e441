"""Near-duplicates among examples: counted one by one, they would pretend to be more evidence than there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from proveout.project.datasets import even, input_text
from proveout.project.records import USUAL_LIKENESS, Example

if TYPE_CHECKING:
    from proveout.project.similarity import Sketches


def find_clusters(examples: Iterable[Example], threshold: float = USUAL_LIKENESS) -> Mapping[str, str]:
    """Cluster names by example id, for near-duplicates whose cluster is not their own id.

    Two examples belong together when their inputs share at least `threshold` of their pieces of four characters (see
    `similarity`), or when a chain of such pairs joins them. A group has the name of its smallest id; an example to
    which its file gives a cluster keeps it, and its near-duplicates join it. The result does not depend on chance;
    time grows with the number and length of the inputs, memory by about 1 kB an example (up to 5 kB for long inputs).
    """
    from proveout.project.similarity import Sketches

    ids: list[str] = []
    given: dict[int, str] = {}

    def texts() -> Iterable[str]:
        for example in examples:
            if example.cluster != example.id:
                given[len(ids)] = example.cluster
            ids.append(example.id)
            yield even(input_text(example))

    sketches = Sketches(texts())
    groups: dict[int, list[int]] = {}
    for index, root in enumerate(grouped(sketches, threshold)):
        groups.setdefault(root, []).append(index)
    clusters: dict[str, str] = {}
    for members in groups.values():
        if len(members) > 1:
            names = [given[index] for index in members if index in given] or [ids[index] for index in members]
            name = min(names)
            clusters |= {ids[index]: name for index in members if index not in given and ids[index] != name}
    return clusters


def grouped(sketches: Sketches, threshold: float) -> list[int]:
    """For every text the number of the first of its group."""
    import numpy as np

    from proveout.project.similarity import candidates

    parents = list(range(len(sketches)))
    roots = np.arange(len(sketches))
    for first, second in candidates(sketches, threshold):
        apart = roots[first] != roots[second]
        joined = False
        for one, other in zip(first[apart].tolist(), second[apart].tolist(), strict=True):
            one_root, other_root = _root(parents, one), _root(parents, other)
            if one_root != other_root and sketches.likeness(one, other) >= threshold:
                parents[max(one_root, other_root)] = min(one_root, other_root)
                joined = True
        if joined:
            roots = np.array(parents)
            while (further := roots[roots]).tobytes() != roots.tobytes():
                roots = further
    return roots.tolist()


def _root(parents: list[int], index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index
