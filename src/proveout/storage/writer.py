"""The one writer of a process: rows from everywhere, committed in groups by one thread."""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from proveout.storage.database import Database
from proveout.storage.driver import Driver, Row
from proveout.storage.errors import StoreError, WriterFull
from proveout.storage.rows import Rows

LINGER_S = 0.001
CAPACITY = 20_000
ROWS_PER_COMMIT = 1_000
FIRST_RETRY_S = 0.05
LONGEST_RETRY_S = 2.0


class _Entry(NamedTuple):
    """A row on its way. `future` hears of the commit; without one, a failure is kept for `flush`."""

    table: Rows
    row: Row
    future: asyncio.Future[None] | None


class Writer:
    """Takes rows, commits whatever has gathered in one transaction, then tells those who wait.

    A row is a tuple of its table's columns in order. A row whose key is there
    already is left as it was and counts as written. Once `put` has returned, the row survives the end of the process
    by any signal.

    A refused row does not take the others of its batch with it. A lost database server is waited for as long as the
    store's time-out says; then the rows in hand fail and the next ones try again.
    """

    def __init__(self, database: Database, *, linger_s: float = LINGER_S, capacity: int = CAPACITY) -> None:
        self._database = database
        self._driver = Driver(database)
        self._linger_s = linger_s
        self._capacity = capacity
        self._queue: deque[_Entry] = deque()
        self._in_hand = 0
        self._changed = threading.Condition()
        self._idle = False
        self._closing = False
        self._for_space: deque[asyncio.Future[None]] = deque()
        self._unheard: StoreError | None = None
        self._thread: threading.Thread | None = None

    async def put(self, table: Rows, row: Row) -> None:
        """Write a row; returns once it is committed. Waits for room while the queue is full.

        Raises:
            StoreError: the row was not written.
        """
        future = asyncio.get_running_loop().create_future()
        while not self._enqueue(_Entry(table, row, future)):
            space = asyncio.get_running_loop().create_future()
            self._for_space.append(space)
            if len(self._queue) < self._capacity and not space.done():
                space.set_result(None)
            await space
        await future

    def put_nowait(self, table: Rows, row: Row) -> None:
        """Queue a row, from any thread, without waiting; if it can't be written, the next `flush` or `close` says so.

        Raises:
            WriterFull: the queue is full; the row was not taken.
        """
        if not self._enqueue(_Entry(table, row, None)):
            raise WriterFull(self._database.name, self._capacity)

    def flush(self) -> None:
        """Wait until every row queued so far is committed or has failed.

        Raises:
            StoreError: a row queued by `put_nowait` since the last flush was not written.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._queue and not self._in_hand)
            unheard, self._unheard = self._unheard, None
        if unheard is not None:
            raise unheard

    def close(self) -> None:
        """Write what is queued, then end the thread. Idempotent. Raises as `flush` does."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            atexit.unregister(self.close)
            self._thread = None
        self._driver.close()
        unheard, self._unheard = self._unheard, None
        if unheard is not None:
            raise unheard

    def _enqueue(self, entry: _Entry) -> bool:
        """Whether the queue had room."""
        with self._changed:
            if self._closing:
                raise StoreError("closed", self._database.name, "it was closed", "Open the store again.")
            if len(self._queue) >= self._capacity:
                return False
            self._queue.append(entry)
            if self._idle:
                self._idle = False
                self._changed.notify_all()
            elif self._thread is None:
                self._start()
            return True

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._work, name="proveout-writer", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def _work(self) -> None:
        while self._wait_for_rows():
            if self._linger_s and not self._closing:
                time.sleep(self._linger_s)
            entries = self._take()
            self._write(entries)
            with self._changed:
                self._in_hand = 0
                self._changed.notify_all()

    def _wait_for_rows(self) -> bool:
        """Whether there are any; False once the writer is closed and nothing is left."""
        with self._changed:
            while not self._queue and not self._closing:
                self._idle = True
                self._changed.wait()
            self._idle = False
            return bool(self._queue)

    def _take(self) -> list[_Entry]:
        with self._changed:
            count = min(len(self._queue), ROWS_PER_COMMIT)
            entries = [self._queue.popleft() for _ in range(count)]
            self._in_hand = count
        waiting = [self._for_space.popleft() for _ in range(len(self._for_space))]
        _resolve_in_their_loops(waiting, None)
        return entries

    def _write(self, entries: list[_Entry]) -> None:
        error = self._commit(entries)
        if error is not None and error.trouble in ("row", "other") and len(entries) > 1:
            for entry in entries:
                self._acknowledge([entry], self._commit([entry]))
        else:
            self._acknowledge(entries, error)

    def _commit(self, entries: list[_Entry]) -> StoreError | None:
        batches: dict[Rows, list[Row]] = {}
        for entry in entries:
            batches.setdefault(entry.table, []).append(entry.row)
        deadline = time.monotonic() + self._database.timeout_s
        pause = FIRST_RETRY_S
        while True:
            try:
                self._driver.insert(batches.items())
            except StoreError as error:
                if error.trouble != "unreachable" or self._closing or time.monotonic() + pause > deadline:
                    return error
                time.sleep(pause)
                pause = min(pause * 2, LONGEST_RETRY_S)
            except Exception as error:
                return StoreError("row", self._database.name, f"a row was refused ({error})", "Correct the row.")
            else:
                return None

    def _acknowledge(self, entries: list[_Entry], error: StoreError | None) -> None:
        if error is not None and any(entry.future is None for entry in entries):
            self._unheard = self._unheard or error
        _resolve_in_their_loops((entry.future for entry in entries if entry.future is not None), error)


def _resolve_in_their_loops(futures: Iterable[asyncio.Future[None]], error: StoreError | None) -> None:
    """Wake each event loop once for all of its futures."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for future in futures:
        by_loop.setdefault(future.get_loop(), []).append(future)
    for loop, waiting in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, waiting, error)
        except RuntimeError:
            continue  # That loop was closed: nobody waits there any more.


def _resolve(futures: list[asyncio.Future[None]], error: StoreError | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
