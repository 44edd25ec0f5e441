"""Gemini and Claude on Vertex AI: a real google-auth exchange with a token endpoint on this machine, then the call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest
from provider_peers import Peer, peer

from proveout import wire
from proveout.models._base import ModelError, Request, Usage
from proveout.models.providers import open_endpoint
from proveout.project.records import Message, ModelSpec, Secret
from proveout.testing.faults import Answer, FaultServer

pytest.importorskip("google.auth")

OPTIONS = {"project": "my-team", "location": "europe-west4"}
MODEL = "/v1/projects/my-team/locations/europe-west4/publishers/google/models/gemini-2.5-flash"
CALL = {"id": "c1", "type": "function", "function": {"name": "lookup", "arguments": '{"city":"Rome"}'}}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "lookup", "description": "Weather", "parameters": PARAMETERS}}


def content(*parts: dict[str, Any], finish: str | None = "STOP", **changes: Any) -> dict[str, Any]:
    """A GenerateContentResponse as the API's reference shows it."""
    candidate = {"content": {"role": "model", "parts": list(parts)}, "avgLogprobs": -0.1}
    return {
        "candidates": [candidate | ({"finishReason": finish} if finish else {}) | changes.pop("candidate", {})],
        "usageMetadata": {"promptTokenCount": 8, "candidatesTokenCount": 3, "totalTokenCount": 11},
        "modelVersion": "gemini-2.5-flash",
        "createTime": "2026-03-01T10:00:00Z",
        "responseId": "r1",
        **changes,
    }


@pytest.fixture(scope="module")
def private_key() -> str:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def google(tmp_path: Path, private_key: str) -> Any:
    """Opens a Vertex model as a service account whose tokens come from a server on this machine."""

    @asynccontextmanager
    async def opened(
        answers: Sequence[Answer] | Answer, name: str = "gemini-2.5-flash", tokens: Sequence[Answer] | None = None
    ) -> AsyncIterator[tuple[Peer, FaultServer]]:
        token = Answer.json({"access_token": "ya29.secret-token", "expires_in": 3600, "token_type": "Bearer"})
        async with FaultServer(tokens or [token], otherwise=token) as issuer:
            account = {
                "type": "service_account",
                "project_id": "my-team",
                "private_key_id": "k1",
                "private_key": private_key,
                "client_email": "prove@my-team.iam.gserviceaccount.com",
                "token_uri": f"{issuer.url}/token",
            }
            file = tmp_path / "account.json"
            file.write_bytes(orjson.dumps(account))
            async with peer("vertex", answers, name=name, key=Secret(f"file:{file}"), options=OPTIONS) as one:
                yield one, issuer

    return opened


