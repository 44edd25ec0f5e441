"""Quantiles: how many values each needs, coverage, and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from proveout.statistics.quantiles import quantile_interval


@pytest.mark.parametrize(("probability", "fewest"), [(0.5, 6), (0.9, 29), (0.95, 59), (0.99, 299)])
def test_a_quantile_needs_this_many_values(probability: float, fewest: int) -> None:
    assert math.isnan(quantile_interval(np.arange(fewest - 1.0), probability).value)
    assert quantile_interval(np.arange(float(fewest)), probability).high == fewest - 1


@pytest.mark.parametrize(("size", "probability"), [(30, 0.9), (100, 0.5), (300, 0.99), (1000, 0.95)])
def test_coverage_is_at_least_95_percent(size: int, probability: float) -> None:
    random = np.random.default_rng(1)
    found = [quantile_interval(random.random(size), probability) for _ in range(1000)]
    covered = sum(one.low <= probability <= one.high for one in found) / 1000
    assert 0.94 <= covered <= 0.99


def test_only_probabilities_between_0_and_1() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantile_interval([1.0], 1.0)
