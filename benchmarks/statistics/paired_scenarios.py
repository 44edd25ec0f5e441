"""Made-up experiments whose true difference is known, for the simulations of `simulate.py` and of the tests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from proveout.statistics.paired_counts import PairedCounts

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

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
            self.difficulty**2 + self.taste**2 + self.wording**2 + (0 if self.levels == 1 else self.repeat_noise**2)
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
    """Costs per cluster, log-normal; the variants share what makes a cluster expensive (`shared_sd` of its logarithm)
    and each varies on its own (`sd`). The champion costs 1 on average, the challenger `ratio`."""

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
    """Equal but for noise of up to `noise` to either side, and a `gain`, except on a share of clusters where the
    challenger loses everything. Scores spread around a level that leaves room for both."""

    share: float
    noise: float = 0.0
    gain: float = 0.0

    @property
    def level(self) -> float:
        return 1.0 - self.noise - self.gain

    @property
    def difference(self) -> float:
        return (1 - self.share) * self.gain - self.share * self.level

    @classmethod
    def losing(cls, loss: float, noise: float = 0.0, gain: float = 0.0) -> RareLosses:
        """The challenger that is worse by `loss` on average."""
        return cls((loss + gain) / (1.0 - noise), noise, gain)

    def draw(self, random: np.random.Generator, clusters: int) -> tuple[Floats, Floats]:
        champion, challenger = self.level + self.noise * random.uniform(-1, 1, (2, clusters))
        return champion, np.where(random.random(clusters) < self.share, 0.0, challenger + self.gain)


def binary_region(examples: int, margin: float, level: float, most_wins: float = 1.0) -> tuple[Counts, Counts]:
    """The outcomes of single yes-or-no answers that pass: for each number of wins the most losses; -1 where none."""
    won = np.arange(int(most_wins * examples) + 1)
    lost = np.full(won.shape, -1)
    most = -1
    for wins in won.tolist():
        while most < examples - wins and PairedCounts(wins, most + 1, examples).p_value(-margin) <= level:
            most += 1
        lost[wins] = min(most, examples - wins)
    return won, lost


def human_and_judge(
    random: np.random.Generator,
    *,
    people: int,
    judged: int,
    accuracy: float,
    flatters: tuple[float, float],
    loss: float = 0.0,
    size: int = 1,
    sensitivity: float = 0.95,
) -> tuple[Floats, Floats, Floats]:
    """Differences by cluster: people's and the judge's on the same clusters, and the judge's on others.

    Champion and challenger are right on shares `accuracy` and `accuracy - loss` of the answers, depending on the
    cluster; the judge finds `flatters` of their wrong answers right. Clusters have 1 to `size` examples.
    """
    clusters = people + judged
    sizes = random.integers(1, size + 1, clusters)
    home = np.repeat(np.arange(clusters), sizes)
    common = 1.2 * random.standard_normal(clusters)[home]
    truth, verdict = [], []
    for mean, false_positive in zip((accuracy, accuracy - loss), flatters, strict=True):
        logits = _level(mean, math.hypot(1.2, 0.6), 1) + common + 0.6 * random.standard_normal(clusters)[home]
        right = random.random(len(home)) < _expit(logits)
        found = random.random(len(home)) < np.where(right, sensitivity, false_positive)
        truth.append(np.bincount(home, right, clusters) / sizes)
        verdict.append(np.bincount(home, found, clusters) / sizes)
    real, seen = truth[1] - truth[0], verdict[1] - verdict[0]
    return real[:people], seen[:people], seen[people:]


def judged_answers(
    random: np.random.Generator, people: int, right: float, *, sensitivity: float = 0.95, false_positive: float = 0.1
) -> tuple[Floats, Floats, Floats]:
    """One variant's answers: people's verdicts, the judge's on the same ones, and the judge's on ten times as many."""
    truth = random.random(11 * people) < right
    found = random.random(len(truth)) < np.where(truth, sensitivity, false_positive)
    return truth[:people].astype(float), found[:people].astype(float), found[people:].astype(float)
