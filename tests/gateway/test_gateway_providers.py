"""Providers with another wire format, models in this process, and the official SDK, which sees no difference."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from gateway_world import STREAM, World, chunk, completion, error, run, said, stream, world

from proveout.testing.faults import Answer, FaultServer

TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}]
ANTHROPIC = {
    "type": "message",
    "model": "claude-haiku",
    "role": "assistant",
    "content": [{"type": "text", "text": "Hi."}, {"type": "tool_use", "id": "t1", "name": "find", "input": {"q": 1}}],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 7, "output_tokens": 5, "cache_read_input_tokens": 2},
}
EVENTS = [
    {"type": "message_start", "message": {"model": "claude-haiku", "usage": {"input_tokens": 7, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "He"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "llo"}},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t1", "name": "find"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"q"'}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": ": 1}"}},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
    {"type": "message_stop"},
]


def anthropic_stream(events: list[dict[str, Any]]) -> Answer:
    return Answer(events=[f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events], gap_s=0.01)


@asynccontextmanager
async def claude(folder: Path, monkeypatch: pytest.MonkeyPatch, upstream: FaultServer) -> AsyncIterator[World]:
    monkeypatch.setenv("GATEWAY_TEST_KEY", "sk-ant-test")
    model = {"provider": "anthropic", "name": "claude-haiku", "url": upstream.url, "key": "env:GATEWAY_TEST_KEY"}
    async with world(folder, {"base": {"model": model, "parameters": {"max_tokens": 64}}}) as here:
        yield here


def test_anthropic_is_translated_both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]

    async def main() -> None:
        async with (
            FaultServer(otherwise=Answer.json(ANTHROPIC)) as upstream,
            claude(tmp_path, monkeypatch, upstream) as here,
        ):
            response = await here.ask({"messages": messages, "tools": TOOLS, "max_completion_tokens": 9})
            answer = json.loads(response.body)
            message = answer["choices"][0]["message"]
            assert (answer["object"], message["content"], answer["choices"][0]["finish_reason"]) == (
                "chat.completion",
                "Hi.",
                "tool_calls",
            )
            assert message["tool_calls"][0]["function"] == {"name": "find", "arguments": '{"q":1}'}
            assert answer["usage"]["prompt_tokens"] == 9
            asked = upstream.received[0]
            assert (asked.headers.get("x-api-key"), asked.target) == ("sk-ant-test", "/v1/messages")
            body = json.loads(asked.body)
            assert (body["system"], body["max_tokens"], body["tools"][0]["name"]) == ("Be brief.", 64, "find")
            (trace,) = await here.traces(1)
            assert (trace.input_tokens, trace.cached_tokens, trace.finish) == (9, 2, "tool_calls")

    run(main())


def test_anthropics_stream_comes_as_openais(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=anthropic_stream(EVENTS)) as upstream,
            claude(tmp_path, monkeypatch, upstream) as here,
        ):
            response = await here.ask({"stream": True, "stream_options": {"include_usage": True}})
            assert response.body.endswith(b"data: [DONE]\n\n")
            chunks = [json.loads(one[6:]) for one in response.body.split(b"\n\n") if one.startswith(b"data: {")]
            deltas = [one["choices"][0]["delta"] for one in chunks if one["choices"]]
            assert "".join(one.get("content") or "" for one in deltas) == "Hello"
            calls = [one["tool_calls"][0] for one in deltas if "tool_calls" in one]
            assert "".join(one["function"]["arguments"] for one in calls) == '{"q": 1}'
            assert (calls[0]["id"], {one["index"] for one in calls}) == ("t1", {0})
            assert chunks[-1]["usage"]["completion_tokens"] == 9
            (trace,) = await here.traces(1)
            assert trace.reads >= 3
            assert (trace.ttft or 9) < trace.e2e

    run(main())


def test_anthropics_failures_are_in_openais_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = Answer.json({"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}, status=400)
    busy = Answer.json({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, status=529)

    async def main() -> None:
        async with (
            FaultServer([bad, busy, busy, anthropic_stream(EVENTS[:3])]) as upstream,
            claude(tmp_path, monkeypatch, upstream) as here,
        ):
            refused = await here.ask()
            assert (refused.status, error(refused)["type"]) == (400, "invalid_request_error")
            assert (await here.ask()).status == 502
            unknown = await here.ask({"messages": [{"role": "robot", "content": "x"}]})
            assert (unknown.status, error(unknown)["param"]) == (400, "messages[0]")
            embeddings = await here.post("/v1/embeddings", {"model": "chat", "input": "x"})
            assert (embeddings.status, error(embeddings)["code"]) == (400, "unsupported")

    run(main())


def test_the_built_in_model_and_recordings_answer_in_this_process(tmp_path: Path) -> None:
    recorded = tmp_path / "project" / "services" / "chat" / "recorded.jsonl"
    recorded.parent.mkdir(parents=True)
    rows = [
        {
            "id": "1",
            "input": {"question": "hello"},
            "output": "recorded",
            "usage": {"input_tokens": 1, "output_tokens": 2},
        }
    ]
    recorded.write_text("\n".join(map(json.dumps, rows)))
    variants = {
        "base": {"model": {"provider": "tiny", "build": "int8"}, "parameters": {"temperature": 0}},
        "replayed": {"model": {"provider": "replay", "path": "recorded.jsonl"}},
    }

    async def main() -> None:
        async with world(tmp_path, variants) as here:
            whole = await here.ask()
            streamed = await here.ask({"stream": True})
            chunks = [json.loads(one[6:]) for one in streamed.body.split(b"\n\n") if one.startswith(b"data: {")]
            assert "".join(one["choices"][0]["delta"].get("content") or "" for one in chunks) == said(whole)
            assert said(await here.ask({"model": "chat/replayed"})) == "recorded"
            assert b"recorded" in (await here.ask({"model": "chat/replayed", "stream": True})).body
            managed = await here.ask({"model": "chat/replayed", "proveout": {"variables": {"question": "hello"}}})
            assert said(managed) == "recorded"
            missing = await here.ask({"model": "chat/replayed", "messages": [{"role": "user", "content": "other"}]})
            assert missing.status == 502
            bad = await here.ask({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})
            assert (bad.status, error(bad)["code"]) == (400, "invalid_value")
            traces = await here.traces(7)
            assert {trace.cost_usd for trace in traces if trace.status == 200} == {0.0}

    run(main())


def test_the_official_sdk_works_by_its_base_url(tmp_path: Path) -> None:
    openai = pytest.importorskip("openai")
    tool = {"index": 0, "id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    script = [
        Answer.json(completion("whole")),
        stream(*STREAM),
        stream(chunk({"tool_calls": [tool]}), chunk({}, "tool_calls"), "[DONE]"),
        Answer.json(
            {
                "object": "list",
                "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
                "model": "e",
                "usage": {"prompt_tokens": 1, "total_tokens": 1},
            }
        ),
        Answer.json({"error": {"message": "bad", "type": "invalid_request_error", "code": None}}, status=400),
        stream(*STREAM[:2], cut_after=500),
    ]

    async def main() -> None:
        async with FaultServer(script) as upstream, world(tmp_path, {"base": upstream.url}) as here:
            client = openai.AsyncOpenAI(base_url=here.url + "/v1", api_key="unused", max_retries=0)
            ask = client.chat.completions.create
            messages = [{"role": "user", "content": "hello"}]
            raw = await client.chat.completions.with_raw_response.create(model="chat", messages=messages)
            assert raw.parse().choices[0].message.content == "whole"
            assert len(raw.headers["x-proveout-trace-id"]) == 32
            pieces = [one async for one in await ask(model="chat", messages=messages, stream=True)]
            assert "".join(one.choices[0].delta.content or "" for one in pieces) == "Hi."
            pieces = [one async for one in await ask(model="chat", messages=messages, stream=True, tools=TOOLS)]
            assert pieces[0].choices[0].delta.tool_calls[0].function.name == "find"
            made = await client.embeddings.create(model="chat", input="x", encoding_format="float")
            assert made.data[0].embedding == [0.5]
            with pytest.raises(openai.BadRequestError):
                await ask(model="chat", messages=messages)
            with pytest.raises(openai.NotFoundError):
                await ask(model="absent", messages=messages)
            with pytest.raises((openai.APIError, Exception)):
                async for _ in await ask(model="chat", messages=messages, stream=True):
                    pass
            assert [one.id async for one in client.models.list()] == ["chat", "chat/base"]
            await client.close()

    run(main())
