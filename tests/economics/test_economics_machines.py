"""Machines of one's own: sums worked by hand, the staircase, and the price of a token from measured runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.economics import Serving, break_even, hosting, token_seconds
from proveout.economics.machines import HOURS_PER_MONTH, SECONDS_PER_MONTH, machine_usd_per_hour
from proveout.project.records import Host

RENTED = Host("h100", "2026-01-01", usd_per_hour=2.5)
OWNED = Host("rack", "2026-01-01", 0.8, kilowatts=1.0, usd_per_kwh=0.2, pue=1.5, people_usd_per_month=3_000)


def test_power_is_paid_with_what_it_takes_to_cool() -> None:
    assert machine_usd_per_hour(OWNED) == pytest.approx(0.8 + 1.0 * 0.2 * 1.5)


def test_a_month_worked_by_hand() -> None:
    """10 requests/s on average, 25 at peak; a replica keeps its SLOs up to 10, planned to 80 %: ceil(25 / 8) = 4, and
    one spare. 5 x 2 machines x $1.10 x 730 h + $3,000 = $11,030 for 26.28 million requests of 1,000 tokens."""
    serving = Serving(OWNED, goodput=10, machines=2, headroom=0.8, spare=1, input_tokens=900, output_tokens=100)
    found = hosting(serving, requests_per_month=10 * SECONDS_PER_MONTH, peak_to_mean=2.5)
    assert found.replicas == 5
    assert found.usd_per_month == pytest.approx(11_030)
    assert found.usd_per_request == pytest.approx(11_030 / 26_280_000)
    assert found.usd_per_million_tokens == pytest.approx(11_030 / 26_280)
    assert found.utilisation == pytest.approx(0.2)


def test_idle_machines_make_tokens_dear() -> None:
    serving = Serving(RENTED, goodput=10)
    busy, idle = (hosting(serving, share * 10 * SECONDS_PER_MONTH, 1.0) for share in (0.8, 0.08))
    assert idle.usd_per_request == pytest.approx(10 * busy.usd_per_request)


@settings(deadline=None, derandomize=True)
@given(st.floats(1e-3, 1e3), st.floats(1e3, 1e10), st.floats(1, 10), st.floats(0.1, 1), st.integers(0, 3))
def test_replicas_bear_the_peak_and_one_fewer_would_not(
    goodput: float, requests: float, peak: float, headroom: float, spare: int
) -> None:
    serving = Serving(RENTED, goodput, headroom=headroom, spare=spare)
    found = hosting(serving, requests, peak)
    peak_rate = requests / SECONDS_PER_MONTH * peak
    working = found.replicas - spare
    assert working * goodput * headroom >= peak_rate * (1 - 1e-6)
    assert working == 1 or (working - 1) * goodput * headroom < peak_rate * (1 + 1e-6)
    assert found.usd_per_request * requests == pytest.approx(found.replicas * 2.5 * HOURS_PER_MONTH)


def test_the_staircase() -> None:
    """A replica costs $1,825 a month and serves 1.0512 million requests (1 request/s, 80 %, peak twice the mean). At
    $0.002 a request the API costs as much from 912,500 requests on; the second step is cheaper from 1,825,000 on."""
    found = break_even(Serving(RENTED, goodput=1), 0.002)
    first, second = found.steps[0], found.steps[1]
    assert (first.usd_per_month, first.most_requests) == (1_825, pytest.approx(1_051_200))
    assert first.cheaper == (pytest.approx(912_500), pytest.approx(1_051_200))
    assert second.cheaper == (pytest.approx(1_825_000), pytest.approx(2_102_400))
    assert found.first == pytest.approx(912_500)
    assert found.needed_utilisation == pytest.approx(1_825 / (0.002 * SECONDS_PER_MONTH))


def test_far_up_the_staircase_own_machines_are_always_cheaper() -> None:
    found = break_even(Serving(RENTED, goodput=1), 0.002)
    assert found.always is not None
    assert found.always > 912_500
    for replicas, step in enumerate(found.steps, start=1):
        if step.most_requests > found.always * 1.001:
            assert step.cheaper is not None
            assert step.cheaper[0] == pytest.approx(max((replicas - 1) * 1_051_200, found.always), rel=1e-9)


def test_a_cheap_api_is_never_beaten() -> None:
    found = break_even(Serving(RENTED, goodput=1), 0.0001)
    assert (found.first, found.always) == (None, None)
    assert found.needed_utilisation > 1


@settings(deadline=None, derandomize=True)
@given(st.floats(1e-5, 1e-1), st.floats(0.1, 50), st.floats(1, 4), st.integers(0, 2))
def test_the_staircase_agrees_with_the_months_bill(api: float, goodput: float, peak: float, spare: int) -> None:
    serving = Serving(OWNED, goodput, spare=spare)
    for step in break_even(serving, api, peak_to_mean=peak, most_replicas=6).steps:
        if step.cheaper is not None:
            requests = math.sqrt(max(step.cheaper[0], 1.0) * step.cheaper[1])
            assert hosting(serving, requests, peak).usd_per_request < api * (1 + 1e-9)


def test_seconds_of_a_token_from_a_grid_of_runs() -> None:
    sent, said = np.array([100, 1_000, 4_000, 100, 1_000]), np.array([10, 10, 10, 500, 500])
    busy = 2e-5 * sent + 1e-3 * said
    assert token_seconds(busy, sent, said) == pytest.approx((2e-5, 1e-3))
    assert token_seconds(1e-3 * said, sent, said) == pytest.approx((0, 1e-3), abs=1e-12)
    with pytest.raises(ValueError, match="two different shapes"):
        token_seconds([1.0, 2.0], [100, 200], [10, 20])


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Serving(RENTED, goodput=0),
        lambda: Serving(RENTED, 1, headroom=1.2),
        lambda: hosting(Serving(RENTED, 1), 0),
        lambda: break_even(Serving(RENTED, 1), 0),
        lambda: hosting(Serving(RENTED, 1), 100, peak_to_mean=0.5),
    ],
)
def test_impossible_plans_are_refused(bad) -> None:
    with pytest.raises(ValueError, match=r"give|needs"):
        bad()
