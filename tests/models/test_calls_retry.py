"""Trying again."""

from __future__ import annotations

import asyncio

import pytest
from calls_models import ScriptedModel, answer, ask, failure
from hypothesis import given
from hypothesis import strategies as st

from proveout import wire
from proveout.models import Generation, ModelError
from proveout.models.providers._failures import Failures
from proveout.models.retry import LONGEST_PAUSE_S, PATIENCE_S, Retrying, backoff
from proveout.wire import run

units = st.floats(0, 1, exclude_max=True)


class Pauses:
    """A sleep that only takes note."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


def retrying(model: ScriptedModel, retries: int = 4, random: float = 0.5) -> tuple[Retrying, list[float]]:
    pauses = Pauses()
    return Retrying(model, retries, random=lambda: random, sleep=pauses), pauses.seconds


def first_failing(times: int, error: ModelError) -> ScriptedModel:
    return ScriptedModel(lambda number, _: error if number <= times else answer())


@given(attempt=st.integers(1, 10_000), random=units)
def test_pauses_double_up_to_a_cap_and_are_spread(attempt: int, random: float) -> None:
    longest = min(30.0, 0.5 * 2.0 ** min(attempt - 1, 60))
    assert longest / 2 <= backoff(attempt, failure(), random) <= longest <= LONGEST_PAUSE_S


@given(attempt=st.integers(1, 20), random=units, asked=st.floats(0, 1e5))
def test_nobody_comes_back_before_retry_after(attempt: int, random: float, asked: float) -> None:
    pause = backoff(attempt, failure(retry_after_s=asked), random)
    assert pause >= asked
    assert pause <= max(LONGEST_PAUSE_S, asked * 1.1)


def test_an_answer_says_how_many_tries_it_took() -> None:
    model, pauses = retrying(first_failing(2, failure()))
    assert run(model.generate(ask())).attempts == 3
    assert pauses == [0.375, 0.75]


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_the_last_error_is_raised_after_the_declared_retries(retries: int) -> None:
    endpoint = first_failing(100, failure("status", status=500))
    model, _ = retrying(endpoint, retries)
    with pytest.raises(ModelError) as raised:
        run(model.generate(ask()))
    assert raised.value.attempts == len(endpoint.requests) == retries + 1


@pytest.mark.parametrize("kind", ["auth", "bad_request", "no_recording", "budget"])
def test_what_cannot_be_helped_is_not_tried_again(kind: str) -> None:
    endpoint = first_failing(100, failure(kind, retryable=False))
    model, pauses = retrying(endpoint)
    with pytest.raises(ModelError):
        run(model.generate(ask()))
    assert (len(endpoint.requests), pauses) == (1, [])


def test_an_error_that_cannot_be_helped_ends_the_tries() -> None:
    endpoint = ScriptedModel(lambda number, _: failure() if number == 1 else failure("auth", retryable=False))
    model, _ = retrying(endpoint)
    with pytest.raises(ModelError, match="auth") as raised:
        run(model.generate(ask()))
    assert raised.value.attempts == 2


def test_a_quota_for_tomorrow_is_not_waited_for() -> None:
    endpoint = first_failing(1, failure(retry_after_s=86_400.0))
    model, pauses = retrying(endpoint)
    with pytest.raises(ModelError):
        run(model.generate(ask()))
    assert (len(endpoint.requests), pauses) == (1, [])


def test_pauses_are_bounded_in_all() -> None:
    model, pauses = retrying(first_failing(100, failure(retry_after_s=100.0)), retries=20, random=0.0)
    with pytest.raises(ModelError):
        run(model.generate(ask()))
    assert pauses == [100.0, 100.0, 100.0]
    assert sum(pauses) <= PATIENCE_S


def test_cancelling_a_pause_ends_the_call() -> None:
    endpoint = first_failing(100, failure(retry_after_s=60.0))

    async def main() -> None:
        call = asyncio.ensure_future(Retrying(endpoint, 4).generate(ask()))
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    run(main())
    assert len(endpoint.requests) == 1


def test_a_first_answer_is_passed_on_as_it_is() -> None:
    generation = Generation(text="x")
    model, _ = retrying(ScriptedModel(lambda *_: generation))
    assert run(model.generate(ask())) is generation


def test_tries_that_an_endpoint_bills_in_vain_are_counted() -> None:
    kinds = iter(["cut", "overloaded", "malformed"])
    endpoint = ScriptedModel(lambda number, _: failure(next(kinds)) if number <= 3 else Generation(text="x"))
    model, _ = retrying(endpoint)
    generation = run(model.generate(ask()))
    assert (generation.attempts, generation.discarded) == (4, 2)
    lost, _ = retrying(first_failing(100, failure("cut")), retries=2)
    with pytest.raises(ModelError) as raised:
        run(lost.generate(ask()))
    assert (raised.value.attempts, raised.value.discarded) == (3, 3)


def test_a_refused_try_is_not_billed() -> None:
    assert failure("timeout", status=408).discarded == 0
    assert failure("overloaded", status=529).discarded == 0


@pytest.mark.parametrize(
    ("error", "billed"),
    [
        (wire.TimedOut("late", phase="connect"), 0),
        (wire.TimedOut("late", phase="idle"), 1),
        (wire.ConnectionCut("gone", received=0, head=False), 0),
        (wire.ConnectionCut("gone", received=10, head=True), 1),
        (wire.ConnectFailed("refused"), 0),
        (wire.ClientClosed("closed"), 0),
    ],
)
def test_only_an_endpoint_that_was_seen_to_work_bills(error: wire.WireError, billed: int) -> None:
    assert Failures("endpoint").of_wire(error).discarded == billed
