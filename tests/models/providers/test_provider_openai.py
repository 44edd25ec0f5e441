from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from provider_peers import HELLO, STREAM, USAGE_CHUNK, chunk, completion, peer

from proveout.models._base import Usage
from proveout.project.records import Message, Secret
from proveout.testing.faults import Answer

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "lookup", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
DONE = Answer(events=STREAM)


def test_the_answers_of_these_tests_have_the_sdks_shape() -> None:
    types = pytest.importorskip("openai.types.chat")
    types.ChatCompletion.model_validate(completion(), strict=True)
    for event in STREAM[:-1]:
        types.ChatCompletionChunk.model_validate_json(event, strict=True)


async def test_a_whole_answer_is_read_with_usage_model_and_time() -> None:
    async with peer("openai", Answer.json(completion("Hello!"), delay_s=0.05)) as one:
        got = await one.ask(temperature=0, max_tokens=5)
    assert (got.text, got.finish_reason, got.model) == ("Hello!", "stop", "gpt-4.1-2025-04-14")
    assert got.usage == Usage(input_tokens=19, output_tokens=10, cached_tokens=4, reasoning_tokens=3)
    assert got.timings is not None
    assert 0.045 < got.timings.e2e < 10
    assert got.timings.ttft is None


async def test_the_request_is_openais_and_parameters_pass_through_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "sk-test-0000000000000000")
    answer = Answer.json(completion())
    extra = {"headers": {"X-Team": "support", "x-token": Secret("env:KEY")}}
    async with peer("openai", answer, path="/v1", name="gpt-4o", key=Secret("env:KEY"), options=extra) as one:
        picture = [
            {"type": "text", "text": "What?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        ]
        shape = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
        await one.ask(
            *HELLO, Message("user", picture), max_tokens=7, response_format=shape, tools=[TOOL], top_p=None, made_up=1
        )
    sent = one.sent
    assert (sent.method, sent.target) == ("POST", "/v1/chat/completions")
    assert sent.headers["authorization"] == "Bearer sk-test-0000000000000000"
    assert sent.headers["content-type"] == "application/json"
    assert (sent.headers["x-team"], sent.headers["x-token"]) == ("support", "sk-test-0000000000000000")
    assert one.body == {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
            {"role": "user", "content": picture},
        ],
        "max_tokens": 7,
        "response_format": shape,
        "tools": [TOOL],
        "made_up": 1,
    }


async def test_the_official_sdk_sends_the_same_body_and_reads_the_same_answer() -> None:
    openai = pytest.importorskip("openai")
    settings: dict[str, Any] = {
        "temperature": 0,
        "max_tokens": 7,
        "stop": ["a"],
        "tools": [TOOL],
        "tool_choice": "auto",
    }
    messages = [{"role": message.role, "content": message.content} for message in HELLO]
    async with peer("openai-compatible", [Answer.json(completion()), DONE, Answer.json(completion()), DONE]) as one:
        ours = [await one.ask(**settings), await one.ask(stream=True, **settings)]
        async with openai.AsyncOpenAI(base_url=one.server.url, api_key="k", max_retries=0) as sdk:
            asked = {"model": "m", "messages": messages, **settings}
            theirs = await sdk.chat.completions.create(**asked)
            options = {"stream": True, "stream_options": {"include_usage": True}}
            chunks = [chunk async for chunk in await sdk.chat.completions.create(**asked, **options)]
    bodies = [received.json() for received in one.server.received]
    assert bodies[:2] == bodies[2:]
    assert ours[0].text == theirs.choices[0].message.content
    assert ours[1].text == "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert ours[1].usage is not None
    assert ours[1].usage.output_tokens == chunks[-1].usage.completion_tokens


async def test_messages_keep_their_tool_calls_and_results() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "lookup", "arguments": '{"city":"Rome"}'}}
    async with peer("vllm", Answer.json(completion())) as one:
        await one.ask(
            Message("user", "Weather?"),
            Message("assistant", "", {"tool_calls": [call]}),
            Message("tool", "sunny", {"tool_call_id": "c1"}),
        )
    assert one.body["messages"][1:] == [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "sunny", "tool_call_id": "c1"},
    ]


async def test_a_stream_gives_text_usage_and_a_time_for_every_token() -> None:
    async with peer("openai", Answer(events=STREAM, gap_s=0.02)) as one:
        got = await one.ask(stream=True)
    assert (got.text, got.finish_reason, got.model) == ("Hello wörld", "stop", "gpt-4o-mini")
    assert got.usage == Usage(input_tokens=9, output_tokens=3)
    assert one.body["stream"] is True
    assert one.body["stream_options"] == {"include_usage": True}
    times = got.timings
    assert times is not None
    assert times.ttft is not None
    # The first chunk with content is the second event, the last one the fourth. A busy machine can only be late.
    assert times.ttft > 0.03
    assert len(times.gaps) == 2
    assert times.ttft + sum(times.gaps) > 0.07
    assert times.e2e >= times.ttft + sum(times.gaps)
    assert times.e2e > 0.12


