"""Champion against challenger under the same load: who goes when, and what the outcome shows.

Both get the same prompts at the same offsets. Where they share a machine they take turns in blocks, in the order ABBA
ABBA ..., so that a drift of the environment falls on both alike; each block starts with a wash-out that does not count.
Where they share nothing, every arrival goes to both at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from proveout.loadtest.plan import DEFAULT_TIMEOUT_S, WARMUP, Plan, Workload
from proveout.loadtest.records import STOPPED, Floats, Integers, Records
from proveout.loadtest.schedules import OpenSchedule
from proveout.loadtest.slo import Metric, SloTest, attained, measured, slo_test
from proveout.project.records import ModelSpec
from proveout.statistics import Estimate, PairedTest, proportion_interval, ratio_test
from proveout.statistics.block_bootstrap import quantile_ratio_test
from proveout.statistics.clustered_quantiles import clustered_quantile, fewest_for_quantile

Interleave = Literal["blocks", "requests"]

BLOCK_PAIRS = 20
"""Pairs of blocks that a comparison aims at: enough for the bootstrap, and each long enough to reach a steady state."""
FEWEST_IN_BLOCK = 3


@dataclass(frozen=True, slots=True)
class Turns:
    """How a comparison takes turns. `pairs` of blocks of `requests` counted requests each, after `wash` requests that
    don't count; `gap_s` of silence before each block lets the one before it drain."""

    interleave: Interleave
    pairs: int
    requests: int
    wash: int = 0
    gap_s: float = 0.0

    @property
    def sent(self) -> int:
        """Requests of each arm, warm-up not included."""
        return self.pairs * (self.requests + self.wash)


def turns(requests: int, interleave: Interleave, *, in_flight: float = 1.0, answer_s: float = 0.0) -> Turns:
    """Share `requests` of each arm among blocks.

    Args:
        requests: of each arm that count.
        interleave: take turns in blocks, or by request.
        in_flight: requests expected under way at once: as many are sent before a block counts.
        answer_s: seconds that an answer usually takes: the silence before a block.
    """
    pairs = max(2, min(BLOCK_PAIRS, requests // FEWEST_IN_BLOCK))
    each = math.ceil(requests / pairs)
    if interleave == "requests":
        return Turns("requests", pairs, each)
    wash = min(math.ceil(in_flight), each)
    return Turns("blocks", pairs, each, wash, answer_s)


def comparison_plan(
    targets: Sequence[ModelSpec],
    workload: Workload,
    schedule: OpenSchedule,
    turns: Turns,
    *,
    seed: int = 0,
    max_concurrency: int | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    warmup: int = WARMUP,
    keep_text: bool = False,
) -> Plan:
    """The plan in which both arms meet the same arrivals and prompts. `block` numbers the pairs."""
    size = turns.requests + turns.wash
    times = schedule.times(requests=turns.sent, seed=seed)
    pairs = len(times) // size
    arm: list[Integers] = []
    due: list[Floats] = []
    prompt: list[Integers] = []
    block: list[Integers] = []
    counted: list[np.ndarray] = []
    clock = 0.0
    for pair in range(pairs):
        mine = slice(pair * size, (pair + 1) * size)
        began = times[pair * size - 1] if pair else 0.0
        offsets = times[mine] - began
        for place, who in enumerate((0, 1) if pair % 2 == 0 else (1, 0)):
            apart = turns.interleave == "blocks"
            start = clock if apart else began + place * 1e-6
            arm.append(np.full(size, who, dtype=np.int64))
            due.append(start + offsets)
            prompt.append(np.arange(mine.start, mine.stop))
            block.append(np.full(size, pair, dtype=np.int64))
            counted.append(np.arange(size) >= turns.wash)
            if apart:
                clock = start + float(offsets[-1]) + turns.gap_s
    dues = np.concatenate(due) if due else np.zeros(0)
    order = np.argsort(dues, kind="stable")
    arms, prompts, blocks, counts = (
        np.concatenate(parts)[order] if parts else np.zeros(0, dtype=np.int64)
        for parts in (arm, prompt, block, counted)
    )
    return Plan(
        tuple(targets),
        workload,
        arms,
        prompts,
        due=dues[order],
        block=blocks,
        counted=counts.astype(bool),
        max_concurrency=max_concurrency,
        timeout_s=timeout_s,
        warmup=warmup,
        keep_text=keep_text,
    )


@dataclass(frozen=True, slots=True)
class Compared:
    """One metric of both arms. `test` is None where `too_few` requests of each arm would be needed for it. `slo` is the
    challenger's test against the limit, where the service has one."""

    metric: str
    champion: Estimate
    challenger: Estimate
    test: PairedTest | None
    too_few: int = 0
    slo: SloTest | None = None


def compared(
    records: Records,
    metrics: Sequence[str],
    slo: Mapping[str, float],
    *,
    margin: float,
    seed: int = 0,
    draws: int = 2000,
) -> list[Compared]:
    """Test every metric: is the challenger's quantile less than `1 + margin` times the champion's?

    Args:
        records: of both arms (0: champion), as a `comparison_plan` brings them.
        metrics: names such as `ttft_p95`; `goodput` compares the share of requests that meet all limits.
        slo: limits in seconds, by metric.
        margin: as a share of the champion's value; 0 asks for superiority.
        seed: of the bootstrap.
        draws: of the bootstrap; 0: figures only, no tests.
    """
    ended = np.array([error == STOPPED for error in records.error], dtype=bool)
    arms = [records.where((records.arm == arm) & records.counted & ~ended) for arm in (0, 1)]
    return [
        _goodput(arms, slo, margin, seed) if name == "goodput" else _one(arms, name, slo.get(name), margin, seed, draws)
        for name in metrics
    ]


def _one(arms: Sequence[Records], name: str, limit: float | None, margin: float, seed: int, draws: int) -> Compared:
    metric = Metric.named(name)
    values, owners = zip(*(measured(arm, metric.latency) for arm in arms), strict=True)
    blocks = [arm.block[owner] for arm, owner in zip(arms, owners, strict=True)]
    estimates = [
        clustered_quantile(mine, metric.probability, where) for mine, where in zip(values, blocks, strict=True)
    ]
    kept = slo_test(arms[1], name, limit) if limit is not None else None
    needed = fewest_for_quantile(metric.probability)
    requests = min(len(np.unique(owner)) for owner in owners)
    if requests < needed or not draws:
        return Compared(name, estimates[0], estimates[1], None, needed, kept)
    test = quantile_ratio_test(
        values[0],
        values[1],
        blocks[0],
        blocks[1],
        probability=metric.probability,
        margin=margin,
        draws=draws,
        seed=seed,
    )
    return Compared(name, estimates[0], estimates[1], test, 0, kept)


def _goodput(arms: Sequence[Records], slo: Mapping[str, float], margin: float, seed: int) -> Compared:
    """The share of requests that meet every limit, per block; higher is better, and compared as a ratio."""
    good = [attained(arm, slo) for arm in arms]
    shares = [proportion_interval(int(mine.sum()), len(mine)) for mine in good]
    pairs = np.intersect1d(arms[0].block, arms[1].block)
    if len(pairs) < 2:
        return Compared("goodput", shares[0], shares[1], None, FEWEST_IN_BLOCK * 2)
    by_pair = [
        np.array([float(mine[arm.block == pair].mean()) for pair in pairs])
        for arm, mine in zip(arms, good, strict=True)
    ]
    test = ratio_test(by_pair[0], by_pair[1], margin=margin, seed=seed, higher_is_better=True)
    return Compared("goodput", shares[0], shares[1], test)
