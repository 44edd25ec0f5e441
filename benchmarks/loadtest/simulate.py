"""The statistical promises of load tests, measured on many simulated environments.

python -m benchmarks.loadtest.simulate [--environments N]

- A/A: how often a variant against itself is called different, over environments that drift by 10 % (an
  Ornstein-Uhlenbeck process of 120 s), interleaved as Proveout does, and run one after the other as is usual.
- Power: how often a challenger that is 10 % slower is called so, at 600 requests of each.
- Coverage of the quantiles' intervals, for independent requests and for requests that are alike in time.
- Capacity: how far the saturation search lands from the simulated server's true answer, and in how many probes.
"""

from __future__ import annotations

import argparse
import asyncio

import msgspec
import numpy as np

from proveout.loadtest.saturation import FINE_FACTOR, PROBE_REQUESTS, Probe, Step, arrivals, search
from proveout.statistics import proportion_interval
from proveout.statistics.block_bootstrap import quantile_ratio_test
from proveout.statistics.clustered_quantiles import clustered_quantile, quantile_limit_test
from proveout.testing.simulated_engine import Behaviour, Job, virtual_run

REQUESTS, PAIRS, BLOCK_S = 600, 20, 10
SPREAD, DRIFT, MEMORY_S = 0.25, 0.10, 120
QUANTILES = (0.5, 0.9, 0.95, 0.99)


def drifting(seconds: int, random: np.random.Generator) -> np.ndarray:
    """The logarithm of how slow the environment is, by second."""
    keep = np.exp(-1 / MEMORY_S)
    level = np.zeros(seconds)
    level[0] = random.normal(0, DRIFT)
    for second in range(1, seconds):
        level[second] = keep * level[second - 1] + random.normal(0, DRIFT * np.sqrt(1 - keep**2))
    return level


