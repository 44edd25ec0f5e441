"""Several tests at once, and one test after another, without more false passes than one test has."""

from __future__ import annotations

from collections.abc import Sequence


def holm_levels(p_values: Sequence[float], alpha: float) -> tuple[float, ...]:
    """Holm's (1979) step-down levels: reject each p-value that is at most its level, and the chance of any false
    rejection is at most alpha, in any dependence.

    The smallest p-value is tested at alpha / m, the next at alpha / (m - 1), and so on; once one is not rejected, all
    later ones get the level that stopped it.

    Returns:
        One level a p-value, in the same order.

    Raises:
        ValueError: a p-value is not within 0 and 1.
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError("p-values lie within 0 and 1")
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    levels = [0.0] * len(p_values)
    level, stopped = alpha, False
    for rank, index in enumerate(order):
        if not stopped:
            level = alpha / (len(p_values) - rank)
            stopped = p_values[index] > level
        levels[index] = level
    return tuple(levels)


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
