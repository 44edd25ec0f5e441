"""Anthropic's messages API. The official SDK's own types check what is sent and what the answers here look like."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from provider_peers import HELLO, peer

from proveout.models._base import Usage
from proveout.project.records import Message, Secret
from proveout.testing.faults import Answer

CALL = {"id": "toolu_1", "type": "function", "function": {"name": "lookup", "arguments": '{"city":"Rome"}'}}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "lookup", "description": "Weather", "parameters": PARAMETERS}}
OLDER_MODELS_TAKE = {"temperature", "top_p", "top_k"}
"""Newer models refuse these with a 400, and newer SDKs have no field for them."""

SCHEMA = {"type": "object", "properties": {"intent": {"type": "string"}}, "additionalProperties": False}


def message(**changes: Any) -> dict[str, Any]:
    """An answer as the API's reference shows it."""
    return {
        "id": "msg_013Zva2CMHLNnXjNJJKqJ2EF",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5-20251001",
        "content": [{"type": "text", "text": "Hi! My name is Claude."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 2095, "output_tokens": 503},
        **changes,
    }


def events(*values: dict[str, Any]) -> list[bytes]:
    """Named server-sent events, as the API sends them."""
    return [b"event: %b\ndata: %b\n\n" % (value["type"].encode(), orjson.dumps(value)) for value in values]


START = {
    "type": "message_start",
    "message": message(
        content=[], stop_reason=None, usage={"input_tokens": 25, "cache_read_input_tokens": 5, "output_tokens": 1}
    ),
}
END = (
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 15},
    },
    {"type": "message_stop"},
)


def text_delta(text: str, index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}}


TEXT = (START, {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"}, text_delta("Hello"), text_delta("!"), *END)  # fmt: skip


def valid(body: Any) -> Any:
    """The body, once the official SDK's types have found it valid."""
    types = pytest.importorskip("anthropic.types")
    pydantic = pytest.importorskip("pydantic")
    shape = types.message_create_params
    stream = shape.MessageCreateParamsStreaming if body.get("stream") else shape.MessageCreateParamsNonStreaming
    pydantic.TypeAdapter(stream).validate_python(body, strict=False)
    unknown = set(body) - set(stream.__annotations__) - set(shape.MessageCreateParamsBase.__annotations__)
    assert unknown <= OLDER_MODELS_TAKE
    return body


def test_the_answers_of_these_tests_have_the_sdks_shape() -> None:
    types = pytest.importorskip("anthropic.types")
    pydantic = pytest.importorskip("pydantic")
    types.Message.model_validate(message())
    for event in TEXT:
        if event["type"] != "ping":
            pydantic.TypeAdapter(types.RawMessageStreamEvent).validate_python(event)


async def test_a_whole_answer_and_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "sk-ant-0000000000000000")
    async with peer("anthropic", Answer.json(message()), name="claude-haiku-4-5", key=Secret("env:KEY")) as one:
        got = await one.ask(temperature=0, max_tokens=64, stop="END", user="u1", top_k=5, thinking={"type": "disabled"})
    assert (got.text, got.finish_reason, got.model) == ("Hi! My name is Claude.", "stop", "claude-haiku-4-5-20251001")
    assert got.usage == Usage(input_tokens=2095, output_tokens=503)
    assert one.sent.target == "/v1/messages"
    assert one.sent.headers["x-api-key"] == "sk-ant-0000000000000000"
    assert one.sent.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in one.sent.headers
    assert valid(one.body) == {
        "model": "claude-haiku-4-5",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        "system": "Be brief.",
        "temperature": 0,
        "top_k": 5,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u1"},
        "thinking": {"type": "disabled"},
    }


async def test_a_limit_is_always_sent_and_an_address_may_end_in_v1() -> None:
    async with peer("anthropic", Answer.json(message()), path="/v1") as one:
        await one.ask()
        assert one.body["max_tokens"] == 4096
        await one.ask(max_completion_tokens=9)
        assert one.body["max_tokens"] == 9
    assert one.sent.target == "/v1/messages"


async def test_system_tools_results_and_pictures_are_put_where_the_api_wants_them() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0="}}
    linked = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    file = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}}
    async with peer("anthropic", Answer.json(message())) as one:
        await one.ask(
            Message("system", [{"type": "text", "text": "Rules", "cache_control": {"type": "ephemeral"}}]),
            Message("user", [{"type": "text", "text": "What?"}, picture, linked, file]),
            Message("system", "Later rules"),
            Message("assistant", "Looking.", {"tool_calls": [CALL, {**CALL, "id": "toolu_2"}]}),
            Message("tool", "sunny", {"tool_call_id": "toolu_1"}),
            Message("tool", [{"type": "text", "text": "rain"}], {"tool_call_id": "toolu_2"}),
            Message("user", "And?"),
            tools=[TOOL],
        )
    body = valid(one.body)
    assert body["system"] == [
        {"type": "text", "text": "Rules", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Later rules"},
    ]
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    asked, made, given = (turn["content"] for turn in body["messages"])
    assert asked[1:] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0="}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}},
    ]
    assert made == [
        {"type": "text", "text": "Looking."},
        {"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": {"city": "Rome"}},
        {"type": "tool_use", "id": "toolu_2", "name": "lookup", "input": {"city": "Rome"}},
    ]
    assert given == [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"},
        {"type": "tool_result", "tool_use_id": "toolu_2", "content": [{"type": "text", "text": "rain"}]},
        {"type": "text", "text": "And?"},
    ]


