"""OpenAI's chat objects, written for models that speak another format or none."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from proveout.models import Generation, Usage

DONE = b"data: [DONE]\n\n"


class Writer:
    """The objects of one answer: all have its id, time and model."""

    def __init__(self, model: str) -> None:
        self._start: dict[str, Any] = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": model,
        }

    def whole(self, generation: Generation) -> bytes:
        """A whole answer."""
        calls = list(generation.tool_calls)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if calls and not generation.text else generation.text,
            "refusal": generation.refusal,
        }
        if calls:
            message["tool_calls"] = calls
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": _finish(generation.finish_reason),
        }
        body = {**self._start, "object": "chat.completion", "choices": [choice]}
        if generation.usage is not None:
            body["usage"] = usage_object(generation.usage)
        return orjson.dumps(body)

    def delta(self, delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        """One event of a stream."""
        choice = {"index": 0, "delta": delta, "finish_reason": None if finish is None else _finish(finish)}
        return self._event({"choices": [choice]})

    def usage(self, usage: Usage) -> bytes:
        """The event that tells the usage."""
        return self._event({"choices": [], "usage": usage_object(usage)})

    def _event(self, fields: Mapping[str, Any]) -> bytes:
        return b"data: " + orjson.dumps({**self._start, "object": "chat.completion.chunk", **fields}) + b"\n\n"


def usage_object(usage: Usage) -> dict[str, Any]:
    """OpenAI's `usage`."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def call_deltas(calls: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Whole tool calls as the pieces of a delta."""
    return [{"index": index, **call} for index, call in enumerate(calls)]


def _finish(reason: str) -> str:
    return "stop" if reason == "other" else reason