async def test_tokens_of_one_read_share_one_stamp() -> None:
    together = "".join(f"data: {event}\n\n" for event in STREAM).encode()
    async with peer("openai", Answer(events=[together])) as one:
        got = await one.ask(stream=True)
    assert got.timings is not None
    assert got.timings.gaps == (0.0, 0.0)


async def test_tool_calls_are_assembled_from_their_pieces() -> None:
    events = [
        chunk({"role": "assistant", "content": None}),
        chunk(
            {
                "tool_calls": [
                    {"index": 0, "id": "a", "type": "function", "function": {"name": "lookup", "arguments": ""}}
                ]
            }
        ),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]}),
        chunk({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "now", "arguments": ""}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"Rome"}'}}]}),
        chunk({}, "tool_calls"),
        "[DONE]",
    ]
    async with peer("openai", Answer(events=events)) as one:
        got = await one.ask(stream=True)
    assert got.finish_reason == "tool_calls"
    assert got.tool_calls == (
        {"id": "a", "type": "function", "function": {"name": "lookup", "arguments": '{"city":"Rome"}'}},
        {"id": "b", "type": "function", "function": {"name": "now", "arguments": "{}"}},
    )


async def test_calls_that_all_have_index_zero_are_told_apart_by_their_id() -> None:
    events = [
        chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]}),
        chunk({"tool_calls": [{"index": 0, "id": "b", "function": {"name": "g", "arguments": '{"x"'}}]}),
        chunk({"tool_calls": [{"index": 0, "id": "b", "function": {"arguments": ":1}"}}]}),
        chunk({}, "stop"),
    ]
    async with peer("openai-compatible", Answer(events=events)) as one:
        got = await one.ask(stream=True)
    made = [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in got.tool_calls]
    assert made == [("a", "f", "{}"), ("b", "g", '{"x":1}')]
    assert got.finish_reason == "tool_calls"


async def test_a_whole_answers_tool_calls_keep_openais_shape() -> None:
    calls = [{"id": "a", "type": "function", "function": {"name": "lookup", "arguments": {"city": "Rome"}}}]
    answer = completion(None, message={"tool_calls": calls}, choice={"finish_reason": "stop"})
    async with peer("sglang", Answer.json(answer)) as one:
        got = await one.ask()
    assert got.text == ""
    assert got.finish_reason == "tool_calls"
    assert got.tool_calls[0]["function"] == {"name": "lookup", "arguments": '{"city":"Rome"}'}


async def test_a_refusal_is_apart_from_the_text() -> None:
    async with peer("openai", [Answer.json(completion(None, message={"refusal": "I can't."})), DONE]) as one:
        got = await one.ask()
    assert (got.text, got.refusal) == ("", "I can't.")
    events = [chunk({"refusal": "I "}), chunk({"refusal": "can't."}), chunk({}, "stop"), "[DONE]"]
    async with peer("openai", Answer(events=events)) as one:
        got = await one.ask(stream=True)
    assert (got.text, got.refusal) == ("", "I can't.")


async def test_logprobs_are_those_of_the_chosen_tokens() -> None:
    content = [{"token": "Hi", "logprob": -0.5, "bytes": [72], "top_logprobs": []}, {"token": "!", "logprob": -1}]
    answers = [
        Answer.json(completion(choice={"logprobs": {"content": content, "refusal": None}})),
        Answer.json(completion(choice={"logprobs": {"tokens": ["Hi"], "token_logprobs": [-0.25]}})),
        Answer.json(completion()),
    ]
    async with peer("openai", answers) as one:
        assert (await one.ask(logprobs=True)).logprobs == (-0.5, -1.0)
        assert (await one.ask(logprobs=True)).logprobs == (-0.25,)
        assert (await one.ask()).logprobs is None


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("stop", "stop"),
        ("eos_token", "stop"),
        ("EOS", "stop"),
        ("length", "length"),
        ("model_length", "length"),
        ("content_filter", "content_filter"),
        ("something_new", "other"),
        (None, "other"),
    ],
)
async def test_finish_reasons_are_put_in_our_words(said: str | None, meant: str) -> None:
    async with peer("openai", Answer.json(completion(choice={"finish_reason": said}))) as one:
        assert (await one.ask()).finish_reason == meant


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        [],
        {"prompt_tokens": -3, "completion_tokens": 4},
        {"prompt_tokens": 3, "completion_tokens": "4"},
        {"prompt_tokens": True, "completion_tokens": 4},
        {"prompt_tokens": 3.5, "completion_tokens": 4},
        {"prompt_tokens": 3, "completion_tokens": 10**12},
        {"prompt_tokens": 3, "completion_tokens": 0},
    ],
)
async def test_usage_that_cannot_be_right_is_unknown_and_the_answer_stands(usage: Any) -> None:
    async with peer("openai", Answer.json(completion("Hi", usage=usage))) as one:
        got = await one.ask()
    assert got.text == "Hi"
    assert got.usage is None


