"""A provider under test against a scripted server: real HTTP, answers in the shapes that the APIs document."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from proveout import wire
from proveout.models._base import Generation, Model, ModelError, Request
from proveout.models.providers import open_endpoint
from proveout.project.records import Message, ModelSpec
from proveout.testing.faults import Answer, FaultServer, Received

HELLO = (Message("system", "Be brief."), Message("user", "Hello"))


@dataclass
class Peer:
    """An opened model and the server that it calls."""

    model: Model
    server: FaultServer

    async def ask(self, *messages: Message, stream: bool = False, **parameters: Any) -> Generation:
        return await self.model.generate(Request(messages=messages or HELLO, parameters=parameters, stream=stream))

    async def refusal(self, *messages: Message, stream: bool = False, **parameters: Any) -> ModelError:
        """The error that a call ends in."""
        try:
            generation = await self.ask(*messages, stream=stream, **parameters)
        except ModelError as error:
            return error
        raise AssertionError(f"an answer came: {generation}")

    @property
    def sent(self) -> Received:
        """The last request."""
        return self.server.received[-1]

    @property
    def body(self) -> Any:
        return self.sent.json()


@asynccontextmanager
async def peer(
    provider: str, answers: Sequence[Answer] | Answer, *, name: str = "m", path: str = "", **fields: Any
) -> AsyncIterator[Peer]:
    """`provider` opened on a server that gives these answers, the last one again and again."""
    script = [answers] if isinstance(answers, Answer) else list(answers)
    async with FaultServer(script, otherwise=script[-1]) as server, wire.Client() as client:
        spec = ModelSpec(provider, name, server.url + path, **fields)
        yield Peer(open_endpoint(spec, client), server)


def completion(content: Any = "Hi", **changes: Any) -> dict[str, Any]:
    """A chat completion as OpenAI's reference shows it. `message`, `choice` and `usage` change parts of it."""
    message = {
        "role": "assistant",
        "content": content,
        "refusal": None,
        "annotations": [],
        **changes.pop("message", {}),
    }
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop", **changes.pop("choice", {})}
    return {
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
        "object": "chat.completion",
        "created": 1741569952,
        "model": "gpt-4.1-2025-04-14",
        "choices": [choice],
        "usage": {
            "prompt_tokens": 19,
            "completion_tokens": 10,
            "total_tokens": 29,
            "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 0, "accepted_prediction_tokens": 0},
        },
        "service_tier": "default",
        **changes,
    }


def chunk(delta: Mapping[str, Any] | None = None, finish: str | None = None, **changes: Any) -> str:
    """A chunk of a streamed chat completion as OpenAI's reference shows it; without a delta, one without choices."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    return orjson.dumps(
        {
            "id": "chatcmpl-123",
            "object": "chat.completion.chunk",
            "created": 1694268190,
            "model": "gpt-4o-mini",
            "system_fingerprint": "fp_44709d6fcb",
            "choices": choices,
            "usage": None,
            **changes,
        }
    ).decode()


USAGE_CHUNK = chunk(usage={"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12})
STREAM = (
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Hel"}),
    chunk({"content": "lo"}),
    chunk({"content": " wörld"}),
    chunk({}, "stop"),
    USAGE_CHUNK,
    "[DONE]",
)
