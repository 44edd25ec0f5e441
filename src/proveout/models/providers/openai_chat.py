"""OpenAI's chat completions, which most hosted APIs and all engines speak, each with its own small differences."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import orjson

from proveout import wire
from proveout.models._base import FinishReason, ModelError, Request, Usage
from proveout.models.providers._draft import Call, Draft, text_in, usage_of
from proveout.models.providers._endpoint import Feed, Post, sse_feed
from proveout.models.providers._failures import Failures
from proveout.project.records import Message

_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
_REASONING_MODEL = re.compile(r"(?:.*[/:])?(?:o[1-9]|gpt-(?:[5-9]|1[0-9]))(?![0-9])", re.IGNORECASE)
"""Names of OpenAI's models that refuse `max_tokens`: o1, o3-mini, openai/o4-mini, gpt-5-nano, ..."""


class Dialect(msgspec.Struct, frozen=True):
    """What one endpoint does in its own way.

    `limit_name`: the name that it knows the limit of output tokens by, where it takes only one of the two;
    `reasoning` takes OpenAI's newer name for reasoning models only. `stream_usage`: whether it takes `stream_options`
    (the others send usage unasked). `renames`: other parameters that it knows by other names.
    """

    limit_name: Literal["max_tokens", "max_completion_tokens", "reasoning", "either"] = "either"
    stream_usage: bool = True
    renames: tuple[tuple[str, str], ...] = ()


