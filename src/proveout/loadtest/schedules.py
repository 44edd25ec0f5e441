"""When requests are sent: pure functions of a seed, with no clock of their own.

A *closed* schedule keeps a number of requests in flight; an *open* one sends at given times, however slow the answers
are, as users do. Open schedules are one thing: a rate over time, and how unevenly the arrivals follow it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]


class Schedule(Protocol):
    """When to send. `describe` gives the schedule as JSON, with its `kind`."""

    def describe(self) -> dict[str, Any]: ...


class OpenSchedule(Schedule, Protocol):
    """Sends at times that do not depend on the answers."""

    def faster(self, factor: float) -> OpenSchedule:
        """The same arrivals, `factor` times as fast."""
        ...

    def times(self, *, requests: int | None = None, duration: float | None = None, seed: int = 0) -> Times:
        """Seconds from the start, ascending; ends at whichever limit comes first.

        Raises:
            ValueError: neither limit is given and the schedule has no end of its own.
        """
        ...


@dataclass(frozen=True, slots=True)
class Closed:
    """`concurrency` requests in flight: each answer is followed by the next request at once. For capacity, not for
    verdicts: when the server stalls, so does the load, and the stall is hardly seen."""

    concurrency: int

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ValueError(f"a concurrency of {self.concurrency}: give 1 or more")

    def describe(self) -> dict[str, Any]:
        return {"kind": "closed", "concurrency": self.concurrency}


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of time in which the rate goes evenly from `start` to `end` requests per second."""

    seconds: float
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Open:
    """Arrivals at a rate that may change over time; the last stage goes on for as long as is asked.

    `burstiness` is the squared coefficient of variation of the gaps at a steady rate: 0 sends evenly, 1 is a Poisson
    process (independent users), more comes in bursts (gamma-distributed gaps).
    """

    stages: tuple[Stage, ...]
    burstiness: float = 1.0

    def __post_init__(self) -> None:
        rates = [rate for stage in self.stages for rate in (stage.start, stage.end)]
        if not any(rate > 0 for rate in rates):
            raise ValueError("a schedule needs a rate above 0")
        if not all(0 <= rate < math.inf for rate in rates):
            raise ValueError("a schedule needs rates that are numbers, and never less than 0")
        if any(not stage.seconds > 0 for stage in self.stages):
            raise ValueError("a stage of a schedule takes more than 0 seconds")
        if not self.burstiness >= 0:
            raise ValueError(f"a burstiness of {self.burstiness}: give 0 or more")

    @property
    def kind(self) -> str:
        first, *others = self.stages
        if others:
            return "piecewise"
        if first.start != first.end:
            return "ramp"
        return {0.0: "constant", 1.0: "poisson"}.get(self.burstiness, "bursts")

    def describe(self) -> dict[str, Any]:
        told: dict[str, Any] = {"kind": self.kind}
        first = self.stages[0]
        if len(self.stages) == 1 and first.start == first.end:
            told["rate"] = first.start
        else:
            told["stages"] = [
                {"seconds": stage.seconds, "start": stage.start, "end": stage.end}
                for stage in self.stages
                if math.isfinite(stage.seconds)
            ]
        return told | ({"burstiness": self.burstiness} if self.kind != "poisson" else {})

    def faster(self, factor: float) -> Open:
        """The same shape at `factor` times the rate."""
        stages = tuple(Stage(stage.seconds, stage.start * factor, stage.end * factor) for stage in self.stages)
        return Open(stages, self.burstiness)

    def times(self, *, requests: int | None = None, duration: float | None = None, seed: int = 0) -> Times:
        end = math.inf if duration is None else duration
        most = self._expected(end)
        if requests is None and not math.isfinite(most):
            raise ValueError("an open schedule without an end needs a number of requests or a duration")
        count = (
            requests if requests is not None else math.ceil(most + 6 * math.sqrt(most * max(self.burstiness, 1)) + 8)
        )
        arrivals = self._inverse(np.cumsum(self._gaps(count, np.random.default_rng(seed))))
        return arrivals[arrivals < end]

    def _gaps(self, count: int, random: np.random.Generator) -> Times:
        """Gaps of mean 1."""
        if self.burstiness == 0:
            gaps = np.ones(count)
            gaps[:1] = 0.0
            return gaps
        return random.gamma(1 / self.burstiness, self.burstiness, count)

    def _expected(self, end: float) -> float:
        """Arrivals expected before `end`."""
        total, left = 0.0, end
        for stage in self._without_end():
            seconds = min(stage.seconds, left)
            if not seconds > 0:
                break
            reached = _rate_at(stage, seconds)
            total += seconds * (stage.start + reached) / 2 if stage.start + reached > 0 else 0.0
            left -= seconds
        return total

    def _without_end(self) -> tuple[Stage, ...]:
        last = self.stages[-1]
        return (*self.stages, Stage(math.inf, last.end, last.end))

    def _inverse(self, units: Times) -> Times:
        """The times at which the expected number of arrivals reaches `units` (time rescaling of a point process)."""
        found = np.full(len(units), math.inf)
        began, done = 0.0, 0.0
        for stage in self._without_end():
            steady = stage.start == stage.end or math.isinf(stage.seconds)
            size = stage.seconds * (stage.start + stage.end) / 2 if stage.start + stage.end > 0 else 0.0
            here = np.isinf(found) & (units < done + size)
            left = units[here] - done
            if steady:
                found[here] = began + left / stage.start if stage.start > 0 else math.inf
            else:
                slope = (stage.end - stage.start) / stage.seconds
                root = np.sqrt(np.maximum(stage.start**2 + 2 * slope * left, 0.0))
                found[here] = began + 2 * left / (stage.start + root)
            began, done = began + stage.seconds, done + size
        return found[np.isfinite(found)]


