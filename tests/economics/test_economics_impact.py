"""The month by simulation, against what can be known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from proveout.economics import Serving, Traffic, Worth, economic_score, monthly_impact
from proveout.project.records import Host


def costs(clusters: int = 400, ratio: float = 0.7, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    champion = random.lognormal(-7, 0.5, clusters)
    return champion, ratio * champion * random.lognormal(0, 0.2, clusters)


def test_without_doubt_the_month_is_simple_arithmetic() -> None:
    found = monthly_impact(np.full(50, 0.002), np.full(50, 0.0015), Traffic(1_000_000))
    assert (found.p5, found.p50, found.p95) == pytest.approx((-500, -500, -500))
    assert (found.champion_usd, found.challenger_usd) == pytest.approx((2_000, 1_500))
    assert (found.saves, found.drivers) == (1.0, ())


@pytest.mark.parametrize("clusters", [200, 3_000])
def test_the_interval_of_tokens_is_that_of_the_means(clusters: int) -> None:
    """Few clusters are drawn, many are normal; both have the standard error of the paired mean."""
    champion, challenger = costs(clusters)
    found = monthly_impact(champion, challenger, Traffic(1e6))
    gain = challenger - champion
    error = 1e6 * gain.std(ddof=1) / np.sqrt(clusters)
    assert found.p50 == pytest.approx(1e6 * gain.mean(), abs=0.1 * error)
    assert (found.p95 - found.p5) / (2 * 1.6449) == pytest.approx(error, rel=0.08)


def test_the_interval_covers_the_true_month() -> None:
    covered = 0
    for seed in range(200):
        champion, challenger = costs(60, seed=seed)
        found = monthly_impact(champion, challenger, Traffic(1e6), draws=1_000, seed=seed)
        mean = np.exp(-7 + 0.5**2 / 2)
        covered += found.p5 <= 1e6 * mean * (0.7 * np.exp(0.02) - 1) <= found.p95
    assert 0.83 <= covered / 200 <= 0.95


def test_the_same_seed_gives_the_same_month_and_another_nearly_so() -> None:
    first, again, other = (monthly_impact(*costs(), Traffic(1e6, 0.2), seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert other.p50 == pytest.approx(first.p50, rel=0.02)


def test_what_it_depends_on_most_comes_first() -> None:
    found = monthly_impact(*costs(5_000), Traffic(1e6, 0.3), price_uncertainty=(0.0, 0.1))
    assert [driver.name for driver in found.drivers] == ["traffic", "challenger's prices", "tokens"]
    assert sum(driver.share for driver in found.drivers) == pytest.approx(1.0)
    middle = found.challenger_usd - found.champion_usd
    assert all(driver.low < middle < driver.high for driver in found.drivers)


def test_traffic_keeps_its_mean() -> None:
    certain, uncertain = (monthly_impact(*costs(2_000), Traffic(1e6, doubt), draws=50_000) for doubt in (0.0, 0.5))
    middle = (uncertain.p5 + uncertain.p95) / 2
    assert middle < certain.p50
    assert uncertain.p50 == pytest.approx(certain.p50 / np.sqrt(1.25), rel=0.02)


def test_the_migration_is_paid_back_in_months() -> None:
    arms = np.full(50, 0.002), np.full(50, 0.001)
    assert monthly_impact(*arms, Traffic(1e6), worth=Worth(migration=6_000)).payback.months == pytest.approx(6)
    assert monthly_impact(*arms[::-1], Traffic(1e6), worth=Worth(migration=6_000)).payback.months is None
    assert monthly_impact(*arms, Traffic(1e6)).payback.months == 0


def test_the_score_rewards_savings_and_charges_for_doubt() -> None:
    sure = monthly_impact(*costs(1_000), Traffic(1e6))
    doubtful = monthly_impact(*costs(1_000), Traffic(1e6), price_uncertainty=(0.1, 0.1))
    dearer = monthly_impact(*costs(1_000)[::-1], Traffic(1e6))
    assert dearer.score < 50 < doubtful.score < sure.score
    assert economic_score(np.zeros(10), 1_000) == 50
    assert economic_score(np.full(10, 250.0), 1_000) == pytest.approx(50 + 50 * np.tanh(1))
    assert economic_score(np.full(10, 1.0), 0) == 100


def test_better_answers_can_be_worth_a_higher_bill() -> None:
    champion, challenger = np.full(50, 0.001), np.full(50, 0.0012)
    bare = monthly_impact(champion, challenger, Traffic(1e6))
    worth = Worth(per_success=0.05, successes_gained=0.02, successes_error=0.002)
    valued = monthly_impact(champion, challenger, Traffic(1e6), worth=worth)
    assert bare.score < 50 < valued.score
    assert bare.p50 == valued.p50 == pytest.approx(200)
    assert [driver.name for driver in valued.drivers] == ["successes"]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=20), st.floats(0, 1))
def test_the_order_of_quantiles_and_the_ranges(pairs: list[tuple[float, float]], doubt: float) -> None:
    champion, challenger = np.array(pairs).T
    found = monthly_impact(champion, challenger, Traffic(100, doubt), draws=200)
    assert found.p5 <= found.p50 <= found.p95
    assert 0 <= found.saves <= 1
    assert 0 <= found.score <= 100


def test_unknown_costs_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        monthly_impact(np.array([np.nan]), np.array([1.0]), Traffic(1))
    with pytest.raises(ValueError, match="same"):
        monthly_impact(np.array([1.0]), np.array([]), Traffic(1))


RENTED = Host("h100", "2026-01-01", usd_per_hour=2.5)


def test_own_machines_cost_whole_replicas_whatever_their_tokens() -> None:
    """2 requests/s, 4 at peak, 0.8 a replica: five, at 5 x $1,825. An API at half a cent would take $26,280."""
    month = 2 * 730 * 3600.0
    arms = np.full(50, 0.005), np.full(50, 123.0)
    found = monthly_impact(*arms, Traffic(month, peak_to_mean=2), machines=(None, Serving(RENTED, goodput=1)))
    assert found.challenger_usd == pytest.approx(5 * 1_825)
    assert found.p50 == pytest.approx(5 * 1_825 - 26_280)
    assert found.drivers == ()


def test_a_doubtful_goodput_is_a_driver_and_costs_points() -> None:
    month = 2 * 730 * 3600.0
    arms = np.full(50, 0.001), np.full(50, 0.001)
    sure, doubtful = (
        monthly_impact(*arms, Traffic(month), machines=(None, Serving(RENTED, 3, goodput_doubt=doubt)))
        for doubt in (0.0, 0.3)
    )
    assert [driver.name for driver in doubtful.drivers] == ["challenger's goodput"]
    assert doubtful.p5 <= sure.p50 < doubtful.p95
    assert doubtful.score < sure.score


def test_the_months_of_a_histogram_are_all_months() -> None:
    found = monthly_impact(*costs(), Traffic(1e6, 0.2), draws=2_000)
    assert (sum(found.counts), len(found.edges)) == (2_000, len(found.counts) + 1)
    assert found.edges[0] < found.p5 < found.p95 < found.edges[-1]


def test_more_right_answers_pay_the_effort_back_and_running_costs_delay_it() -> None:
    arms = np.full(50, 0.001), np.full(50, 0.001)
    worth = Worth(migration=1_200, per_success=0.01, successes_gained=0.02)
    assert monthly_impact(*arms, Traffic(1e6), worth=worth).payback.months == pytest.approx(6)
    dearer = replace(worth, operations_per_month=100)
    found = monthly_impact(*arms, Traffic(1e6), worth=dearer)
    assert (found.p50, found.value.p50) == (pytest.approx(100), pytest.approx(100))
    assert found.payback.months == pytest.approx(12)
    assert found.payback.in_time == 1.0