async def test_a_whole_answer_its_request_and_its_token(google: Any) -> None:
    async with google(Answer.json(content({"text": "Hi"}))) as (one, issuer):
        got = await one.ask(
            **{"temperature": 0, "top_p": 0.5, "top_k": 3, "max_tokens": 9, "stop": ["a", "b"], "seed": 7},
            thinkingConfig={"thinkingBudget": 0},
            safetySettings=[{"category": "c", "threshold": "t"}],
        )
        await one.ask()
    assert (got.text, got.finish_reason, got.model) == ("Hi", "stop", "gemini-2.5-flash")
    assert got.usage == Usage(input_tokens=8, output_tokens=3)
    first = one.server.received[0]
    assert first.target == f"{MODEL}:generateContent"
    assert first.headers["authorization"] == "Bearer ya29.secret-token"
    assert first.json() == {
        "contents": [{"role": "user", "parts": [{"text": "Hello"}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "safetySettings": [{"category": "c", "threshold": "t"}],
        "generationConfig": {
            "temperature": 0,
            "topP": 0.5,
            "topK": 3,
            "maxOutputTokens": 9,
            "stopSequences": ["a", "b"],
            "seed": 7,
            "thinkingConfig": {"thinkingBudget": 0},
        },
    }
    assert len(issuer.received) == 1  # One token serves both calls.
    granted = parse_qs(issuer.received[0].body.decode())
    assert granted["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]


async def test_a_stream_gives_text_usage_and_times(google: Any) -> None:
    usage = {"promptTokenCount": 8, "candidatesTokenCount": 3, "thoughtsTokenCount": 20, "cachedContentTokenCount": 2}
    pieces = [
        content({"text": "Hm.", "thought": True}, finish=None),
        content({"text": "Hel"}, finish=None),
        content({"text": "lo"}, usageMetadata=usage),
    ]
    events = [orjson.dumps(piece).decode() for piece in pieces]
    async with google([Answer(events=events, gap_s=0.01), Answer(events=events[:2])]) as (one, _):
        got = await one.ask(stream=True)
        assert (await one.refusal(stream=True)).kind == "cut"
    assert (got.text, got.finish_reason) == ("Hello", "stop")
    assert got.usage == Usage(input_tokens=8, output_tokens=23, cached_tokens=2, reasoning_tokens=20)
    assert one.sent.target == f"{MODEL}:streamGenerateContent?alt=sse"
    assert got.timings is not None
    assert len(got.timings.gaps) == 1


async def test_tools_results_pictures_and_choice_are_translated(google: Any) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0="}}
    linked = {"type": "image_url", "image_url": {"url": "gs://bucket/a.png"}}
    answer = content({"text": "Looking."}, {"functionCall": {"name": "lookup", "args": {"city": "Rome"}}})
    async with google(Answer.json(answer)) as (one, _):
        got = await one.ask(
            Message("user", [{"type": "text", "text": "What?"}, picture, linked]),
            Message("assistant", "", {"tool_calls": [CALL]}),
            Message("tool", '{"sky": "blue"}', {"tool_call_id": "c1"}),
            Message("tool", "rain", {"tool_call_id": "other", "name": "radar"}),
            tools=[TOOL, {"googleSearch": {}}],
            tool_choice={"type": "function", "function": {"name": "lookup"}},
        )
    assert one.body["contents"] == [
        {
            "role": "user",
            "parts": [
                {"text": "What?"},
                {"inlineData": {"mimeType": "image/png", "data": "iVBORw0="}},
                {"fileData": {"mimeType": "image/png", "fileUri": "gs://bucket/a.png"}},
            ],
        },
        {"role": "model", "parts": [{"functionCall": {"name": "lookup", "args": {"city": "Rome"}}}]},
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "lookup", "response": {"sky": "blue"}}},
                {"functionResponse": {"name": "radar", "response": {"result": "rain"}}},
            ],
        },
    ]
    declared = {"name": "lookup", "description": "Weather", "parametersJsonSchema": PARAMETERS}
    assert one.body["tools"] == [{"functionDeclarations": [declared]}, {"googleSearch": {}}]
    assert one.body["toolConfig"] == {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["lookup"]}}
    assert got.finish_reason == "tool_calls"
    assert got.tool_calls == (
        {"id": "call_0", "type": "function", "function": {"name": "lookup", "arguments": '{"city":"Rome"}'}},
    )


async def test_structured_output_and_logprobs_have_their_place(google: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    chosen = {"chosenCandidates": [{"token": "Hi", "tokenId": 1, "logProbability": -0.5}], "topCandidates": []}
    async with google(Answer.json(content({"text": "Hi"}, candidate={"logprobsResult": chosen}))) as (one, _):
        shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        got = await one.ask(response_format=shape, logprobs=True, top_logprobs=2)
        asked = one.body["generationConfig"]
        await one.ask(response_format={"type": "json_object"})
        any_json = one.body["generationConfig"]
        refused = await one.refusal(response_format={"type": "grammar"})
    assert got.logprobs == (-0.5,)
    assert any_json == {"responseMimeType": "application/json"}
    assert asked == {
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
        "responseLogprobs": True,
        "logprobs": 2,
    }
    assert (refused.kind, "response_format" in str(refused)) == ("bad_request", True)


@pytest.mark.parametrize(
    ("reason", "meant"),
    [("STOP", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("MALFORMED_FUNCTION_CALL", "other")],
)
async def test_finish_reasons_are_put_in_our_words(google: Any, reason: str, meant: str) -> None:
    async with google(Answer.json(content({"text": "Hi"}, finish=reason))) as (one, _):
        assert (await one.ask()).finish_reason == meant


async def test_a_blocked_prompt_is_an_empty_answer(google: Any) -> None:
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 4}}
    event = orjson.dumps(blocked).decode()
    async with google([Answer.json(blocked), Answer(events=[event])]) as (one, _):
        for stream in (False, True):
            got = await one.ask(stream=stream)
            assert (got.text, got.finish_reason) == ("", "content_filter")
            assert "PROHIBITED_CONTENT" in (got.refusal or "")
            assert got.usage == Usage(input_tokens=4, output_tokens=0)


