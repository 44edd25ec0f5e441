"""An upstream that streams 64 chat chunks, 10 ms apart, or answers at once where no stream is asked for.
`python events.py PORT`."""

from __future__ import annotations

import asyncio
import json
import sys

from proveout import wire

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "word " * 63}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 500, "completion_tokens": 63, "total_tokens": 563},
}
HEADERS = (("content-type", "text/event-stream"),)


def event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt", "choices": [choice]}
    return f"data: {json.dumps(body)}\n\n".encode()


EVENTS = [*(event({"content": f"word{number} "}) for number in range(63)), event({}, "stop") + b"data: [DONE]\n\n"]


async def app(request: wire.ServerRequest, responder: wire.Responder) -> None:
    if not json.loads(request.body).get("stream"):
        responder.reply(200, (("content-type", "application/json"),), json.dumps(ANSWER).encode())
        return
    responder.start(200, HEADERS)
    for one in EVENTS:
        responder.write(one)
        await asyncio.sleep(0.01)
    responder.end()


async def main() -> None:
    await wire.serve(app, port=int(sys.argv[1]))
    await asyncio.Event().wait()


if __name__ == "__main__":
    wire.run(main())
