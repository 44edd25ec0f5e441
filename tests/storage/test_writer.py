"""The batching writer: groups, acknowledgements, back-pressure, refused rows, the end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from proveout.storage import Outcome, Store, StoreError, WriterFull, open_store
from proveout.storage.database import Database
from proveout.storage.driver import Driver
from proveout.storage.rows import CALLS
from proveout.storage.writer import Writer


def outcome(number: int = 0, **changes: Any) -> Outcome:
    values = {"run": "run", "example": f"{number:06d}", "repeat": 0, "arm": 0, "variant": "f00d"} | changes
    return Outcome(**values)


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each transaction had, as they happen."""
    seen: list[int] = []
    insert: Callable[..., None] = Driver.insert

    def counted(self: Driver, batches: Any) -> None:
        batches = list(batches)
        seen.append(sum(len(rows) for _, rows in batches))
        insert(self, batches)

    monkeypatch.setattr(Driver, "insert", counted)
    return seen


def test_rows_put_together_are_committed_together(store: Store, commits: list[int]) -> None:
    async def put_all() -> None:
        await asyncio.gather(*(store.outcomes.put(outcome(number)) for number in range(500)))

    asyncio.run(put_all())
    assert store.outcomes.count("run") == {0: 500}
    assert sum(commits) == 500
    assert len(commits) <= 5


def test_one_row_alone_does_not_wait_for_company(store: Store) -> None:
    asyncio.run(store.calls.put(b"warm", b""))
    began = time.perf_counter()
    asyncio.run(store.calls.put(b"key", b""))
    assert time.perf_counter() - began < 0.5


def test_several_event_loops_share_the_writer(store: Store) -> None:
    async def put_some(first: int) -> None:
        await asyncio.gather(*(store.outcomes.put(outcome(number)) for number in range(first, first + 200)))

    threads = [threading.Thread(target=asyncio.run, args=(put_some(first),)) for first in (0, 200, 400)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.outcomes.count("run") == {0: 600}


def test_flush_waits_for_what_was_queued_without_waiting(store: Store) -> None:
    for number in range(3_000):
        store.outcomes.put_nowait(outcome(number))
    store.writer.flush()
    assert store.outcomes.count("run") == {0: 3_000}


def test_closing_writes_what_is_queued(url: str) -> None:
    with open_store(url) as store:
        for number in range(2_500):
            store.outcomes.put_nowait(outcome(number))
    with open_store(url) as store:
        assert store.outcomes.count("run") == {0: 2_500}


def test_a_full_queue_makes_put_wait_and_refuses_put_nowait(url: str) -> None:
    open_store(url).close()
    database = Database(url)
    writer = Writer(database, linger_s=0.05, capacity=10)
    row = (b"key", b"", 0.0)

    async def crowd() -> None:
        waiting = [asyncio.ensure_future(writer.put(CALLS, (bytes([n]), b"", 0.0))) for n in range(60)]
        await asyncio.sleep(0)
        with pytest.raises(WriterFull, match="10 rows are waiting"):
            writer.put_nowait(CALLS, row)
        await asyncio.gather(*waiting)

    asyncio.run(crowd())
    writer.close()
    with open_store(url) as store:
        assert len(store.calls.get_many([bytes([n]) for n in range(60)])) == 60
    database.close()


def test_a_refused_row_does_not_take_its_neighbours_with_it(store: Store) -> None:
    async def put_all() -> list[BaseException | None]:
        bad = store.writer.put(CALLS, (b"bad", None, 0.0))
        good = [store.calls.put(bytes([number]), b"") for number in range(20)]
        return await asyncio.gather(*good[:10], bad, *good[10:], return_exceptions=True)

    *first, refused = (results := asyncio.run(put_all()))[:11]
    assert isinstance(refused, StoreError)
    assert refused.trouble == "row"
    assert [*first, *results[11:]] == [None] * 20
    assert len(store.calls.get_many([bytes([number]) for number in range(20)])) == 20


def test_a_row_that_the_driver_can_not_carry_is_refused(store: Store) -> None:
    async def put_both() -> tuple[BaseException | None, BaseException | None]:
        return await asyncio.gather(
            store.outcomes.put(outcome(1, failure="\ud800")), store.outcomes.put(outcome(2)), return_exceptions=True
        )

    refused, kept = asyncio.run(put_both())
    assert isinstance(refused, StoreError)
    assert kept is None
    assert store.outcomes.count("run") == {0: 1}


def test_a_refused_row_that_nobody_awaits_is_told_by_flush(store: Store) -> None:
    store.writer.put_nowait(CALLS, (b"bad", None, 0.0))
    with pytest.raises(StoreError, match="a row was refused"):
        store.writer.flush()
    store.writer.flush()


def test_a_refused_row_that_nobody_awaits_is_told_by_close(url: str) -> None:
    store = open_store(url)
    store.writer.put_nowait(CALLS, (b"bad", None, 0.0))
    with pytest.raises(StoreError, match="a row was refused"):
        store.close()


def test_a_put_given_up_is_written_all_the_same(store: Store) -> None:
    async def give_up() -> None:
        task = asyncio.ensure_future(store.calls.put(b"key", b"kept"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(give_up())
    store.writer.flush()
    assert store.calls.get(b"key") == b"kept"


def test_an_event_loop_that_is_gone_stops_nobody(store: Store) -> None:
    async def leave() -> None:
        asyncio.ensure_future(store.calls.put(b"left", b""))  # noqa: RUF006
        await asyncio.sleep(0)

    asyncio.run(leave())
    asyncio.run(store.calls.put(b"stayed", b""))
    assert store.calls.get_many([b"left", b"stayed"]).keys() == {b"left", b"stayed"}


def test_a_closed_store_takes_nothing_more(url: str) -> None:
    store = open_store(url)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="it was closed"):
        asyncio.run(store.calls.put(b"key", b""))
