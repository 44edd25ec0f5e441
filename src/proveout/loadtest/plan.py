"""What a run of requests is to do, as data that can be handed to several workers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from proveout.models import Request
from proveout.project.records import ModelSpec

DEFAULT_TIMEOUT_S = 60.0
WARMUP = 4
"""Requests of each arm before a run, so that connections are open and caches of code are warm."""


class Workload(Protocol):
    """The requests of a load test. Must be picklable; the same index gives the same request."""

    def request(self, arm: int, index: int) -> Request: ...

    def wanted(self, index: int) -> tuple[float, float]:
        """Input and output tokens that request `index` is meant to have; NaN where it is not known."""
        ...

    def describe(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Plan:
    """A run: which request goes where and when.

    Open: request i is due at `due[i]` seconds from the start, of arm `arm[i]`, with prompt `prompt[i]`; `counted[i]` is
    False in wash-outs. Closed (`concurrency` set): requests follow each other, and `due` is not used; it ends after
    `len(arm)` requests or after `duration` seconds.
    """

    targets: tuple[ModelSpec, ...]
    workload: Workload
    arm: NDArray[np.int64]
    prompt: NDArray[np.int64]
    due: NDArray[np.float64] | None = None
    block: NDArray[np.int64] | None = None
    counted: NDArray[np.bool_] | None = None
    concurrency: int | None = None
    duration: float = math.inf
    max_concurrency: int | None = None
    """A cap of an open run; waiting for a place counts as latency."""
    timeout_s: float = DEFAULT_TIMEOUT_S
    warmup: int = WARMUP
    keep_text: bool = False
    give_up_after: int = 50
    """Failures in a row after which the run ends."""

    def __len__(self) -> int:
        return len(self.arm)


@dataclass(frozen=True, slots=True)
class Failed:
    """An example of what went wrong, by kind."""

    kind: str
    count: int
    message: str


@dataclass(slots=True)
class Failures:
    """Counts failures by kind, and keeps the first message of each."""

    kinds: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, kind: str, message: str, count: int = 1) -> None:
        seen = self.kinds.setdefault(kind, [0, message])
        seen[0] += count

    def listed(self) -> tuple[Failed, ...]:
        found = [Failed(kind, count, message) for kind, (count, message) in self.kinds.items()]
        return tuple(sorted(found, key=lambda failed: -failed.count))
