"""Promises of the comparison, small; benchmarks/loadtest/simulate.py has them large."""

import numpy as np
import pytest

from proveout.statistics.block_bootstrap import quantile_ratio_test
from proveout.statistics.clustered_quantiles import clustered_quantile, fewest_for_quantile, quantile_limit_test

PAIRS, EACH = 20, 15


def latencies(random: np.random.Generator, effect: float = 0.0, drift: float = 0.1) -> tuple[np.ndarray, ...]:
    """Both arms in ABBA blocks of 5 s over an environment that drifts by 10 % within minutes."""
    seconds = PAIRS * 2 * 5
    steps = np.exp(-1 / 120)
    level = np.zeros(seconds + 1)
    for second in range(1, seconds + 1):
        level[second] = steps * level[second - 1] + random.normal(0, drift * np.sqrt(1 - steps**2))
    arms: tuple[list, list] = ([], [])
    for block in range(2 * PAIRS):
        arm = int(block % 4 in (1, 2))
        at = (block * 5 + random.uniform(0, 5, EACH)).astype(int)
        arms[arm].append(np.exp(level[at] + random.normal(arm * np.log1p(effect), 0.25, EACH)))
    blocks = np.repeat(np.arange(PAIRS), EACH)
    return np.concatenate(arms[0]), np.concatenate(arms[1]), blocks, blocks


def test_a_variant_against_itself_is_seldom_called_different():
    random = np.random.default_rng(1)
    tests = [quantile_ratio_test(*latencies(random), probability=0.5, draws=500) for _ in range(100)]
    assert sum(not test.difference.low <= 0 <= test.difference.high for test in tests) <= 10


def test_a_tenth_more_is_nearly_always_seen_at_the_median():
    random = np.random.default_rng(2)
    tests = [quantile_ratio_test(*latencies(random, effect=0.1), probability=0.5, draws=500) for _ in range(40)]
    assert sum(test.p_worse <= 0.05 for test in tests) >= 34


def test_the_interval_agrees_with_the_p_values():
    random = np.random.default_rng(3)
    for effect in (-0.15, 0.0, 0.15):
        test = quantile_ratio_test(*latencies(random, effect), probability=0.5, draws=2000)
        assert (test.difference.high < 0) == (test.p_value < 0.025)
        assert (test.difference.low > 0) == (test.p_worse < 0.025)


def test_a_margin_that_is_met_at_one_width_is_met_at_every_wider_one():
    data = latencies(np.random.default_rng(4), 0.05)
    values = [quantile_ratio_test(*data, probability=0.9, margin=margin).p_value for margin in (0, 0.1, 0.2, 0.4)]
    assert values == sorted(values, reverse=True)


def test_failures_pull_the_quantile_to_infinity_and_the_verdict_with_it():
    champion, challenger, blocks, _ = latencies(np.random.default_rng(5))
    challenger[::5] = np.inf
    test = quantile_ratio_test(champion, challenger, blocks, blocks, probability=0.95)
    assert test.difference.value == np.inf
    assert test.p_worse < 0.01
    assert test.p_value > 0.9


def test_both_failing_alike_is_no_evidence_for_the_challenger():
    values = np.where(np.arange(300) % 3 == 0, np.inf, 1.0)
    test = quantile_ratio_test(values, values, np.arange(300) // 15, np.arange(300) // 15, probability=0.95)
    assert test.p_value > 0.5


def test_too_few_blocks_say_nothing():
    values = np.ones(25)
    test = quantile_ratio_test(values, values, np.arange(25) // 5, np.arange(25) // 5, probability=0.5)
    assert np.isnan(test.p_value)


@pytest.mark.parametrize(("probability", "fewest"), [(0.5, 6), (0.9, 29), (0.95, 59), (0.99, 299)])
def test_the_fewest_requests_for_a_quantile(probability, fewest):
    assert fewest_for_quantile(probability) == fewest
    assert np.isnan(clustered_quantile(np.ones(fewest - 1), probability).value)
    assert clustered_quantile(np.ones(fewest), probability).value == 1


def test_intervals_cover_the_true_quantile_as_often_as_they_say():
    random = np.random.default_rng(6)
    truth = np.exp(0.25 * 1.6448536)
    covered = 0
    for _ in range(300):
        estimate = clustered_quantile(np.exp(random.normal(0, 0.25, 400)), 0.95, np.arange(400) // 20)
        covered += estimate.low <= truth <= estimate.high
    assert 0.92 <= covered / 300 <= 0.985


def test_values_that_are_alike_within_clusters_widen_the_interval():
    random = np.random.default_rng(7)
    clusters = np.arange(400) // 20
    values = np.exp(random.normal(0, 0.3, 20))[clusters] * np.exp(random.normal(0, 0.05, 400))
    alone, together = clustered_quantile(values, 0.5), clustered_quantile(values, 0.5, clusters)
    assert together.n < alone.n / 3
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_a_quantile_limit_is_kept_only_with_enough_values():
    assert quantile_limit_test(np.ones(58), 0.95, 2.0).p_value > 0.05
    assert quantile_limit_test(np.ones(59), 0.95, 2.0).p_value < 0.05
    assert quantile_limit_test(np.full(10, 3.0), 0.95, 2.0).p_worse < 0.001
