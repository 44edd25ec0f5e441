"""Hostile clients: whatever comes, the answer is an error in OpenAI's shape, and the gateway serves on."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from gateway_world import PLAIN, chunk, completion, error, run, said, stream, until, world
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proveout.gateway.bodies import Body
from proveout.gateway.errors import Refused
from proveout.gateway.feedback import read_feedback
from proveout.gateway.observing import Malformed, StreamReader, read_whole
from proveout.gateway.serving import Serving
from proveout.testing.faults import Answer, FaultServer

GOOD = Answer.json(completion())
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
FIELDS = ("model", "messages", "stream", "user", "proveout", "stream_options", "temperature", "max_tokens", "tools")
bodies = st.dictionaries(st.sampled_from(FIELDS), json_values) | json_values
fuzzed = settings(derandomize=True, deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])


def _check_refusal(refused: Refused) -> None:
    assert refused.status == 400
    assert json.loads(refused.body)["error"]["message"]


@given(st.binary(max_size=200) | bodies.map(lambda value: json.dumps(value).encode()))
@fuzzed
def test_any_body_is_read_or_refused(data: bytes) -> None:
    try:
        body = Body(data)
    except Refused as refused:
        _check_refusal(refused)
    else:
        assert body.model
        assert isinstance(body.stream, bool)


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
@fuzzed
def test_any_feedback_is_read_or_refused(data: bytes) -> None:
    try:
        feedback = read_feedback(data, None)
    except Refused as refused:
        _check_refusal(refused)
    else:
        assert len(feedback.trace) == 32


@given(st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
@fuzzed
def test_any_answer_is_read_or_malformed(data: bytes) -> None:
    try:
        read_whole(data)
    except Malformed:
        return


EVENTS = [
    chunk({"content": "é" * 3}),
    chunk({"content": "b"}),
    chunk({}, "stop"),
    chunk(usage={"prompt_tokens": 3, "completion_tokens": 1}),
    "[DONE]",
]


@given(st.lists(st.integers(1, 700)), st.sampled_from(["\n\n", "\r\n\r\n"]), st.booleans())
@settings(derandomize=True, deadline=None)
def test_however_a_stream_is_cut_up_the_same_comes_out(cuts: list[int], end: str, hide: bool) -> None:
    whole = "".join(f"data: {event}{end}" for event in EVENTS).encode()
    reader = StreamReader(hide_usage=hide, keep_text=True)
    out, start = b"", 0
    for cut in [*sorted(set(cuts)), len(whole)]:
        piece = whole[start:cut]
        if piece:
            out += reader.feed(1.0, piece)
        start = max(start, cut)
    out += reader.rest()
    kept = [event for event in EVENTS if not (hide and '"usage"' in event)]
    assert out == "".join(f"data: {event}{end}" for event in kept).encode()
    assert ("".join(reader.text), reader.facts.finish, reader.complete) == ("éééb", "stop", True)
    assert reader.facts.usage is not None
    assert reader.facts.usage.input_tokens == 3


@given(st.dictionaries(st.sampled_from(["choices", "usage", "x_groq", "response", "error", "refusal"]), json_values))
@fuzzed
def test_any_event_is_read_without_harm(event: dict[str, Any]) -> None:
    reader = StreamReader(hide_usage=True, keep_text=True)
    reader.feed(1.0, f"data: {json.dumps(event)}\n\n".encode())


@given(st.lists(st.binary(max_size=60), max_size=8))
@fuzzed
def test_any_bytes_of_a_stream_pass_through_unchanged_or_are_malformed(pieces: list[bytes]) -> None:
    reader = StreamReader(hide_usage=False, keep_text=True)
    try:
        out = b"".join(reader.feed(1.0, piece) for piece in pieces if piece) + reader.rest()
    except Malformed:
        return
    assert out == b"".join(pieces)


DEEP = b'{"model": "chat", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BAD_BODIES = {
    "empty": b"",
    "no object": b"[]",
    "cut": PLAIN[:-3],
    "deep": DEEP,
    "no utf-8": b'{"model": "\xff\xfe"}',
    "model no text": b'{"model": {"a": 1}}',
    "stream no flag": b'{"model": "chat", "messages": [], "stream": "yes"}',
    "user no text": b'{"model": "chat", "messages": [], "user": 7}',
    "proveout no object": b'{"model": "chat", "messages": [], "proveout": 7}',
    "variables no object": b'{"model": "chat", "proveout": {"variables": [1]}}',
    "nul": b'{"model": "chat\\u0000"}',
}


@pytest.mark.parametrize("kind", BAD_BODIES)
def test_a_bad_body_gets_an_error_and_the_next_request_an_answer(tmp_path: Path, kind: str) -> None:
    async def main() -> None:
        async with FaultServer(otherwise=GOOD) as upstream, world(tmp_path, {"base": upstream.url}) as here:
            response = await here.client.send("POST", here.url + "/v1/chat/completions", body=BAD_BODIES[kind])
            assert response.status in (400, 404)
            assert json.loads(response.body)["error"]["code"]
            assert said(await here.ask()) == "Hi."
            assert len(upstream.received) == 1

    run(main())


def test_paths_and_methods_that_are_none(tmp_path: Path) -> None:
    async def main() -> None:
        async with FaultServer(otherwise=GOOD) as upstream, world(tmp_path, {"base": upstream.url}) as here:
            for method, path, status in (
                ("GET", "/v1/chat/completions", 405),
                ("POST", "/v1/models", 405),
                ("DELETE", "/v1/feedback", 405),
                ("GET", "/", 404),
                ("POST", "/v1/chat/completions/", 404),
                ("GET", "/../etc/passwd", 404),
                ("HEAD", "/healthz", 200),
            ):
                response = await here.client.send(method, here.url + path)
                assert (path, response.status) == (path, status)
            wrong = await here.client.send("GET", here.url + "/v1/chat/completions")
            assert wrong.headers.get("allow") == "POST"
            assert error(wrong)["param"] is None

    run(main())


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-length: 40000000\r\n\r\n",
            413,
            "request_too_large",
        ),
        (b"GET /healthz HTTP/1.1\r\nhost: h\r\nx: " + b"a" * 70_000 + b"\r\n\r\n", 431, "head_too_large"),
        (b"GET nonsense\r\n\r\n", 400, "invalid_request"),
    ],
)
def test_what_cannot_even_be_read_is_refused_in_openais_shape(
    tmp_path: Path, head: bytes, status: int, code: str
) -> None:
    async def main() -> None:
        async with world(tmp_path, {"base": "http://127.0.0.1:1"}) as here:
            reader, writer = await asyncio.open_connection("127.0.0.1", here.run.server.port)
            writer.write(head)
            answer = await reader.read()
            writer.close()
            assert answer.startswith(b"HTTP/1.1 %d " % status)
            assert b"content-type: application/json" in answer
            told = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
            assert (told["code"], told["type"], set(told)) == (
                code,
                "invalid_request_error",
                {"message", "type", "param", "code"},
            )

    run(main())


def test_a_misspelt_field_of_ours_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, {"base": "http://127.0.0.1:1"}) as here:
            refused = await here.ask({"proveout": {"variable": {"question": "x"}}})
            assert (refused.status, error(refused)["param"]) == (400, "proveout")
            assert "variable" in error(refused)["message"]
            assert error(await here.post("/v1/chat/completions", b""))["message"] == "the body is empty"

    run(main())


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/feedback"])
def test_a_packed_body_is_refused_as_such(tmp_path: Path, path: str) -> None:
    async def main() -> None:
        async with world(tmp_path, {"base": "http://127.0.0.1:1"}) as here:
            refused = await here.post(path, gzip.compress(PLAIN), content_encoding="gzip")
            assert (refused.status, error(refused)["code"]) == (415, "unsupported_encoding")

    run(main())


def test_a_mistake_of_ours_is_answered_in_openais_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: Serving, *arguments: object) -> None:
        raise RuntimeError("secret-detail")

    monkeypatch.setattr(Serving, "answer", broken)

    async def main() -> None:
        async with world(tmp_path, {"base": "http://127.0.0.1:1"}) as here:
            answer = await here.ask()
            assert (answer.status, error(answer)["type"], error(answer)["code"]) == (500, "server_error", "internal")
            assert b"secret-detail" not in answer.body

    run(main())


SMUGGLED = {
    "two lengths": b"content-length: 5\r\ncontent-length: 6\r\n",
    "length and chunks": b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
    "odd chunks": b"transfer-encoding: xchunked\r\n",
    "folded": b"x: a\r\n b: c\r\ncontent-length: 0\r\n",
    "large": b"x: " + b"a" * 100_000 + b"\r\n",
}


@pytest.mark.parametrize("kind", SMUGGLED)
def test_smuggling_shapes_are_refused_and_reach_no_upstream(tmp_path: Path, kind: str) -> None:
    async def main() -> None:
        async with FaultServer(otherwise=GOOD) as upstream, world(tmp_path, {"base": upstream.url}) as here:
            reader, writer = await asyncio.open_connection("127.0.0.1", here.run.server.port)
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n" + SMUGGLED[kind] + b"\r\n" + b"hello")
            answer = await reader.read(200)
            assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 431", b"HTTP/1.1 501")
            writer.close()
            assert not upstream.received

    run(main())


def test_a_header_of_the_client_never_reaches_the_provider(tmp_path: Path) -> None:
    async def main() -> None:
        async with FaultServer(otherwise=GOOD) as upstream, world(tmp_path, {"base": upstream.url}) as here:
            await here.ask(cookie="a=b", x_api_key="k", authorization="Bearer client", x_proveout_unit="ünit\xff")
            names = {name for name, _ in upstream.received[0].headers}
            assert names <= {"host", "accept-encoding", "content-type", "content-length", "user-agent"}

    run(main())


def test_a_thousand_idle_connections_and_five_hundred_streams_at_once(tmp_path: Path) -> None:
    events = [chunk({"content": "x"})] * 10 + [chunk({}, "stop"), "[DONE]"]

    async def main() -> None:
        async with (
            FaultServer(otherwise=stream(*events, gap_s=0.1)) as upstream,
            world(tmp_path, {"base": upstream.url}) as here,
        ):
            idle = [socket.create_connection(("127.0.0.1", here.run.server.port)) for _ in range(1000)]
            responses = await asyncio.gather(*(here.ask({"stream": True}) for _ in range(500)))
            assert {one.body.endswith(b"[DONE]\n\n") for one in responses} == {True}
            for one in idle:
                one.close()
            await until(lambda: here.run.gateway.metrics.count("proveout_gateway_in_flight_requests").value == 0)

    run(main())


def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    async def main() -> None:
        script = [Answer.json(completion(str(number))) for number in range(3)]
        async with FaultServer(script) as upstream, world(tmp_path, {"base": upstream.url}) as here:
            reader, writer = await asyncio.open_connection("127.0.0.1", here.run.server.port)
            one = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(PLAIN), PLAIN)
            writer.write(one * 3)
            got: list[Any] = []
            for _ in range(3):
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
                got.append(json.loads(await reader.readexactly(length))["choices"][0]["message"]["content"])
            assert got == ["0", "1", "2"]
            writer.close()

    run(main())
