"""Limits: pace and concurrency as pure state machines, and the limiter that makes callers wait."""

from __future__ import annotations

import asyncio
import random
from time import monotonic
from typing import Any

import pytest
from calls_models import ScriptedModel, answer, ask, failure
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.models import ModelError
from proveout.models.limits import (
    FIRST_CONCURRENCY,
    LEAST_SHARE,
    LONGEST_GAP_S,
    LONGEST_HOLD_S,
    Concurrency,
    Limited,
    Limiter,
    Pace,
    outcome_of,
)
from proveout.project.records import Limits
from proveout.wire import run

MINUTE = 60.0


@given(
    per_minute=st.integers(1, 5000),
    gaps=st.lists(st.floats(0, 20), min_size=1, max_size=300),
    start=st.floats(0, 1e6),
)
def test_no_minute_sees_more_requests_than_allowed(per_minute: int, gaps: list[float], start: float) -> None:
    """Callers come at any times and wait as they are told."""
    pace, now, times = Pace(per_minute), start, []
    for gap in gaps:
        now += gap
        now += pace.wait(now) + 1e-6
        pace.take(now)
        times.append(now)
    for index, begin in enumerate(times):
        assert sum(begin <= time < begin + MINUTE for time in times[index:]) <= per_minute


@given(
    per_minute=st.floats(100, 1e6),
    asked=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1)), min_size=1, max_size=200),
)
def test_no_minute_sees_more_tokens_than_allowed(per_minute: float, asked: list[tuple[float, float]]) -> None:
    pace, now, taken = Pace(per_minute), 0.0, []
    for gap, size in asked:
        amount = size * per_minute / 61  # At most a second's worth.
        now += gap
        now += pace.wait(now, amount) + 1e-6
        pace.take(now, amount)
        taken.append((now, amount))
    for index, (begin, _) in enumerate(taken):
        assert sum(amount for time, amount in taken[index:] if time < begin + MINUTE) <= per_minute * (1 + 1e-9)


def test_an_amount_larger_than_a_seconds_worth_goes_through_and_is_earned_afterwards() -> None:
    pace = Pace(61.0)
    assert pace.wait(0.0, 30) == 0.0
    pace.take(0.0, 30)
    assert pace.wait(0.0, 1) == pytest.approx(30.0)


def test_a_pace_is_fully_used() -> None:
    pace, now = Pace(600), 0.0
    for _ in range(600):
        now += pace.wait(now)
        pace.take(now)
    assert now <= MINUTE


def test_what_was_not_used_can_be_used_by_others() -> None:
    pace = Pace(6100.0)
    pace.take(0.0, 1000)
    assert pace.wait(0.0) == pytest.approx(10 - 1 + 0.01)
    pace.give_back(900)
    assert pace.wait(0.0) == pytest.approx(1 - 1 + 0.01)


@given(jump=st.floats(-1e7, 1e7))
def test_a_clock_that_jumps_gives_no_burst_beyond_a_seconds_worth(jump: float) -> None:
    pace = Pace(60.0)
    for now in (0.0, max(0.0, jump)):
        pace.take(now)
    assert pace.wait(max(0.0, jump), 2) > 0


def test_concurrency_doubles_while_nobody_complains_and_only_if_it_is_used() -> None:
    busy, idle = Concurrency(), Concurrency()
    for concurrency, in_flight in ((busy, FIRST_CONCURRENCY), (idle, 1)):
        for _ in range(in_flight):
            concurrency.begin()
        for _ in range(in_flight):
            concurrency.end(1.0, "answered", 2.0)
            concurrency.begin()
    assert busy.limit == 2 * FIRST_CONCURRENCY
    assert idle.limit == FIRST_CONCURRENCY


def test_calls_that_were_in_flight_together_lower_the_limit_once() -> None:
    concurrency = Concurrency()
    for _ in range(32):
        concurrency.begin()
    for _ in range(20):
        concurrency.end(1.0, "overloaded", 2.0)
    assert concurrency.limit == pytest.approx(32 * 0.7)
    concurrency.begin()
    concurrency.end(3.0, "overloaded", 4.0)
    assert concurrency.limit == pytest.approx(13 * 0.7)


def test_it_grows_back_after_a_storm() -> None:
    concurrency, now = Concurrency(), 0.0
    for _ in range(20):
        concurrency.begin()
        concurrency.end(now + 1, "overloaded", now + 2)
        now += 2
    assert concurrency.limit == 1
    rounds = 0
    while concurrency.limit < 64:
        rounds += 1
        now += 1
        while concurrency.has_room():
            concurrency.begin()
        for _ in range(concurrency.in_flight):
            concurrency.end(now, "answered", now + 0.5)
            concurrency.begin()
    assert rounds <= 100


