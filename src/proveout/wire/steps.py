"""Coroutines that go on in the very call that brings what they wait for, without a task and a turn of the loop between.

A task costs several microseconds, and as much again each time that it is woken: more than all else that a forwarded
request needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class _Running:
    """`steps`: whether a coroutine runs in steps now: then it is what awaits, and no task. No attribute of a class,
    since setting one makes the interpreter forget all that it learnt about the class."""

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps = False


_running = _Running()


class Outcome(Generic[T]):
    """Something that comes once, and who waits for it: a task, or `Steps`. To cancel the wait is to `cancel` it."""

    # Defaults of the class: most are never set.
    settled = False
    """Whether it has come, or never will."""
    stop: Callable[[], object] | None = None
    """Ends what is being done for it now."""
    _value: T
    _error: BaseException | None = None
    _steps: Steps | None = None
    _future: asyncio.Future[T] | None = None

    def bring(self, value: T) -> None:
        """It has come."""
        self.settled = True
        self.stop = None
        if self._steps is not None:
            self._steps.go_on(value)
        elif self._future is None:
            self._value = value
        elif not self._future.done():
            self._future.set_result(value)

    def fail(self, error: BaseException) -> None:
        """It will not come."""
        self.settled = True
        self.stop = None
        if self._steps is not None:
            self._steps.break_off(error)
        elif self._future is None:
            self._error = error
        elif not self._future.done():
            self._future.set_exception(error)

    def cancel(self) -> None:
        """Stop what is being done for it; nothing comes any more. Idempotent."""
        stop, self.stop = self.stop, None
        if stop is not None:
            stop()

    def awaited_by(self, steps: Steps) -> None:
        self._steps = steps

    def __await__(self) -> Generator[Any, Any, T]:
        if self.settled:
            if self._error is not None:
                raise self._error
            return self._value
        if _running.steps:
            return (yield self)
        future = self._future = asyncio.get_running_loop().create_future()
        try:
            return (yield from future)
        except asyncio.CancelledError:
            self.cancel()
            if future.done() and not future.cancelled():
                future.exception()  # Looked at, so that asyncio reports no forgotten error.
            raise


class Steps:
    """Runs a coroutine from one wait to the next. It may await outcomes and asyncio's futures and tasks, and not use
    what needs a task of its own (`asyncio.timeout`, task groups).

    `done(error)` is called once at its end, with what it raised: a CancelledError after `cancel`.
    """

    __slots__ = ("_coroutine", "_done", "_to_be_cancelled", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], done: Callable[[BaseException | None], object]) -> None:
        self._coroutine = coroutine
        self._done = done
        self._waits_for: Outcome[Any] | asyncio.Future[Any] | None = None
        self._to_be_cancelled = False

    def start(self) -> None:
        """Run to the first wait."""
        self._step(self._coroutine.send, None)

    def cancel(self) -> None:
        """Raise a CancelledError where it waits now, or at its next wait."""
        waits_for = self._waits_for
        if waits_for is None:
            self._to_be_cancelled = True
            return
        waits_for.cancel()
        if isinstance(waits_for, Outcome):  # A future tells of its cancellation itself.
            self.break_off(asyncio.CancelledError())

    def go_on(self, value: Any) -> None:
        """What it waits for is here."""
        if self._waits_for is not None:
            self._step(self._coroutine.send, value)

    def break_off(self, error: BaseException) -> None:
        """What it waits for will not come."""
        if self._waits_for is not None:
            self._step(self._coroutine.throw, error)

    def _step(self, resume: Callable[[Any], Any], value: Any) -> None:
        self._waits_for = None
        around, _running.steps = _running.steps, True
        try:
            waits_for = resume(value)
        except StopIteration:
            self._done(None)
        except (Exception, asyncio.CancelledError) as error:
            self._done(error)
        else:
            self._wait(waits_for)
        finally:
            _running.steps = around

    def _wait(self, waits_for: Any) -> None:
        if isinstance(waits_for, Outcome):
            self._waits_for = waits_for
            waits_for.awaited_by(self)
        elif waits_for is None:  # A bare yield, as of `asyncio.sleep(0)`.
            turn = asyncio.get_running_loop().create_future()
            self._waits_for = turn
            turn.add_done_callback(self._woken)
            turn.set_result(None)
        else:
            self._waits_for = waits_for
            waits_for._asyncio_future_blocking = False
            waits_for.add_done_callback(self._woken)
        if self._to_be_cancelled:
            self._to_be_cancelled = False
            self.cancel()

    def _woken(self, future: asyncio.Future[Any]) -> None:
        if self._waits_for is future:
            self._step(self._coroutine.send, None)  # Whatever the future holds, it gives or raises by itself.
