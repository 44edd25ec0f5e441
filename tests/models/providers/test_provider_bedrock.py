"""Bedrock's Converse. botocore itself is the oracle of signatures, of requests, and of the answers here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from provider_peers import HELLO, Peer, peer

from proveout import wire
from proveout.models._base import Usage
from proveout.models.providers import open_endpoint
from proveout.project.records import Message, ModelSpec
from proveout.testing.faults import Answer, Received
from proveout.testing.faults import aws_event as frame

botocore = pytest.importorskip("botocore")

NAME = "eu.anthropic.claude-haiku-4-5-20251001-v1:0"
ACCESS, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session/token=="
CALL = {"id": "tooluse_1", "type": "function", "function": {"name": "lookup", "arguments": '{"city":"Rome"}'}}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "lookup", "description": "Weather", "parameters": PARAMETERS}}
USAGE = {"inputTokens": 30, "outputTokens": 5, "totalTokens": 35, "cacheReadInputTokens": 7, "cacheWriteInputTokens": 2}


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere/config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials")


@asynccontextmanager
async def bedrock(answers: Sequence[Answer] | Answer) -> AsyncIterator[Peer]:
    async with peer("bedrock", answers, name=NAME, options={"region": "eu-central-1"}) as one:
        yield one


def converse(*blocks: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An answer as the API's reference shows it."""
    return {
        "output": {"message": {"role": "assistant", "content": list(blocks)}},
        "stopReason": "end_turn",
        "usage": USAGE,
        "metrics": {"latencyMs": 1275},
        **changes,
    }


def streamed(*frames: bytes) -> Answer:
    return Answer(body=b"".join(frames), headers=[("content-type", "application/vnd.amazon.eventstream")])


TEXT = (
    frame("messageStart", {"role": "assistant"}),
    frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "Hm"}}}),
    frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hel"}}),
    frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "lo"}}),
    frame("contentBlockStop", {"contentBlockIndex": 0}),
    frame("messageStop", {"stopReason": "end_turn"}),
    frame("metadata", {"usage": USAGE, "metrics": {"latencyMs": 5}}),
)


def valid(request: Received) -> Any:
    """The body, once botocore's own model of the service has found it valid."""
    from botocore.session import Session
    from botocore.validate import ParamValidator

    operation = Session().get_service_model("bedrock-runtime").operation_model("Converse")
    body = request.json()
    report = ParamValidator().validate({"modelId": NAME, **with_bytes(body)}, operation.input_shape)
    assert not report.has_errors(), report.generate_report()
    return body


def with_bytes(value: Any) -> Any:
    """Base64 text under `bytes` as bytes, which is how botocore takes what it then encodes."""
    if isinstance(value, dict):
        return {key: part.encode() if key == "bytes" else with_bytes(part) for key, part in value.items()}
    return [with_bytes(part) for part in value] if isinstance(value, list) else value


def signature_of(request: Received, url: str) -> str:
    """What botocore makes of the same request at the same moment."""
    from unittest.mock import patch

    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    at = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    signed = request.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    kept = {
        name: request.headers[name] for name in signed if name not in ("host", "x-amz-date", "x-amz-security-token")
    }
    again = AWSRequest("POST", url, headers=kept, data=request.body)
    with patch("botocore.auth.get_current_datetime", return_value=at):
        SigV4Auth(Credentials(ACCESS, SECRET, TOKEN), "bedrock", "eu-central-1").add_auth(again)
    return again.headers["authorization"]


