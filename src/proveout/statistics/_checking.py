"""Refusing input that would silently spoil a figure."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from proveout.statistics.distributions import Floats


def finite_values(values: ArrayLike, name: str) -> Floats:
    """The values as a one-dimensional array of floats.

    Raises:
        ValueError: they are not one-dimensional, or one of them is NaN or infinite; names its place.
    """
    array = np.asarray(values, dtype=float)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; give one value per cluster")
    wrong = np.flatnonzero(~np.isfinite(array))
    if wrong.size:
        raise ValueError(f"{name}[{wrong[0]}] is {array[wrong[0]]}; leave out what was not measured, or measure it")
    return array


def within_one(scores: Floats) -> bool:
    """Whether all scores lie within 0 and 1."""
    return float(scores.min()) >= 0 and float(scores.max()) <= 1