def interleaved(random: np.random.Generator, effect: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    level = drifting(2 * PAIRS * BLOCK_S, random)
    each = REQUESTS // PAIRS
    arms: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for block in range(2 * PAIRS):
        arm = int(block % 4 in (1, 2))
        at = (block * BLOCK_S + random.uniform(0, BLOCK_S, each)).astype(int)
        arms[arm].append(np.exp(level[at] + random.normal(arm * np.log1p(effect), SPREAD, each)))
    blocks = np.repeat(np.arange(PAIRS), each)
    return np.concatenate(arms[0]), np.concatenate(arms[1]), blocks, blocks


def one_after_the_other(random: np.random.Generator) -> bool:
    """The usual way: all of A, then all of B, and a bootstrap of requests."""
    seconds = PAIRS * BLOCK_S
    level = drifting(2 * seconds, random)
    arms = [
        np.exp(
            level[(arm * seconds + random.uniform(0, seconds, REQUESTS)).astype(int)]
            + random.normal(0, SPREAD, REQUESTS)
        )
        for arm in (0, 1)
    ]
    medians = [np.median(arm[random.integers(0, REQUESTS, (400, REQUESTS))], axis=1) for arm in arms]
    low, high = np.quantile(np.log(medians[1] / medians[0]), [0.025, 0.975])
    return not low <= 0 <= high


def alarms(environments: int) -> None:
    random = np.random.default_rng(1)
    usual = sum(one_after_the_other(random) for _ in range(environments)) / environments
    for effect in (0.0, 0.1):
        different = dict.fromkeys(QUANTILES, 0)
        slower = dict.fromkeys(QUANTILES, 0)
        for number in range(environments):
            data = interleaved(random, effect)
            for quantile in QUANTILES:
                test = quantile_ratio_test(*data, probability=quantile, draws=1000, seed=number)
                different[quantile] += not test.difference.low <= 0 <= test.difference.high
                slower[quantile] += test.p_worse <= 0.05
        what = "A/A, called different" if effect == 0 else "10 % slower, shown slower"
        counts = different if effect == 0 else slower
        told = ", ".join(f"p{quantile * 100:g} {_share(counts[quantile], environments)}" for quantile in QUANTILES)
        print(f"{what}: {told}  (limit: {'at most 6 %' if effect == 0 else 'at least 80 %'})")
    print(f"A/A, one after the other with a bootstrap of requests: {usual:.1%}")


def _share(count: int, total: int) -> str:
    """With its 95 % interval."""
    found = proportion_interval(count, total)
    return f"{found.value:.1%} ({found.low:.1%}-{found.high:.1%})"


def coverage(runs: int) -> None:
    random = np.random.default_rng(2)
    for name, shared in (("independent requests", 0.0), ("requests alike within a twentieth of the run", 0.1)):
        for probability, z in ((0.5, 0.0), (0.9, 1.2815516), (0.95, 1.6448536)):
            truth = np.exp(np.hypot(SPREAD, shared) * z)
            covered = 0
            for _ in range(runs):
                blocks = np.arange(REQUESTS) * 20 // REQUESTS
                values = np.exp(random.normal(0, SPREAD, REQUESTS) + random.normal(0, shared, 20)[blocks])
                estimate = clustered_quantile(values, probability, blocks)
                covered += estimate.low <= truth <= estimate.high
            print(f"coverage of 95 % intervals, {name}, p{probability * 100:g}: {_share(covered, runs)}")


def capacity(seeds: int) -> None:
    for behaviour, limits in (
        (Behaviour(slots=32), {"ttft": 0.3}),
        (Behaviour(slots=32), {"ttft": 0.15, "e2e": 1.0}),
        (Behaviour(slots=64, slowdown=0.02), {"e2e": 1.0}),
    ):
        truth = _true_capacity(behaviour, limits)
        errors: list[float] = []
        probes: list[int] = []
        covered = 0
        for seed in range(seeds):
            found = asyncio.run(search(_prober(behaviour, limits, seed), 2.0))
            assert found is not None
            covered += found.interval[0] <= truth <= found.interval[1]
            errors.append(found.rate / truth - 1)
            probes.append(len(found.probes))
        within = np.mean(np.abs(errors) <= 0.05)
        print(
            f"capacity {limits}: truth {truth:.1f} requests/s, median error {np.median(np.abs(errors)):.1%}, "
            f"at most {np.max(np.abs(errors)):.1%}, within 5 % in {within:.0%} of {seeds} searches, "
            f"at most {max(probes)} probes; the 95 % interval held it in {_share(covered, seeds)}"
        )


def _prober(behaviour: Behaviour, limits: dict[str, float], seed: int):
    """Probes of the simulated server as `LoadTest.saturate` makes them, in virtual time."""
    number = 0

    async def probe(step: Step) -> Probe:
        nonlocal number
        number += 1
        count = PROBE_REQUESTS * (FINE_FACTOR if step.fine else 1)
        jobs = _jobs(behaviour, step.rate, count, seed * 100 + number)
        values = _latencies(jobs)
        tests = [
            quantile_limit_test(values[name], 0.95, limit, _stretches(values[name])) for name, limit in limits.items()
        ]
        shares = [float(np.quantile(values[name], 0.95)) / limit for name, limit in limits.items()]
        state = "unresolved"
        if any(test.p_worse <= 0.05 for test in tests):
            state = "broken"
        elif all(test.p_value <= 0.05 for test in tests):
            state = "kept"
        took = max(job.tokens[-1] for job in jobs) - jobs[0].came
        return Probe(step.rate, state, max(shares), count, count / took, step.fine)

    return probe


def _stretches(values: np.ndarray) -> np.ndarray:
    return np.arange(len(values)) * 20 // len(values)


def _jobs(behaviour: Behaviour, rate: float, count: int, seed: int) -> list[Job]:
    """In virtual time, with the server's own chances drawn anew."""
    due = arrivals(rate, count, seed)
    return virtual_run(msgspec.structs.replace(behaviour, seed=seed + 1), due, output_tokens=64)


def _latencies(jobs: list[Job]) -> dict[str, np.ndarray]:
    """Of the last two thirds of the requests."""
    settled = jobs[len(jobs) // 3 :]
    return {
        "ttft": np.array([job.tokens[0] - job.came for job in settled]),
        "e2e": np.array([job.tokens[-1] - job.came for job in settled]),
    }


def _true_capacity(behaviour: Behaviour, limits: dict[str, float], runs: int = 16) -> float:
    """Where a line through many long runs around the limit (share over rate, logarithms) crosses it. One long run takes
    a rate for another one by 1.5 %, so that the median of a few would be off by 1 %, and intervals seem too narrow."""
    low, high = 20.0, 80.0
    while high / low > 1.05:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if _worst_share(behaviour, limits, middle, 90_000) <= 1 else (low, middle)
    rates = np.exp(np.linspace(-0.06, 0.06, runs)) * (low * high) ** 0.5
    shares = [_worst_share(behaviour, limits, rate, 80_000 + number) for number, rate in enumerate(rates)]
    slope, at = np.polyfit(np.log(rates), np.log(shares), 1)
    return float(np.exp(-at / slope))


def _worst_share(behaviour: Behaviour, limits: dict[str, float], rate: float, seed: int) -> float:
    run = _latencies(_jobs(behaviour, float(rate), 16_000, seed))
    return max(float(np.quantile(run[name], 0.95)) / limit for name, limit in limits.items())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--environments", type=int, default=200)
    parser.add_argument("--searches", type=int, default=40)
    arguments = parser.parse_args()
    if arguments.environments > 0:
        alarms(arguments.environments)
        coverage(1000)
    if arguments.searches > 0:
        capacity(arguments.searches)


if __name__ == "__main__":
    main()