def _rate_at(stage: Stage, seconds: float) -> float:
    if stage.start == stage.end or math.isinf(stage.seconds):
        return stage.end
    return stage.start + (stage.end - stage.start) * seconds / stage.seconds


def constant(rate: float) -> Open:
    """One request every 1/rate seconds."""
    return Open((Stage(1.0, rate, rate),), 0.0)


def poisson(rate: float) -> Open:
    """Independent users: exponential gaps."""
    return Open((Stage(1.0, rate, rate),), 1.0)


def bursts(rate: float, burstiness: float = 4.0) -> Open:
    """The same mean rate, in bursts."""
    return Open((Stage(1.0, rate, rate),), burstiness)


def ramp(start: float, end: float, seconds: float, burstiness: float = 1.0) -> Open:
    """From one rate to another over some seconds, then on at that rate."""
    return Open((Stage(seconds, start, end),), burstiness)


def piecewise(pieces: Sequence[tuple[float, float]], burstiness: float = 1.0) -> Open:
    """Steady stretches of (rate, seconds), one after the other."""
    return Open(tuple(Stage(seconds, rate, rate) for rate, seconds in pieces), burstiness)


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrivals as they were recorded. `time_scale` 2 replays twice as fast. Token counts are 0 where unknown."""

    offsets: tuple[float, ...]
    input_tokens: tuple[int, ...]
    output_tokens: tuple[int, ...]
    time_scale: float = 1.0
    name: str = ""

    def __post_init__(self) -> None:
        if not self.time_scale > 0 or math.isinf(self.time_scale):
            raise ValueError(f"a time scale of {self.time_scale}: give a number above 0, such as 2 for twice as fast")

    def describe(self) -> dict[str, Any]:
        return {"kind": "trace", "trace": self.name, "time_scale": self.time_scale, "requests": len(self.offsets)}

    def faster(self, factor: float) -> Trace:
        return replace(self, time_scale=self.time_scale * factor)

    def times(self, *, requests: int | None = None, duration: float | None = None, seed: int = 0) -> Times:
        offsets = np.asarray(self.offsets[:requests]) / self.time_scale
        return offsets if duration is None else offsets[offsets < duration]


def parsed_rate(text: str, *, arrivals: str = "poisson", duration: float | None = None) -> Open:
    """A schedule as people write it: `25`; `5..50` (a ramp over the duration); `10@30s,40@30s` (pieces).

    Args:
        text: the rate in requests per second.
        arrivals: `poisson`, `constant` or `bursts`.
        duration: of a ramp, in seconds.

    Raises:
        ValueError: it is none of these; the message says what to write.
    """
    uneven = _BURSTINESS.get(arrivals)
    if uneven is None:
        raise ValueError(f"there are no {arrivals!r} arrivals; write {', '.join(_BURSTINESS)}")
    try:
        if "@" in text:
            pieces = [piece.split("@") for piece in text.split(",")]
            return piecewise([(float(rate), float(seconds.removesuffix("s"))) for rate, seconds in pieces], uneven)
        if ".." in text:
            start, end = (float(part) for part in text.split(".."))
        else:
            rate = float(text)
            return Open((Stage(1.0, rate, rate),), uneven)
    except ValueError as error:
        hint = str(error) if "schedule" in str(error) else "write 25, 5..50 (a ramp) or 10@30s,40@30s (pieces)"
        raise ValueError(f"a rate of {text!r} can't be used: {hint}") from None
    if duration is None:
        raise ValueError(f"the ramp {text} needs a duration; add --duration 60")
    return ramp(start, end, duration, uneven)


_BURSTINESS: Mapping[str, float] = {"poisson": 1.0, "constant": 0.0, "bursts": 4.0}
