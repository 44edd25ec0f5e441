"""Ratios of means: error rates and coverage by seeded simulation, agreement with closed forms, and odd input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from proveout.statistics.ratios import ratio_interval, ratio_of_ratios_test, ratio_test

Values = NDArray[np.float64]


def costs(
    random: np.random.Generator, clusters: int, ratio: float, sigma: float, own: float, wider: float | None = None
) -> tuple[Values, Values]:
    """Skewed costs of the same inputs under two variants, whose true means have this ratio. `wider` is the challenger's
    own spread, where it is another."""
    shared = random.normal(0, sigma, clusters)
    spreads = (own, own if wider is None else wider)
    champion, challenger = (np.exp(shared + random.normal(-(sd**2) / 2, sd, clusters)) for sd in spreads)
    return champion, ratio * challenger


def share(hits: list[bool]) -> float:
    return sum(hits) / len(hits)


@pytest.mark.parametrize(
    ("clusters", "sigma", "own", "wider"),
    [(30, 0.6, 0.4, None), (100, 1.0, 0.5, None), (400, 1.0, 0.8, None), (200, 1.0, 0.3, 0.9)],
)
def test_at_the_margin_at_most_5_percent_pass(clusters: int, sigma: float, own: float, wider: float | None) -> None:
    random = np.random.default_rng(7)
    runs = 100 if clusters < 40 else 400
    passed = [
        ratio_test(*costs(random, clusters, 1.1, sigma, own, wider), margin=0.1).p_value <= 0.05 for _ in range(runs)
    ]
    assert share(passed) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize(("clusters", "sigma", "own"), [(60, 0.6, 0.4), (200, 1.0, 0.5)])
def test_the_interval_covers_the_true_ratio(clusters: int, sigma: float, own: float) -> None:
    random = np.random.default_rng(11)
    tests = [ratio_test(*costs(random, clusters, 0.8, sigma, own)).difference for _ in range(300)]
    assert 0.93 <= share([test.low <= -0.2 <= test.high for test in tests]) <= 0.985


def test_a_third_cheaper_is_shown_with_few_requests() -> None:
    random = np.random.default_rng(3)
    shown = [ratio_test(*costs(random, 50, 2 / 3, 1.0, 0.4)).p_value <= 0.05 for _ in range(200)]
    assert share(shown) >= 0.9


def test_cost_per_success_at_the_margin() -> None:
    random = np.random.default_rng(5)
    passed, covered = [], []
    for _ in range(500):
        champion, challenger = costs(random, 200, 1.1 * 0.9, 0.8, 0.4)
        good = random.random(200) < 0.8, random.random(200) < 0.72
        test = ratio_of_ratios_test((champion, good[0]), (challenger, good[1]), margin=0.1)
        passed.append(test.p_value <= 0.05)
        covered.append(test.difference.low <= 0.1 <= test.difference.high)
    assert share(passed) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 500)
    assert 0.93 <= share(covered) <= 0.98


def test_the_interval_is_fiellers_where_there_is_no_skew() -> None:
    """Limits of the closed form with Student's t, from an independent solution of the quadratic."""
    random = np.random.default_rng(0)
    half = random.normal(0, 0.1, 100)
    x = 1 + np.concatenate([half, -half])
    y = 0.9 * x + np.tile([0.05, -0.05], 100)
    t = 1.971956544  # scipy.stats.t.ppf(0.975, 199)
    n = len(x)
    vx, vy, vxy = x.var(ddof=1) / n, y.var(ddof=1) / n, np.cov(x, y)[0, 1] / n
    a, b, c = x.mean() ** 2 - t * t * vx, x.mean() * y.mean() - t * t * vxy, y.mean() ** 2 - t * t * vy
    expected = [(b + sign * math.sqrt(b * b - a * c)) / a - 1 for sign in (-1, 1)]
    found = ratio_test(x, y).difference
    assert [found.low, found.high] == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize("clusters", [12, 25, 60])
def test_interval_and_p_value_agree(clusters: int) -> None:
    random = np.random.default_rng(clusters)
    for _ in range(20):
        champion, challenger = costs(random, clusters, 0.9, 0.5, 0.3)
        test = ratio_test(champion, challenger, margin=0.05)
        assert (test.difference.high < 0.05 + 1e-9) == (test.p_value <= 0.025 + 1e-9)
        assert (test.difference.low > 0.05 - 1e-9) == (test.p_worse <= 0.025 + 1e-9)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.floats(0.001, 1e3), st.floats(0.001, 1e3)), min_size=2, max_size=60), st.floats(1e-6, 1e6))
def test_neither_order_nor_currency_matters(pairs: list[tuple[float, float]], currency: float) -> None:
    x, y = np.array(pairs).T
    one, other = ratio_test(x, y, margin=0.1), ratio_test(x[::-1] * currency, y[::-1] * currency, margin=0.1)
    assert other.difference.value == pytest.approx(one.difference.value, rel=1e-6, abs=1e-9)
    assert other.p_value == pytest.approx(one.p_value, rel=1e-3, abs=1e-6)
    assert one.difference.low <= one.difference.value + 1e-9
    assert one.difference.value <= one.difference.high + 1e-9


def test_equal_costs_hold_a_margin_but_show_no_gain() -> None:
    same = np.full(50, 3.2e-7)
    assert ratio_test(same, same, margin=0.01).p_value < 0.001
    assert ratio_test(same, same).p_value == 1.0


def test_free_beats_paid_and_nothing_can_be_compared_with_free() -> None:
    paid, free = np.full(50, 0.01), np.zeros(50)
    cheaper = ratio_test(paid, free)
    assert (cheaper.difference.value, cheaper.p_value) == pytest.approx((-1.0, 0.0), abs=1e-12)
    assert cheaper.difference.high == pytest.approx(-1.0, abs=1e-6)
    assert math.isnan(ratio_test(free, paid).p_value)


def test_more_is_better_where_asked() -> None:
    slow, fast = np.linspace(1, 2, 60), np.linspace(1.5, 3, 60)
    assert ratio_test(slow, fast, higher_is_better=True).p_value < 0.001
    assert ratio_test(slow, fast, higher_is_better=False).p_worse < 0.001


def test_one_success_costs() -> None:
    found = ratio_interval([2.0, 2.0, 2.0, 2.0] * 20, [1, 1, 1, 0] * 20)
    assert found.value == pytest.approx(8 / 3)
    assert found.low < 8 / 3 < found.high
    assert ratio_interval([0.0, 0.0], [1, 1]).high == 0
    assert math.isnan(ratio_interval([1.0, 1.0], [0, 0]).value)


def test_negative_amounts_and_unequal_clusters_are_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        ratio_test([1.0, -1.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="same clusters"):
        ratio_test([1.0, 1.0], [1.0])
    with pytest.raises(ValueError, match="margin"):
        ratio_test([1.0, 1.0], [1.0, 1.0], margin=-0.1)
