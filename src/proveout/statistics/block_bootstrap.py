"""Comparing quantiles of two arms that took turns, by resampling whole blocks: values of one moment share its
conditions and are no independent evidence."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from proveout.statistics._base import Estimate, PairedTest
from proveout.statistics.distributions import Floats, normal_cdf, normal_quantile, student_cdf, student_quantile

FEWEST_BLOCKS = 6
"""Pairs of blocks below which nothing is said."""

_CELLS = 4_000_000
"""Weights that are held at once."""


def quantile_ratio_test(
    champion: ArrayLike,
    challenger: ArrayLike,
    champion_blocks: ArrayLike,
    challenger_blocks: ArrayLike,
    *,
    probability: float,
    margin: float = 0.0,
    draws: int = 2000,
    seed: int = 0,
    alpha: float = 0.05,
) -> PairedTest:
    """Test whether a quantile of the challenger is less than `1 + margin` times the champion's (less is better).

    Pairs of neighbouring blocks are drawn with replacement and each arm's quantile is taken over all of its values in
    them (block bootstrap: Künsch 1989). Percentiles are taken further out as Student's t with that many pairs asks for
    (expanded percentile interval: Hesterberg 2015), and p-values invert just that interval.

    Args:
        champion: values, shape (N,); +inf for failures, no NaN.
        challenger: values, shape (M,).
        champion_blocks: for each value the number of its pair of blocks; values of one pair were taken at about the
            same time.
        challenger_blocks: the same for the challenger. Pairs that one arm has no values in are left out.
        probability: of the quantile, between 0 and 1.
        margin: by how much larger the challenger's may be, as a share; 0 asks for superiority.
        draws: bootstrap resamples.
        seed: of the resampling.
        alpha: two-sided error of the interval.

    Returns:
        The test; `difference` is the ratio - 1 and its n counts pairs of blocks. All NaN with fewer than 6 pairs.

    Raises:
        ValueError: a value is NaN, or shapes differ.
    """
    first, first_blocks = _arm(champion, champion_blocks, "champion")
    second, second_blocks = _arm(challenger, challenger_blocks, "challenger")
    shared = np.intersect1d(first_blocks, second_blocks)
    pairs = len(shared)
    method = f"ratio of p{probability * 100:g}, block bootstrap over {pairs} interleaved pairs of blocks"
    if pairs < FEWEST_BLOCKS:
        nothing = Estimate(math.nan, math.nan, math.nan, pairs)
        return PairedTest(nothing, margin, math.nan, math.nan, math.nan, method)
    arms = [
        _Arm(values[np.isin(blocks, shared)], np.searchsorted(shared, blocks[np.isin(blocks, shared)]))
        for values, blocks in ((first, first_blocks), (second, second_blocks))
    ]
    once = np.ones((1, pairs), dtype=np.int32)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float((arms[1].quantiles(once, probability) / arms[0].quantiles(once, probability))[0])
        ratios = _resampled(arms, pairs, probability, draws, np.random.default_rng(seed))
    unknown = np.isnan(ratios)  # Both failed too often to have this quantile: for neither side.
    worst, best = np.where(unknown, np.inf, ratios), np.where(unknown, 0.0, ratios)
    stretch = math.sqrt(pairs / (pairs - 1))
    tail = float(normal_cdf(-float(student_quantile(1 - alpha / 2, pairs - 1)) * stretch))
    low = float(np.quantile(best, tail, method="inverted_cdf"))
    high = float(np.quantile(worst, 1 - tail, method="inverted_cdf"))
    limit = 1 + margin
    finite = ratios[np.isfinite(ratios)]
    spread = float(np.std(finite)) * math.sqrt(pairs) if len(finite) > draws / 2 else math.inf
    return PairedTest(
        Estimate(value - 1, low - 1, high - 1, pairs),
        margin,
        _p(int((worst >= limit).sum()), draws, pairs, stretch),
        _p(int((best <= limit).sum()), draws, pairs, stretch),
        spread,
        method,
    )


class _Arm:
    """One arm's values in order, each with its block."""

    def __init__(self, values: Floats, blocks: NDArray[np.int64]) -> None:
        order = np.argsort(values, kind="stable")
        self._values = values[order]
        self._blocks = blocks[order]

    def quantiles(self, weights: NDArray[np.int32], probability: float) -> Floats:
        """The quantile for each row of block weights."""
        reached = np.cumsum(weights[:, self._blocks], axis=1, dtype=np.int64)
        places = np.argmax(reached >= probability * reached[:, -1:] - 1e-9, axis=1)
        return self._values[places]


def _resampled(arms: list[_Arm], pairs: int, probability: float, draws: int, random: np.random.Generator) -> Floats:
    size = max(len(arm._values) for arm in arms)  # pyright: ignore[reportPrivateUsage]
    rows = max(1, _CELLS // size)
    parts: list[Floats] = []
    for begin in range(0, draws, rows):
        count = min(rows, draws - begin)
        weights = random.multinomial(pairs, np.full(pairs, 1 / pairs), size=count).astype(np.int32)
        parts.append(arms[1].quantiles(weights, probability) / arms[0].quantiles(weights, probability))
    return np.concatenate(parts)


def _p(against: int, draws: int, pairs: int, stretch: float) -> float:
    """The level at which the interval would just exclude the limit, `against` of `draws` resamples lying beyond it."""
    share = (against + 0.5) / (draws + 1)
    return float(student_cdf(normal_quantile(share) / stretch, pairs - 1))


def _arm(values: ArrayLike, blocks: ArrayLike, name: str) -> tuple[Floats, NDArray[np.int64]]:
    array, labels = np.asarray(values, dtype=float), np.asarray(blocks, dtype=np.int64)
    if array.ndim != 1 or array.shape != labels.shape:
        raise ValueError(f"{name} has {array.size} values and {labels.size} blocks; give one block for each value")
    if np.isnan(array).any():
        raise ValueError(f"{name} holds NaN; leave out what was not measured")
    return array, labels
