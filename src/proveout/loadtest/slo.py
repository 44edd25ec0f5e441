"""Service-level objectives on latency: `ttft_p95: 0.8` says that 95 of 100 requests have their first token in 0.8 s."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from proveout.loadtest.records import Flags, Floats, Integers, Records
from proveout.statistics.clustered_quantiles import LimitTest, quantile_limit_test

LATENCIES = ("ttft", "itl", "tpot", "e2e", "stall")
TIME_BLOCKS = 20
"""Stretches of a run whose requests count as alike when intervals are made."""
RESOLVED = 0.05
"""One-sided error at which an SLO counts as kept or broken."""

State = Literal["kept", "broken", "unresolved"]
_METRIC = re.compile(r"(ttft|itl|tpot|e2e|stall)_p(\d{1,2})")


@dataclass(frozen=True, slots=True)
class Metric:
    """One latency figure: which time, at which quantile."""

    latency: str
    probability: float

    @classmethod
    def named(cls, name: str) -> Metric:
        """`ttft_p95` and its like.

        Raises:
            ValueError: it is no such name.
        """
        match = _METRIC.fullmatch(name)
        if match is None or int(match[2]) == 0:
            raise ValueError(f"{name!r} is no latency metric; write one such as ttft_p95 ({', '.join(LATENCIES)})")
        return cls(match[1], int(match[2]) / 100)

    @property
    def name(self) -> str:
        return f"{self.latency}_p{self.probability * 100:.0f}"


def measured(records: Records, latency: str) -> tuple[Floats, Integers]:
    """One latency's values without those that do not exist (a gap of an answer of one token), and for each the request
    that it belongs to. Failures are +inf."""
    if latency != "itl":
        values: Floats = getattr(records, latency)
        known = np.flatnonzero(~np.isnan(values))
        return values[known], known
    gaps, owner = records.gaps
    failed = np.flatnonzero(~records.ok)
    return np.concatenate([gaps, np.full(len(failed), np.inf)]), np.concatenate([owner, failed])


def time_blocks(records: Records, owner: Integers) -> Integers:
    """For each value the stretch of the run that its request was due in."""
    parts = min(TIME_BLOCKS, max(1, len(records) // 5))
    place = np.argsort(np.argsort(records.due, kind="stable"), kind="stable")
    return (place * parts // max(len(records), 1))[owner]


def attained(records: Records, slo: Mapping[str, float]) -> Flags:
    """Which requests met every limit. A limit on gaps (`itl_p90`) holds for a request of whose own gaps that share is
    within it."""
    good = records.ok.copy()
    for name, limit in slo.items():
        metric = Metric.named(name)
        if metric.latency == "itl":
            gaps, owner = records.gaps
            total = np.bincount(owner, minlength=len(records))
            within = np.bincount(owner, weights=gaps <= limit, minlength=len(records))
            good &= within >= metric.probability * total - 1e-9
        else:
            values = getattr(records, metric.latency)
            good &= np.isnan(values) | (values <= limit)
    return good


@dataclass(frozen=True, slots=True)
class SloTest:
    """How one SLO fared: the test of its quantile, and what it resolves to."""

    metric: Metric
    limit: float
    test: LimitTest

    @property
    def state(self) -> State:
        if self.test.p_value <= RESOLVED:
            return "kept"
        return "broken" if self.test.p_worse <= RESOLVED else "unresolved"


def slo_test(records: Records, name: str, limit: float) -> SloTest:
    """Whether the run's requests keep one SLO, as far as their number can tell."""
    metric = Metric.named(name)
    values, owner = measured(records, metric.latency)
    return SloTest(metric, limit, quantile_limit_test(values, metric.probability, limit, time_blocks(records, owner)))
