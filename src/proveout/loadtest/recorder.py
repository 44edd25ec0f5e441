"""Sends a plan's requests and stamps what comes back: one process, one event loop, the wire's own client.

Nothing stands between it and the endpoint: no retry, no cache, no limiter. Every read is stamped and kept as it came;
answers are read after the run (while it lasts only where too much piles up, a millisecond at a time), so that reading
one never holds up the stamps of the others.
"""

from __future__ import annotations

import asyncio
import math
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import monotonic, process_time
from typing import NamedTuple, cast

import msgspec
import numpy as np

from proveout.loadtest.client_watch import ClientLoad, ClientWatch, no_collections
from proveout.loadtest.plan import Failed, Failures, Plan
from proveout.loadtest.records import ANSWERED, STOPPED, Records
from proveout.models import ModelError, Request
from proveout.models.providers import Draft, Endpoint, Tape, open_endpoint
from proveout.wire import Client

_GRACE_S = 5.0
_MOST_CONNECTIONS = 100_000
_WARMUP_AT_ONCE = 8
MOST_PILED_UP = 64 * 2**20
"""Bytes of unread answers above which some are read while the run goes on."""
READ_FIRST = 8
"""Answers that are read at once, so that an endpoint that sends nothing but errors is soon known."""
READ_S = 0.001
"""How long the reading of answers may hold up a run, every 10 ms."""


class CannotLoad(Exception):
    """A load test can't be run as asked; the message says why and what to do."""


@dataclass(frozen=True)
class Recorded:
    """What a run brought. `ended` says why it ended early, where it did. `seconds` runs from the start to the last
    answer."""

    records: Records
    client: ClientLoad
    failures: tuple[Failed, ...]
    seconds: float
    ended: str = ""


class _Times(NamedTuple):
    """A request and when it was due, ready and asked for, in seconds from the start."""

    row: int
    due: float
    ready: float
    asked: float


