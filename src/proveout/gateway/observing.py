"""What an answer says about itself, read from its bytes on the way through: usage, finish, timings, errors."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import orjson

from proveout.models import Usage

MAX_HELD_BYTES = 4 * 2**20

_CONTENT = re.compile(rb'"(?:content|refusal|delta)":\s*"(?!")|"tool_calls":\s*\[\s*\{')
_FINISH = re.compile(rb'"finish_reason":\s*"([a-z_]{1,32})"')
_DONE = (b"data: [DONE]", b"data:[DONE]")


class Malformed(ValueError):
    """Bytes that are no answer in OpenAI's format; the message says why without their text."""


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Thought(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Thought | None = None


class _Message(msgspec.Struct):
    refusal: str | None = None


class _Choice(msgspec.Struct):
    finish_reason: str | None = None
    message: _Message | None = None


class _Whole(msgspec.Struct):
    usage: _Usage | None = None
    choices: list[_Choice] | None = None


_whole = msgspec.json.Decoder(_Whole)


class Facts:
    """What was read: `usage` and `finish` as the endpoint said them, `refused` where the model declined."""

    __slots__ = ("finish", "refused", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.finish: str | None = None
        self.refused: bool | None = None


def read_whole(body: bytes) -> Facts:
    """The facts of a whole answer.

    Raises:
        Malformed: it is no JSON object.
    """
    facts = Facts()
    try:
        answer = _whole.decode(body)
    except msgspec.ValidationError:  # JSON of an unforeseen shape: passed on, with nothing known about it.
        if body.lstrip()[:1] != b"{":
            raise Malformed("the answer is no JSON object") from None
        return facts
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        page = body.lstrip()[:1] == b"<"
        raise Malformed("the answer is an HTML page" if page else "the answer is no JSON") from None
    facts.usage = _usage(answer.usage)
    if answer.choices:
        choice = answer.choices[0]
        facts.finish = choice.finish_reason
        facts.refused = bool(choice.message and choice.message.refusal) or choice.finish_reason == "content_filter"
    return facts


class StreamReader:
    """Reads a stream of chat chunks as it comes, in whole events, and gives out what may be passed on.

    `stamps`: `first` and `last` are the times of the reads that brought content, `stall` the largest gap between two of
    them, `reads` their number. `complete` says that the answer's end was seen. With `hide_usage`, the usage that only
    the gateway asked for is not passed on. With `keep_text`, the content is collected.
    """

    __slots__ = (
        "_begun",
        "_held",
        "_hide_usage",
        "_keep_text",
        "complete",
        "error",
        "facts",
        "first",
        "last",
        "reads",
        "stall",
        "text",
    )

    def __init__(self, *, hide_usage: bool, keep_text: bool) -> None:
        self.facts = Facts()
        self.first = 0.0
        self.last = 0.0
        self.stall = 0.0
        self.reads = 0
        self.complete = False
        self.error: Any = None
        """The error object that the stream carried, if it did."""
        self.text: list[str] = []
        self._hide_usage = hide_usage
        self._keep_text = keep_text
        self._held = b""
        self._begun = False

    def feed(self, at: float, piece: bytes) -> bytes:
        """Take a piece; return the whole events that are there now.

        Raises:
            Malformed: what came is no event stream, or an event is too large.
        """
        if self._held:
            piece = self._held + piece
            self._held = b""
        if not piece.endswith(b"\n\n"):
            piece = self._cut(piece)
            if not piece:
                return b""
        if not self._begun:
            self._check_start(piece)
        if _CONTENT.search(piece):
            self._stamp(at)
        found = _FINISH.search(piece)
        if found is not None:
            self.facts.finish = found[1].decode()
            self.complete = True
        if b"[DONE]" in piece and any(line.startswith(_DONE) for line in piece.splitlines()):
            self.complete = True
        if self._keep_text or _tells(piece):
            return self._look(piece)
        return piece

    def rest(self) -> bytes:
        """What is left when the stream has ended.

        Raises:
            Malformed: it was no event stream.
        """
        held, self._held = self._held, b""
        if held and not self._begun:
            self._check_start(held)
        return held

    def _check_start(self, piece: bytes) -> None:
        self._begun = True
        if piece.lstrip()[:1] in (b"<", b"{", b"["):
            raise Malformed("the stream holds no server-sent events")

    def _cut(self, piece: bytes) -> bytes:
        plain, windows = piece.rfind(b"\n\n"), piece.rfind(b"\r\n\r\n")
        end = max(plain + 2 if plain >= 0 else 0, windows + 4 if windows >= 0 else 0)
        self._held = piece[end:]
        if len(self._held) > MAX_HELD_BYTES:
            raise Malformed("a server-sent event is too large")
        return piece[:end]

    def _stamp(self, at: float) -> None:
        if self.reads:
            self.stall = max(self.stall, at - self.last)
        else:
            self.first = at
        self.last = at
        self.reads += 1

    def _look(self, piece: bytes) -> bytes:
        """Read each event of a piece; leave out those that are not the client's."""
        events = re.split(rb"(?<=\n\n)|(?<=\r\n\r\n)", piece)
        return b"".join([event for event in events if event and not self._event(event)])

    def _event(self, event: bytes) -> bool:
        """Read an event; whether it is the gateway's own business."""
        data = b"".join(line[5:] for line in event.splitlines() if line.startswith(b"data:")).strip()
        if not data or data == b"[DONE]":
            return False
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            return False
        if not isinstance(chunk, dict):
            return False
        if chunk.get("error"):
            self.error = chunk["error"]
        usage = _usage_in(chunk)
        if isinstance(usage, dict):
            try:
                self.facts.usage = _usage(msgspec.convert(usage, _Usage))
            except msgspec.ValidationError:
                self.facts.usage = None
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            delta = choice.get("delta") if isinstance(choice, dict) else None
            if isinstance(delta, dict) and not choice.get("index"):
                if delta.get("refusal"):
                    self.facts.refused = True
                if self._keep_text and isinstance(delta.get("content"), str):
                    self.text.append(delta["content"])
        return self._hide_usage and choices == [] and isinstance(usage, dict)


def _tells(piece: bytes) -> bool:
    """Whether an event among these may tell of usage, an error or a refusal, so that it must be looked into."""
    return b'_tokens"' in piece or b'"error"' in piece or b'"refusal":"' in piece


def _usage_in(chunk: dict[str, Any]) -> Any:
    """Where a chunk tells the usage: at its top, in Groq's own field, or in the response that an event closes."""
    for place in (chunk, chunk.get("x_groq"), chunk.get("response")):
        if isinstance(place, dict) and isinstance(place.get("usage"), dict):
            return place["usage"]
    return None


def _usage(found: _Usage | None) -> Usage | None:
    if found is None:
        return None
    asked, answered = found.prompt_tokens, found.completion_tokens
    if asked is None:
        asked = found.input_tokens
    if answered is None:
        answered = found.output_tokens or 0
    if asked is None or asked < 0 or answered < 0:
        return None
    read, thought = found.prompt_tokens_details, found.completion_tokens_details
    return Usage(
        input_tokens=asked,
        output_tokens=answered,
        cached_tokens=0 if read is None else min(max(read.cached_tokens or 0, 0), asked),
        reasoning_tokens=0 if thought is None else min(max(thought.reasoning_tokens or 0, 0), answered),
    )
