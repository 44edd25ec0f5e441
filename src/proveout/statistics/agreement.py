"""How far repeated answers agree. Answers are any hashable values; None is a failed repeat and is left out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from proveout.statistics._base import Estimate
from proveout.statistics.mean_limits import StudentMean

Answers = Sequence[Hashable | None]


def pairwise_agreement(answers: Answers) -> float:
    """The share of pairs of repeats with equal answers: sum of n_c (n_c - 1) over N (N - 1).

    Its expectation does not depend on the number of repeats N, so that variants with different numbers can be compared.

    Returns:
        From 0 to 1; NaN with fewer than two answers.
    """
    counts = Counter(answer for answer in answers if answer is not None)
    total = counts.total()
    return sum(count * (count - 1) for count in counts.values()) / (total * (total - 1)) if total > 1 else math.nan


def total_agreement(items: Sequence[Answers]) -> float:
    """TARr@N or TARa@N: the share of items all of whose N answers are equal (Atil et al., arXiv 2408.04667).

    Give raw texts for TARr, parsed answers for TARa. It falls as N grows: compare at equal N. Items with fewer than
    two answers are left out.

    Returns:
        From 0 to 1; NaN without an item.
    """
    kept = [[answer for answer in answers if answer is not None] for answers in items]
    kept = [answers for answers in kept if len(answers) > 1]
    return sum(len(set(answers)) == 1 for answers in kept) / len(kept) if kept else math.nan


def krippendorff_alpha(units: Sequence[Answers], *, alpha: float = 0.05) -> Estimate:
    """Krippendorff's alpha for nominal answers: 1 - observed / expected disagreement. 1: full agreement; 0: no more
    than chance.

    Args:
        units: the answers to each unit (item or cluster); units with fewer than two answers are left out.
        alpha: two-sided error of the interval, by the jackknife over units with a skewness correction; where no unit
            disagrees, the rate of disagreeing units that as many agreeing ones leave possible takes its place.

    Returns:
        The estimate, n being the units; NaN without two units or where all answers are the same.
    """
    kept = [Counter(answer for answer in unit if answer is not None) for unit in units]
    kept = [counts for counts in kept if counts.total() > 1]
    size = len(kept)
    totals: Counter[Hashable] = Counter()
    for counts in kept:
        totals.update(counts)
    answers = totals.total()
    squares = sum(count * count for count in totals.values())
    if size < 2 or squares == answers**2:
        return Estimate(math.nan, math.nan, math.nan, size)
    within = np.array([_disagreement(counts) for counts in kept])
    sizes = np.array([counts.total() for counts in kept])
    overlap = np.array([sum(n * (2 * totals[name] - n) for name, n in counts.items()) for counts in kept])
    value = float(_alpha(np.array(float(within.sum())), np.array(answers), np.array(squares)))
    left = _alpha(within.sum() - within, answers - sizes, squares - overlap)
    left = np.where(np.isnan(left), value, left)
    pseudo = StudentMean(size * value - (size - 1) * left)
    mirrored = StudentMean(-pseudo.values)
    low, high = value - (pseudo.mean - pseudo.lower(alpha / 2)), value + (mirrored.mean - mirrored.lower(alpha / 2))
    if not within.any():
        expected = (answers**2 - squares) / (answers * (answers - 1))
        low = 1 - (1 - (alpha / 2) ** (1 / size)) / expected
    return Estimate(value, max(low, -1.0), min(high, 1.0), size)


def _disagreement(counts: Counter[Hashable]) -> float:
    """A unit's pairs of different answers, each answer weighing 1 in all."""
    total = counts.total()
    return (total * total - sum(count * count for count in counts.values())) / (total - 1)


def _alpha(within: np.ndarray, answers: np.ndarray, squares: np.ndarray) -> np.ndarray:
    different = answers.astype(float) ** 2 - squares
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(different > 0, 1 - (answers - 1) * within / different, np.nan)
