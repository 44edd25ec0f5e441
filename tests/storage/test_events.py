"""Events: appended in order, never changed."""

from __future__ import annotations

import asyncio
import time

import pytest

from proveout.storage import Store, open_store, tables


def test_events_come_back_in_the_order_of_commits(store: Store) -> None:
    async def append() -> list[str]:
        return [await store.events.append("step", f"rollout {n % 2}", {"weight": n}) for n in range(6)]

    ids = asyncio.run(append())
    events = store.events.after()
    assert [event.id for event in events] == ids
    assert [event.body for event in events] == [{"weight": n} for n in range(6)]
    assert store.events.after(events[2].position) == events[3:]
    assert store.events.after(subject="rollout 1", limit=2) == events[1:4:2]
    assert store.events.after(kind="other") == []


def test_order_does_not_depend_on_the_clock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1_000.0, 10.0])
    monkeypatch.setattr(time, "time", lambda: next(clock))
    store.events.append_nowait("first", "s")
    store.events.append_nowait("second", "s")
    store.writer.flush()
    assert [(event.kind, event.time) for event in store.events.after()] == [("first", 1_000.0), ("second", 10.0)]


def test_a_reader_that_goes_on_after_the_last_position_misses_nothing(store: Store, url: str) -> None:
    """A quick appender waits for a slow one: else a reader would see its higher position first and go on from there."""
    slow = {"id": "slow", "time": 0.0, "kind": "slow", "subject": "s", "body": "null"}
    with open_store(url) as quick:
        with store.database.transaction(lock="events") as connection:
            connection.execute(tables.events.insert().values(slow))
            quick.events.append_nowait("quick", "s")
            time.sleep(0.2)
            assert store.events.after() == []
        quick.writer.flush()
    assert [event.kind for event in store.events.after()] == ["slow", "quick"]
