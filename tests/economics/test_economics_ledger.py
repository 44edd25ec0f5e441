"""Distributions, cost per success and anomalies of known columns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.economics import Ledger
from proveout.economics.ledger import distribution, odd_rows


def ledger(usd: list[float], success: list[float] | None = None, clusters: list[int] | None = None) -> Ledger:
    column = np.array(usd)
    tokens = column * 1e6
    return Ledger(
        input_tokens=tokens,
        output_tokens=tokens,
        usd=column,
        clusters=np.arange(len(usd)) if clusters is None else np.array(clusters),
        success=None if success is None else np.array(success),
        cut=np.zeros(len(usd)),
    )


def test_quantiles_appear_when_there_are_requests_enough() -> None:
    few = distribution(np.arange(30.0), np.arange(30))
    many = distribution(np.arange(400.0), np.arange(400))
    assert [few.quantiles[p] is None for p in (0.5, 0.9, 0.95, 0.99)] == [False, False, True, True]
    assert all(many.quantiles.values())
    assert many.total == 79_800


def test_a_cluster_counts_once_in_the_mean() -> None:
    found = ledger([1.0, 1.0, 1.0, 3.0], clusters=[0, 0, 0, 1]).usd_per_request()
    assert (found.value, found.n) == (2.0, 2)


def test_a_success_pays_for_the_failures() -> None:
    assert ledger([0.01] * 100, [1.0] * 80 + [0.0] * 20).usd_per_success().value == pytest.approx(0.0125)
    assert np.isnan(ledger([0.01] * 10, [0.0] * 10).usd_per_success().value)
    assert np.isnan(ledger([0.01] * 10).usd_per_success().value)


def test_unknown_costs_are_counted_and_left_out() -> None:
    found = ledger([0.01, float("nan"), 0.03])
    assert (found.unknown, found.distribution("usd").total) == (1, 0.04)


def test_runaways_are_odd_and_ordinary_spread_is_not() -> None:
    random = np.random.default_rng(0)
    tokens = np.round(random.lognormal(5, 0.5, 5_000))
    assert odd_rows(tokens) == ()
    tokens[[17, 99]] = (60_000, 0)
    assert odd_rows(tokens) == (17, 99)


def test_equal_tokens_with_one_longer_answer() -> None:
    assert odd_rows(np.array([10.0] * 50 + [12.0])) == ()
    assert odd_rows(np.array([10.0] * 50 + [40.0])) == (50,)


def test_the_tail_that_takes_the_money() -> None:
    found = ledger([0.001] * 198 + [0.5, 0.5]).anomalies()
    assert found.heavy_tail
    assert found.tail_share == pytest.approx(1 / 1.198)
    assert not ledger([0.001] * 200).anomalies().heavy_tail


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1e6) | st.just(float("nan")), max_size=60))
def test_no_column_is_too_odd_to_look_at(values: list[float]) -> None:
    column = np.array(values, dtype=float)
    assert all(0 <= row < len(values) for row in odd_rows(column))
    found = distribution(column, np.arange(len(values)))
    assert found.mean.n == int((~np.isnan(column)).sum())