@pytest.mark.parametrize("body", [{}, [], {"candidates": []}, {"candidates": 5}, content({"text": 5})])
async def test_answers_of_another_shape_are_malformed_or_errors(google: Any, body: Any) -> None:
    async with google(Answer.json(body)) as (one, _):
        assert (await one.refusal()).kind in ("malformed", "status")


async def test_claude_on_vertex_speaks_anthropics_format(google: Any) -> None:
    answer = {"type": "message", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}
    async with google(Answer.json(answer), name="claude-haiku-4-5@20251001") as (one, _):
        assert (await one.ask(max_tokens=5)).text == "Hi"
        await one.ask(stream=True)
    base = MODEL.replace(
        "publishers/google/models/gemini-2.5-flash", "publishers/anthropic/models/claude-haiku-4-5@20251001"
    )
    assert [request.target for request in one.server.received] == [f"{base}:rawPredict", f"{base}:streamRawPredict"]
    body = one.server.received[0].json()
    assert body["anthropic_version"] == "vertex-2023-10-16"
    assert "model" not in body


async def test_a_tuned_model_has_its_endpoints_address(google: Any) -> None:
    async with google(Answer.json(content({"text": "Hi"})), name="4511608470067216384") as (one, _):
        await one.ask()
    assert (
        one.sent.target == "/v1/projects/my-team/locations/europe-west4/endpoints/4511608470067216384:generateContent"
    )


async def test_a_token_that_is_not_given_is_an_auth_error_and_names_no_secret(google: Any, private_key: str) -> None:
    denied = Answer.json({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, status=400)
    async with google(Answer.json(content({"text": "Hi"})), tokens=[denied]) as (one, _):
        error = await one.refusal()
        assert (error.kind, error.retryable) == ("auth", False)
        assert "invalid_grant" in str(error)
        assert private_key[100:140] not in str(error)
        assert (await one.ask()).text == "Hi"  # The next call asks for a token again.


async def test_an_echoed_token_is_in_no_message(google: Any) -> None:
    echo = {"error": {"code": 401, "message": "bad ya29.secret-token", "status": "UNAUTHENTICATED"}}
    async with google(Answer.json(echo, status=401)) as (one, _):
        error = await one.refusal()
    assert error.kind == "auth"
    assert "ya29" not in str(error)


async def test_credentials_that_are_none_are_named_at_opening(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text('{"type": "service_account", "private_key": "SECRET"}')
    async with wire.Client() as client:
        spec = ModelSpec("vertex", "gemini", key=Secret(f"file:{file}"), options=OPTIONS)
        with pytest.raises(LookupError, match="does not hold a service account's key") as caught:
            open_endpoint(spec, client)
    assert "SECRET" not in str(caught.value)


async def test_nothing_is_sent_without_a_token(google: Any) -> None:
    async with google(Answer(), tokens=[Answer(status=500)]) as (one, issuer):
        issuer.script = lambda _: Answer.json({"error": "unauthorized_client"}, status=401)
        with pytest.raises(ModelError):
            await one.model.generate(Request(messages=(Message("user", "x"),)))
        assert one.server.received == []
