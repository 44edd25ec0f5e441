"""The gateway's one thread that talks to the store: it writes traces and feedback, and reads releases.

No request waits for it, but for feedback, which is answered once it is safe. While the store is away, rows go to the
spool; once it is back they are delivered, each exactly once, since a row whose id is there already changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from proveout.gateway.metrics import Metrics
from proveout.gateway.spool import Spool, SpoolFull
from proveout.storage.records import Feedback, Release, Trace

if TYPE_CHECKING:
    from proveout.storage import Store
    from proveout.storage.driver import Driver

log = logging.getLogger("proveout.gateway")

CAPACITY = 50_000
"""Traces in memory; more are dropped and counted."""
BATCH = 500
PAUSE_S = 0.1
POLL_S = 0.1
RETRY_S = 1.0
SAY_S = 60.0
"""So often at most it is said that traces are dropped: the log may lie on the same full disk."""
_ROW_TROUBLES = ("row",)

Content = tuple[str, str]
Row = tuple[Any, ...]


class StoreLink:
    """Takes records from the event loop's thread. `on_releases` is called in the loop when those of the store have
    changed."""

    def __init__(
        self,
        url: str,
        environment: str,
        spool: Spool,
        metrics: Metrics,
        *,
        on_releases: Callable[[Mapping[str, Release]], None] | None = None,
    ) -> None:
        self._url = _impatient(url)
        self._environment = environment
        self._spool = spool
        self._on_releases = on_releases
        self._loop = asyncio.get_running_loop()
        self._traces: deque[tuple[Trace, Content | None]] = deque()
        self._feedback: deque[tuple[Feedback, asyncio.Future[None]]] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._store: Store | None = None
        self._driver: Driver | None = None
        self._retry_at = 0.0
        self._poll_at = 0.0
        self._deliver = True
        self._refuses = False
        """The store did not take what was written last, although it may answer."""
        self._unsaid = 0
        self._say_at = 0.0
        self._releases: Mapping[str, Release] | None = None
        self._up = metrics.count("proveout_gateway_store_up")
        self._spooled = metrics.count("proveout_gateway_spooled_bytes")
        self._dropped = metrics.count("proveout_gateway_traces_dropped_total")
        self._thread = threading.Thread(target=self._work, name="proveout-gateway-store", daemon=True)

    def start(self) -> None:
        """Begin to write and to read. What is given before waits."""
        self._thread.start()

    @property
    def up(self) -> bool:
        """Whether the store took what was written last."""
        return self._up.value > 0

    def trace(self, trace: Trace, content: Content | None = None) -> None:
        """Keep a trace. Never waits."""
        if len(self._traces) >= CAPACITY:
            self._dropped.value += 1
            return
        self._traces.append((trace, content))

    async def feedback(self, feedback: Feedback) -> None:
        """Keep a score; returns once it is in the store, or on disk on its way there.

        Raises:
            OSError: neither the store nor the disk takes it.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._feedback.append((feedback, future))
        self._wake.set()
        await future

    def close(self) -> None:
        """Write what is queued, to the store or to the spool, and end the thread. Idempotent."""
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    # The thread

    def _work(self) -> None:
        while not self._closing:
            self._turn()
            self._wake.wait(PAUSE_S)
            self._wake.clear()
        self._turn()
        self._spool.close()
        if self._driver is not None:
            self._driver.close()
        if self._store is not None:
            self._store.database.close()

    def _turn(self) -> None:
        try:
            while self._feedback or self._traces:
                self._keep_feedback()
                self._keep_traces()
            if self._connected():
                if self._deliver:
                    self._deliver_spool()
                if not self._closing and monotonic() >= self._poll_at:
                    self._read_releases()
        except Exception:
            log.exception("the gateway's store thread met something unforeseen and goes on")

    def _keep_feedback(self) -> None:
        from proveout.storage.traces import feedback_row

        taken = [self._feedback.popleft() for _ in range(min(len(self._feedback), BATCH))]
        if not taken:
            return
        error: BaseException | None = None
        try:
            self._keep({"feedback": [feedback_row(feedback) for feedback, _ in taken]})
        except Exception as caught:
            error = caught
        self._in_loop(lambda: _resolve([future for _, future in taken], error))

    def _keep_traces(self) -> None:
        from proveout.storage.traces import trace_row

        taken = [self._traces.popleft() for _ in range(min(len(self._traces), BATCH))]
        if not taken:
            return
        rows: dict[str, list[Row]] = {"traces": [trace_row(trace) for trace, _ in taken]}
        contents: list[Row] = [(trace.id, *content) for trace, content in taken if content is not None]
        if contents:
            rows["trace_contents"] = contents
        try:
            self._keep(rows)
        except Exception as error:
            self._drop(len(taken), error)

    def _drop(self, count: int, error: Exception) -> None:
        self._dropped.value += count
        self._unsaid += count
        if monotonic() >= self._say_at:
            log.warning("%d traces were dropped: %s", self._unsaid, error)
            self._unsaid, self._say_at = 0, monotonic() + SAY_S

    def _keep(self, rows: Mapping[str, list[Row]]) -> None:
        """Into the store, or else into the spool.

        Raises:
            SpoolFull, OSError: the spool does not take them either.
        """
        if self._connected() and self._insert(rows):
            return
        for table, some in rows.items():
            self._spool.append(table, some)
        self._deliver = True
        self._spooled.value = self._spool.waiting_bytes

    def _insert(self, rows: Mapping[str, list[Row]]) -> bool:
        """Whether the store took them. A row that it refuses for its own sake is left out, so that it can't hold up
        the others."""
        from proveout.storage import StoreError
        from proveout.storage.rows import BY_TABLE

        driver = self._driver
        if driver is None:
            return False
        try:
            driver.insert([(BY_TABLE[name], some) for name, some in rows.items()])
        except StoreError as error:
            if error.trouble not in _ROW_TROUBLES:
                self._refuses = True
                self._lost(error)
                return False
            if sum(map(len, rows.values())) == 1:
                log.warning("the store refused a row of %s: %s", next(iter(rows)), error.what)
                return True
            kept = True
            for name, some in rows.items():
                for row in some:
                    kept = self._insert({name: [row]}) and kept
            return kept
        if self._refuses:
            self._refuses = False
            self._found()
        return True

    def _connected(self) -> bool:
        """Whether the store is open, opening it if it is time to try."""
        if self._driver is not None:
            return True
        if monotonic() < self._retry_at:
            return False
        from proveout.storage import StoreError, open_store
        from proveout.storage.driver import Driver

        try:
            if self._store is None:
                self._store = open_store(self._url)
            driver = Driver(self._store.database)
            driver.query("SELECT 1", ())
        except StoreError as error:
            self._lost(error)
            return False
        self._driver = driver
        if not self._refuses:
            self._found()
        return True

    def _found(self) -> None:
        self._up.value = 1.0
        if self._store is not None:
            log.info("the store at %s is there", self._store.url)

    def _lost(self, error: Any) -> None:
        if self._up.value or not self._retry_at:
            log.warning("the store is away, traces and feedback wait on disk: %s", error)
        self._up.value = 0.0
        self._retry_at = monotonic() + RETRY_S
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()

    def _deliver_spool(self) -> None:
        from proveout.storage.rows import BY_TABLE

        for table, path in self._spool.segments():
            batch: list[Row] = []
            for row in self._spool.rows(path):
                batch.append(row + (None,) * (len(BY_TABLE[table].columns) - len(row)))  # An earlier release's.
                if len(batch) >= BATCH:
                    if not self._insert({table: batch}):
                        return
                    batch = []
            if batch and not self._insert({table: batch}):
                return
            self._spool.done(path)
        self._deliver = False
        self._spooled.value = self._spool.waiting_bytes

    def _read_releases(self) -> None:
        from proveout.storage import StoreError

        self._poll_at = monotonic() + POLL_S
        if self._store is None or self._on_releases is None:
            return
        try:
            found = self._store.releases.current(self._environment)
        except StoreError as error:
            self._lost(error)
            return
        if found != self._releases:
            self._releases = found
            told = self._on_releases
            self._in_loop(lambda: told(found))

    def _in_loop(self, callback: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            return  # The loop has ended: nobody waits any more.


def spool_folder(root: Path) -> Path:
    """Where a project's gateway keeps what waits for the store."""
    return root / ".proveout" / "gateway" / "spool"


def _resolve(futures: list[asyncio.Future[None]], error: BaseException | None) -> None:
    for future in futures:
        if not future.done():
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(OSError(str(error)) if isinstance(error, SpoolFull) else error)


def _impatient(url: str) -> str:
    """The store's address with a short time-out: what can't be written soon goes to the spool."""
    if "timeout=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}timeout=2"
