"""Watching the client itself: whether what a load test measured may be its own slowness."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

import numpy as np
from numpy.typing import NDArray

PROBE_S = 0.01
MOST_CPU = 0.8
"""Share of one core that a worker may use; above it, its event loop is busy too often."""
LAG_SHARE = 0.05
"""Share of the median TTFT that the client's p99 lag may have."""
LAG_FLOOR_S = 0.010
"""A lag below this is no reason to throw a run away, however quick the endpoint."""


@dataclass(frozen=True, slots=True)
class ClientLoad:
    """How busy the client was. `loop_lag` are samples in seconds, of all workers; `in_flight` is the mean number of
    requests under way, as sampled; `cpu_fraction` that of the busiest worker, of one core."""

    cpu_fraction: float
    cpu_s: float
    loop_lag: NDArray[np.float64]
    in_flight: float
    workers: int = 1

    @classmethod
    def joined(cls, parts: list[ClientLoad]) -> ClientLoad:
        return cls(
            max(part.cpu_fraction for part in parts),
            sum(part.cpu_s for part in parts),
            np.concatenate([part.loop_lag for part in parts]),
            sum(part.in_flight for part in parts),
            len(parts),
        )


class ClientWatch:
    """Samples the event loop every 10 ms."""

    def __init__(self, in_flight: Callable[[], int], each: Callable[[], None] = lambda: None) -> None:
        """`each` is called with every sample."""
        self._loop = asyncio.get_running_loop()
        self._in_flight = in_flight
        self._each = each
        self._lags: list[float] = []
        self._flights: list[int] = []
        self._began, self._cpu = monotonic(), time.process_time()
        self._due = 0.0
        self._handle: asyncio.TimerHandle | None = None
        self._again()

    def _again(self) -> None:
        self._due = monotonic() + PROBE_S
        self._handle = self._loop.call_later(PROBE_S, self._sample)

    def _sample(self) -> None:
        # A loop's timers count in whole milliseconds, so that one of lateness says nothing.
        self._lags.append(max(monotonic() - self._due - 0.001, 0.0))
        self._flights.append(self._in_flight())
        self._again()
        self._each()

    def stop(self) -> ClientLoad:
        if self._handle is not None:
            self._handle.cancel()
        wall = max(monotonic() - self._began, 1e-9)
        cpu = time.process_time() - self._cpu
        flights = float(np.mean(self._flights)) if self._flights else 0.0
        return ClientLoad(cpu / wall, cpu, np.array(self._lags), flights)


def reasons_invalid(send_lag_p99: float, loop_lag_p99: float, cpu_fraction: float, ttft_p50: float) -> list[str]:
    """Why a run says more about the client than about the endpoint; empty where it does not.

    Args:
        send_lag_p99: seconds by which requests left late.
        loop_lag_p99: seconds by which the event loop came late.
        cpu_fraction: of one core, of the busiest worker.
        ttft_p50: the median time to first token in seconds; NaN or infinite where there is none.
    """
    limit = LAG_FLOOR_S if not ttft_p50 < float("inf") else max(LAG_FLOOR_S, LAG_SHARE * ttft_p50)
    found: list[str] = []
    for lag, what in ((send_lag_p99, "requests left"), (loop_lag_p99, "the event loop came")):
        if lag > limit:
            found.append(f"{what} up to {lag * 1000:.1f} ms late (p99; {limit * 1000:.1f} ms are allowed)")
    if cpu_fraction > MOST_CPU:
        found.append(f"the client used {cpu_fraction:.0%} of a core ({MOST_CPU:.0%} are allowed); use more --workers")
    return found


@contextmanager
def no_collections() -> Iterator[None]:
    """No garbage collection in the middle of a measurement: it would stop every stream at once."""
    was_on = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()
