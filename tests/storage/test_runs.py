"""Runs and their scorecards."""

from __future__ import annotations

import multiprocessing
import time
from itertools import pairwise

import pytest

from proveout.storage import Run, Store, StoreError, open_store


def start(store: Store, change: str = "haiku", service: str = "triage") -> Run:
    return store.runs.start(change=change, service=service, stage="dev", champion="c0ffee", challenger="f00d")


def test_a_run_is_kept_from_start_to_end(store: Store) -> None:
    run = start(store)
    assert store.runs.get(run.id) == run
    assert (run.state, run.finished) == ("running", None)
    ended = store.runs.finish(run.id, scorecard=b'{"decision": "pass"}')
    assert store.runs.get(run.id) == ended
    assert (ended.state, ended.finished is not None) == ("finished", True)
    assert store.runs.scorecard(run.id) == b'{"decision": "pass"}'


def test_a_failed_run_has_no_scorecard(store: Store) -> None:
    run = start(store)
    assert store.runs.finish(run.id, state="failed").state == "failed"
    assert store.runs.scorecard(run.id) is None


def test_an_unknown_run(store: Store) -> None:
    assert store.runs.get("nobody") is None
    assert store.runs.scorecard("nobody") is None
    with pytest.raises(StoreError, match="there is no run nobody"):
        store.runs.finish("nobody")


def test_the_latest_come_first_page_by_page_and_by_service_and_change(store: Store) -> None:
    runs = [start(store, f"change{number % 2}", f"service{number % 3}") for number in range(12)]
    assert store.runs.latest(5) == runs[:-6:-1]
    assert store.runs.latest(5, before=runs[7].id) == runs[6:1:-1]
    assert store.runs.latest(service="service1") == [run for run in runs[::-1] if run.service == "service1"]
    assert store.runs.latest(service="service1", change="change0") == [runs[10], runs[4]]


def test_ids_grow_while_the_clock_goes_backwards(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    clock = iter([now, now - 3_600, now - 86_400 * 365, now, now + 1])
    monkeypatch.setattr(time, "time", lambda: next(clock))
    runs = [start(store) for _ in range(5)]
    assert all(earlier.id < later.id for earlier, later in pairwise(runs))
    assert [run.started for run in runs] == [now, now - 3_600, now - 86_400 * 365, now, now + 1]
    assert store.runs.latest() == runs[::-1]


def start_many(url: str, number: int) -> None:
    with open_store(url) as store:
        for _ in range(number):
            start(store)


def test_several_processes_start_runs_at_once(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=start_many, args=(url, 25)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    with open_store(url) as store:
        assert len({run.id for run in store.runs.latest(1_000)}) == 75
