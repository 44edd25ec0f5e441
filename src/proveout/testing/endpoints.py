"""A scripted endpoint in OpenAI's format, in a thread of its own: for tests of whatever calls a model, by any client.

```python
with ScriptedEndpoint(lambda received: "refund" if "money" in question(received) else said("?", delay_s=2)) as endpoint:
    ...  # point a variant's `url`, or an SDK's `base_url`, at endpoint.url; then look at endpoint.asked()
```

The script sees each request and says what to answer: a text, or an `Answer` for what a text can't be (another status,
a cut connection, silence; see `proveout.testing.faults`).
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Self

from proveout.testing.faults import Answer, FaultServer, Received

Script = Callable[[Received], Answer | str]
"""What to answer to a request. It runs in the endpoint's thread, one request at a time."""

_PATIENCE_S = 10.0
_FRAME = {"id": "chatcmpl-scripted", "created": 0}


def question(received: Received) -> str:
    """The text of a request's last message."""
    return received.json()["messages"][-1]["content"]


def said(text: str, *, tokens: tuple[int, int] = (5, 1), model: str = "scripted", **others: Any) -> Answer:
    """A chat completion: the text, with (input, output) tokens as usage. `others` are fields of `Answer`."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    body = {**_FRAME, "object": "chat.completion", "model": model, "choices": [choice], "usage": _usage(tokens)}
    return Answer.json(body, **others)


def streamed(
    pieces: Sequence[str], *, tokens: tuple[int, int] = (5, 1), model: str = "scripted", **others: Any
) -> Answer:
    """A streamed chat completion: one event a piece, then the finish reason, the usage and `[DONE]`. `others` are
    fields of `Answer`; `gap_s` waits before each event.
    """
    frame = {**_FRAME, "object": "chat.completion.chunk", "model": model}
    deltas = [({"content": piece}, None) for piece in pieces] + [({}, "stop")]
    chunks: list[dict[str, Any]] = [
        {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]} for delta, finish in deltas
    ]
    chunks.append({**frame, "choices": [], "usage": _usage(tokens)})
    return Answer(events=[*map(json.dumps, chunks), "[DONE]"], **others)


class ScriptedEndpoint:
    """Answers every request as the script says, and remembers them all. A context manager; `url` ends in `/v1`."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(_PATIENCE_S):
            raise TimeoutError("the scripted endpoint did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_PATIENCE_S)

    @property
    def url(self) -> str:
        """What a client takes for its base URL."""
        return f"{self._server.url}/v1"

    @property
    def received(self) -> list[Received]:
        """Every request so far, in order of arrival."""
        return list(self._server.received)

    def asked(self) -> Counter[tuple[str, str]]:
        """How often each (model, question) was asked."""
        return Counter((received.json()["model"], question(received)) for received in self.received)

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        async with FaultServer(self._answer) as self._server:
            self._started.set()
            await self._stop.wait()

    def _answer(self, received: Received) -> Answer:
        """A text goes out in the form that the request asked for."""
        answer = self._script(received)
        if isinstance(answer, Answer):
            return answer
        body = received.json()
        model = str(body.get("model"))
        return streamed([answer], model=model) if body.get("stream") else said(answer, model=model)


def _usage(tokens: tuple[int, int]) -> dict[str, int]:
    return {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
