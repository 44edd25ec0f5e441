"""Limits for the mean of bounded values that are exact where a few values are bad and the others hardly vary."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from proveout.statistics.distributions import Floats, normal_cdf, normal_quantile

_STEPS = 60
"""Newton steps, or bisections where Newton leaves the bracket."""


@dataclass(frozen=True)
class BoundedMean:
    """Gaffke's (2005) limits for the mean of values none of which can lie below `worst`.

    The values and one more that is as bad as can be get random weights that add up to 1, all splits being equally
    likely (Dirichlet): the p-value of a mean is the chance that the weighted mean is no higher. That is a Bayesian
    bootstrap with one lost cluster more. Of values that are 0 or 1 it is Clopper and Pearson's limit, and no
    distribution is known for which it errs more often than it may (Learned-Miller & Thomas 2019). Where values spread
    much it is more careful than Student's t; where a few lost all and the others hardly vary, t is far too careful, and
    this is not.

    The chance is a saddlepoint approximation (Barndorff-Nielsen's r*; the weights are exponential variables over their
    sum), within 2 % of itself.
    """

    values: Floats
    worst: float

    @cached_property
    def _all(self) -> Floats:
        return np.append(self.values, self.worst)

    def p_value(self, theta: float) -> float:
        return float(normal_cdf(self._score(theta)))

    def lower(self, alpha: float) -> float:
        """By false position on the normal score, which is almost a straight line; by halves where it is not."""
        low, high = self.worst, float(self.values.max())
        wanted = normal_quantile(alpha)
        low_score, high_score = -math.inf, math.inf
        for step in range(_STEPS):
            straight = step % 3 and math.isfinite(high_score - low_score)
            middle = low + (high - low) * ((wanted - low_score) / (high_score - low_score) if straight else 0.5)
            score = self._score(middle)
            if abs(score - wanted) < 1e-7 or high - low <= 1e-12:
                return middle
            if score > wanted:
                high, high_score = middle, score
            else:
                low, low_score = middle, score
        return low

    def lower_if_above(self, limit: float, alpha: float) -> float:
        """The higher of `limit` and the lower limit, which is sought only where it is the higher."""
        return self.lower(alpha) if self.p_value(limit) < alpha else limit

    def _score(self, theta: float) -> float:
        """The normal score of the chance that exponential weights of the distances from `theta` add up to 0 or less."""
        distances = self._all - theta
        least, most = float(distances.min()), float(distances.max())
        if most <= 0 or least >= 0:
            return math.inf
        reach = max(-least, most)
        distances, least, most = distances / reach, least / reach, most / reach
        tilt = _saddlepoint(distances, least, most)
        parts = distances * tilt
        width = tilt * math.sqrt(float(np.sum((distances / (1 - parts)) ** 2)))
        root = math.copysign(math.sqrt(max(2 * float(np.sum(np.log1p(-parts))), 0.0)), tilt)
        if abs(root) < 1e-4:
            return _central(distances)
        return root + math.log(width / root) / root


def _saddlepoint(distances: Floats, least: float, most: float) -> float:
    """The tilt t at which the tilted mean, the sum of d / (1 - d t), is 0; it rises with t between 1/least and
    1/most."""
    low, high = (1 / least, 0.0) if float(distances.sum()) > 0 else (0.0, 1 / most)
    tilt = 0.0
    for _ in range(_STEPS):
        tilted = distances / (1 - distances * tilt)
        excess = float(tilted.sum())
        low, high = (low, tilt) if excess > 0 else (tilt, high)
        step = excess / float(tilted @ tilted)
        following = tilt - step
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - tilt) <= 1e-10 * abs(following):
            return following
        tilt = following
    return tilt


def _central(distances: Floats) -> float:
    """The score where the chance is about one half, from the skewness alone: r* is 0 / 0 there."""
    second, third = float(np.sum(distances**2)), 2 * float(np.sum(distances**3))
    return -float(distances.sum()) / math.sqrt(second) + third / (6 * second**1.5)
