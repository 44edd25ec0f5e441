"""The distributions agree with scipy's to twelve digits or so, far into the tails."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.statistics import distributions as ours

scipy_stats = pytest.importorskip("scipy.stats")
special = pytest.importorskip("scipy.special")

SHAPES = np.array([0.5, 1, 3, 12, 1e3, 1e6])
TAILS = np.array([1e-200, 1e-50, 1e-12, 1e-6, 1e-3, 0.025, 0.05, 0.3, 0.5, 0.7, 0.95, 0.975, 1 - 1e-6, 1 - 1e-12])


def relative(found, expected):
    """The largest relative difference, where the oracle's value is not lost to underflow."""
    found, expected = np.broadcast_arrays(np.asarray(found, float), np.asarray(expected, float))
    kept = np.abs(expected) > 1e-290
    return float(np.max(np.abs(found[kept] / expected[kept] - 1)))


def beta_grid():
    a, b = np.meshgrid(SHAPES, SHAPES)
    a, b = a.ravel(), b.ravel()
    centre, spread = a / (a + b), np.sqrt(a * b / (a + b + 1)) / (a + b)
    points = np.clip(centre + np.linspace(-9, 9, 9)[:, None] * spread, 1e-12, 1 - 1e-12)
    return points, a, b


def test_the_beta_distribution_agrees_in_both_tails():
    x, a, b = beta_grid()
    assert relative(ours.beta_cdf(x, a, b), special.betainc(a, b, x)) < 1e-9
    assert relative(ours.beta_sf(x, a, b), special.betaincc(a, b, x)) < 1e-9


def test_beta_quantiles_are_the_inverse_of_its_distribution():
    _, a, b = beta_grid()
    p = TAILS[[3, 5, 8, 11], None]
    found = ours.beta_quantile(p, a, b)
    assert relative(ours.beta_cdf(found, a, b), np.broadcast_to(p, found.shape)) < 1e-8
    assert relative(found, special.betaincinv(a, b, p)) < 1e-8


def test_students_t_agrees_far_into_the_tails():
    degrees = np.array([1, 2, 3, 7, 19, 39, 200, 5000, 200_000])
    t = np.array([-50, -8, -3, -1, -1e-3, 0, 1e-6, 0.5, 1.7, 4, 12, 80, 1e4])[:, None]
    assert relative(ours.student_sf(t, degrees), scipy_stats.t.sf(t, degrees)) < 1e-10
    assert relative(ours.student_cdf(t, degrees), scipy_stats.t.cdf(t, degrees)) < 1e-10


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.floats(1e-12, 1 - 1e-9), st.integers(1, 300_000))
def test_student_quantiles_agree(probability, degrees):
    assert float(ours.student_quantile(probability, degrees)) == pytest.approx(
        float(scipy_stats.t.ppf(probability, degrees)), rel=1e-7, abs=1e-9
    )


def test_student_quantiles_hold_at_the_ends():
    assert list(ours.student_quantile([0.0, 0.5, 1.0], 9)) == [-math.inf, 0.0, math.inf]
    assert ours.student_critical(0.05, 9) == pytest.approx(float(scipy_stats.t.isf(0.05, 9)), rel=1e-13)


def test_the_normal_distribution_agrees():
    z = np.array([-37, -8, -1.96, 0, 1e-9, 1.96, 8, 37])
    assert relative(ours.normal_sf(z), scipy_stats.norm.sf(z)) < 1e-13
    assert relative(ours.normal_cdf(z), scipy_stats.norm.cdf(z)) < 1e-13
    for p in TAILS[1:]:
        assert ours.normal_quantile(p) == pytest.approx(scipy_stats.norm.ppf(p), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("trials", [1, 2, 20, 1319, 50_000])
@pytest.mark.parametrize("probability", [1e-4, 0.02, 0.5, 0.99])
def test_the_binomial_distribution_agrees(trials, probability):
    k = np.unique(np.linspace(0, trials, 60).astype(int))
    assert relative(ours.binomial_sf(k, trials, probability), scipy_stats.binom.sf(k - 1, trials, probability)) < 1e-9
    assert relative(ours.binomial_cdf(k, trials, probability), scipy_stats.binom.cdf(k, trials, probability)) < 1e-9
    assert relative(ours.binomial_pmf(k, trials, probability), scipy_stats.binom.pmf(k, trials, probability)) < 1e-9


def test_the_binomial_distribution_holds_at_its_ends():
    assert list(ours.binomial_sf([0, 6, 5], 5, [0.3, 0.3, 1.0])) == [1.0, 0.0, 1.0]
    assert list(ours.binomial_cdf([-1, 5, 0], 5, [0.3, 0.3, 0.0])) == [0.0, 1.0, 1.0]
    assert list(ours.binomial_pmf([0, 1, 5, 4, 7], 5, [0.0, 0.0, 1.0, 1.0, 0.5])) == [1, 0, 1, 0, 0]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.floats(0, 1), st.floats(0.5, 1e5), st.floats(0.5, 1e5))
def test_both_tails_of_the_beta_distribution_add_up_to_one(x, a, b):
    low, high = float(ours.beta_cdf(x, a, b)), float(ours.beta_sf(x, a, b))
    assert 0 <= low <= 1
    assert low + high == pytest.approx(1, abs=1e-12)


def test_scalars_and_shapes_broadcast():
    assert ours.beta_cdf(0.5, 2, 2).shape == ()
    assert ours.beta_cdf([[0.1], [0.9]], [1, 2, 3], 2).shape == (2, 3)
