"""The recorder against a real server in a process of its own. Times are asserted loosely, as machines are shared; how
exact they are is measured in benchmarks/loadtest/accuracy.py."""

import asyncio
import multiprocessing
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from loadtest_cases import plan_for, recorded

from proveout.loadtest.figures import figures
from proveout.loadtest.recorder import CannotLoad
from proveout.loadtest.schedules import constant, poisson
from proveout.project.records import ModelSpec
from proveout.testing.faults import Answer, FaultServer
from proveout.testing.simulated_engine import Behaviour
from proveout.testing.simulated_server import simulated_server


@pytest.fixture(scope="module")
def server():
    with simulated_server() as running:
        yield running


def test_every_request_is_recorded_with_its_tokens_and_agrees_with_the_servers_log(server):
    server.become(Behaviour())
    result = recorded(plan_for(server.url, 40))
    records = result.records
    truth = {one.user: one for one in server.truth()}
    assert sorted(records.index) == list(range(40))
    assert records.ok.all()
    assert (records.chunks == 8).all()
    assert (records.output_tokens == 8).all()
    assert (records.input_tokens == [truth[str(index)].input_tokens for index in records.index]).all()
    true = np.array([truth[str(index)].ttft for index in records.index])
    assert (records.ttft >= true - 0.002).all()
    assert np.median(records.ttft - true) < 0.05


def test_an_open_schedule_is_kept_however_slow_the_answers_are(server):
    server.become(Behaviour(first_s=0.5))
    due = constant(40).times(requests=40)
    records = recorded(plan_for(server.url, 40, due=due)).records
    assert records.due == pytest.approx(due)
    assert records.asked.max() < 1.6  # A closed loop with few at once would have taken many seconds.
    assert records.ttft.min() > 0.2


def test_a_freeze_shows_in_the_latencies_even_under_a_cap(server):
    server.become(Behaviour(freeze_at_s=2.0, freeze_s=2.0))
    due = poisson(25).times(duration=7, seed=3)
    plan = plan_for(server.url, len(due), due=due, max_concurrency=16, output_tokens=32)
    records = recorded(plan).records
    assert np.quantile(records.ttft, 0.95) >= 1.4
    sent = records.first - records.sent
    assert np.quantile(sent, 0.5) < 0.7 * np.quantile(records.ttft, 0.5) or np.quantile(sent, 0.9) < 1.4
    assert records.stall.max() > 1.5


def test_a_closed_run_can_be_limited_in_time(server):
    server.become(Behaviour())
    began = time.monotonic()
    result = recorded(plan_for(server.url, 100_000, duration=1.0))
    assert 10 < len(result.records) < 10_000
    assert time.monotonic() - began < 15


def test_workers_share_one_schedule(server):
    server.become(Behaviour())
    due = constant(50).times(requests=50)
    result = recorded(plan_for(server.url, 50, due=due), workers=2)
    assert sorted(result.records.index) == list(range(50))
    assert result.records.ok.all()
    assert result.records.due == pytest.approx(due)
    assert result.client.workers == 2


def test_a_stop_keeps_what_was_measured(server):
    server.become(Behaviour())
    began = time.monotonic()
    result = recorded(plan_for(server.url, 100_000), stopping=lambda: time.monotonic() - began > 2)
    assert result.ended == "stopped"
    assert result.records.ok.sum() > 5
    assert set(result.records.error) <= {"", "stopped"}


def test_workers_stop_too(server):
    server.become(Behaviour())
    asked = threading.Event()
    threading.Timer(4.0, asked.set).start()
    result = recorded(plan_for(server.url, 100_000), workers=2, stopping=asked.is_set)
    assert result.ended == "stopped"


def test_a_worker_that_is_killed_is_told_and_ends_the_others(server):
    server.become(Behaviour())

    def kill_one() -> None:
        multiprocessing.active_children()[0].kill()

    threading.Timer(5.0, kill_one).start()
    with pytest.raises(CannotLoad, match=r"load worker \d died"):
        recorded(plan_for(server.url, 1_000_000), workers=2)
    assert not multiprocessing.active_children()


# Faults


def figures_of(result):
    return figures(result, variant="v", schedule={}, slo={"ttft_p95": 1.0})


@pytest.mark.parametrize(
    ("behaviour", "kinds"),
    [
        (Behaviour(refuse=0.3), {"overloaded", "status"}),
        (Behaviour(garbage=0.3), {"malformed"}),
        (Behaviour(cut=0.3), {"cut"}),
    ],
    ids=["refuses", "streams garbage", "cuts"],
)
def test_faults_are_counted_and_told(server, behaviour, kinds):
    server.become(behaviour)
    run = figures_of(recorded(plan_for(server.url, 80)))
    assert run.requests == 80
    assert 8 <= run.errors <= 45
    assert {failed["kind"] for failed in run.failures} <= kinds
    assert run.ttft_ms["p95"] is None
    assert "ttft_p95" in run.beyond


def test_answers_that_never_end_are_bounded_in_time(server):
    server.become(Behaviour(endless=0.2))
    began = time.monotonic()
    run = figures_of(recorded(plan_for(server.url, 20, timeout_s=1.5)))
    assert time.monotonic() - began < 25
    assert run.errors > 0
    assert {failed["kind"] for failed in run.failures} == {"timeout"}


def test_a_server_that_dies_in_the_middle_ends_the_run_early():
    with simulated_server(Behaviour(die_after=40)) as dying:
        result = recorded(plan_for(dying.url, 5000))
        assert not dying.alive
    assert result.records.ok.sum() >= 20
    assert "in a row failed" in result.ended
    assert len(result.records) < 200


def test_nobody_there_ends_at_once_and_says_so():
    result = recorded(plan_for("http://127.0.0.1:1/v1", 5000))
    assert "no connection" in result.ended
    assert not result.records.ok.any()


def test_an_answer_that_is_not_streamed_has_no_time_to_first_token():
    whole = Answer.json(
        {
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1},
        }
    )

    async def ask() -> None:
        from proveout.loadtest.workers import run_plan

        async with FaultServer([whole] * 12) as server:
            result = await run_plan(plan_for(f"{server.url}/v1", 10))
        run = figures_of(result)
        assert run.errors == 0
        assert run.ttft_ms["p50"] is None
        assert run.e2e_ms["p50"] is not None
        assert "came whole" in run.notes[0]

    asyncio.run(ask())


def test_a_missing_secret_is_told_before_anything_is_sent(monkeypatch):
    from proveout.project.records import Secret

    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    plan = plan_for("http://127.0.0.1:1/v1", 4)
    keyed = replace(plan, targets=(ModelSpec("openai", "m", key=Secret("env:NO_SUCH_KEY")),))
    with pytest.raises(CannotLoad, match="NO_SUCH_KEY is not set"):
        recorded(keyed)