async def test_a_whole_answer_its_request_and_its_signature() -> None:
    async with bedrock(Answer.json(converse({"reasoningContent": {}}, {"text": "Hi"}))) as one:
        got = await one.ask(
            temperature=0,
            top_p=0.5,
            max_tokens=9,
            stop="END",
            top_k=4,
            guardrailConfig={"guardrailIdentifier": "g", "guardrailVersion": "1"},
        )
    assert (got.text, got.finish_reason) == ("Hi", "stop")
    assert got.usage == Usage(input_tokens=39, output_tokens=5, cached_tokens=7, cache_write_tokens=2)
    assert one.sent.target == "/model/eu.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse"
    assert one.sent.headers["x-amz-security-token"] == TOKEN
    assert one.sent.headers["authorization"] == signature_of(one.sent, one.server.url + one.sent.target)
    assert valid(one.sent) == {
        "messages": [{"role": "user", "content": [{"text": "Hello"}]}],
        "system": [{"text": "Be brief."}],
        "inferenceConfig": {"maxTokens": 9, "temperature": 0, "topP": 0.5, "stopSequences": ["END"]},
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        "additionalModelRequestFields": {"top_k": 4},
    }


async def test_botocores_own_client_sends_the_same_target_and_body() -> None:
    from asyncio import to_thread

    from botocore.session import Session

    async with bedrock(Answer.json(converse({"text": "Hi"}))) as one:
        ours = await one.ask(max_tokens=9)
        theirs = Session().create_client("bedrock-runtime", region_name="eu-central-1", endpoint_url=one.server.url)
        messages = [{"role": "user", "content": [{"text": "Hello"}]}]
        settings = {"system": [{"text": "Be brief."}], "inferenceConfig": {"maxTokens": 9}}
        parsed = await to_thread(lambda: theirs.converse(modelId=NAME, messages=messages, **settings))
        theirs.close()
    first, second = one.server.received
    assert first.target == second.target
    assert first.json() == second.json()
    assert parsed["output"]["message"]["content"][0]["text"] == ours.text
    scope = [request.headers["authorization"].partition("/")[2].partition(",")[0] for request in (first, second)]
    assert scope[0] == scope[1]


async def test_a_stream_gives_text_usage_and_times() -> None:
    async with bedrock(streamed(*TEXT)) as one:
        got = await one.ask(stream=True)
    assert (got.text, got.finish_reason) == ("Hello", "stop")
    assert got.usage == Usage(input_tokens=39, output_tokens=5, cached_tokens=7, cache_write_tokens=2)
    assert one.sent.target.endswith("/converse-stream")
    assert one.sent.headers["accept"] == "application/vnd.amazon.eventstream"
    assert got.timings is not None
    assert got.timings.ttft is not None
    assert len(got.timings.gaps) == 1


async def test_tools_results_pictures_and_files_are_translated() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,iVBORw0="}}
    file = {"type": "file", "file": {"filename": "a b.pdf", "file_data": "data:application/pdf;base64,JVBE"}}
    use = {"toolUse": {"toolUseId": "tooluse_1", "name": "lookup", "input": {"city": "Rome"}}}
    answer = Answer.json(converse({"text": "Looking."}, use, stopReason="tool_use"))
    async with bedrock(answer) as one:
        got = await one.ask(
            Message("user", [{"type": "text", "text": "What?"}, picture, file, {"cachePoint": {"type": "default"}}]),
            Message("assistant", "", {"tool_calls": [CALL]}),
            Message("tool", "sunny", {"tool_call_id": "tooluse_1"}),
            tools=[TOOL],
            tool_choice="required",
            reasoning_effort="low",
        )
        linked = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
        refused = await one.refusal(Message("user", [linked]))
    body = valid(one.server.received[0])
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"text": "What?"},
                {"image": {"format": "jpeg", "source": {"bytes": "iVBORw0="}}},
                {"document": {"format": "pdf", "source": {"bytes": "JVBE"}, "name": "a-b-pdf"}},
                {"cachePoint": {"type": "default"}},
            ],
        },
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "tooluse_1", "content": [{"text": "sunny"}]}}]},
    ]
    spec = {"name": "lookup", "description": "Weather", "inputSchema": {"json": PARAMETERS}}
    assert body["toolConfig"] == {"tools": [{"toolSpec": spec}], "toolChoice": {"any": {}}}
    assert body["outputConfig"] == {"effort": "low"}
    assert (got.finish_reason, got.tool_calls) == ("tool_calls", (CALL,))
    assert refused.kind == "bad_request"


