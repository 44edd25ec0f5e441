"""Reading a service's traces and feedback once, in the order of commits."""

from __future__ import annotations

from collections.abc import Callable

from proveout.storage.records import Feedback, Trace
from proveout.storage.store import Store

PAGE = 2_000
KNOWN = 1_000_000
"""Feedback is matched to so many of the newest traces."""

UNMATCHED = 10_000
"""Feedback that came before its trace is kept for it, so many at most."""


class Reader:
    """Reads a service's traces and feedback once, in the order of commits, into whoever watches."""

    def __init__(self, store: Store, environment: str, service: str, positions: tuple[int, int]) -> None:
        self._store = store
        self._environment = environment
        self._service = service
        self._traces, self._feedback = positions
        self._known: dict[str, None] = {}
        self._early: dict[str, list[Feedback]] = {}

    def read(self, on_trace: Callable[[Trace], None], on_feedback: Callable[[Feedback], None]) -> None:
        """Everything that is new."""
        while True:
            found = self._store.traces.after(
                self._traces, service=self._service, environment=self._environment, limit=PAGE
            )
            for position, trace in found:
                self._traces = position
                self._known[trace.id] = None
                on_trace(trace)
                for early in self._early.pop(trace.id, ()):
                    on_feedback(early)
            while len(self._known) > KNOWN:
                del self._known[next(iter(self._known))]
            if len(found) < PAGE:
                break
        while True:
            scores = self._store.feedback.after(self._feedback, limit=PAGE)
            for position, feedback in scores:
                self._feedback = position
                if feedback.trace in self._known:
                    on_feedback(feedback)
                else:
                    self._early.setdefault(feedback.trace, []).append(feedback)
                    if len(self._early) > UNMATCHED:
                        del self._early[next(iter(self._early))]
            if len(scores) < PAGE:
                return