def test_throttled_one_at_a_time_it_pauses_between_calls_and_overloaded_it_does_not() -> None:
    throttled, last_throttled = _complaining("throttled")
    overloaded, last_overloaded = _complaining("overloaded")
    assert throttled.limit == LEAST_SHARE
    assert throttled.held_until == pytest.approx(last_throttled + LONGEST_GAP_S)
    assert overloaded.limit == 1
    assert overloaded.held_until <= last_overloaded


def _complaining(outcome: Any) -> tuple[Concurrency, float]:
    """After an answer that took two seconds and thirty quick complaints, and when the last of them came."""
    concurrency, now = Concurrency(), 0.0
    concurrency.begin()
    concurrency.end(1.0, "answered", 3.0)
    for _ in range(30):
        now = max(now + 4, concurrency.held_until)
        assert concurrency.has_room()
        concurrency.begin()
        concurrency.end(now, outcome, now + 0.1)
    return concurrency, now + 0.1


def test_after_throttling_it_is_back_to_full_use_within_some_dozens_of_answers() -> None:
    concurrency, now, answers = Concurrency(), 0.0, 0
    while concurrency.limit > LEAST_SHARE:
        now = max(now + 1, concurrency.held_until)
        concurrency.begin()
        concurrency.end(now, "throttled", now + 0.1)
    while concurrency.limit < 2:
        now = max(now + 1, concurrency.held_until)
        concurrency.begin()
        concurrency.end(now, "answered", now + 0.1)
        answers += 1
    assert answers < 50


def test_retry_after_holds_everybody_but_not_for_a_day() -> None:
    concurrency = Concurrency()
    concurrency.begin()
    concurrency.end(1.0, "overloaded", 2.0, retry_after_s=5)
    assert concurrency.held_until == 7.0
    concurrency.begin()
    concurrency.end(1.0, "overloaded", 3.0, retry_after_s=86400)
    assert concurrency.held_until == 3.0 + LONGEST_HOLD_S


@given(
    st.lists(st.sampled_from(["begin", "answered", "overloaded", "throttled", "other"]), max_size=300),
    st.integers(1, 500),
)
def test_the_limit_stays_in_its_bounds(events: list[Any], most: int) -> None:
    concurrency, now, began = Concurrency(most), 0.0, []
    for event in events:
        now += 1
        if event == "begin" and concurrency.has_room():
            concurrency.begin()
            began.append(now)
        elif event != "begin" and began:
            concurrency.end(began.pop(0), event, now)
        assert LEAST_SHARE <= concurrency.limit <= most
        assert concurrency.has_room() or concurrency.in_flight >= 1
        assert concurrency.held_until <= now + LONGEST_HOLD_S
        assert concurrency.in_flight == len(began)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (failure("rate_limit", status=429), "throttled"),
        (failure("overloaded", status=503), "overloaded"),
        (failure("status", status=500), "overloaded"),
        (failure("timeout"), "overloaded"),
        (failure("status", status=404), "other"),
        (failure("bad_request", status=400), "other"),
        (failure("malformed"), "other"),
    ],
)
def test_which_errors_mean_too_much_to_do(error: ModelError, outcome: str) -> None:
    assert outcome_of(error) == outcome


def test_no_more_calls_are_in_flight_than_declared() -> None:
    model = ScriptedModel(seconds=0.001)
    limited = Limited(model, Limiter(Limits(concurrency=3)))

    async def main() -> None:
        await asyncio.gather(*(limited.generate(ask()) for _ in range(40)))

    run(main())
    assert (len(model.requests), model.most_in_flight) == (40, 3)


def test_callers_are_served_in_the_order_of_asking() -> None:
    model = ScriptedModel(seconds=0.001)
    limited = Limited(model, Limiter(Limits(concurrency=1)))

    async def main() -> None:
        await asyncio.gather(*(limited.generate(ask(str(n))) for n in range(20)))

    run(main())
    assert [request.messages[0].content for request in model.requests] == [str(n) for n in range(20)]