async def test_parts_larger_than_their_whole_are_left_out() -> None:
    usage = {
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 9},
        "completion_tokens_details": {"reasoning_tokens": 9},
    }
    async with peer("openai", Answer.json(completion(usage=usage))) as one:
        assert (await one.ask()).usage == Usage(input_tokens=3, output_tokens=4)


async def test_reasoning_is_no_content_and_no_first_token() -> None:
    events = [
        chunk({"reasoning_content": "Hm."}),
        chunk({"content": "Hi"}),
        chunk({}, "stop"),
        "[DONE]",
    ]
    async with peer("vllm", Answer(events=events, gap_s=0.03)) as one:
        got = await one.ask(stream=True)
    assert got.text == "Hi"
    assert got.timings is not None
    assert got.timings.ttft is not None
    assert got.timings.ttft > 0.055
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Hi"}]
    async with peer("mistral", Answer.json(completion(thinking))) as one:
        assert (await one.ask()).text == "Hi"


async def test_an_endpoint_that_ignores_stream_is_read_as_a_whole() -> None:
    async with peer("openai-compatible", Answer.json(completion("Hi"))) as one:
        got = await one.ask(stream=True)
    assert got.text == "Hi"
    assert got.timings is not None
    assert got.timings.ttft is None


async def test_a_stream_without_the_event_streams_type_is_still_read() -> None:
    body = "".join(f"data: {event}\n\n" for event in STREAM).encode()
    async with peer("openai-compatible", Answer(body=body, headers=[("content-type", "text/plain")])) as one:
        assert (await one.ask(stream=True)).text == "Hello wörld"


async def test_an_endpoint_that_refuses_stream_options_is_asked_without_them_then_and_later() -> None:
    refused = {"error": {"message": "Unrecognized request argument: stream_options", "type": "invalid_request_error"}}
    async with peer("openai-compatible", [Answer.json(refused, status=400), DONE]) as one:
        assert (await one.ask(stream=True)).text == "Hello wörld"
        assert (await one.ask(stream=True)).text == "Hello wörld"
    asked = ["stream_options" in received.json() for received in one.server.received]
    assert asked == [True, False, False]


async def test_other_refusals_are_not_asked_again() -> None:
    refused = {"error": {"message": "bad temperature", "type": "invalid_request_error"}}
    async with peer("openai-compatible", [Answer.json(refused, status=400), DONE]) as one:
        error = await one.refusal(stream=True)
    assert error.kind == "bad_request"
    assert len(one.server.received) == 1


async def test_groqs_own_place_of_streamed_usage_is_read() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    events = [chunk({"content": "Hi"}), chunk({}, "stop", x_groq={"id": "r", "usage": usage}), "[DONE]"]
    async with peer("groq", Answer(events=events)) as one:
        assert (await one.ask(stream=True)).usage == Usage(input_tokens=5, output_tokens=2)


async def test_a_stream_without_usage_leaves_it_unknown() -> None:
    async with peer("llama.cpp", Answer(events=[event for event in STREAM if event != USAGE_CHUNK])) as one:
        got = await one.ask(stream=True)
    assert (got.text, got.usage) == ("Hello wörld", None)


async def test_only_the_first_choice_counts() -> None:
    second = {"index": 1, "delta": {"content": "NO"}, "finish_reason": None}
    both = orjson.dumps({"choices": [{"index": 0, "delta": {"content": "yes"}, "finish_reason": "stop"}, second]})
    async with peer("openai", Answer(events=[both.decode(), "[DONE]"])) as one:
        assert (await one.ask(stream=True)).text == "yes"


async def test_what_comes_after_done_is_ignored_and_a_cut_after_it_harmless() -> None:
    events = [*STREAM, chunk({"content": "more"})]
    async with peer("openai", Answer(events=events)) as one:
        assert (await one.ask(stream=True)).text == "Hello wörld"
    whole = "".join(f"data: {event}\n\n" for event in STREAM).encode()
    raw = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99999\r\n\r\n" + whole
    async with peer("openai", Answer(raw=raw)) as one:
        got = await one.ask(stream=True)
    assert got.text == "Hello wörld"
    assert got.timings is not None
    assert got.timings.e2e > 0


async def test_cancelling_a_call_leaves_the_model_usable() -> None:
    async with peer("openai", [Answer(hang=True), Answer.json(completion("Hi"))]) as one:
        task = asyncio.create_task(one.ask())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await one.ask()).text == "Hi"


async def test_a_complaint_in_fastapis_shape_about_stream_options_is_understood_too() -> None:
    complaint = {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}
    async with peer("sglang", [Answer.json(complaint, status=422), DONE]) as one:
        assert (await one.ask(stream=True)).text == "Hello wörld"