@pytest.mark.parametrize(
    ("choice", "parallel", "meant"),
    [
        (None, None, None),
        ("auto", None, {"type": "auto"}),
        ("none", False, {"type": "none"}),
        ("required", None, {"type": "any"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"type": "function", "function": {"name": "lookup"}}, None, {"type": "tool", "name": "lookup"}),
        ({"type": "any"}, None, {"type": "any"}),
    ],
)
async def test_tools_and_the_choice_among_them_are_translated(choice: Any, parallel: Any, meant: Any) -> None:
    native = {"type": "web_search_20250305", "name": "web_search"}
    async with peer("anthropic", Answer.json(message())) as one:
        await one.ask(tools=[TOOL, native], tool_choice=choice, parallel_tool_calls=parallel)
    body = valid(one.body)
    assert body["tools"] == [{"name": "lookup", "description": "Weather", "input_schema": PARAMETERS}, native]
    assert body.get("tool_choice") == meant


async def test_structured_output_and_effort_have_their_place() -> None:
    shape = {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": SCHEMA}}
    async with peer("anthropic", Answer.json(message())) as one:
        await one.ask(response_format=shape, reasoning_effort="low")
    assert valid(one.body)["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "low"}
    assert "response_format" not in one.body


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"seed": 1}, "seed"),
        ({"logprobs": True}, "logprobs"),
        ({"n": 2}, "`n`"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
    ],
)
async def test_what_has_no_equivalent_is_refused_by_name_and_not_sent(parameters: dict[str, Any], named: str) -> None:
    async with peer("anthropic", Answer.json(message())) as one:
        error = await one.refusal(**parameters)
    assert error.kind == "bad_request"
    assert named in str(error)
    assert one.server.received == []


async def test_values_that_ask_for_nothing_are_left_out() -> None:
    async with peer("anthropic", Answer.json(message())) as one:
        await one.ask(n=1, logprobs=False, frequency_penalty=0, seed=None, response_format={"type": "text"})
    assert set(valid(one.body)) == {"model", "max_tokens", "messages", "system"}


async def test_tool_calls_come_back_in_openais_shape() -> None:
    content = [
        {"type": "thinking", "thinking": "Hm", "signature": "x"},
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": {"city": "Rome"}},
    ]
    async with peer("anthropic", Answer.json(message(content=content, stop_reason="tool_use"))) as one:
        got = await one.ask()
    assert (got.text, got.finish_reason, got.tool_calls) == ("Let me look.", "tool_calls", (CALL,))


