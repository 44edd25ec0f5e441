"""How far a run is, on standard error: a live bar on a terminal, a line now and then elsewhere, else nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TextIO

from proveout.reports.figures import duration, usd
from proveout.reports.text import counted

if TYPE_CHECKING:
    from proveout.gates.plan import RunPlan

LINE_SECONDS = 3.0
"""Plain lines are at least this far apart."""

SILENCE_SECONDS = 60.0
"""A line is due after this long, even short of the next tenth."""

REDRAW_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class State:
    """Calls finished (`done` counts cached and failed ones too), and dollars spent; None where a price is unknown."""

    done: int = 0
    cached: int = 0
    failed: int = 0
    cost_usd: float | None = 0.0


class Progress(Protocol):
    """What a run tells about itself; may be called for every finished call."""

    def update(self, *, done: int, cached: int, failed: int, cost_usd: float | None) -> None: ...


@contextmanager
def progress_display(plan: RunPlan) -> Iterator[Progress]:
    """Shows a run of `plan.calls` calls until the block ends. A display that can't be shown is no error."""
    stream = sys.stderr
    if stream is None or stream.closed:
        yield Silent()
    elif _is_terminal(stream):
        with _bar(plan.calls, stream) as bar:
            yield bar
    else:
        lines = PlainLines(plan.calls, stream)
        try:
            yield lines
        finally:
            lines.finish()


class Silent:
    """Nobody listens."""

    def update(self, *, done: int, cached: int, failed: int, cost_usd: float | None) -> None:
        pass


class PlainLines:
    """One line at each tenth of the calls, never more than one in three seconds, and one a minute when it is slow."""

    def __init__(self, total: int, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._stream, self._clock = total, stream, clock
        self._began = self._said = clock()
        self._tenth = 0
        self._state = State()
        self._mute = False

    def update(self, *, done: int, cached: int, failed: int, cost_usd: float | None) -> None:
        self._state = State(done, cached, failed, cost_usd)
        tenth = done * 10 // max(self._total, 1)
        waited = self._clock() - self._said
        if (tenth > self._tenth and waited >= LINE_SECONDS) or waited >= SILENCE_SECONDS:
            self._tenth = max(tenth, self._tenth)
            self._say(state_in_words(self._state, self._total, self._clock() - self._began))

    def finish(self) -> None:
        """The last line: how far it came and how long it took."""
        self._say(
            f"{_counts(self._state, self._total)}, {_spent(self._state)}, took {duration(self._clock() - self._began)}"
        )

    def _say(self, line: str) -> None:
        self._said = self._clock()
        if self._mute:
            return
        try:
            print(line, file=self._stream, flush=True)
        except (OSError, ValueError):
            self._mute = True


def state_in_words(state: State, total: int, elapsed: float) -> str:
    """`40%  768 of 1,920 calls, 12 cached, 3 failed, $0.34 so far, about 40 s left`."""
    left = seconds_left(state, total, elapsed)
    ending = f", about {duration(left)} left" if left is not None else ""
    return f"{state.done * 100 // max(total, 1):>3}%  {_counts(state, total)}, {_spent(state)}{ending}"


def seconds_left(state: State, total: int, elapsed: float) -> float | None:
    """From the pace of the calls that were really made; None while there is none."""
    made = state.done - state.cached
    remaining = max(total - state.done, 0)
    return elapsed / made * remaining if made > 0 and elapsed > 0 else None


def _counts(state: State, total: int) -> str:
    asides = [f"{count:,} {what}" for count, what in ((state.cached, "cached"), (state.failed, "failed")) if count]
    return ", ".join([f"{state.done:,} of {counted(max(total, state.done), 'call')}", *asides])


def _spent(state: State) -> str:
    return "cost unknown" if state.cost_usd is None else f"{usd(round(state.cost_usd, 4))} so far"


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (OSError, ValueError):
        return False


@contextmanager
def _bar(total: int, stream: TextIO) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as RichProgress

    console = Console(file=stream, markup=False, emoji=False, highlight=False)
    if console.is_dumb_terminal:
        lines = PlainLines(total, stream)
        try:
            yield lines
        finally:
            lines.finish()
        return
    display = RichProgress(BarColumn(bar_width=24), TextColumn("{task.fields[words]}", markup=False), console=console)
    with display:
        bar = _Bar(display, total)
        try:
            yield bar
        finally:
            bar.draw()


class _Bar:
    """Rich's bar, drawn at most ten times a second however often it is told."""

    def __init__(self, display: object, total: int) -> None:
        from rich.progress import Progress as RichProgress

        assert isinstance(display, RichProgress)
        self._display, self._total = display, total
        self._began = time.monotonic()
        self._drawn = 0.0
        self._state = State()
        self._task = display.add_task("", total=max(total, 1), words="starting")

    def update(self, *, done: int, cached: int, failed: int, cost_usd: float | None) -> None:
        self._state = State(done, cached, failed, cost_usd)
        if time.monotonic() - self._drawn >= REDRAW_SECONDS:
            self.draw()

    def draw(self) -> None:
        self._drawn = time.monotonic()
        words = state_in_words(self._state, self._total, self._drawn - self._began)
        self._display.update(self._task, completed=self._state.done, words=words)
