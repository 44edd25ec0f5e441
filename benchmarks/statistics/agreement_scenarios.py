"""Made-up repeated answers whose true agreement is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proveout.statistics import pairwise_agreement

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Repeats:
    """Two variants asked `repeats` times; each gives its usual answer with a chance that varies over the clusters (Beta
    distributed), else another. On a share of clusters the challenger tosses a coin instead, so that its pairwise
    agreement is lower by `loss`."""

    loss: float = 0.0
    repeats: int = 3
    usual: float = 18.0
    other: float = 2.0

    @property
    def agreement(self) -> float:
        """The champion's: the mean of p^2 + (1 - p)^2."""
        total = self.usual + self.other
        return 1 - 2 * self.usual * self.other / (total * (total + 1))

    @property
    def difference(self) -> float:
        return -self.loss

    def draw(self, random: np.random.Generator, clusters: int) -> tuple[Floats, Floats]:
        """Pairwise agreement per cluster, of the champion and of the challenger."""
        chances = random.beta(self.usual, self.other, (2, clusters))
        shaky = random.random(clusters) < self.loss / (self.agreement - 0.5)
        chances[1, shaky] = 0.5
        answers = random.random((self.repeats, 2, clusters)) < chances
        champion, challenger = (
            np.array([pairwise_agreement(answers[:, arm, each].tolist()) for each in range(clusters)]) for arm in (0, 1)
        )
        return champion, challenger


@dataclass(frozen=True)
class Groups:
    """Clusters of 2 to 6 similar inputs. Every answer is the cluster's own with the chance `kept`, else any, by how
    frequent answers are (`shares`): then Krippendorff's alpha is the square of `kept`."""

    kept: float
    shares: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)

    @property
    def alpha(self) -> float:
        return self.kept**2

    def draw(self, random: np.random.Generator, clusters: int) -> list[list[int]]:
        kinds = len(self.shares)
        own = random.choice(kinds, clusters, p=self.shares).tolist()
        sizes = random.integers(2, 7, clusters).tolist()
        return [
            np.where(random.random(size) < self.kept, mine, random.choice(kinds, size, p=self.shares)).tolist()
            for mine, size in zip(own, sizes, strict=True)
        ]
