import asyncio
import math

import numpy as np
import pytest

from proveout.loadtest.saturation import (
    FINE_FACTOR,
    PROBE_REQUESTS,
    Probe,
    Step,
    arrivals,
    fit_scaling,
    knee_in_words,
    search,
)
from proveout.testing.simulated_engine import Behaviour, virtual_run


def exact(limit: float):
    """An endpoint whose latency is known without doubt: it grows with the rate."""

    async def probe(step: Step) -> Probe:
        return Probe(step.rate, "kept" if step.rate <= limit else "broken", step.rate / limit, fine=step.fine)

    return probe


def flat(load: float) -> float:
    """A latency that grows slowly with load, as that of whole answers does."""
    return load**0.65


def sharp(load: float) -> float:
    """A queue: near its capacity the wait grows without end."""
    return 0.3 + 0.7 * 0.15 / (1.15 - load) if load < 1.13 else 5.55 + 100 * (load - 1.13)


def bent(load: float) -> float:
    return load**5 if load > 0.8 else 0.33 * (load / 0.8) ** 0.2


def noisy(curve, limit: float, random: np.random.Generator):
    """Probes that take the rate for another one: by 2.5 % with 3,000 requests, by more with fewer."""

    async def probe(step: Step) -> Probe:
        size = PROBE_REQUESTS * (FINE_FACTOR if step.fine else 1)
        doubt = 0.025 * math.sqrt(3000 / size)
        share = curve(step.rate / limit * math.exp(random.normal(0, doubt)))
        state = "kept" if share < 0.9 else "broken" if share > 1.1 else "unresolved"
        return Probe(step.rate, state, share, size, min(step.rate, 1.1 * limit), step.fine)

    return probe


@pytest.mark.parametrize("limit", [3.0, 41.0, 700.0])
def test_the_search_closes_in_on_a_sharp_limit_within_ten_probes(limit):
    found = asyncio.run(search(exact(limit), limit / 30))
    assert found.bracketed
    assert len(found.probes) <= 10
    assert found.rate == pytest.approx(limit, rel=0.05)
    assert found.low <= limit <= found.high
    assert found.interval[0] <= limit <= found.interval[1]


@pytest.mark.parametrize("curve", [flat, sharp, bent])
def test_noisy_probes_still_resolve_the_limit_within_five_percent(curve):
    errors, held = [], 0
    for seed in range(150):
        random = np.random.default_rng(seed)
        limit = math.exp(random.uniform(1, 7))
        start = limit / math.exp(random.uniform(1, 5))
        found = asyncio.run(search(noisy(curve, limit, random), start))
        assert len(found.probes) <= 10
        errors.append(abs(found.rate / limit - 1))
        held += found.interval[0] <= limit <= found.interval[1]
    assert np.quantile(errors, 0.99) <= 0.05
    assert max(errors) <= 0.08
    assert held >= 130


def test_one_unlucky_probe_does_not_lead_the_search_astray():
    limit, calls = 40.0, 0

    async def probe(step: Step) -> Probe:
        nonlocal calls
        calls += 1
        share = 1.4 if calls == 3 else step.rate / limit  # The third, far below the limit, breaks it by bad luck.
        state = "kept" if share <= 1 else "broken"
        return Probe(step.rate, state, share, 3000 if step.fine else 300, math.inf, step.fine)

    found = asyncio.run(search(probe, 1.5))
    assert found.rate == pytest.approx(limit, rel=0.25)


def test_a_start_above_the_limit_goes_down_first():
    found = asyncio.run(search(exact(10), 100))
    assert found.rate == pytest.approx(10, rel=0.05)


def test_an_endpoint_that_never_keeps_its_slo_has_no_capacity():
    found = asyncio.run(search(exact(0.0001), 100, most=5))
    assert found.rate == 0
    assert not found.bracketed


def test_an_endpoint_that_is_never_full_has_no_known_end():
    found = asyncio.run(search(exact(1e9), 1.0, most=4))
    assert found.rate == 64
    assert found.high == math.inf
    assert not found.bracketed


def test_the_search_ends_where_no_probe_can_be_made():
    async def nothing(step: Step) -> None:
        return None

    assert asyncio.run(search(nothing, 1.0)) is None


def test_a_probe_has_exactly_the_rate_that_it_asks_for():
    due = arrivals(40.0, 400, seed=3)
    assert len(due) / due[-1] == pytest.approx(40.0)
    assert np.diff(due).std() == pytest.approx(1 / 40, rel=0.2)


def test_it_finds_the_simulated_servers_capacity():
    """41.6 requests/s keep a p95 TTFT of 0.3 s (benchmarks/loadtest/simulate.py finds it with long runs)."""
    behaviour, limit, truth = Behaviour(slots=32), 0.3, 41.6

    async def probe(step: Step) -> Probe:
        count = PROBE_REQUESTS * (FINE_FACTOR if step.fine else 1)
        jobs = virtual_run(behaviour, arrivals(step.rate, count, int(step.rate * 1000)), output_tokens=64)
        values = np.array([job.tokens[0] - job.came for job in jobs])[count // 3 :]
        answered = count / (max(job.tokens[-1] for job in jobs) - jobs[0].came)
        share = float(np.quantile(values, 0.95)) / limit
        return Probe(step.rate, "unresolved", share, count, answered, step.fine)

    found = asyncio.run(search(probe, 2.0))
    assert len(found.probes) <= 10
    assert found.rate == pytest.approx(truth, rel=0.06)


def throughput(n: np.ndarray, serial: float, crosstalk: float) -> np.ndarray:
    return 10 * n / (1 + serial * (n - 1) + crosstalk * n * (n - 1))


def test_the_scalability_law_is_found_again_with_its_peak():
    n = np.array([1, 2, 4, 8, 16, 32, 64])
    noise = np.exp(np.random.default_rng(1).normal(0, 0.01, len(n)))
    law = fit_scaling(n, throughput(n, 0.02, 0.001) * noise)
    assert law.serial == pytest.approx(0.02, abs=0.01)
    assert law.peak is not None
    assert law.peak.low < math.sqrt(0.98 / 0.001) < law.peak.high


def test_no_peak_is_told_where_the_sweep_does_not_reach_it():
    n = np.array([1, 2, 4, 8, 16])
    law = fit_scaling(n, throughput(n, 0.01, 0.0))
    assert law is not None
    assert law.peak is None
    assert fit_scaling(n[:4], throughput(n[:4], 0.01, 0.0)) is None


def test_the_knee_is_told_in_plain_words():
    assert "knee is near 8 requests at once" in knee_in_words([1, 2, 4, 8, 16], [10, 19, 36, 60, 62], None)
    assert "still grows" in knee_in_words([1, 2, 4], [10, 19, 36], None)
