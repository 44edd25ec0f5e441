"""The probe against the built-in model's real server, and against engines that each lack something."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest

from proveout import wire
from proveout.models._base import ModelError
from proveout.models.probe import ProbeReport, probe
from proveout.models.probe_checks import CHECKS
from proveout.models.tiny import tiny_app
from proveout.project.records import Secret

JSON = (("content-type", "application/json"),)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """The coroutine as a plain test."""

    def runner() -> None:
        wire.run(asyncio.wait_for(test(), 60))

    runner.__name__ = test.__name__
    return runner


@dataclass(frozen=True)
class Engine:
    """A deterministic engine of words, one token each, whose manners can be changed; an app for `wire.serve`.

    `eos`: whether the end token is counted. `temperament`: whether answers follow from the seed.
    """

    models: bool = True
    usage: bool = True
    streamed_usage: bool = True
    extra_streamed: int = 0
    eos: bool = True
    seed: bool = True
    logprobs: bool = True
    stop: bool = True
    limit: bool = True
    refuses: frozenset[str] = frozenset()
    answers_json: bool = True
    calls_tools: bool = True
    key: str | None = None
    fails: bool = False
    steady: bool = True
    words: str = "the sea is wide and blue and never quite still"
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, request: wire.ServerRequest, responder: wire.Responder) -> None:
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            return self.fail(responder, 401, "who are you?")
        if request.path.endswith("/models"):
            if not self.models:
                return self.fail(responder, 404, "no such path")
            return responder.reply(200, JSON, orjson.dumps({"object": "list", "data": [{"id": "words"}]}))
        body = orjson.loads(request.body)
        self.asked.append(body)
        for name in self.refuses:
            if name in body:
                return self.fail(responder, 400, f"{name} is not supported")
        if self.fails:
            return self.fail(responder, 500, "out of memory")
        await self.answer(body, responder)

    def fail(self, responder: wire.Responder, status: int, message: str) -> None:
        responder.reply(status, JSON, orjson.dumps({"error": {"message": message, "type": "x", "code": None}}))

    async def answer(self, body: dict[str, Any], responder: wire.Responder) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": None}
        if "tools" in body and self.calls_tools:
            function = {"name": "get_weather", "arguments": '{"city": "Rome"}'}
            message["tool_calls"] = [{"id": "c", "type": "function", "function": function}]
        text = self.text(body)
        tokens = text.split(" ")
        limit = body.get("max_tokens", body.get("max_completion_tokens", 99))
        end = 1 if self.eos else 0
        cut = self.limit and limit < len(tokens) + end
        kept = tokens[:limit] if cut else tokens
        text = " ".join(kept)
        for stop in body.get("stop", ()) if self.stop else ():
            text = text.partition(stop)[0]
        counted = {"prompt_tokens": 9, "completion_tokens": len(kept) + (0 if cut else end)}
        if "tool_calls" not in message:
            message["content"] = text
        finish = "length" if cut else "stop"
        if body.get("stream"):
            return await self.stream(body, responder, text, finish, counted)
        logprobs = {"content": [{"token": word, "logprob": -0.1} for word in kept]} if self.logprobs else None
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": finish,
            "logprobs": logprobs if "logprobs" in body else None,
        }
        whole = {"model": "words", "choices": [choice], "usage": counted if self.usage else None}
        responder.reply(200, JSON, orjson.dumps(whole))

    def text(self, body: dict[str, Any]) -> str:
        if "response_format" in body and self.answers_json:
            return '{"city": "Rome", "population_millions": 2.8}'
        if body.get("temperature", 0) > 0:
            return f"draw {body['seed'] if self.seed else len(self.asked)}"
        return self.words if self.steady else f"{self.words} {len(self.asked)}"

    async def stream(
        self, body: dict[str, Any], responder: wire.Responder, text: str, finish: str, counted: dict[str, int]
    ) -> None:
        responder.start(200, (("content-type", "text/event-stream"),))
        for word in text.split(" "):
            delta = {"index": 0, "delta": {"content": f"{word} "}, "finish_reason": None}
            responder.write(wire.encode_event(orjson.dumps({"choices": [delta]}).decode()))
            await asyncio.sleep(0.002)
        last = {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
        responder.write(wire.encode_event(orjson.dumps(last).decode()))
        if self.streamed_usage:
            told = {**counted, "completion_tokens": counted["completion_tokens"] + self.extra_streamed}
            responder.write(wire.encode_event(orjson.dumps({"choices": [], "usage": told}).decode()))
        responder.write(wire.encode_event("[DONE]"))
        responder.end()


@asynccontextmanager
async def served(engine: Engine) -> AsyncIterator[str]:
    server = await wire.serve(engine)
    try:
        yield f"http://127.0.0.1:{server.port}/v1"
    finally:
        await server.close()


async def probed(engine: Engine, **options: Any) -> ProbeReport:
    async with served(engine) as url, wire.Client(trust_env=False) as client:
        return await probe(url, client=client, **options)


@run
async def test_the_built_in_model_is_found_as_it_is() -> None:
    app = tiny_app(("f16",))
    server = await wire.serve(app)
    try:
        async with wire.Client(trust_env=False) as client:
            report = await probe(f"http://127.0.0.1:{server.port}", client=client)
    finally:
        await server.close()
        await app.aclose()
    found = {finding.check: finding.status for finding in report.findings}
    assert report.url.endswith("/v1")
    assert report.models == ("tiny-f16",)
    assert report.latency_ms is not None
    assert report.latency_ms > 0
    for check in ("models", "chat", "usage", "streaming", "streamed_usage", "logprobs", "seed", "stop", "max_tokens"):
        assert found[check] == "supported", (check, report[check].seen)
    assert found["eos_counted"] == "supported"
    assert found["json_schema"] == found["tools"] == "not_supported"
    assert "response_format" in report["json_schema"].seen


@run
async def test_an_engine_that_can_do_everything_is_found_able() -> None:
    report = await probed(Engine())
    assert {finding.status for finding in report.findings} == {"supported"}, report.findings
    assert len(report.findings) == len(CHECKS) + 1
    assert report.model == "words"
    value = orjson.loads(orjson.dumps(report.as_json()))
    assert value["schema"] == "proveout.probe/v1"
    assert value["findings"][0] == {"check": "models", "status": "supported", "seen": "words"}


@pytest.mark.parametrize(
    ("engine", "check", "status", "seen"),
    [
        (Engine(models=False), "models", "not_supported", "404"),
        (Engine(usage=False), "usage", "not_supported", "no token counts"),
        (Engine(usage=False), "eos_counted", "unknown", "no token counts"),
        (Engine(streamed_usage=False), "streamed_usage", "not_supported", "asked for"),
        (Engine(eos=False), "eos_counted", "not_supported", "not counted"),
        (Engine(eos=True), "eos_counted", "supported", "one of the 11"),
        (Engine(seed=False), "seed", "not_supported", "two answers"),
        (Engine(refuses=frozenset({"seed"})), "seed", "not_supported", "seed is not supported"),
        (Engine(logprobs=False), "logprobs", "not_supported", "none came"),
        (Engine(answers_json=False), "json_schema", "not_supported", "ignored"),
        (Engine(refuses=frozenset({"response_format"})), "json_schema", "not_supported", "400"),
        (Engine(calls_tools=False), "tools", "not_supported", "ignored"),
        (Engine(stop=False), "stop", "not_supported", "ignored"),
        (Engine(stop=False, words="x?"), "stop", "unknown", "too short to be stopped"),
        (Engine(limit=False), "max_tokens", "not_supported", "asked for 3 tokens, counted 11"),
        (Engine(limit=False, usage=False), "max_tokens", "not_supported", "asked for"),
        (Engine(steady=False), "stop", "unknown", "same answer twice"),
        (Engine(steady=False), "eos_counted", "unknown", "same answer twice"),
        (Engine(refuses=frozenset({"temperature"})), "chat", "supported", "refuses temperature"),
        (Engine(refuses=frozenset({"temperature", "max_tokens"})), "max_tokens", "supported", "max_completion_tokens"),
        (Engine(refuses=frozenset({"stream_options"})), "streaming", "supported", "pieces"),
        (Engine(fails=True), "chat", "unknown", "out of memory"),
        (Engine(fails=True), "tools", "unknown", "no plain question"),
        (Engine(words='evil \x1b[2J "text"'), "chat", "supported", "evil ?[2J"),
    ],
)  # fmt: skip
def test_each_lack_is_found(engine: Engine, check: str, status: str, seen: str) -> None:
    report = wire.run(probed(replace(engine, asked=[])))
    assert (report[check].status, seen in report[check].seen) == (status, True), report[check]


def test_counts_that_differ_between_whole_and_streamed_are_found() -> None:
    class Trimming(Engine):
        async def stream(self, body: Any, responder: Any, text: str, finish: str, counted: Any) -> None:
            responder.start(200, (("content-type", "text/event-stream"),))
            last = {
                "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}],
                "usage": {**counted, "completion_tokens": 99},
            }
            responder.write(wire.encode_event(orjson.dumps(last).decode()))
            responder.end()

    report = wire.run(probed(Trimming()))
    assert report["token_counting"].status == "not_supported"
    assert "11 out whole" in report["token_counting"].seen
    assert "99 out streamed" in report["token_counting"].seen


def test_an_answer_that_comes_as_a_whole_is_no_stream() -> None:
    class Ignoring(Engine):
        async def answer(self, body: Any, responder: Any) -> None:
            await super().answer({**body, "stream": False}, responder)

    report = wire.run(probed(Ignoring()))
    assert report["streaming"].status == "not_supported"
    assert report["streamed_usage"].status == "unknown"


def test_pieces_that_all_come_at_once_are_no_proof_of_streaming() -> None:
    class Buffering(Engine):
        async def stream(self, body: Any, responder: Any, text: str, finish: str, counted: Any) -> None:
            pieces = [{"choices": [{"index": 0, "delta": {"content": word}}]} for word in text.split(" ")]
            pieces[-1]["choices"][0]["finish_reason"] = finish
            events = b"".join(wire.encode_event(orjson.dumps(piece).decode()) for piece in pieces)
            responder.reply(200, (("content-type", "text/event-stream"),), events)

    assert wire.run(probed(Buffering()))["streaming"].status == "unknown"


def test_the_key_goes_out_and_a_wrong_one_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIGHT", "right-key-123456")
    monkeypatch.setenv("WRONG", "wrong-key-123456")
    right = wire.run(probed(Engine(key="right-key-123456"), key=Secret("env:RIGHT")))
    assert right["chat"].status == "supported"
    wrong = wire.run(probed(Engine(key="right-key-123456"), key=Secret("env:WRONG")))
    assert wrong["models"].status == wrong["chat"].status == "unknown"
    assert "401" in wrong["chat"].seen
    assert "key-123456" not in str(wrong)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/v1", "http://no-such-host.invalid/v1"])
def test_nobody_there_is_an_error(url: str) -> None:
    async def attempt() -> None:
        async with wire.Client(trust_env=False) as client:
            await probe(url, client=client)

    with pytest.raises(ModelError) as caught:
        wire.run(attempt())
    assert caught.value.kind == "connect"
