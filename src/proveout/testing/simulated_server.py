"""A simulated model server with known truth, in OpenAI's formats (chat completions, and completions for tools that know
no other), for load tests and their calibration.

```python
with simulated_server(Behaviour(step_s=0.01)) as server:
    ...  # stream from server.url + "/chat/completions"
    truth = server.truth()
```
It is a process of its own, so that what it does costs its clients nothing. Its log says when each request came and when
each token was written, on `time.monotonic`, which all processes of a machine share. Requests are told apart in it by
their `user` field.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import urllib.request
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from time import monotonic
from typing import Any

import msgspec
import orjson

from proveout import wire
from proveout.testing.simulated_engine import Behaviour, Engine, Job
from proveout.wire.loop import run

_JSON = (("content-type", "application/json"),)
_EVENTS = (("content-type", "text/event-stream"),)
_START_S = 30.0
WORDS_PER_TOKEN = 1.25
"""How the server counts: a prompt of 100 words has 125 tokens and `PROMPT_EXTRA` for its roles."""
PROMPT_EXTRA = 7
ENDLESS = 10**9
_CHAT = b'"choices":[{"index":0,"delta":{"content":"tok "},"finish_reason":null}]}\n\n'
_CHAT_END = b'"choices":[{"index":0,"delta":{},"finish_reason":"%b"}]}\n\n'
_PLAIN = b'"choices":[{"index":0,"text":"tok ","finish_reason":null}]}\n\n'
_PLAIN_END = b'"choices":[{"index":0,"text":"","finish_reason":"%b"}]}\n\n'
AT_ONCE = 8
"""Requests taken and tokens written before the server looks again for what came: a step of many requests would else
delay the very stamps that say when a request arrived."""


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """What truly happened to one request. Times on `time.monotonic`."""

    user: str
    received: float
    written: tuple[float, ...]
    input_tokens: int
    finish: str

    @property
    def ttft(self) -> float:
        return self.written[0] - self.received if self.written else float("nan")


@dataclass(slots=True, eq=False)
class _Answering:
    """A request that is being answered."""

    responder: wire.Responder
    job: Job
    user: str
    received: float
    stream: bool
    usage: bool
    fault: str
    chat: bool
    head: bytes
    written: list[float] = field(default_factory=list)
    finish: str = ""


class SimulatedServer:
    """An app for `wire.serve`, driven by an `Engine` in real time."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._set(behaviour)

    def _set(self, behaviour: Behaviour) -> None:
        self._engine = Engine(behaviour)
        self._random = Random(behaviour.seed + 1)
        self._zero = monotonic()
        self._answering: dict[Job, _Answering] = {}
        self._log: list[_Answering] = []
        self._came: deque[tuple[wire.ServerRequest, wire.Responder, float]] = deque()
        self._unwritten: deque[tuple[_Answering, int]] = deque()
        self._looked: float | None = None
        self._working = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")

    def __call__(self, request: wire.ServerRequest, responder: wire.Responder) -> None:
        if request.path in ("/v1/chat/completions", "/v1/completions") and request.method == "POST":
            self._came.append((request, responder, self._arrival(request)))
            self._work_on()
        elif request.path == "/v1/models":
            responder.reply(200, _JSON, orjson.dumps({"object": "list", "data": [{"id": "sim", "object": "model"}]}))
        elif request.path == "/truth":
            responder.reply(200, _JSON, msgspec.json.encode([_truth(answering) for answering in self._log]))
        elif request.path == "/behaviour" and request.method == "POST":
            self._set(msgspec.json.decode(request.body, type=Behaviour))
            responder.reply(200, _JSON, b"{}")
        else:
            responder.reply(404, _JSON, b'{"error":{"message":"no such path"}}')

    def _arrival(self, request: wire.ServerRequest) -> float:
        """When a request came, at the latest: requests that one look of the event loop finds were all there when it
        looked, however long it takes to read them one after the other."""
        if self._looked is None:
            self._looked = request.received
            asyncio.get_running_loop().call_soon(self._look_again)
        return self._looked

    def _look_again(self) -> None:
        self._looked = None

    def _work_on(self) -> None:
        if not self._working:
            self._working = True
            asyncio.get_running_loop().call_soon(self._work)

    def _work(self) -> None:
        """Take a few requests and write a few tokens; the others once the loop has looked for what came."""
        self._working = False
        for _ in range(min(AT_ONCE, len(self._came))):
            self._take(*self._came.popleft())
        self._advance()
        for _ in range(min(AT_ONCE, len(self._unwritten))):
            answering, token = self._unwritten.popleft()
            if not answering.finish:
                self._write(answering, token)
        if self._came or self._unwritten:
            self._work_on()

    def _take(self, request: wire.ServerRequest, responder: wire.Responder, arrived: float) -> None:
        try:
            body = orjson.loads(request.body)
            chat = request.path == "/v1/chat/completions"
            text = "".join(str(message["content"]) for message in body["messages"]) if chat else str(body["prompt"])
            most = int(body.get("max_completion_tokens") or body.get("max_tokens") or 1024)
            least = int(body.get("min_tokens") or 0)
        except (ValueError, KeyError, TypeError) as error:
            responder.reply(400, _JSON, orjson.dumps({"error": {"message": f"not a request for an answer: {error}"}}))
            return
        behaviour = self._engine.behaviour
        if behaviour.die_after and len(self._log) >= behaviour.die_after:
            os._exit(1)
        fault = self._fault()
        now = monotonic() - self._zero
        tokens = round(len(text.split()) * WORDS_PER_TOKEN) + PROMPT_EXTRA
        endless = fault == "endless"
        job = self._engine.submit(
            now,
            tokens,
            ENDLESS if endless else most,
            prompt=hash(text) or 1,
            endless=endless or bool(body.get("ignore_eos")),
        )
        job.natural = max(job.natural, least)
        stream = bool(body.get("stream"))
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        kind = b"chat.completion.chunk" if chat else b"text_completion"
        head = b'data: {"id":"sim-%d","object":"%b","model":"sim",' % (job.number, kind)
        user = str(body.get("user") or "")
        answering = _Answering(responder, job, user, arrived, stream, usage, fault, chat, head)
        self._log.append(answering)
        if fault == "refuse":
            job.gone = True
            answering.finish = "refused"
            responder.reply(503, _JSON, b'{"error":{"message":"overloaded","type":"server_error"}}')
            return
        self._answering[job] = answering
        request.disconnected.add_done_callback(lambda _: self._left(answering))

    def _fault(self) -> str:
        behaviour = self._engine.behaviour
        draw = self._random.random()
        for name in ("refuse", "garbage", "cut", "endless"):
            draw -= getattr(behaviour, name)
            if draw < 0:
                return name
        return ""

    def _left(self, answering: _Answering) -> None:
        if not answering.finish:
            answering.finish = "left"
            answering.job.gone = True
            self._answering.pop(answering.job, None)

    def _advance(self) -> None:
        """Let the machine come up to now, and wake again when it has more."""
        now = monotonic()
        for job in self._engine.advance(now - self._zero):
            answering = self._answering.get(job)
            if answering is not None:
                self._unwritten.append((answering, len(job.tokens)))
        at = self._engine.next_at() + self._zero
        if at != self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
            self._timer_at = at
            if at < float("inf"):
                self._timer = asyncio.get_running_loop().call_later(max(at - monotonic(), 0.0), self._woken)

    def _woken(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        self._work_on()

    def _write(self, answering: _Answering, token: int) -> None:
        """Write a request's token of this number, counted from 1."""
        job, responder = answering.job, answering.responder
        last = token >= job.length
        answering.written.append(monotonic())
        if not answering.stream:
            if last:
                self._done(answering, job.finish)
                responder.reply(200, _JSON, orjson.dumps(_whole(answering)))
            return
        if not responder.started:
            responder.start(200, _EVENTS)
        if answering.fault == "garbage":
            responder.write(b"data: {this is no JSON\n\n")
        else:
            responder.write(answering.head + (_CHAT if answering.chat else _PLAIN))
        if answering.fault == "cut" and token * 2 >= job.length:
            self._done(answering, "cut")
            job.gone = True
            responder.abort()
        elif last:
            self._done(answering, job.finish)
            ending = answering.head + (_CHAT_END if answering.chat else _PLAIN_END) % job.finish.encode()
            if answering.usage:
                ending += answering.head + b'"choices":[],"usage":%b}\n\n' % orjson.dumps(_usage(job))
            responder.write(ending + b"data: [DONE]\n\n")
            responder.end()

    def _done(self, answering: _Answering, finish: str) -> None:
        answering.finish = finish
        self._answering.pop(answering.job, None)


def _usage(job: Job) -> dict[str, int]:
    output = len(job.tokens)
    return {"prompt_tokens": job.input_tokens, "completion_tokens": output, "total_tokens": job.input_tokens + output}


def _whole(answering: _Answering) -> dict[str, Any]:
    job = answering.job
    text = "tok " * len(job.tokens)
    said = {"message": {"role": "assistant", "content": text}} if answering.chat else {"text": text}
    return {
        "id": f"sim-{job.number}",
        "object": "chat.completion" if answering.chat else "text_completion",
        "model": "sim",
        "choices": [{"index": 0, **said, "finish_reason": job.finish}],
        "usage": _usage(job),
    }


def _truth(answering: _Answering) -> Truth:
    return Truth(
        user=answering.user,
        received=answering.received,
        written=tuple(answering.written),
        input_tokens=answering.job.input_tokens,
        finish=answering.finish,
    )


class ServerProcess:
    """A running simulated server. `url` is its OpenAI-compatible base address."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self._process = process
        self.url = url

    def truth(self) -> list[Truth]:
        """What happened to every request since the start, or since `become`, in the order of arrival."""
        return msgspec.json.decode(self._fetch("/truth"), type=list[Truth])

    def become(self, behaviour: Behaviour) -> None:
        """Start afresh with another behaviour and an empty log."""
        self._fetch("/behaviour", msgspec.json.encode(behaviour))

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def _fetch(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.url.removesuffix("/v1") + path, data=body)  # noqa: S310 (our own)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=_START_S) as answer:
            return answer.read()


@contextlib.contextmanager
def simulated_server(behaviour: Behaviour | None = None) -> Iterator[ServerProcess]:
    """A simulated server in a process of its own, on a free port of loopback; ended at the end, and when this process
    dies."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", __name__, msgspec.json.encode(behaviour or Behaviour()).decode()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline().decode().strip()
        if not line.startswith("http"):
            raise RuntimeError(f"the simulated server did not start: {line or 'no word from it'}")
        yield ServerProcess(process, line)
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


async def _serve(behaviour: Behaviour, host: str, port: int) -> None:
    server = await wire.serve(SimulatedServer(behaviour), host=host, port=port)
    print(f"http://{host}:{server.port}/v1", flush=True)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), lambda: ended.set() if not os.read(sys.stdin.fileno(), 4096) else None)
    await ended.wait()
    await server.close()


def main() -> None:
    """Serve until standard input closes."""
    import gc

    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}", description=__doc__)
    parser.add_argument("behaviour", nargs="?", default="{}", help="a Behaviour as JSON")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    behaviour = msgspec.json.decode(arguments.behaviour, type=Behaviour)
    gc.freeze()
    with contextlib.suppress(KeyboardInterrupt):
        run(_serve(behaviour, arguments.host, arguments.port))


if __name__ == "__main__":
    main()
