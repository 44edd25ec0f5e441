"""How far repeated answers agree. Answers are any hashable values; None is a failed repeat and is left out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from proveout.statistics._base import Estimate
from proveout.statistics.distributions import normal_quantile
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


def semantic_entropy(labels: Answers) -> float:
    """Discrete semantic entropy of an item's repeats, over the logarithm of their number (Farquhar et al. 2024).

    `labels` are classes of equal meaning. 0: all mean the same; 1: all differ. It is biased low with few repeats.

    Returns:
        From 0 to 1; NaN with fewer than two labels.
    """
    counts = Counter(label for label in labels if label is not None)
    total = counts.total()
    if total < 2:
        return math.nan
    return abs(-sum(count / total * math.log(count / total) for count in counts.values()) / math.log(total))


def pass_all(successes: int, trials: int, k: int) -> float:
    """pass^k: the unbiased estimate that k repeats all succeed, C(successes, k) / C(trials, k).

    Raises:
        ValueError: k is not within 1 and `trials`, or successes not within 0 and `trials`.
    """
    if not 1 <= k <= trials or not 0 <= successes <= trials:
        raise ValueError(
            f"k is {k}, successes {successes}, trials {trials}; k must be 1 to trials, successes 0 to trials"
        )
    return math.comb(successes, k) / math.comb(trials, k)


def cohen_kappa(first: Answers, second: Answers, *, alpha: float = 0.05) -> Estimate:
    """Cohen's (1960) kappa: the agreement of two raters beyond chance, with its large-sample interval (Fleiss, Cohen
    & Everitt 1969).

    Items that either rater left out (None) are left out.

    Returns:
        At most 1; NaN where both raters only ever gave one and the same answer, as there is nothing beyond chance to
        see.

    Raises:
        ValueError: the raters rated different numbers of items.
    """
    if len(first) != len(second):
        raise ValueError(f"the raters rated {len(first)} and {len(second)} items; give the same items")
    pairs = Counter((a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None)
    n = pairs.total()
    if not n:
        return Estimate(math.nan, math.nan, math.nan, 0)
    rows: Counter[Hashable] = Counter()
    columns: Counter[Hashable] = Counter()
    for (a, b), count in pairs.items():
        rows[a] += count
        columns[b] += count
    by_chance = sum(rows[name] * columns[name] for name in rows) / n**2
    if not by_chance < 1:
        return Estimate(math.nan, math.nan, math.nan, n)
    observed = sum(count for (a, b), count in pairs.items() if a == b) / n
    kappa = (observed - by_chance) / (1 - by_chance)
    spread = 0.0
    for (a, b), count in pairs.items():
        if a == b:
            spread += count / n * (1 - (rows[a] + columns[a]) / n * (1 - kappa)) ** 2
        else:
            spread += (1 - kappa) ** 2 * count / n * ((columns[a] + rows[b]) / n) ** 2
    spread -= (kappa - by_chance * (1 - kappa)) ** 2
    half = normal_quantile(1 - alpha / 2) * math.sqrt(max(spread, 0.0) / n) / (1 - by_chance)
    return Estimate(kappa, max(-1.0, kappa - half), min(1.0, kappa + half), n)


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