def test_requests_keep_the_declared_pace() -> None:
    model = ScriptedModel()
    limited = Limited(model, Limiter(Limits(requests_per_minute=6000)))

    async def main() -> float:
        began = monotonic()
        await asyncio.gather(*(limited.generate(ask()) for _ in range(150)))
        return monotonic() - began

    # A second's worth (98) goes at once; the other 52 are a hundredth of a second apart.
    assert run(main()) >= 0.5
    assert len(model.requests) == 150


def test_tokens_are_taken_as_asked_for_and_settled_as_used() -> None:
    """Each call asks for 1,002 tokens and uses 15: only what is in flight counts in full."""
    model = ScriptedModel(lambda *_: answer())
    limiter = Limiter(Limits(tokens_per_minute=61_000))
    limited = Limited(model, limiter)

    async def main() -> float:
        began = monotonic()
        for _ in range(30):
            await limited.generate(ask("12345678", max_tokens=1000))
        return monotonic() - began

    assert run(main()) < 5  # Were they not settled, it would take thirty seconds.


def test_two_models_of_one_endpoint_share_the_stricter_limits() -> None:
    limiter = Limiter(Limits(concurrency=8, requests_per_minute=100))
    limiter.share(Limits(concurrency=2, tokens_per_minute=5))
    limiter.share(Limits(concurrency=5, requests_per_minute=1000))
    assert limiter.limit == 2
    assert limiter.counts_tokens


def test_retry_after_holds_callers_who_did_not_get_it() -> None:
    model = ScriptedModel(
        lambda number, _: failure("rate_limit", status=429, retry_after_s=0.2) if number == 1 else answer()
    )
    limited = Limited(model, Limiter())

    async def main() -> float:
        with pytest.raises(ModelError):
            await limited.generate(ask())
        began = monotonic()
        await asyncio.gather(*(limited.generate(ask()) for _ in range(5)))
        return monotonic() - began

    assert run(main()) >= 0.2


def test_a_clock_that_leaps_by_a_day_frees_those_who_wait_without_a_burst() -> None:
    """As after a suspended laptop, where the clock counts on."""
    leap = 0.0
    model = ScriptedModel()
    limiter = Limiter(Limits(requests_per_minute=60), clock=lambda: monotonic() + leap)
    limited = Limited(model, limiter)

    async def main() -> None:
        nonlocal leap
        calls = [asyncio.ensure_future(limited.generate(ask())) for _ in range(9)]
        await asyncio.sleep(0.01)
        assert len(model.requests) == 1
        leap = 86_400.0
        await asyncio.sleep(1.5)
        assert 2 <= len(model.requests) <= 3
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    run(main())
    assert limiter.in_flight == 0


def test_whoever_is_cancelled_while_waiting_leaves_no_trace() -> None:
    model = ScriptedModel(seconds=0.05)
    limiter = Limiter(Limits(concurrency=1))
    limited = Limited(model, limiter)

    async def main() -> None:
        calls = [asyncio.ensure_future(limited.generate(ask(str(n)))) for n in range(4)]
        await asyncio.sleep(0.01)
        calls[1].cancel()
        calls[2].cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    run(main())
    assert [request.messages[0].content for request in model.requests] == ["0", "3"]
    assert limiter.in_flight == 0


def test_a_place_granted_to_somebody_just_cancelled_goes_to_the_next() -> None:
    async def main() -> None:
        limiter = Limiter(Limits(concurrency=1))
        place = await limiter.enter()
        second, third = (asyncio.ensure_future(limiter.enter()) for _ in range(2))
        await asyncio.sleep(0)
        limiter.leave(place, "answered")  # Grants the second, which has not run yet.
        second.cancel()
        assert await asyncio.wait_for(third, 1)
        assert limiter.in_flight == 1

    run(main())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), concurrency=st.integers(1, 8))
def test_places_are_neither_lost_nor_made_up_under_cancellation(seed: int, concurrency: int) -> None:
    chance = random.Random(seed)
    outcomes = [answer(), failure("timeout"), failure("bad_request", retryable=False), answer()]
    model = ScriptedModel(lambda *_: chance.choice(outcomes))
    limiter = Limiter(Limits(concurrency=concurrency))
    limited = Limited(model, limiter)

    async def caller() -> None:
        for _ in range(5):
            try:
                async with asyncio.timeout(chance.choice([0, 0.0005, None])):
                    await limited.generate(ask())
            except (ModelError, TimeoutError):
                pass

    async def main() -> None:
        await asyncio.gather(*(caller() for _ in range(20)))

    run(main())
    assert limiter.in_flight == 0
    assert model.most_in_flight <= concurrency