class ChatApi:
    """Chat completions at one address. Messages, content parts, tools and structured output pass through untouched."""

    def __init__(self, url: str, model: str, dialect: Dialect, failures: Failures, *, names: str = "") -> None:
        """`model` is sent in the body unless empty; `names` is what the model is called where the body has no name."""
        self._url = url
        self._model = model
        self._failures = failures
        self._stream_usage = dialect.stream_usage
        self._renames = dict(dialect.renames)
        limit = dialect.limit_name
        if limit == "reasoning":
            limit = "max_completion_tokens" if _REASONING_MODEL.match(names or model) else "either"
        if limit == "max_completion_tokens":
            self._renames["max_tokens"] = limit
        elif limit == "max_tokens":
            self._renames["max_completion_tokens"] = limit

    @property
    def renames(self) -> Mapping[str, str]:
        """Parameters that the endpoint knows by other names."""
        return self._renames

    def post(self, request: Request) -> Post:
        body: dict[str, Any] = {"model": self._model} if self._model else {}
        body["messages"] = [as_openai(message) for message in request.messages]
        renames = self._renames
        for name, value in request.parameters.items():
            if value is not None:
                body[renames.get(name, name)] = value
        if request.stream:
            body["stream"] = True
            if self._stream_usage and "stream_options" not in body:
                body["stream_options"] = {"include_usage": True}
        return Post(self._url, encoded(body, self._failures))

    def learn(self, refused: ModelError) -> bool:
        """An endpoint that does not know `stream_options` is asked without it, then and later."""
        if self._stream_usage and ("stream_options" in str(refused) or "include_usage" in str(refused)):
            self._stream_usage = False
            return True
        return False

    def read(self, answer: Any, draft: Draft) -> None:
        choices = answer.get("choices")
        if not choices:
            if answer.get("error") or answer.get("object") == "error" or (choices is None and answer.get("message")):
                raise self._failures.of_problem(answer)
            raise ValueError("it holds no choice")
        choice = choices[0]
        self._check(choice)
        message = choice.get("message")
        if message is None:
            raise ValueError("its choice holds no message")
        draft.text.append(content_in(message.get("content")))
        refusal = text_in(message.get("refusal"))
        if refusal:
            draft.refusal.append(refusal)
        for index, call in enumerate(message.get("tool_calls") or ()):
            function = call["function"]
            draft.calls[index] = Call(
                text_in(call.get("id")), text_in(function["name"]), _arguments(function.get("arguments"))
            )
        draft.finish = finish_in(choice.get("finish_reason")) or "other"
        read_logprobs(choice.get("logprobs"), draft)
        draft.model = text_in(answer.get("model"))
        draft.usage = usage_in(answer.get("usage"))

    def feed(self, draft: Draft) -> Feed:
        def on_event(event: wire.Event, at: float) -> None:
            data = event.data
            if data == "[DONE]":
                draft.ended = True
                return
            chunk = orjson.loads(data)
            if event.event == "error":
                raise self._failures.of_problem(chunk)
            self._read_chunk(chunk, draft, at)

        return sse_feed(draft, on_event)

    def read_stream(self, draft: Draft, stamps: Sequence[float], pieces: Sequence[bytes]) -> bool:
        """A whole stream at once, where every read brought whole `data:` events and the last said `[DONE]`, as engines
        send it. The chunks of a stream differ in their text alone; once one was parsed, only that is taken from those
        that are its equal in all else: from all that follow at once where they can be told from the last few, which
        costs a twentieth, and else one by one."""
        times, events = _events(stamps, pieces)
        if not events or events.pop() != b"[DONE]":
            return False
        front = back = b""
        start = end = place = 0
        while place < len(events):
            event, at = events[place], times[place]
            place += 1
            if start and event.startswith(front) and event.endswith(back):
                text = event[start:end]
                if text and b'"' not in text and b"\\" not in text:
                    draft.text.append(text.decode())
                    draft.stamps.append(at)
                    continue
            chunk = orjson.loads(event)
            self._read_chunk(chunk, draft, at)
            if not start:
                front, back = _around_text(event, chunk)
                start, end = len(front), -len(back)
                if start and (text := _same_but_text(events, place, front, back)):
                    length = len(text)
                    draft.text.append(b"".join(text).decode())
                    draft.stamps.extend(times[place : place + length])
                    place += length
        draft.ended = True
        return True

    def _read_chunk(self, chunk: Any, draft: Draft, at: float) -> None:
        if chunk.get("error"):
            raise self._failures.of_problem(chunk)
        if not draft.model:
            draft.model = text_in(chunk.get("model"))
        usage = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage")
        if usage:
            draft.usage = usage_in(usage)
        for choice in chunk.get("choices") or ():
            if not choice.get("index"):
                self._read_delta(choice, draft, at)

    def _check(self, choice: Mapping[str, Any]) -> None:
        if choice.get("error"):  # OpenRouter, when its upstream failed.
            raise self._failures.of_problem(choice)
        if choice.get("finish_reason") == "error":  # Mistral.
            raise self._failures.error("status", "the model stopped with an error", retryable=True)

    def _read_delta(self, choice: Mapping[str, Any], draft: Draft, at: float) -> None:
        self._check(choice)
        delta = choice.get("delta")
        if delta:
            text = content_in(delta.get("content"))
            refusal = delta.get("refusal")
            calls = delta.get("tool_calls")
            if text:
                draft.text.append(text)
            if refusal:
                draft.refusal.append(text_in(refusal))
            if calls:
                for call in calls:
                    _read_call(call, draft)
            if text or refusal or calls:
                draft.stamps.append(at)
        logprobs = choice.get("logprobs")
        if logprobs:
            read_logprobs(logprobs, draft)
        finish = choice.get("finish_reason")
        if finish:
            draft.finish = finish_in(finish)


def _events(stamps: Sequence[float], pieces: Sequence[bytes]) -> tuple[list[float], list[bytes]]:
    """The `data:` events of a stream, and when each came; none where a read brought anything else."""
    if not pieces:
        return [], []
    *firsts, last = pieces
    single = [piece[6:-2] for piece in firsts if piece.startswith(b"data: ") and piece.endswith(b"\n\n")]
    times = list(stamps[:-1])
    if len(single) < len(firsts) or b"".join(firsts).count(b"\n") != 2 * len(firsts):
        single, times, firsts = [], [], pieces  # Some read brought several events, or something else.
    else:
        firsts = (last,)
    for at, piece in zip(stamps[-len(firsts) :], firsts, strict=True):
        blocks = piece[6:-2].split(b"\n\ndata: ")
        if not piece.startswith(b"data: ") or not piece.endswith(b"\n\n") or any(b"\n" in block for block in blocks):
            return [], []
        single += blocks
        times += [at] * len(blocks)
    return times, single


