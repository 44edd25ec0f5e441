"""A scripted endpoint in OpenAI's format, in a thread of its own."""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

from proveout.testing.faults import Answer, FaultServer, Received


class Endpoint:
    """Answers every request as the script says, and remembers them."""

    def __init__(self, script: Callable[[Received], Answer]) -> None:
        self._script = script
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        async with FaultServer(self._script) as self.server:
            self._ready.set()
            await self._stop.wait()

    def __enter__(self) -> "Endpoint":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}/v1"


def question(received: Received) -> str:
    """The last message of a request."""
    return received.json()["messages"][-1]["content"]


def right(received: Received) -> Answer:
    """Repeats the question."""
    return said(question(received).strip())


def said(text: str, **more: Any) -> Answer:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    return Answer.json({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}, **more)


def judgement(**verdict: Any) -> Answer:
    """A judge's JSON."""
    return said(json.dumps({"reason": "as told", **verdict}))