@pytest.mark.parametrize(
    ("reason", "meant"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "other"),
        ("refusal", "content_filter"),
    ],
)
async def test_stop_reasons_are_put_in_our_words(reason: str, meant: str) -> None:
    async with peer("anthropic", Answer.json(message(stop_reason=reason))) as one:
        got = await one.ask()
    assert got.finish_reason == meant
    assert (got.refusal is not None) == (reason == "refusal")


async def test_cached_tokens_are_counted_into_the_input() -> None:
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 200,
        "cache_read_input_tokens": 3000,
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 20},
    }
    answers = [Answer.json(message(usage=usage)), Answer.json(message(usage={**usage, "input_tokens": -1}))]
    async with peer("anthropic", answers) as one:
        assert (await one.ask()).usage == Usage(
            input_tokens=3210, output_tokens=50, cached_tokens=3000, cache_write_tokens=200, reasoning_tokens=20
        )
        assert (await one.ask()).usage is None


async def test_a_stream_gives_text_usage_and_times() -> None:
    async with peer("anthropic", Answer(events=events(*TEXT), gap_s=0.01)) as one:
        got = await one.ask(stream=True)
    assert (got.text, got.finish_reason, got.model) == ("Hello!", "stop", "claude-haiku-4-5-20251001")
    assert got.usage == Usage(input_tokens=30, output_tokens=15, cached_tokens=5)
    assert valid(one.body)["stream"] is True
    assert got.timings is not None
    assert got.timings.ttft is not None
    assert 0.03 < got.timings.ttft < got.timings.e2e
    assert len(got.timings.gaps) == 1


async def test_a_streamed_tool_call_is_put_together() -> None:
    use = {"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": {}}
    pieces = ["", '{"ci', 'ty":"Rome"}']
    stream = events(
        START,
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "thinking", "thinking": "", "signature": ""},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": use},
        *(
            {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": piece}}
            for piece in pieces
        ),
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 15}},
        {"type": "message_stop"},
    )
    async with peer("anthropic", Answer(events=stream)) as one:
        got = await one.ask(stream=True)
    assert (got.finish_reason, got.tool_calls) == ("tool_calls", (CALL,))


@pytest.mark.parametrize(
    ("status", "kind_of_error", "kind", "retryable"),
    [
        (400, "invalid_request_error", "bad_request", False),
        (401, "authentication_error", "auth", False),
        (403, "permission_error", "auth", False),
        (404, "not_found_error", "bad_request", False),
        (413, "request_too_large", "bad_request", False),
        (429, "rate_limit_error", "rate_limit", True),
        (500, "api_error", "status", True),
        (529, "overloaded_error", "overloaded", True),
    ],
)
async def test_the_documented_errors_have_their_kinds(
    status: int, kind_of_error: str, kind: str, retryable: bool
) -> None:
    error = {"type": "error", "error": {"type": kind_of_error, "message": "why"}, "request_id": "req_1"}
    async with peer("anthropic", [Answer.json(error, status=status), Answer(events=events(START, error))]) as one:
        whole, streamed = await one.refusal(), await one.refusal(stream=True)
    assert (whole.kind, whole.retryable, whole.status) == (kind, retryable, status)
    assert (streamed.kind, streamed.retryable) == (kind, retryable)
    assert "why" in str(whole)
    assert "why" in str(streamed)


@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (TEXT[:5], "cut"),
        ([START, {"type": "content_block_delta", "index": 0, "delta": None}], "malformed"),
        ([START, text_delta(5)], "malformed"),  # pyright: ignore[reportArgumentType]
    ],
)
async def test_broken_streams_are_told_apart(stream: Iterable[dict[str, Any]], kind: str) -> None:
    async with peer("anthropic", Answer(events=events(*stream))) as one:
        assert (await one.refusal(*HELLO, stream=True)).kind == kind


@pytest.mark.parametrize("body", [{}, [], {"type": "message", "content": 5}, message(content=[{"type": "text"}])])
async def test_answers_of_another_shape_are_malformed(body: Any) -> None:
    async with peer("anthropic", Answer.json(body)) as one:
        assert (await one.refusal()).kind == "malformed"
