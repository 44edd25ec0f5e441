"""What has been read of an answer so far, whole or streamed, and the record that it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from proveout.models._base import FinishReason, Generation, Timings, Usage

_MOST_TOKENS = 10**9


class Draft:
    """An answer that is being read. Readers fill it; `generation` closes it.

    `stamps` are `time.monotonic` seconds, one for each piece of content that was streamed: text, refusal or tool call.
    A read that brought several pieces gives all of them its one stamp. Reasoning is no content. `ended` says that the
    stream's own end mark was seen.
    """

    __slots__ = ("calls", "ended", "finish", "logprobs", "model", "refusal", "stamps", "text", "usage")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.refusal: list[str] = []
        self.calls: dict[int, Call] = {}
        self.logprobs: list[float] | None = None
        self.finish: FinishReason | None = None
        self.usage: Usage | None = None
        self.model = ""
        self.stamps: list[float] = []
        self.ended = False

    @property
    def empty(self) -> bool:
        return not (self.text or self.refusal or self.calls or self.finish)

    def generation(self, sent: float, done: float, *, streamed: bool) -> Generation:
        """The finished answer; `sent` and `done` are the times at the socket."""
        text = "".join(self.text)
        finish = self.finish or "other"
        usage = self.usage
        if usage is not None and usage.output_tokens == 0 and (text or self.calls):
            usage = None  # An answer without tokens is a wrong count, not a free answer.
        return Generation(
            text=text,
            finish_reason="tool_calls" if self.calls and finish in ("stop", "other") else finish,
            tool_calls=tuple(self.calls[index].as_openai() for index in sorted(self.calls)),
            refusal="".join(self.refusal) or None,
            logprobs=None if self.logprobs is None else tuple(self.logprobs),
            usage=usage,
            timings=self._timings(sent, done) if streamed else Timings(e2e=done - sent),
            model=self.model,
        )

    def _timings(self, sent: float, done: float) -> Timings:
        if not self.stamps:
            return Timings(e2e=done - sent)
        gaps = tuple(later - earlier for earlier, later in pairwise(self.stamps))
        return Timings(e2e=done - sent, ttft=self.stamps[0] - sent, gaps=gaps)


class Call:
    """A tool call as it comes in, piece by piece."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self, id: str = "", name: str = "", arguments: str = "") -> None:
        self.id = id
        self.name = name
        self.arguments = [arguments] if arguments else []

    def as_openai(self) -> Mapping[str, Any]:
        """OpenAI's shape, whatever the wire's was. The arguments are JSON text."""
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": "".join(self.arguments) or "{}"},
        }


def text_in(value: Any) -> str:
    """A field that must be text, or null for none.

    Raises:
        ValueError: it is something else.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"text was expected where {type(value).__name__} stands")
    return value


def usage_of(asked: Any, answered: Any, *, cached: Any = 0, written: Any = 0, reasoning: Any = 0) -> Usage | None:
    """Token counts, or None where the endpoint's are absent, negative, or no whole numbers. Parts larger than their
    whole are left out."""
    whole_input, whole_output = _count(asked), _count(answered)
    if whole_input is None or whole_output is None:
        return None
    read, wrote, thought = _count(cached) or 0, _count(written) or 0, _count(reasoning) or 0
    fits = read + wrote <= whole_input
    return Usage(
        input_tokens=whole_input,
        output_tokens=whole_output,
        cached_tokens=read if fits else 0,
        cache_write_tokens=wrote if fits else 0,
        reasoning_tokens=thought if thought <= whole_output else 0,
    )


def summed(whole: Any, *others: Any) -> int | None:
    """The sum of counts that an API keeps apart, absent others being 0; None where one is no count."""
    counts = [_count(whole), *(0 if other is None else _count(other) for other in others)]
    return None if None in counts else sum(count or 0 for count in counts)


def _count(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS else None
