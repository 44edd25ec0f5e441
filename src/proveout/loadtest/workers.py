"""Running a plan: in this process, or shared among several that keep one schedule on one clock."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any

from proveout.loadtest.client_watch import ClientLoad
from proveout.loadtest.plan import Failures, Plan
from proveout.loadtest.recorder import CannotLoad, Recorded, Recorder
from proveout.loadtest.records import Records
from proveout.wire import run as run_loop

_LEAD_S = 0.05
"""Between the word to start and the start, so that all workers have heard it."""
_START_S = 60.0


async def run_plan(plan: Plan, *, workers: int = 1, stopping: Callable[[], bool] = lambda: False) -> Recorded:
    """Warm up, then send all requests of a plan.

    Args:
        plan: what to send.
        workers: processes that share it; each sends every `workers`-th request.
        stopping: asked every 10 ms; once it says True, the run ends and what was measured is given.

    Raises:
        CannotLoad: an endpoint can't be opened, or a worker died.
    """
    workers = max(1, min(workers, plan.concurrency or workers))
    if workers > 1:
        return await _Crew(plan, workers, stopping).run()
    async with Recorder(plan) as recorder:

        def poll() -> None:
            if stopping():
                recorder.stop()

        await recorder.warm_up()
        return await recorder.record(monotonic() + _LEAD_S, poll)


class _Crew:
    """Worker processes and the pipes to them."""

    def __init__(self, plan: Plan, size: int, stopping: Callable[[], bool]) -> None:
        self._stopping = stopping
        self._context = multiprocessing.get_context("spawn")
        self._halt = self._context.Event()
        self._members: list[tuple[Any, Connection]] = []
        for share in range(size):
            mine, theirs = self._context.Pipe()
            process = self._context.Process(
                target=_work, args=(plan, share, size, theirs, self._halt, os.getpid()), daemon=True
            )
            process.start()
            theirs.close()
            self._members.append((process, mine))

    async def run(self) -> Recorded:
        try:
            await self._hear(_START_S)
            begin = monotonic() + _LEAD_S
            for _, pipe in self._members:
                pipe.send(begin)
            return _joined([part for part in await self._hear(None) if part is not None])
        finally:
            self._halt.set()
            for process, pipe in self._members:
                pipe.close()
                process.join(2)
                if process.is_alive():
                    process.kill()

    async def _hear(self, patience: float | None) -> list[Recorded]:
        """One message from each worker.

        Raises:
            CannotLoad: a worker says why it can't go on, or dies, or keeps silent for too long.
        """
        deadline = None if patience is None else monotonic() + patience
        heard: dict[int, Any] = {}
        while len(heard) < len(self._members):
            for number, (process, pipe) in enumerate(self._members):
                if number in heard:
                    continue
                dead = not process.is_alive()
                try:
                    if pipe.poll():
                        heard[number] = pipe.recv()
                        continue
                except (EOFError, ConnectionError):
                    dead = True
                if dead:
                    raise CannotLoad(f"load worker {number + 1} died (exit code {process.exitcode})")
            if self._stopping():
                self._halt.set()
            if deadline is not None and monotonic() > deadline:
                raise CannotLoad(f"the load workers were not ready within {patience:g} s")
            await asyncio.sleep(0.02)
        for message in heard.values():
            if isinstance(message, str) and message:
                raise CannotLoad(message)
        return [heard[number] for number in sorted(heard)]


def _joined(parts: list[Recorded]) -> Recorded:
    failures = Failures()
    for part in parts:
        for failed in part.failures:
            failures.add(failed.kind, failed.message, failed.count)
    return Recorded(
        Records.joined([part.records for part in parts]),
        ClientLoad.joined([part.client for part in parts]),
        failures.listed(),
        max(part.seconds for part in parts),
        next((part.ended for part in parts if part.ended), ""),
    )


def _work(plan: Plan, share: int, workers: int, pipe: Connection, halt: Any, parent: int) -> None:
    """A worker's life: open, warm up, say so, wait for the start, send, hand over."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides.

    async def work() -> None:
        try:
            recorder = Recorder(plan, share, workers)
            await recorder.__aenter__()
        except CannotLoad as error:
            pipe.send(str(error))
            return
        try:
            await recorder.warm_up()
            pipe.send("")
            while not pipe.poll() and not halt.is_set():
                if os.getppid() != parent:
                    return
                await asyncio.sleep(0.005)
            if halt.is_set():
                recorder.stop()
            begin = pipe.recv() if pipe.poll() else monotonic()

            def poll() -> None:
                if halt.is_set() or os.getppid() != parent:
                    recorder.stop()

            pipe.send(await recorder.record(begin, poll))
        finally:
            await recorder.__aexit__()

    with contextlib.suppress(EOFError, BrokenPipeError):
        run_loop(work())
