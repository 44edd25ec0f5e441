"""Several tests at once, and one test after another, without more false passes than one test has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from proveout.statistics._checking import finite_values
from proveout.statistics.distributions import Floats


def holm(p_values: ArrayLike) -> Floats:
    """Holm's (1979) step-down adjustment: reject what is at most alpha, and the chance of any false rejection is at
    most alpha.

    Args:
        p_values: shape (m,), in any dependence.

    Returns:
        Adjusted p-values in the same order, shape (m,).

    Raises:
        ValueError: a p-value is not within 0 and 1.
    """
    p = finite_values(p_values, "p_values")
    if np.any((p < 0) | (p > 1)):
        raise ValueError("p-values lie within 0 and 1")
    order = np.argsort(p, kind="stable")
    adjusted = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    result = np.empty_like(adjusted)
    result[order] = adjusted
    return result


def online_level(history: Sequence[tuple[float, bool]], alpha: float = 0.05) -> float:
    """The level of the next attempt, after these, when any number of attempts may follow and the best may be picked.

    Attempt k has the share 1 / (k (k + 1)) of alpha: a half, a sixth, a twelfth; all shares together are 1. An
    attempt that was shown hands its whole level to the next one. This is the online fallback procedure (Tian & Ramdas
    2021, "Online control of the familywise error rate", section 3): the chance of any false pass is at most alpha,
    whatever the dependence and whenever one stops.

    Args:
        history: the level and whether it was rejected (shown), of every earlier attempt in order.
        alpha: the error shared by all attempts.

    Returns:
        The level of attempt `len(history) + 1`.
    """
    attempt = len(history) + 1
    handed_on = history[-1][0] if history and history[-1][1] else 0.0
    return alpha / (attempt * (attempt + 1)) + handed_on