async def test_structured_output_has_its_place() -> None:
    shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": PARAMETERS}}
    async with bedrock(Answer.json(converse({"text": "{}"}))) as one:
        await one.ask(response_format=shape)
    described = valid(one.sent)["outputConfig"]["textFormat"]
    assert described["type"] == "json_schema"
    assert orjson.loads(described["structure"]["jsonSchema"]["schema"]) == PARAMETERS


async def test_a_streamed_tool_call_is_put_together() -> None:
    start = {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "tooluse_1", "name": "lookup"}}}
    pieces = [
        frame("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": piece}}})
        for piece in ('{"ci', 'ty":"Rome"}')
    ]
    frames = [frame("contentBlockStart", start), *pieces, frame("messageStop", {"stopReason": "tool_use"}), TEXT[-1]]
    async with bedrock(streamed(*frames)) as one:
        got = await one.ask(stream=True)
    assert (got.finish_reason, got.tool_calls) == ("tool_calls", (CALL,))


@pytest.mark.parametrize(
    ("name", "kind", "retryable"),
    [
        ("throttlingException", "rate_limit", True),
        ("serviceUnavailableException", "overloaded", True),
        ("internalServerException", "status", True),
        ("modelStreamErrorException", "status", True),
        ("validationException", "bad_request", False),
    ],
)
async def test_exceptions_within_a_stream_have_their_kinds(name: str, kind: str, retryable: bool) -> None:
    async with bedrock(streamed(*TEXT[:3], frame(name, {"message": "why"}, "exception"))) as one:
        error = await one.refusal(stream=True)
    assert (error.kind, error.retryable) == (kind, retryable)
    assert "why" in str(error)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"message": "bad"}, "bad_request"),
        (403, {"message": "The security token included in the request is invalid."}, "auth"),
        (424, {"message": "model", "originalStatusCode": 500}, "status"),
        (429, {"message": "Too many requests"}, "rate_limit"),
        (503, {"message": "later"}, "overloaded"),
    ],
)
async def test_statuses_have_their_kinds(status: int, body: Any, kind: str) -> None:
    async with bedrock(Answer.json(body, status=status)) as one:
        assert (await one.refusal()).kind == kind
        assert (await one.refusal(stream=True)).kind == kind


async def test_broken_streams_are_told_apart() -> None:
    spoilt = bytearray(TEXT[2])
    spoilt[40] ^= 1
    answers = [
        streamed(*TEXT[:4]),
        streamed(bytes(spoilt)),
        streamed(TEXT[2][:20]),
        streamed(frame("contentBlockDelta", {})),
    ]
    async with bedrock(answers) as one:
        kinds = [(await one.refusal(stream=True)).kind for _ in answers]
    assert kinds == ["cut", "malformed", "cut", "malformed"]


@pytest.mark.parametrize("body", [{}, [], {"output": {}}, converse({"text": 5})])
async def test_answers_of_another_shape_are_malformed(body: Any) -> None:
    async with bedrock(Answer.json(body)) as one:
        assert (await one.refusal(*HELLO)).kind == "malformed"


async def test_an_echoed_secret_is_in_no_message() -> None:
    async with bedrock(Answer.json({"message": f"{SECRET} {TOKEN}"}, status=403)) as one:
        said = str(await one.refusal())
    assert SECRET not in said
    assert TOKEN not in said


async def test_credentials_that_are_not_found_are_named_at_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"region": "eu-central-1"}
    async with wire.Client() as client:
        with pytest.raises(LookupError, match="nobody"):
            open_endpoint(ModelSpec("bedrock", NAME, options={**options, "profile": "nobody"}), client)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name)
        with pytest.raises(LookupError, match="AWS_ACCESS_KEY_ID"):
            open_endpoint(ModelSpec("bedrock", NAME, options=options), client)
