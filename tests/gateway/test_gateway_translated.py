"""Bedrock and Vertex behind the gateway, whole and streamed, in their own wire formats with their own sign-in."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from gateway_world import World, error, run, said, world

from proveout import wire
from proveout.testing.faults import Answer, FaultServer, aws_event

TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}]
TOOL_CHUNKS = {"include_usage": True}


def parts(response: wire.Response) -> list[dict[str, Any]]:
    """The chunks of a whole, well ended stream."""
    assert response.status == 200, response.body
    assert response.body.endswith(b"data: [DONE]\n\n")
    return [json.loads(one[6:]) for one in response.body.split(b"\n\n") if one.startswith(b"data: {")]


def text(chunks: list[dict[str, Any]]) -> str:
    return "".join(one["choices"][0]["delta"].get("content") or "" for one in chunks if one["choices"])


def calls(chunks: list[dict[str, Any]]) -> tuple[str, Any]:
    """The name and the arguments of the one call that a stream makes."""
    pieces = [one["choices"][0]["delta"]["tool_calls"][0] for one in chunks if _calls(one)]
    return pieces[0]["function"]["name"], json.loads("".join(one["function"]["arguments"] for one in pieces))


def _calls(chunk: dict[str, Any]) -> bool:
    return bool(chunk["choices"]) and "tool_calls" in chunk["choices"][0]["delta"]


# Bedrock

USAGE = {"inputTokens": 30, "outputTokens": 5, "totalTokens": 35}
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
    "stopReason": "end_turn",
    "usage": USAGE,
    "metrics": {"latencyMs": 12},
}
FRAMES = (
    aws_event("messageStart", {"role": "assistant"}),
    aws_event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hel"}}),
    aws_event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "lo"}}),
    aws_event("contentBlockStop", {"contentBlockIndex": 0}),
    aws_event(
        "contentBlockStart",
        {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t1", "name": "find"}}},
    ),
    aws_event("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"q"'}}}),
    aws_event("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": ": 1}"}}}),
    aws_event("contentBlockStop", {"contentBlockIndex": 1}),
    aws_event("messageStop", {"stopReason": "tool_use"}),
    aws_event("metadata", {"usage": USAGE, "metrics": {"latencyMs": 5}}),
)


def frames(*some: bytes) -> Answer:
    return Answer(body=b"".join(some), headers=[("content-type", "application/vnd.amazon.eventstream")])


@asynccontextmanager
async def bedrock(folder: Path, monkeypatch: pytest.MonkeyPatch, upstream: FaultServer) -> AsyncIterator[World]:
    pytest.importorskip("botocore", reason="the extra [bedrock] is not installed")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nowhere/config",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials",
    }.items():
        monkeypatch.setenv(name, value)
    model = {"provider": "bedrock", "name": "amazon.nova", "url": upstream.url, "region": "eu-central-1"}
    async with world(folder, {"base": {"model": model}}) as here:
        yield here


def test_bedrock_answers_in_openais_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        script = [Answer.json(CONVERSE), frames(*FRAMES), frames(*FRAMES[:2])]
        async with (
            FaultServer(script) as upstream,
            bedrock(tmp_path, monkeypatch, upstream) as here,
        ):
            assert said(await here.ask({"max_tokens": 9})) == "Hello"
            asked = upstream.received[0]
            assert asked.target == "/model/amazon.nova/converse"
            assert asked.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
            assert asked.json()["inferenceConfig"] == {"maxTokens": 9}
            chunks = parts(await here.ask({"stream": True, "stream_options": TOOL_CHUNKS, "tools": TOOLS}))
            assert upstream.received[1].target == "/model/amazon.nova/converse-stream"
            assert (text(chunks), calls(chunks)) == ("Hello", ("find", {"q": 1}))
            assert chunks[-1]["usage"]["prompt_tokens"] == 30
            with pytest.raises(wire.WireError, match="cut"):  # No client takes half an answer for a whole one.
                await here.ask({"stream": True})
            first, second, _ = await here.traces(3)
            assert (first.input_tokens, first.output_tokens, first.finish) == (30, 5, "stop")
            assert (second.output_tokens, second.finish) == (5, "tool_calls")
            assert second.ttft is not None

    run(main())


# Vertex

GEMINI = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Hello"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 8, "candidatesTokenCount": 3, "totalTokenCount": 11},
    "modelVersion": "gemini-2.5-flash",
}


def gemini(*some: dict[str, Any], finish: str | None = None) -> str:
    candidate = {"content": {"role": "model", "parts": list(some)}, **({"finishReason": finish} if finish else {})}
    usage = {"usageMetadata": GEMINI["usageMetadata"]} if finish else {}
    return json.dumps({"candidates": [candidate], **usage, "modelVersion": "gemini-2.5-flash"})


@asynccontextmanager
async def vertex(folder: Path, upstream: FaultServer, name: str) -> AsyncIterator[World]:
    """A Vertex model as a service account whose tokens come from a server on this machine."""
    pytest.importorskip("google.auth", reason="the extra [vertex] is not installed")
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    token = Answer.json({"access_token": "ya29.secret-token", "expires_in": 3600, "token_type": "Bearer"})
    async with FaultServer(otherwise=token) as issuer:
        account = {
            "type": "service_account",
            "project_id": "my-team",
            "private_key_id": "k1",
            "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "client_email": "prove@my-team.iam.gserviceaccount.com",
            "token_uri": f"{issuer.url}/token",
        }
        file = folder / "account.json"
        file.write_text(json.dumps(account))
        model = {
            "provider": "vertex",
            "name": name,
            "url": upstream.url,
            "key": f"file:{file}",
            "project": "my-team",
            "location": "europe-west4",
        }
        async with world(folder, {"base": {"model": model, "parameters": {"max_tokens": 64}}}) as here:
            yield here


def test_gemini_on_vertex_answers_in_openais_format(tmp_path: Path) -> None:
    call = {"functionCall": {"name": "find", "args": {"q": 1}}}
    events = [gemini({"text": "Hel"}), gemini({"text": "lo"}), gemini(call, finish="STOP")]
    refused = Answer.json({"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}}, status=400)

    async def main() -> None:
        script = [Answer.json(GEMINI), Answer(events=events), refused]
        async with FaultServer(script) as upstream, vertex(tmp_path, upstream, "gemini-2.5-flash") as here:
            assert said(await here.ask()) == "Hello"
            asked = upstream.received[0]
            assert asked.target.endswith("/publishers/google/models/gemini-2.5-flash:generateContent")
            assert asked.headers["authorization"] == "Bearer ya29.secret-token"
            chunks = parts(await here.ask({"stream": True, "stream_options": TOOL_CHUNKS, "tools": TOOLS}))
            assert upstream.received[1].target.endswith(":streamGenerateContent?alt=sse")
            assert (text(chunks), calls(chunks)) == ("Hello", ("find", {"q": 1}))
            assert chunks[-1]["usage"]["completion_tokens"] == 3
            failed = await here.ask()
            assert (failed.status, error(failed)["type"]) == (400, "invalid_request_error")
            assert b"ya29" not in failed.body
            first, second, _ = await here.traces(3)
            assert (first.input_tokens, first.output_tokens, second.finish) == (8, 3, "tool_calls")

    run(main())


def test_what_clients_tell_openai_beside_their_question_is_no_reason_to_refuse_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that says its `user` must not fail where a challenger is of another provider."""
    books = {
        "user": "u-1",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "store": True,
        "metadata": {"team": "web"},
    }

    async def main() -> None:
        for answer, opened in (
            (GEMINI, lambda upstream: vertex(tmp_path, upstream, "gemini-2.5-flash")),
            (CONVERSE, lambda upstream: bedrock(tmp_path / "bedrock", monkeypatch, upstream)),
        ):
            async with FaultServer([Answer.json(answer)]) as upstream, opened(upstream) as here:
                assert said(await here.ask(books)) == "Hello"
                assert not {name for name in books if f'"{name}"' in upstream.received[0].body.decode()} - {"user"}
                assert "u-1" not in upstream.received[0].body.decode()
                (trace,) = await here.traces(1)
                assert trace.unit is not None

    run(main())


def test_claude_on_vertex_answers_in_openais_format(tmp_path: Path) -> None:
    claude = {
        "type": "message",
        "model": "claude-haiku-4-5",
        "role": "assistant",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 7, "output_tokens": 5},
    }

    async def main() -> None:
        async with (
            FaultServer([Answer.json(claude)]) as upstream,
            vertex(tmp_path, upstream, "claude-haiku-4-5@20251001") as here,
        ):
            assert said(await here.ask()) == "Hello"
            (asked,) = upstream.received
            assert "/publishers/anthropic/models/claude-haiku-4-5@20251001:rawPredict" in asked.target
            assert asked.json()["anthropic_version"].startswith("vertex-")

    run(main())
