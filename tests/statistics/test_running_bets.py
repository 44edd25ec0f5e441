"""The running test says what the whole test says; clusters are allowed for; a detector alarms rarely, and in time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.statistics.betting import anytime_test
from proveout.statistics.detection import Detector
from proveout.statistics.running import Clustering, RunningTest


@given(
    st.lists(st.floats(-1, 1, allow_nan=False), min_size=1, max_size=60),
    st.sampled_from([0.0, 0.02, 0.3]),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_one_by_one_it_says_what_the_test_of_all_says(values: list[float], margin: float, higher: bool) -> None:
    whole = anytime_test(values, margin=margin, higher_is_better=higher)
    running = RunningTest(margin=margin, higher_is_better=higher)
    running.extend(values)
    assert running.p_worse == pytest.approx(whole.p_worse, rel=1e-6)
    assert running.p_not_worse == pytest.approx(whole.p_not_worse, rel=1e-6)
    assert running.e_worse == pytest.approx(whole.e_worse, rel=1e-6)
    assert running.e_not_worse == pytest.approx(whole.e_not_worse, rel=1e-6)
    found = running.difference()
    assert found.n == len(values)
    assert [found.value, found.low, found.high] == pytest.approx(
        [whole.difference.value, whole.difference.low, whole.difference.high], abs=1e-3
    )


def test_what_lies_beyond_its_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="scores must lie"):
        RunningTest().add(1.5)
    with pytest.raises(ValueError, match="margin"):
        RunningTest(margin=1.0)
    with pytest.raises(ValueError, match="level"):
        Detector(1.5)


def test_units_that_ask_once_have_no_design_effect() -> None:
    clusters = Clustering()
    for number in range(50):
        clusters.add(f"u{number}", number % 2)
    assert clusters.design_effect == 1.0


def test_the_design_effect_is_that_of_the_units_likeness() -> None:
    random = np.random.default_rng(3)
    alike, free = Clustering(), Clustering()
    for unit in range(400):
        own = random.random() < 0.2
        for _ in range(5):
            alike.add(f"u{unit}", float(own))
            free.add(f"u{unit}", float(random.random() < 0.2))
    assert alike.design_effect == pytest.approx(5, abs=0.3)
    assert 1 <= free.design_effect < 1.4


@pytest.mark.parametrize("likeness", [0.3, 1.0])
def test_clustered_requests_that_are_no_worse_are_rarely_called_worse(likeness: float) -> None:
    random = np.random.default_rng(5)
    wrong = naive_wrong = 0
    for _ in range(60):
        clusters, test, naive = Clustering(), RunningTest(higher_is_better=False), RunningTest(higher_is_better=False)
        for unit in range(120):
            challenger = random.random() < 0.5
            own = random.random() < 0.2
            for _ in range(8):
                value = float(own if random.random() < likeness else random.random() < 0.2)
                if challenger:
                    clusters.add(f"u{unit}", value)
                    test.design_effect = clusters.design_effect
                    test.add(value - 0.2)
                    naive.add(value - 0.2)
        wrong += test.p_worse <= 0.05
        naive_wrong += naive.p_worse <= 0.05
    assert wrong <= 6
    assert naive_wrong > wrong


def test_the_detector_finds_a_rise_after_a_long_calm_and_is_silent_before() -> None:
    random = np.random.default_rng(1)
    for _ in range(5):
        detector = Detector(0.12)
        assert not any(detector.add(float(value)) for value in random.random(5_000) < 0.1)
        delay = next(place for place in range(5_000) if detector.add(float(random.random() < 0.3)))
        assert delay < 400
