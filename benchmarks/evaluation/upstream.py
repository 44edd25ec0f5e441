"""An OpenAI-shaped endpoint that answers after a fixed delay, for benchmarks. Prints its port; on SIGTERM prints its
count and span."""

from __future__ import annotations

import asyncio
import signal
import sys
import time

import orjson

from proveout import wire


class Upstream:
    """Half of its answers are right: those to prompts that end with an even number."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.count = 0
        self.first = 0.0
        self.last = 0.0

    async def __call__(self, request: wire.ServerRequest, responder: wire.Responder) -> None:
        self.first = self.first or time.monotonic()
        question = orjson.loads(request.body)["messages"][-1]["content"]
        await asyncio.sleep(self.delay_s)
        answer = question if question.strip()[-1] in "02468" else "wrong"
        body = {
            "id": "x",
            "object": "chat.completion",
            "model": "bench",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
        }
        responder.reply(200, (("content-type", "application/json"),), orjson.dumps(body))
        self.count += 1
        self.last = time.monotonic()


async def serve(delay_s: float) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    upstream = Upstream(delay_s)
    server = await wire.serve(upstream, host="127.0.0.1", port=0)
    print(server.port, flush=True)
    await stopped.wait()
    await server.close(drain_s=0)
    print(orjson.dumps({"count": upstream.count, "span_s": upstream.last - upstream.first}).decode(), flush=True)


if __name__ == "__main__":
    wire.run(serve(float(sys.argv[1])))
