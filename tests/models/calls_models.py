"""Models for tests of the wrappers: in this process, with answers and errors as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from proveout.models import Generation, ModelError, Request, Usage
from proveout.project.records import Message

Answerer = Callable[[int, Request], Generation | Exception]


def ask(text: str = "hello", *, repeat: int = 0, stream: bool = False, **parameters: Any) -> Request:
    return Request(messages=(Message("user", text),), parameters=parameters, repeat=repeat, stream=stream)


def answer(text: str = "hi", *, tokens: tuple[int, int] | None = (10, 5)) -> Generation:
    usage = None if tokens is None else Usage(input_tokens=tokens[0], output_tokens=tokens[1])
    return Generation(text=text, usage=usage)


def failure(kind: str = "rate_limit", *, retryable: bool = True, **more: Any) -> ModelError:
    return ModelError(kind, kind=kind, retryable=retryable, **more)


class ScriptedModel:
    """Answers by a function of the call's number and the request, after some seconds."""

    def __init__(self, answerer: Answerer | None = None, *, seconds: float = 0.0) -> None:
        self.requests: list[Request] = []
        self.in_flight = self.most_in_flight = 0
        self.closed = False
        self._answerer = answerer or (lambda number, request: answer(request.messages[0].content.upper()))
        self._seconds = seconds

    async def generate(self, request: Request) -> Generation:
        self.requests.append(request)
        number = len(self.requests)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self._seconds)
            result = self._answerer(number, request)
        finally:
            self.in_flight -= 1
        if isinstance(result, Exception):
            raise result
        return result

    async def aclose(self) -> None:
        self.closed = True


class MemoryCache:
    """A `CallCache` in memory."""

    def __init__(self) -> None:
        self.kept: dict[bytes, Generation] = {}

    async def get(self, key: bytes) -> Generation | None:
        return self.kept.get(key)

    async def put(self, key: bytes, generation: Generation) -> None:
        await asyncio.sleep(0)
        self.kept.setdefault(key, generation)
