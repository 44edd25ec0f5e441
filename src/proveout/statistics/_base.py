"""The records that the statistics hand out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its two-sided interval (95 % unless said otherwise) and the number of independent units behind it.

    `value`, `low` and `high` are NaN when nothing could be estimated (n too small).
    """

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class PairedTest:
    """A one-sided test of `difference > -margin`, on `difference = challenger - champion` per cluster.

    `p_value` tests the null `difference <= -margin`. `p_worse` tests the opposite null, `difference >= -margin`
    (small: shown to be worse than the margin). `sd` is the standard deviation of the paired cluster differences;
    `method` is a phrase for the scorecard. `jump` is how large differences are where there is one, the root of their
    fourth moment over their second: 1 for single yes-or-no scores, 0 where it is not known.
    """

    difference: Estimate
    margin: float
    p_value: float
    p_worse: float
    sd: float
    method: str
    jump: float = 0.0
