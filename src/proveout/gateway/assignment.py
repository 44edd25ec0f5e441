"""Which variant serves a unit: by weight, always the same one, and another only where the weights say so.

Weighted rendezvous hashing (Schindelhauer and Schomaker, "Weighted distributed hash tables", SPAA 2005): each variant
draws an exponential waiting time of rate `weight` from the hash of unit and variant, and the shortest wins. A variant
wins with probability weight over the sum of weights. Where one variant's weight grows, units only move to it; where it
shrinks, only away from it. Nothing is kept, so that every worker and every gateway agree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

_TO_UNIT_INTERVAL = 2.0**-53
UNITS_IN_MIND = 4096
"""Of how many units what was computed is kept: users send several requests in a row."""


class Choice(NamedTuple):
    """The variant that a unit gets, and the probability with which it is drawn under these weights."""

    variant: str
    propensity: float


class Draw:
    """Draws a variant for each unit of a service. Weights of zero are never drawn."""

    def __init__(self, service: str, weights: Mapping[str, float]) -> None:
        """
        Raises:
            ValueError: no weight is above zero, or one is negative or no number.
        """
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights.values()):
            raise ValueError("a weight is a number that is not negative")
        total = math.fsum(weights.values())
        if not total > 0:
            raise ValueError("at least one weight must be above zero")
        self.propensities = {variant: weight / total for variant, weight in sorted(weights.items()) if weight > 0}
        self._arms = [
            (_key(service, variant), propensity, Choice(variant, propensity))
            for variant, propensity in self.propensities.items()
        ]
        self._only = self._arms[0][2] if len(self._arms) == 1 else None
        self.again = lru_cache(maxsize=UNITS_IN_MIND)(self.__call__)
        """The same, for units that are likely to come again soon."""

    def __call__(self, unit: str) -> Choice:
        """The choice for a unit, the same one each time."""
        if self._only is not None:
            return self._only
        name = unit.encode("utf-8", "surrogatepass")
        best, shortest = self._arms[0][2], math.inf
        for key, weight, choice in self._arms:
            number = int.from_bytes(blake2b(name, digest_size=8, key=key).digest(), "big")
            wait = -math.log(((number >> 11) + 0.5) * _TO_UNIT_INTERVAL) / weight
            if wait < shortest:
                best, shortest = choice, wait
        return best


@lru_cache(maxsize=UNITS_IN_MIND)
def unit_hash(service: str, unit: str) -> str:
    """What a trace says of its unit: the same for the same unit of a service, and not the unit itself."""
    return blake2b(unit.encode("utf-8", "surrogatepass"), digest_size=8, key=_key(service, "unit")).hexdigest()


@lru_cache(maxsize=4096)
def _key(service: str, variant: str) -> bytes:
    return blake2b(f"{service}\0{variant}".encode(), digest_size=16).digest()
