"""Streamed answers that guards look at: what they are against does not reach the client, as far as it is held back."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Any

import orjson

from proveout.gateway.guarding import BLOCKED, Guarding
from proveout.gateway.observing import MAX_HELD_BYTES, Malformed
from proveout.project.records import Variant
from proveout.security.guards import Given, Said
from proveout.storage.records import Trace

OVERLAP = 1000
"""So many characters before what is new are looked at again, for what began in them."""
_EVENTS = re.compile(rb"(?<=\n\n)|(?<=\r\n\r\n)")
_TELLING = frozenset({"response.output_text.delta", "response.refusal.delta", "response.function_call_arguments.delta"})

Place = tuple[object, ...]
"""One of the texts of an answer: of a choice, a tool call, or an item."""


class GuardedStream:
    """Takes a stream's events, and gives out those that the guards have let go. Each event is given out once the guards
    have seen `hold` characters beyond it; where they only flag, at once."""

    def __init__(self, guards: Guarding, variant: Variant, trace: Trace, *, given: bool) -> None:
        """`given`: it is given whatever the guards say, or to nobody."""
        self._guards = guards
        self._variant = variant
        self._trace = trace
        self._growing = guards.growing
        self._hold = None if given else guards.hold
        self._step = max(1, self._hold // 4) if isinstance(self._hold, int) else 1
        self._texts: dict[Place, str] = {}
        self._new: dict[Place, int] = {}
        """Where that begins which has not been looked at, by text."""
        self._total = 0
        self._looked = 0
        self._held: deque[tuple[bytes, int]] = deque()
        self._bytes = 0
        self._last: dict[str, Any] = {}
        self._choices: set[int] = set()

    @property
    def text(self) -> str:
        """All that has been said."""
        return "\n".join(self._texts.values())

    def take(self, data: bytes) -> bytes:
        """Whole events in; those that may be given out now.

        Raises:
            Withheld: a guard refuses what is held back.
            Malformed: more would have to be held back than there is room for.
        """
        for event in _EVENTS.split(data):
            for place, text in self._said(event):
                self._new.setdefault(place, len(self._texts.get(place, "")))
                self._texts[place] = self._texts.get(place, "") + text
                self._total += len(text)
            if self._hold is not None and event:
                self._held.append((event, self._total))
                self._bytes += len(event)
        if self._hold is None:
            return data
        if self._bytes > MAX_HELD_BYTES:
            raise Malformed("the answer is too long to be held back")
        if not isinstance(self._hold, int):
            return b""
        if self._total - self._looked >= self._step:
            self._look()
        return self._released(self._looked - self._hold)

    def finish(self) -> bytes:
        """The rest, once the stream is whole.

        Raises:
            Withheld: a guard refuses it.
        """
        given: Given = "all" if self._hold is None else "stream"
        self._guards.answered(self.text, self._variant, self._trace, given=given)
        return self._released(self._total)

    def last_words(self) -> bytes:
        """What ends a stream that a guard has stopped."""
        response = self._last.get("response")
        if isinstance(response, dict):
            return _incomplete(response, self._last.get("sequence_number"))
        choices = [{"index": index, "delta": {}, "finish_reason": BLOCKED} for index in sorted(self._choices or {0})]
        chunk = {**self._last, "object": "chat.completion.chunk", "choices": choices}
        return b"data: " + orjson.dumps(chunk) + b"\n\ndata: [DONE]\n\n"

    def _look(self) -> None:
        if self._growing is not None:
            for place, start in self._new.items():
                self._guards.growing_text(Said(self._texts[place], start=max(0, start - OVERLAP)), self._trace)
        self._new.clear()
        self._looked = self._total

    def _released(self, upto: int) -> bytes:
        given: list[bytes] = []
        while self._held and self._held[0][1] <= upto:
            event, _ = self._held.popleft()
            self._bytes -= len(event)
            given.append(event)
        return b"".join(given)

    def _said(self, event: bytes) -> Iterator[tuple[Place, str]]:
        """What an event adds to which text."""
        data = b"".join(line[5:] for line in event.splitlines() if line.startswith(b"data:")).strip()
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:  # An empty one, a comment, or [DONE].
            return
        if not isinstance(chunk, dict):
            return
        if isinstance(chunk.get("type"), str) and "choices" not in chunk:
            self._last |= {name: chunk[name] for name in ("response", "sequence_number") if name in chunk}
            if chunk["type"] in _TELLING and isinstance(chunk.get("delta"), str):
                yield (chunk["type"], chunk.get("output_index"), chunk.get("content_index")), chunk["delta"]
            return
        self._last = {name: chunk[name] for name in ("id", "created", "model", "system_fingerprint") if name in chunk}
        for choice in chunk.get("choices") or ():
            if isinstance(choice, dict) and isinstance(choice.get("delta"), dict):
                yield from self._of_choice(choice.get("index"), choice["delta"])

    def _of_choice(self, index: Any, delta: dict[str, Any]) -> Iterator[tuple[Place, str]]:
        index = index if isinstance(index, int) else 0
        self._choices.add(index)
        for name in ("content", "refusal"):
            if isinstance(delta.get(name), str):
                yield (index, name), delta[name]
        calls = [call for call in delta.get("tool_calls") or () if isinstance(call, dict)]
        called = [(call.get("function"), call.get("index")) for call in calls]
        for function, number in (*called, (delta.get("function_call"), None)):
            if isinstance(function, dict) and isinstance(function.get("arguments"), str):
                yield (index, "call", number), function["arguments"]


def _incomplete(response: dict[str, Any], number: Any) -> bytes:
    """The last event of OpenAI's Responses API where content was filtered."""
    ended = {**response, "status": "incomplete", "incomplete_details": {"reason": BLOCKED}}
    event = {"type": "response.incomplete", "response": ended}
    if isinstance(number, int):
        event["sequence_number"] = number + 1
    return b"event: response.incomplete\ndata: " + orjson.dumps(event) + b"\n\n"
