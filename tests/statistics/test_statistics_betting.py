"""Tests by betting keep their promise however often they are looked at, and decide soon where it matters."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.statistics import anytime_test, block_differences, mismatch_evidence, proportion_interval

RUNS = 200


def traffic(random, champion, challenger, requests=5000, share=0.1):
    """Requests split by `share`, with an error rate for each variant that may change from request to request."""
    arms = random.random(requests) < share
    errors = random.random(requests) < np.where(arms, challenger, champion)
    return arms, errors.astype(float)


def at_most(rate, runs=RUNS):
    return rate + 2 * math.sqrt(rate * (1 - rate) / runs)


@pytest.mark.parametrize(("base", "margin"), [(0.1, 0.02), (0.02, 0.01)])
def test_looked_at_after_every_request_equals_are_rarely_called_worse(base, margin):
    random = np.random.default_rng(1)
    tests = [
        anytime_test(block_differences(*traffic(random, base, base)), margin=margin, higher_is_better=False)
        for _ in range(RUNS)
    ]
    assert np.mean([test.p_worse <= 0.05 for test in tests]) <= at_most(0.05)
    assert np.mean([test.difference.low <= 0 <= test.difference.high for test in tests]) >= 0.93


@pytest.mark.parametrize(("base", "margin"), [(0.1, 0.02), (0.02, 0.01)])
def test_looked_at_after_every_request_a_challenger_worse_by_the_margin_is_rarely_promoted(base, margin):
    random = np.random.default_rng(2)
    promoted = []
    for _ in range(RUNS):
        blocks = block_differences(*traffic(random, base, base + margin))
        promoted.append(anytime_test(blocks, margin=margin, higher_is_better=False).p_not_worse <= 0.05)
    assert np.mean(promoted) <= at_most(0.05)


def test_a_drop_of_five_points_is_found_within_400_challenger_requests():
    random = np.random.default_rng(3)
    exposed = []
    for _ in range(40):
        arms, errors = traffic(random, 0.1, 0.15, 16_000)
        blocks = block_differences(arms, errors)
        found = next(n for n in range(25, len(blocks), 25) if shown_worse(blocks[:n]))
        exposed.append(found * arms.sum() / len(blocks))
    assert np.median(exposed) <= 400


def shown_worse(blocks):
    return anytime_test(blocks, higher_is_better=False).p_worse <= 0.05


def test_a_ramp_under_daily_drift_does_not_make_the_challenger_look_worse():
    """Shares of 1, 5, 25 and 50 % while everybody's errors rise from 5 to 15 %: pooled rates differ by points."""
    random = np.random.default_rng(4)
    shares = np.repeat([0.01, 0.05, 0.25, 0.5], 1500)
    rates = np.linspace(0.05, 0.15, len(shares))
    worse, pooled = [], []
    for _ in range(RUNS):
        arms, errors = traffic(random, rates, rates, len(shares), shares)
        blocks = block_differences(arms, errors, shares.tolist())
        worse.append(anytime_test(blocks, higher_is_better=False).p_worse <= 0.05)
        pooled.append(errors[arms].mean() - errors[~arms].mean())
    assert np.mean(pooled) > 0.02
    assert np.mean(worse) <= at_most(0.05)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60), st.sampled_from([0.0, 0.05, 0.3]))
def test_both_directions_mirror_and_the_interval_agrees_with_the_wealth(values, margin):
    more = anytime_test(values, margin=margin)
    less = anytime_test([-value for value in values], margin=margin, higher_is_better=False)
    assert (less.p_worse, less.p_not_worse) == pytest.approx((more.p_worse, more.p_not_worse))
    assert less.difference.low == pytest.approx(-more.difference.high)
    assert (more.difference.low > -margin) == (more.e_not_worse > 40) or more.e_not_worse == pytest.approx(40, rel=1e-3)
    assert 1 / more.p_worse >= more.e_worse * (1 - 1e-9)


def test_no_data_decides_nothing():
    test = anytime_test([])
    assert (test.p_worse, test.p_not_worse, test.difference.n) == (1.0, 1.0, 0)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match=r"differences\[1\] is 1.5"):
        anytime_test([0.0, 1.5])
    with pytest.raises(ValueError, match=r"differences\[0\] is nan"):
        anytime_test([math.nan])
    with pytest.raises(ValueError, match="margin"):
        anytime_test([0.1], margin=1.0)
    with pytest.raises(ValueError, match="each request"):
        block_differences([True], [0.1, 0.2])


def test_blocks_are_closed_by_the_first_request_that_gives_them_both_variants():
    assert list(block_differences([0, 0, 1, 1, 0, 0], [1.0, 0.0, 1.0, 0.0, 1.0, 0.5])) == [0.5, -1.0]


def test_a_block_never_spans_two_epochs():
    assert list(block_differences([0, 1, 0, 1], [1, 0, 0.5, 1], ["a", "b", "b", "b"])) == [-0.5]
    assert len(block_differences([0, 1, 0, 1], [1, 0, 0, 1], ["a", "b", "c", "d"])) == 0


# ------------------------------------------------------------------ sample-ratio mismatch


def first_alarm(random, share, requests, intended=0.1):
    taken = np.cumsum(random.random(requests) < share)
    for total in range(100, requests + 1, 100):
        count = int(taken[total - 1])
        if mismatch_evidence([((total - count, count), (1 - intended, intended))]) >= 1000:
            return total
    return None


def test_a_right_split_raises_no_alarm_at_any_look():
    random = np.random.default_rng(5)
    alarms = sum(first_alarm(random, 0.1, 10_000) is not None for _ in range(150))
    assert proportion_interval(alarms, 150).low <= 0.001


@pytest.mark.parametrize(("share", "soon"), [(0.05, 1500), (0.08, 8000)])
def test_a_wrong_split_is_found(share, soon):
    random = np.random.default_rng(6)
    found = [first_alarm(random, share, 20_000) or 10**9 for _ in range(40)]
    assert np.median(found) <= soon


def test_epochs_of_other_weights_multiply_and_no_traffic_says_nothing():
    one, other = ((900, 100), (0.9, 0.1)), ((480, 520), (0.5, 0.5))
    assert mismatch_evidence([one, other]) == pytest.approx(mismatch_evidence([one]) * mismatch_evidence([other]))
    assert mismatch_evidence([]) == mismatch_evidence([((0, 0), (0.5, 0.5))]) == 1.0
    assert mismatch_evidence([((5, 1), (1.0, 0.0))]) == math.inf
    with pytest.raises(ValueError, match="add up to 1"):
        mismatch_evidence([((5, 1), (0.5, 0.4))])
    with pytest.raises(ValueError, match="for each share"):
        mismatch_evidence([((5,), (0.5, 0.5))])
