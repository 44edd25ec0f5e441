"""From the score table to paired cluster values: repeats are averaged per example, examples per cluster, and clusters
are paired by arm."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from proveout.evaluation.table import ScoreTable

Values = NDArray[np.float64]


class Paired(msgspec.Struct, frozen=True):
    """Cluster means of both arms, in the same order. `names` are the clusters, `examples` how many examples are behind
    them all.

    `lost` counts examples that one arm has no value for: they are in no cluster mean.
    """

    champion: Values
    challenger: Values
    names: tuple[str, ...]
    examples: int
    lost: int

    @property
    def per_cluster(self) -> float:
        return self.examples / len(self.names) if self.names else 1.0


def example_means(table: ScoreTable, values: Values, arm: int) -> Values:
    """The mean over an arm's repeats of each example, NaN where there is none; one entry per example of the table."""
    row_example = np.asarray(table.example)
    chosen = (np.asarray(table.arm) == arm) & ~np.isnan(values)
    size = len(table.examples)
    counts = np.bincount(row_example[chosen], minlength=size)
    sums = np.bincount(row_example[chosen], weights=values[chosen], minlength=size)
    return np.divide(sums, counts, out=np.full(size, np.nan), where=counts > 0)


def pair(table: ScoreTable, champion: Values, challenger: Values, keep: NDArray[np.bool_] | None = None) -> Paired:
    """Pair two per-example arrays by cluster, over the examples that `keep` marks (all by default)."""
    wanted = np.ones(len(table.examples), dtype=bool) if keep is None else keep
    both = wanted & ~np.isnan(champion) & ~np.isnan(challenger)
    clusters = np.asarray(table.examples.clusters, dtype=object)[both]
    names, codes = (
        np.unique(clusters.astype(str), return_inverse=True) if both.any() else (np.array([]), np.array([], int))
    )
    counts = np.bincount(codes, minlength=len(names))
    return Paired(
        champion=np.bincount(codes, weights=champion[both], minlength=len(names)) / np.maximum(counts, 1),
        challenger=np.bincount(codes, weights=challenger[both], minlength=len(names)) / np.maximum(counts, 1),
        names=tuple(str(name) for name in names),
        examples=int(both.sum()),
        lost=int((wanted & ~both).sum()),
    )


def from_source(table: ScoreTable, *sources: str) -> NDArray[np.bool_]:
    """Which examples of the table come from one of these datasets."""
    return np.isin(np.asarray(table.examples.sources, dtype=object).astype(str), sources)


def too_many_missing(
    table: ScoreTable, examples: NDArray[np.bool_], limit: float, values: Values | None = None
) -> str | None:
    """Why too little was measured to decide anything; None where enough was.

    Args:
        table: the calls.
        examples: the examples that decide.
        limit: the largest share of an arm's calls that may be missing.
        values: the deciding metric by row: a call that it could not score is missing too.
    """
    row_example, arms = np.asarray(table.example), np.asarray(table.arm)
    failed = np.asarray(table.failed) != 0
    missing = failed if values is None else np.isnan(values)
    for arm, name in enumerate(("champion", "challenger")):
        chosen = examples[row_example] & (arms == arm)
        calls = int(chosen.sum())
        lost = int((missing & chosen).sum())
        if calls and lost > limit * calls:
            unanswered = int((failed & chosen).sum())
            what = " and ".join(
                part
                for part, count in (("gave no answer", unanswered), ("could not be scored", lost - unanswered))
                if count
            )
            return (
                f"{lost / calls:.1%} of the {name}'s calls {what}, more than the {limit:.1%} that max_failures allows"
            )
    return None