class Recorder:
    """Runs one worker's share of a plan: requests `share`, `share + workers`, ..."""

    def __init__(self, plan: Plan, share: int = 0, workers: int = 1) -> None:
        self._plan = plan
        self._mine = range(share, len(plan), workers)
        self._workers = workers
        self._share = share
        self._floats = {name: array("d") for name in _FLOATS}
        self._rows: list[int] = []
        self._finish: list[str] = []
        self._error: list[str] = []
        self._text: list[str] = []
        self._stamps = array("d")
        self._starts = array("q", [0])
        self._failures = Failures()
        self._in_a_row = 0
        self._in_flight = 0
        self._unread: deque[tuple[_Times, int, Tape]] = deque()
        self._piled_up = 0
        self._going = True
        self._stopped = asyncio.Event()
        self._ended = ""
        self._zero = 0.0
        self._endpoints: list[Endpoint] = []
        self._client: Client | None = None

    async def __aenter__(self) -> Recorder:
        """Open the endpoints.

        Raises:
            CannotLoad: one can't be opened.
        """
        self._client = Client(max_connections_per_origin=_MOST_CONNECTIONS)
        for spec in self._plan.targets:
            limits = msgspec.structs.replace(spec.limits, timeout_s=self._plan.timeout_s)
            try:
                endpoint = open_endpoint(msgspec.structs.replace(spec, limits=limits), self._client)
            except LookupError as error:
                raise CannotLoad(f"{spec.provider} {spec.name}".strip() + f" can't be called: {error}") from None
            if not isinstance(endpoint, Endpoint):
                raise CannotLoad(f"{spec.provider} is no endpoint that can be put under load")
            self._endpoints.append(endpoint)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.aclose()

    def stop(self, why: str = STOPPED) -> None:
        """End the run now: what is under way is given up, what was measured is kept."""
        self._ended = self._ended or why
        self._stopped.set()

    async def warm_up(self) -> None:
        """A few requests of each arm that count nowhere. Failures are left to the run to tell."""
        plan = self._plan
        each = math.ceil(plan.warmup / self._workers) if plan.warmup else 0
        # All places of a closed loop at once, so that each has its connection when the run begins.
        width = min(_share_of(plan.concurrency, self._share, self._workers) or _WARMUP_AT_ONCE, max(each, 1))

        async def several(arm: int, numbers: Iterator[int]) -> None:
            for number in numbers:
                request = plan.workload.request(arm, -1 - (self._share * each + number))
                try:
                    await self._endpoints[arm].watch(request, Draft())
                except ModelError:
                    return

        for arm in range(len(self._endpoints)):
            numbers = iter(range(each))
            await self._or_stopped(asyncio.gather(*(several(arm, numbers) for _ in range(width))))

    async def record(self, begin: float, poll: Callable[[], None] = lambda: None) -> Recorded:
        """Send the share, from the time `begin` (`time.monotonic`) on.

        Args:
            begin: the start of the run, the same for all workers.
            poll: called every 10 ms; may call `stop`.
        """
        self._zero = begin

        def each() -> None:
            poll()
            if self._piled_up > MOST_PILED_UP:
                self._read_some()

        with no_collections():
            await self._or_stopped(_until(begin))
            watch = ClientWatch(lambda: self._in_flight, each)
            run = self._closed() if self._plan.concurrency is not None else self._open()
            await self._or_stopped(run)
            self._going = False
            client, seconds = watch.stop(), max(monotonic() - begin, 0.0)
            began = process_time()
            self._read_some(math.inf)
        client = replace(client, cpu_s=client.cpu_s + process_time() - began)
        return Recorded(self._records(), client, self._failures.listed(), seconds, self._ended)

    # The two loops

    async def _open(self) -> None:
        plan = self._plan
        due = cast("np.ndarray", plan.due)
        places = _Places(_share_of(plan.max_concurrency, self._share, self._workers))
        tasks: set[asyncio.Task[None]] = set()
        try:
            for row in self._mine:
                request = plan.workload.request(int(plan.arm[row]), int(plan.prompt[row]))
                at = float(due[row])
                await _until(self._zero + at)
                task = asyncio.ensure_future(self._placed(row, request, at, places))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            if tasks:
                await asyncio.wait(tasks, timeout=self._patience(places))
        finally:
            await _cancelled(tasks)

    def _patience(self, places: _Places) -> float:
        """How long the last requests may take, those that wait for a place included."""
        rounds = 1 if places.limit is None else 1 + math.ceil(places.waiting / places.limit)
        return rounds * self._plan.timeout_s + _GRACE_S

    async def _placed(self, row: int, request: Request, due: float, places: _Places) -> None:
        try:
            ready = due if places.take() else await places.wait() - self._zero
        except asyncio.CancelledError:
            self._keep(_Times(row, due, math.nan, math.nan), math.nan, math.nan, Draft(), STOPPED)
            raise
        try:
            await self._send(row, request, due, ready)
        finally:
            places.give_back()

    async def _closed(self) -> None:
        plan = self._plan
        width = _share_of(plan.concurrency, self._share, self._workers) or 0
        rows = iter(self._mine)

        async def chain() -> None:
            ready = max(0.0, monotonic() - self._zero)
            for row in rows:
                if ready >= plan.duration:
                    return
                request = plan.workload.request(int(plan.arm[row]), int(plan.prompt[row]))
                ready = await self._send(row, request, ready, ready)

        await asyncio.gather(*(chain() for _ in range(width)))

    async def _send(self, row: int, request: Request, due: float, ready: float) -> float:
        """One request; gives the time at which it was over."""
        zero = self._zero
        arm = int(self._plan.arm[row])
        self._in_flight += 1
        asked = monotonic()
        times = _Times(row, due, ready, asked - zero)
        try:
            tape = await self._endpoints[arm].record(request)
        except ModelError as failure:
            done = monotonic()
            self._keep(times, math.nan, done - zero, Draft(), failure.kind)
            self._failed(failure)
            return done - zero
        except asyncio.CancelledError:
            self._keep(times, math.nan, math.nan, Draft(), STOPPED)
            raise
        finally:
            self._in_flight -= 1
        if tape.seems_whole and not self._in_a_row and len(self._rows) >= READ_FIRST:
            self._unread.append((times, arm, tape))
            self._piled_up += tape.size
        else:
            self._read(times, arm, tape)
        return tape.done - zero

    def _read(self, times: _Times, arm: int, tape: Tape) -> None:
        """What an answer holds, into the columns."""
        draft, zero = Draft(), self._zero
        try:
            sent, done = self._endpoints[arm].read(tape, draft)
        except ModelError as failure:
            self._keep(times, math.nan, tape.done - zero, draft, failure.kind)
            self._failed(failure)
            return
        self._in_a_row = 0
        self._keep(times, sent - zero, done - zero, draft, ANSWERED)

    def _read_some(self, seconds: float = READ_S) -> None:
        """Read answers that wait for it, for so long."""
        until = monotonic() + seconds
        while self._unread and monotonic() < until:
            times, arm, tape = self._unread.popleft()
            self._piled_up -= tape.size
            self._read(times, arm, tape)

    def _failed(self, failure: ModelError) -> None:
        self._failures.add(failure.kind, str(failure))
        self._in_a_row += 1
        if self._in_a_row >= self._plan.give_up_after and self._going:
            self.stop(f"{self._in_a_row} requests in a row failed, the last with: {failure}")

    async def _or_stopped(self, work: object) -> None:
        """`work` to its end, or cancelled once the run is to stop."""
        running = asyncio.ensure_future(work)  # type: ignore[call-overload]
        waiting = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                running.cancel()
                await asyncio.wait((running,))
            if not running.cancelled():
                running.result()
        finally:
            waiting.cancel()
            await _cancelled({running})

    # Keeping

    def _keep(self, times: _Times, sent: float, done: float, draft: Draft, error: str) -> None:
        row, *known = times
        usage = draft.usage
        counts = (
            (math.nan,) * 4
            if usage is None
            else (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens)
        )
        for column, value in zip(self._floats.values(), (*known, sent, done, *counts), strict=True):
            column.append(value)
        self._rows.append(row)
        self._finish.append(draft.finish or "")
        self._error.append(error)
        self._text.append("".join(draft.text) if self._plan.keep_text else "")
        self._stamps.extend(draft.stamps)
        self._starts.append(len(self._stamps))

    def _records(self) -> Records:
        plan = self._plan
        rows = np.array(self._rows, dtype=np.int64)
        size = len(rows)
        wanted = [plan.workload.wanted(int(plan.prompt[row])) for row in rows]
        columns = {name: np.frombuffer(column).copy() if size else np.zeros(0) for name, column in self._floats.items()}
        records = Records(
            index=rows,
            arm=plan.arm[rows],
            block=np.zeros(size, dtype=np.int64) if plan.block is None else plan.block[rows],
            counted=np.ones(size, dtype=bool) if plan.counted is None else plan.counted[rows],
            **columns,
            wanted_input=np.array([pair[0] for pair in wanted], dtype=float),
            wanted_output=np.array([pair[1] for pair in wanted], dtype=float),
            finish=tuple(self._finish),
            error=tuple(self._error),
            text=tuple(self._text),
            starts=np.array(self._starts, dtype=np.int64),
            stamps=np.array(self._stamps, dtype=float) - self._zero,
        )
        return records.sorted_by(records.due)


_FLOATS = (
    "due",
    "ready",
    "asked",
    "sent",
    "done",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
)


class _Places:
    """Places under a concurrency cap, given in the order of asking. A wait ends with the time at which a place became
    free, not with the time at which the waiter noticed."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._free = math.inf if limit is None else limit
        self._waiters: deque[asyncio.Future[float]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    def take(self) -> bool:
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    async def wait(self) -> float:
        waiter: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.give_back()
            raise

    def give_back(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(monotonic())
                return
        self._free += 1


async def _until(at: float) -> None:
    """Sleep until a time; a loop's timers count in milliseconds and may come early."""
    while (left := at - monotonic()) > 0:  # noqa: ASYNC110
        await asyncio.sleep(left)


async def _cancelled(tasks: set[asyncio.Task[None]] | set[asyncio.Future[None]]) -> None:
    for task in list(tasks):
        task.cancel()
    if tasks:
        await asyncio.gather(*tasks, return_exceptions=True)


def _share_of(total: int | None, share: int, workers: int) -> int | None:
    """A worker's part of a number that all share; at least 1."""
    if total is None:
        return None
    return max(1, total // workers + (1 if share < total % workers else 0))
