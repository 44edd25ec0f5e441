from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proveout import wire
from proveout.models.tiny import tiny_app
from proveout.models.tiny.instructions import PROMPT
from proveout.models.tiny.weights import weights_digest

BODY: dict[str, Any] = {
    "model": "tiny-f16",
    "messages": [{"role": "system", "content": PROMPT}, {"role": "user", "content": "where is my package"}],
    "temperature": 0,
}
ANSWER = '{"intent": "delivery"}'


@asynccontextmanager
async def served(*builds: str) -> AsyncIterator[int]:
    app = tiny_app(builds or ("f16",))  # pyright: ignore[reportArgumentType]
    server = await wire.serve(app)
    try:
        yield server.port
    finally:
        await server.close()
        await app.aclose()


async def exchange(port: int, request: bytes) -> tuple[int, bytes]:
    """Send raw bytes, read to the end of the connection: status and body, chunks put together."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head, _, body = (await asyncio.wait_for(reader.read(), 20)).partition(b"\r\n\r\n")
    writer.close()
    if b"transfer-encoding: chunked" in head:
        whole = b""
        while body:
            size, _, body = body.partition(b"\r\n")
            whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]
        body = whole
    return int(head.split()[1]), body


def raw(method: str, path: str, body: bytes = b"") -> bytes:
    length = f"content-length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{length}\r\n".encode() + body


async def chat(port: int, **changes: Any) -> tuple[int, Any]:
    body = {**BODY, **changes}
    status, answer = await exchange(port, raw("POST", "/v1/chat/completions", json.dumps(body).encode()))
    if body.get("stream") and status == 200:
        events = answer.decode().removesuffix("\n\n").split("\n\n")
        assert all(event.startswith("data: ") for event in events)
        assert events.pop() == "data: [DONE]"
        return status, [json.loads(event.removeprefix("data: ")) for event in events]
    return status, json.loads(answer)


def test_a_plain_answer_has_openais_shape():
    async def run() -> None:
        async with served() as port:
            status, answer = await chat(port)
        assert status == 200
        assert answer["object"] == "chat.completion"
        assert answer["id"].startswith("chatcmpl-")
        assert answer["model"] == "tiny-f16"
        assert answer["system_fingerprint"] == f"tiny-f16-{weights_digest('f16')}"
        choice = answer["choices"][0]
        assert choice["message"] == {"role": "assistant", "content": ANSWER, "refusal": None}
        assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (0, "stop", None)
        usage = answer["usage"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]

    asyncio.run(run())


def test_a_stream_says_the_same_as_a_plain_answer_piece_by_piece():
    async def run() -> None:
        async with served() as port:
            _, plain = await chat(port)
            _, chunks = await chat(port, stream=True, stream_options={"include_usage": True})
        assert len({(chunk["id"], chunk["object"]) for chunk in chunks}) == 1
        assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
        text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1])
        assert text == ANSWER
        assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 2) + ["stop"]
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"] == plain["usage"]
        assert all(chunk["usage"] is None for chunk in chunks[:-1])

    asyncio.run(run())


def test_usage_is_streamed_only_when_asked_for():
    async def run() -> None:
        async with served() as port:
            _, chunks = await chat(port, stream=True)
        assert not any("usage" in chunk for chunk in chunks)
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"

    asyncio.run(run())


def test_logprobs_stop_strings_and_seeds_work_on_the_wire():
    async def run() -> None:
        async with served() as port:
            _, answer = await chat(port, logprobs=True, top_logprobs=2)
            content = answer["choices"][0]["logprobs"]["content"]
            assert "".join(entry["token"] for entry in content) == ANSWER
            assert all(entry["top_logprobs"][0]["logprob"] >= entry["logprob"] for entry in content)
            assert all(len(entry["top_logprobs"]) == 2 for entry in content)
            _, chunks = await chat(port, logprobs=True, stream=True)
            streamed = [chunk["choices"][0]["logprobs"] for chunk in chunks if chunk["choices"][0]["logprobs"]]
            assert [part["content"][0]["token"] for part in streamed if part["content"]] == [
                one["token"] for one in content
            ]

            _, stopped = await chat(port, stop=["intent"])
            assert stopped["choices"][0]["message"]["content"] == '{"'
            _, cut = await chat(port, max_tokens=2)
            assert cut["choices"][0]["finish_reason"] == "length"

            hot = [await chat(port, temperature=2, seed=number, max_tokens=12) for number in (1, 1, 2, 3, 4)]
            texts = [answer["choices"][0]["message"]["content"] for _, answer in hot]
            assert texts[0] == texts[1]
            assert len(set(texts)) > 2

    asyncio.run(run())


def test_without_a_seed_every_draw_is_new():
    async def run() -> None:
        async with served() as port:
            answers = await asyncio.gather(*(chat(port, temperature=2, max_tokens=16) for _ in range(8)))
        assert len({answer["choices"][0]["message"]["content"] for _, answer in answers}) > 1

    asyncio.run(run())


def test_models_are_listed_and_each_build_answers_under_its_name():
    async def run() -> None:
        async with served("f16", "int8") as port:
            status, listed = await exchange(port, raw("GET", "/v1/models"))
            assert (status, [model["id"] for model in json.loads(listed)["data"]]) == (200, ["tiny-f16", "tiny-int8"])
            _, answer = await chat(port, model="tiny-int8")
            assert answer["model"] == "tiny-int8"
            assert await exchange(port, raw("GET", "/healthz")) == (200, b'{"status":"ok"}')

    asyncio.run(run())


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"model": "gpt-4o"}, 404, "model"),
        ({"model": None}, 400, "model"),
        ({"messages": "hello"}, 400, "messages"),
        ({"messages": []}, 400, "messages"),
        ({"messages": ["hello"]}, 400, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "messages[0].role"),
        ({"temperature": 3}, 400, "temperature"),
        ({"tools": [{"type": "function"}]}, 400, "tools"),
        ({"stream": "yes"}, 400, "stream"),
        ({"stream_options": {"include_usage": True}}, 400, "stream_options"),
        ({"n": 3, "stream": True}, 400, "n"),
    ],
)
def test_a_bad_body_gets_openais_error_and_names_the_field(changes: dict[str, Any], status: int, field: str):
    async def run() -> tuple[int, Any]:
        async with served() as port:
            return await chat(port, **changes)

    found, answer = asyncio.run(run())
    assert found == status
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["param"] == field
    assert answer["error"]["message"]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (raw("POST", "/v1/chat/completions", b"{"), 400),
        (raw("POST", "/v1/chat/completions", b"[]"), 400),
        (raw("POST", "/v1/chat/completions", b"\xff"), 400),
        (raw("GET", "/v1/chat/completions"), 405),
        (raw("GET", "/elsewhere"), 404),
    ],
)
def test_other_requests_get_the_same_error_shape(request_bytes: bytes, status: int):
    async def run() -> tuple[int, bytes]:
        async with served() as port:
            return await exchange(port, request_bytes)

    found, body = asyncio.run(run())
    assert found == status
    assert json.loads(body)["error"].keys() == {"message", "type", "param", "code"}


def test_a_client_that_leaves_in_the_middle_does_not_disturb_the_others():
    async def run() -> None:
        async with served() as port:
            body = json.dumps({**BODY, "stream": True}).encode()
            for _ in range(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(raw("POST", "/v1/chat/completions", body))
                await reader.readline()
                writer.transport.abort()
            answers = await asyncio.gather(*(chat(port) for _ in range(10)))
        assert all(answer["choices"][0]["message"]["content"] == ANSWER for _, answer in answers)

    asyncio.run(run())


SdkTest = Callable[[Any], Coroutine[Any, Any, None]]


def with_sdk(test: SdkTest) -> None:
    openai = pytest.importorskip("openai", reason="drives the server by OpenAI's own client where installed")

    async def run() -> None:
        async with (
            served() as port,
            openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as client,
        ):
            await test(client)

    asyncio.run(run())


def test_the_openai_sdk_gets_plain_and_streamed_answers():
    async def test(client: Any) -> None:
        plain = await client.chat.completions.create(**BODY, logprobs=True)
        assert plain.choices[0].message.content == ANSWER
        assert plain.choices[0].logprobs.content[0].logprob <= 0
        stream = await client.chat.completions.create(**BODY, stream=True, stream_options={"include_usage": True})
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == ANSWER
        assert chunks[-1].usage == plain.usage
        assert [model.id async for model in client.models.list()] == ["tiny-f16"]

    with_sdk(test)


def test_the_openai_sdk_raises_its_own_errors():
    async def test(client: Any) -> None:
        openai = pytest.importorskip("openai")
        with pytest.raises(openai.NotFoundError) as missing:
            await client.chat.completions.create(**{**BODY, "model": "gpt-4o"})
        assert missing.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(**BODY, n=2)
        assert refused.value.param == "n"

    with_sdk(test)


def environment() -> Mapping[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_server_process_announces_its_address_and_ends_on_a_signal(number: signal.Signals):
    program = "from proveout.models.tiny import run_server; run_server(('int8',))"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        host, port = address.removeprefix("http://").removesuffix("/v1").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(raw("GET", "/healthz"))
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        process.send_signal(number)
        assert process.wait(timeout=20) == 0
