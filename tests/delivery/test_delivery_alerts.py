"""Alerts on their way out: by Alertmanager's webhook, and by `apprise`, the library itself, to a local address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from delivery_house import House, write_project

from proveout.delivery.errands import FIRST_RETRY_S, Runner
from proveout.storage import Store, open_store
from proveout.testing.faults import Answer, FaultServer, Received

pytest.importorskip("apprise")


@pytest.fixture
def store(tmp_path: Path) -> Any:
    """SQLite alone: nothing here depends on the database."""
    with open_store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


def rolled_back(store: Store, folder: Path, target: str) -> House:
    """A rollout that an outage ended, with an alert to send."""
    house = House(store, write_project(folder / "project", targets=[{"apprise": target}]))
    house.start()
    house.tick()
    house.run(10, 40, {"new": 0.9})
    assert house.rollout.status == "rolled_back"
    return house


def run_errands(house: House) -> int:
    runner = Runner(house.store, lambda: house.project, house.clock)
    return asyncio.run(runner.run_due())


def while_listening(answer: Callable[[Received], Answer], work: Callable[[int], None]) -> None:
    async def run() -> None:
        async with FaultServer(answer) as server:
            await asyncio.to_thread(work, server.port)

    asyncio.run(run())


def test_apprise_tells_what_happened_and_its_address_may_be_a_secret(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Received] = []

    def answer(request: Received) -> Answer:
        heard.append(request)
        return Answer()

    def work(port: int) -> None:
        monkeypatch.setenv("ALERTS", f"json://user:hidden@127.0.0.1:{port}/on-call")
        house = rolled_back(store, tmp_path, "env:ALERTS")
        assert run_errands(house) == 1
        assert run_errands(house) == 0  # It is done.

    while_listening(answer, work)
    (request,) = heard
    said = request.json()
    assert request.target.startswith("/on-call")
    assert request.headers.get("authorization", "").startswith("Basic ")
    assert said["title"] == "answers in production: rolled back"
    assert "kill switch" in said["message"]
    assert "hidden" not in str([errand.body for errand in store.deliveries.errands()])


def test_an_alert_that_is_not_taken_is_sent_again_until_it_is(store: Store, tmp_path: Path) -> None:
    answers = iter([Answer(status=500), Answer()])

    def work(port: int) -> None:
        house = rolled_back(store, tmp_path, f"json://127.0.0.1:{port}/")
        assert run_errands(house) == 0
        (waiting,) = store.deliveries.due_errands(house.clock.now + FIRST_RETRY_S)
        assert waiting.result == "apprise could not send it"
        house.clock.now += FIRST_RETRY_S
        assert run_errands(house) == 1

    while_listening(lambda request: next(answers), work)


@pytest.mark.parametrize(
    ("target", "said"),
    [("env:NONSENSE", "no service that apprise knows"), ("env:NOT_SET_ANYWHERE", "NOT_SET_ANYWHERE")],
)
def test_an_address_that_cannot_be_used_is_told_without_its_secret_and_waits(
    store: Store,
    tmp_path: Path,
    target: str,
    said: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NONSENSE", "nonsense://user:hidden@host")
    house = rolled_back(store, tmp_path, target)
    assert run_errands(house) == 0
    (waiting,) = store.deliveries.due_errands(house.clock.now + FIRST_RETRY_S)
    assert said in waiting.result
    assert "hidden" not in caplog.text + waiting.result
