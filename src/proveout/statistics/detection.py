"""Watching for ever: has a rate risen above what it was? Alarms that can be counted on to be rare."""

from __future__ import annotations

import math

from proveout.statistics.betting import STAKES

_STAKES = tuple(float(stake) for stake in STAKES)


class Detector:
    """Bets on every value that the mean is above `level`, starting anew all the time.

    As long as the mean is no higher, at least `rarity` values are to be expected until it alarms, whatever their
    distribution within 0 and 1: the Shiryaev-Roberts sum of e-processes from every start (Shin, Ramdas & Rinaldo 2024,
    "E-detectors"). A rise is found however long all was well before.
    """

    def __init__(self, level: float, *, rarity: float = 1e6) -> None:
        """
        Raises:
            ValueError: the level does not lie within 0 and 1.
        """
        if not 0 <= level <= 1:
            raise ValueError(f"level is {level}; it lies within 0 and 1")
        self.level = level
        self.rarity = rarity
        self.alarmed = False
        self._wealth = [0.0] * len(_STAKES)

    def add(self, value: float) -> bool:
        """One more value; whether it has alarmed by now. An alarm stays."""
        if not 0 <= value <= 1:
            raise ValueError(f"the value is {value:g}; it lies within 0 and 1")
        share = 1 / len(_STAKES)
        for place, stake in enumerate(_STAKES):
            self._wealth[place] = (self._wealth[place] + share) * (1 + stake * (value - self.level))
        self.alarmed = self.alarmed or math.fsum(self._wealth) >= self.rarity
        return self.alarmed
