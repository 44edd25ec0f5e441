"""Sample-ratio mismatch: do the variants get the traffic that they should? Asked after every request."""

from __future__ import annotations

import math
from collections.abc import Sequence

CONCENTRATION = 100.0
"""How many requests' worth the alternative is drawn to the intended shares: shifts of some percent are sought."""


def mismatch_evidence(epochs: Sequence[tuple[Sequence[int], Sequence[float]]]) -> float:
    """The evidence (e-value) that traffic is not split as intended.

    The likelihood of the counts under shares drawn from a Dirichlet distribution about the intended ones, over that
    under the intended ones (Lindon & Malek 2022). If the split is right it ever exceeds 1 / alpha with probability at
    most alpha, however often one looks. Epochs of different weights multiply.

    Args:
        epochs: for each period of constant weights the requests by variant, and the intended shares in the same
            order.

    Returns:
        The e-value; 1 without traffic; infinite where a variant of share 0 served a request.

    Raises:
        ValueError: lengths differ, a count is negative, or shares don't add up to 1.
    """
    total = 0.0
    for counts, shares in epochs:
        if len(counts) != len(shares) or any(count < 0 for count in counts):
            raise ValueError(
                f"{list(counts)} requests for shares {list(shares)}; give a count from 0 up for each share"
            )
        if any(share < 0 for share in shares) or not math.isclose(sum(shares), 1.0, abs_tol=1e-9):
            raise ValueError(f"shares {list(shares)} must be from 0 up and add up to 1")
        if any(count and not share for count, share in zip(counts, shares, strict=True)):
            return math.inf
        total += math.lgamma(CONCENTRATION) - math.lgamma(CONCENTRATION + sum(counts))
        for count, share in zip(counts, shares, strict=True):
            if share:
                prior = CONCENTRATION * share
                total += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
    return math.exp(min(total, 700.0))
