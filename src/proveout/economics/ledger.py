"""What a variant's requests used and cost: distributions, cost per success, and what is odd about them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from proveout.statistics import Estimate, mean_interval, quantile_interval, ratio_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUANTILES = (0.5, 0.9, 0.95, 0.99)

ODD = 5.0
"""Robust z from which a request's tokens are odd: about one in two million normal ones."""

TAIL = 0.01
"""The dearest share of requests whose part of all cost is told."""

HEAVY_TAIL = 0.2
CUT_OFTEN = 0.01
FEWEST = 20
"""Requests below which nothing is called odd."""

_MAD_TO_SD = 1.482602218505602  # 1 / normal_quantile(0.75)


@dataclass(frozen=True, slots=True)
class Distribution:
    """How one amount is spread over requests: its mean with a 95 % interval over clusters, and quantiles.

    A quantile that the number of requests can't bound is None. `total` is the sum over the requests that are known.
    """

    mean: Estimate
    quantiles: Mapping[float, Estimate | None]
    total: float


@dataclass(frozen=True, slots=True)
class Anomalies:
    """What an expert would look at. `odd` are rows whose tokens are far from the median (`ODD`); `tail_share` is the
    part of all cost that the dearest 1 % of requests take; `cut` is the share that ended at the token limit."""

    odd: tuple[int, ...]
    tail_share: float
    cut: float

    @property
    def heavy_tail(self) -> bool:
        return self.tail_share > HEAVY_TAIL


@dataclass(frozen=True, slots=True)
class Ledger:
    """One variant's requests as columns, each of shape (N,): tokens, dollars, and what became of them.

    NaN stands for unknown: a cost without a price, tokens that an endpoint did not count, a success that nothing
    scored. `clusters` numbers the independent units (similar requests share one).
    """

    input_tokens: NDArray[Any]
    output_tokens: NDArray[Any]
    usd: NDArray[Any]
    clusters: NDArray[Any]
    success: NDArray[Any] | None = None
    cut: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.usd)

    @property
    def unknown(self) -> int:
        """Requests whose cost is unknown."""
        return int(np.isnan(self.usd).sum())

    def distribution(self, column: str) -> Distribution:
        """Of `input_tokens`, `output_tokens` or `usd`."""
        return distribution(getattr(self, column), self.clusters)

    def usd_per_request(self) -> Estimate:
        return self.distribution("usd").mean

    def usd_per_success(self) -> Estimate:
        """Dollars for each request that succeeded, the failed ones' cost included; NaN where none did or nothing was
        scored."""
        if self.success is None:
            return Estimate(math.nan, math.nan, math.nan, 0)
        known = ~np.isnan(self.usd) & ~np.isnan(self.success)
        return ratio_interval(
            _cluster_means(self.usd[known], self.clusters[known]),
            _cluster_means(self.success[known], self.clusters[known]),
        )

    def anomalies(self) -> Anomalies:
        """Rows with odd token counts, the dearest requests' part of the cost, and how many answers were cut."""
        odd = set(odd_rows(self.input_tokens)) | set(odd_rows(self.output_tokens))
        known = np.sort(self.usd[~np.isnan(self.usd)])
        dearest = known[len(known) - math.ceil(TAIL * len(known)) :] if len(known) >= 1 / TAIL else known[:0]
        total = float(known.sum())
        return Anomalies(
            odd=tuple(sorted(odd)),
            tail_share=float(dearest.sum()) / total if total > 0 else 0.0,
            cut=float(np.nanmean(self.cut)) if self.cut is not None and len(self.cut) else 0.0,
        )


def distribution(values: NDArray[Any], clusters: NDArray[Any]) -> Distribution:
    """How the known values are spread. Quantiles are of requests, the mean's interval is of clusters."""
    known = ~np.isnan(values)
    found = values[known]
    quantiles: dict[float, Estimate | None] = {}
    for probability in QUANTILES:
        estimate = quantile_interval(found, probability)
        quantiles[probability] = None if math.isnan(estimate.value) else estimate
    return Distribution(mean_interval(_cluster_means(found, clusters[known])), quantiles, float(found.sum()))


def odd_rows(values: NDArray[Any]) -> tuple[int, ...]:
    """Rows whose logarithm is far from the median, in units of a robust standard deviation (median absolute deviation:
    Iglewicz & Hoaglin 1993).

    Where more than half of the values are the same, a row is odd from twice to half of it on.
    """
    logs = np.log1p(np.where(np.isnan(values), np.nan, np.maximum(values, 0)))
    known = logs[~np.isnan(logs)]
    if len(known) < FEWEST:
        return ()
    middle = float(np.median(known))
    spread = max(float(np.median(np.abs(known - middle))) * _MAD_TO_SD, math.log(2) / ODD)
    return tuple(int(row) for row in np.flatnonzero(np.abs(logs - middle) > ODD * spread))


def _cluster_means(values: NDArray[Any], clusters: NDArray[Any]) -> NDArray[Any]:
    if not len(values):
        return np.zeros(0)
    _, codes = np.unique(clusters, return_inverse=True)
    return np.bincount(codes, weights=values) / np.bincount(codes)
