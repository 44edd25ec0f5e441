import asyncio
import math

import numpy as np
import pytest

from proveout.loadtest.saturation import Probe, concluded, fit_scaling, knee_in_words, search
from proveout.loadtest.schedules import poisson
from proveout.statistics.clustered_quantiles import quantile_limit_test
from proveout.testing.simulated_engine import Behaviour, virtual_run


def exact(limit: float):
    """An endpoint whose latency is known without doubt: it grows with the rate."""

    async def probe(rate: float) -> Probe:
        return Probe(rate, "kept" if rate <= limit else "broken", rate / limit)

    return probe


@pytest.mark.parametrize("limit", [3.0, 41.0, 700.0])
def test_the_search_closes_in_on_a_sharp_limit_within_ten_probes(limit):
    found = asyncio.run(search(exact(limit), limit / 30))
    assert found.bracketed
    assert len(found.probes) <= 10
    assert found.rate == pytest.approx(limit, rel=0.05)
    assert found.low <= limit <= found.high


def test_a_start_above_the_limit_goes_down_first():
    found = asyncio.run(search(exact(10), 100))
    assert found.rate == pytest.approx(10, rel=0.05)


def test_an_endpoint_that_never_keeps_its_slo_has_no_capacity():
    found = asyncio.run(search(exact(0.0001), 100, most=5))
    assert found.rate == 0
    assert not found.bracketed


def test_a_rate_that_broke_outweighs_a_higher_one_kept_by_luck():
    probes = [Probe(10, "kept", 0.5), Probe(20, "broken", 1.4), Probe(25, "kept", 0.9)]
    assert concluded(probes).rate < 20


def test_it_finds_the_simulated_servers_capacity():
    behaviour, limit = Behaviour(slots=64, slowdown=0.02), 1.0

    def e2e(rate: float, count: int, seed: int) -> np.ndarray:
        jobs = virtual_run(behaviour, poisson(rate).times(requests=count, seed=seed), output_tokens=64)
        return np.array([job.tokens[-1] - job.came for job in jobs])[count // 3 :]

    async def probe(rate: float) -> Probe:
        values = e2e(rate, 1200, int(rate * 1000))
        test = quantile_limit_test(values, 0.95, limit, np.arange(len(values)) * 20 // len(values))
        state = "kept" if test.p_value <= 0.05 else "broken" if test.p_worse <= 0.05 else "unresolved"
        return Probe(rate, state, float(np.quantile(values, 0.95)) / limit)

    found = asyncio.run(search(probe, 4.0))
    assert len(found.probes) <= 10
    rates = np.geomspace(30, 48, 8)
    shares = [float(np.quantile(e2e(rate, 6000, 99), 0.95)) for rate in rates]
    truth = float(np.interp(limit, shares, rates))
    assert found.rate == pytest.approx(truth, rel=0.1)


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
