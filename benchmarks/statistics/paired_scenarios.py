"""Made-up experiments whose true difference is known, for the simulations of `simulate.py` and of the tests."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_NODES = np.array([NormalDist().inv_cdf((k + 0.5) / 4000) for k in range(4000)])


@dataclass(frozen=True)
class Answers:
    """Two variants that answer `examples` similar examples per cluster, `repeats` times each; cluster means come out.

    The logit of an answer's quality is a level per variant plus normal effects: of the cluster (sd `difficulty`), of
    the variant on the cluster (`taste`), of the example (`wording`) and of the repeat (`repeat_noise`, for graded
    scores). `levels` 1 makes yes-or-no answers, 0 continuous ones within 0 and 1, else a judge's scale with so many
    steps. `unequal` draws cluster sizes from 1 to about five times `examples`. The variants' means are exactly
    `accuracy` and `accuracy + difference`.
    """

    accuracy: float
    difference: float = 0.0
    examples: int = 5
    repeats: int = 3
    levels: int = 1
    unequal: bool = False
    difficulty: float = 1.5
    taste: float = 0.8
    wording: float = 0.5
    repeat_noise: float = 0.4

    def draw(self, random: np.random.Generator, clusters: int) -> tuple[Floats, Floats]:
        sizes = np.full(clusters, self.examples)
        if self.unequal:
            sizes = np.minimum(random.geometric(1 / self.examples, clusters), 5 * self.examples)
        home = np.repeat(np.arange(clusters), sizes)
        shared = self.difficulty * random.standard_normal(clusters)[home] + self.wording * random.standard_normal(
            len(home)
        )
        arms: list[Floats] = []
        for level in self._levels:
            logits = level + shared + self.taste * random.standard_normal(clusters)[home]
            scores = self._scores(random, logits)
            arms.append(np.bincount(home, scores, clusters) / sizes)
        return arms[0], arms[1]

    def _scores(self, random: np.random.Generator, logits: Floats) -> Floats:
        if self.levels == 1:
            return random.binomial(self.repeats, _expit(logits)) / self.repeats
        noise = self.repeat_noise * random.standard_normal((self.repeats, len(logits)))
        return _graded(_expit(logits + noise), self.levels).mean(axis=0)

    @cached_property
    def _levels(self) -> tuple[float, float]:
        spread = math.sqrt(
            self.difficulty**2
            + self.taste**2
            + self.wording**2
            + (0 if self.levels == 1 else self.repeat_noise**2)
        )
        return _level(self.accuracy, spread, self.levels), _level(self.accuracy + self.difference, spread, self.levels)


@lru_cache(maxsize=1024)
def _level(mean: float, spread: float, levels: int) -> float:
    """The logit level at which the mean score is `mean`."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        scores = _expit(middle + spread * _NODES)
        found = float((scores if levels == 1 else _graded(scores, levels)).mean())
        low, high = (middle, high) if found < mean else (low, middle)
    return low


def _graded(scores: Floats, levels: int) -> Floats:
    return np.round(scores * levels) / levels if levels > 1 else scores


def _expit(logit: Floats) -> Floats:
    return 1 / (1 + np.exp(-logit))


@dataclass(frozen=True)
class Costs:
    """Costs per cluster, log-normal with a share of expensive ones in common; the challenger costs `ratio` times as much
    on average, times a factor of its own (`sd` of its logarithm)."""

    ratio: float = 1.0
    shared_sd: float = 1.0
    sd: float = 0.5

    @property
    def difference(self) -> float:
        return self.ratio - 1.0

    def draw(self, random: np.random.Generator, clusters: int) -> tuple[Floats, Floats]:
        shared = np.exp(self.shared_sd * random.standard_normal(clusters) - self.shared_sd**2 / 2)
        champion, challenger = np.exp(self.sd * random.standard_normal((2, clusters)) - self.sd**2 / 2)
        return shared * champion, self.ratio * shared * challenger


@dataclass(frozen=True)
class RareLosses:
    """Equal but for normal noise (sd `noise`), except on a share of clusters where the challenger loses everything."""

    share: float
    noise: float = 0.0
    level: float = 0.9

    @property
    def difference(self) -> float:
        return -self.share * self.level

    def draw(self, random: np.random.Generator, clusters: int) -> tuple[Floats, Floats]:
        champion = np.clip(self.level + self.noise * random.uniform(-1, 1, clusters), 0, 1)
        challenger = np.clip(self.level + self.noise * random.uniform(-1, 1, clusters), 0, 1)
        return champion, np.where(random.random(clusters) < self.share, 0.0, challenger)


Draw = Callable[[np.random.Generator, int], tuple[Floats, Floats]]