def _same_but_text(events: Sequence[bytes], place: int, front: bytes, back: bytes) -> list[bytes]:
    """The texts of all events from `place` on but for the last few, if they are equal in all but plain text; else
    none."""
    end = len(events)
    while end > place and not events[end - 1].startswith(front):
        end -= 1
    if end > place and not events[end - 1].endswith(back):
        end -= 1
    start, stop = len(front), -len(back)
    texts = [event[start:stop] for event in events[place:end] if event.startswith(front) and event.endswith(back)]
    plain = b"".join(texts)
    same = len(texts) == end - place and all(texts) and b'"' not in plain and b"\\" not in plain
    return texts if same else []


def _around_text(event: bytes, chunk: Any) -> tuple[bytes, bytes]:
    """What stands before and after the text of a chunk that holds nothing but text; empty where it is no such chunk."""
    choices = chunk.get("choices")
    if not choices or len(choices) > 1 or chunk.get("usage") or choices[0].get("finish_reason"):
        return b"", b""
    delta = choices[0].get("delta") or {}
    text = delta.get("content")
    if not text or not isinstance(text, str) or set(delta) - {"content", "role"} or choices[0].get("logprobs"):
        return b"", b""
    front, found, back = event.rpartition(b'"%b"' % text.encode())
    if not found:
        return b"", b""
    delta["content"] = "another"
    try:
        same = orjson.loads(front + b'"another"' + back) == chunk
    except orjson.JSONDecodeError:
        same = False
    return (front + b'"', b'"' + back) if same else (b"", b"")


def as_openai(message: Message) -> dict[str, Any]:
    """A message as chat completions take it."""
    return {"role": message.role, "content": message.content, **message.extra}


def encoded(body: Mapping[str, Any], failures: Failures) -> bytes:
    """A body as JSON.

    Raises:
        ModelError: `bad_request`: it holds what JSON has no form for.
    """
    try:
        return orjson.dumps(body, default=_plain)
    except TypeError as error:
        raise failures.error("bad_request", f"the request is no JSON: {error}") from None


def content_in(value: Any) -> str:
    """An answer's content: text, null, or a list of parts, of which those that are no text (thinking) are left out."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list):
        return "".join(text_in(part.get("text")) for part in value if part.get("type") == "text")
    return text_in(value)


def finish_in(value: Any) -> FinishReason | None:
    """A finish reason in our words; one that we don't know is `other`."""
    return _FINISH.get(value.lower(), "other") if isinstance(value, str) and value else None


def usage_in(value: Any) -> Usage | None:
    """The `usage` object of an answer."""
    if not isinstance(value, Mapping):
        return None
    asked = value.get("prompt_tokens_details")
    answered = value.get("completion_tokens_details")
    return usage_of(
        value.get("prompt_tokens"),
        value.get("completion_tokens"),
        cached=asked.get("cached_tokens") if isinstance(asked, Mapping) else value.get("prompt_cache_hit_tokens"),
        reasoning=answered.get("reasoning_tokens") if isinstance(answered, Mapping) else 0,
    )


def read_logprobs(value: Any, draft: Draft) -> None:
    """The chosen tokens' log-probabilities, in today's form or in that of old completions."""
    if not isinstance(value, Mapping):
        return
    content = value.get("content")
    if content is not None:
        chosen = [float(token["logprob"]) for token in content]
    else:
        chosen = [float(number) for number in value.get("token_logprobs") or () if number is not None]
    if chosen or content is not None:
        draft.logprobs = [*(draft.logprobs or ()), *chosen]


def _read_call(delta: Mapping[str, Any], draft: Draft) -> None:
    """One piece of a tool call. Some servers give every call the index 0, or none; then a new id begins a new call."""
    index = delta.get("index")
    if index is None:
        index = max(draft.calls, default=0)
    function = delta.get("function") or {}
    id = text_in(delta.get("id"))
    call = draft.calls.get(index)
    if call is not None and id and call.id and id != call.id:
        later = max(draft.calls)
        index = later if draft.calls[later].id == id else later + 1
        call = draft.calls.get(index)
    if call is None:
        call = draft.calls[index] = Call()
    call.id = id or call.id
    call.name += text_in(function.get("name")) if not call.name else ""
    arguments = _arguments(function.get("arguments"))
    if arguments:
        call.arguments.append(arguments)


def _arguments(value: Any) -> str:
    """A call's arguments as JSON text; some servers send an object."""
    return orjson.dumps(value).decode() if isinstance(value, Mapping) else text_in(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
