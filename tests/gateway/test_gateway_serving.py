"""Serving: bytes pass through, variants are applied, and every request leaves one trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gateway_world import (
    STREAM,
    completion,
    echo,
    error,
    run,
    said,
    stream,
    world,
)

from proveout.testing.faults import Answer, FaultServer
from proveout.wire import encode_event


def test_an_answer_is_byte_for_byte_the_providers(tmp_path: Path) -> None:
    body = b'{ "choices":[{"message":{"content":"\\u00e9"},"finish_reason":"stop"}],\n"odd": 1e3, "usage":null}'
    answer = Answer(body=body, headers=[("content-type", "application/json"), ("x-request-id", "r1"), ("server", "s")])

    async def main() -> None:
        async with FaultServer([answer]) as upstream, world(tmp_path, {"base": upstream.url}) as here:
            response = await here.ask()
            assert (response.status, response.body) == (200, body)
            assert response.headers.get("x-request-id") == "r1"
            assert response.headers.get("server") is None
            assert response.headers.get("x-proveout-variant") == "base"
            (trace,) = await here.traces(1)
            assert trace.id == response.headers.get("x-proveout-trace-id")
            assert (trace.status, trace.finish, trace.input_tokens, trace.cost_usd) == (200, "stop", None, None)

    run(main())


def test_what_the_client_sends_passes_through_under_the_variants_parameters(tmp_path: Path) -> None:
    sent = {
        "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]}
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
        "temperature": 0.9,
        "max_completion_tokens": 5,
        "some_new_field": {"a": [1, None]},
        "proveout": {},
    }

    async def main() -> None:
        async with FaultServer(echo) as upstream:
            base = {
                "model": {"provider": "openai-compatible", "name": "gpt", "url": upstream.url},
                "parameters": {"temperature": 0, "max_tokens": 64},
            }
            async with world(tmp_path, {"base": base}) as here:
                got = json.loads(said(await here.ask(sent)))
                expected = {
                    name: value for name, value in sent.items() if name not in ("proveout", "max_completion_tokens")
                }
                assert got == expected | {"model": "gpt", "temperature": 0, "max_tokens": 64}

    run(main())


def test_a_stream_passes_through_as_it_comes(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=stream(gap_s=0.02)) as upstream,
            world(tmp_path, {"base": upstream.url}) as here,
        ):
            response = await here.ask({"stream": True, "stream_options": {"include_usage": True}})
            assert response.body == b"".join(map(encode_event, STREAM))
            hidden = await here.ask({"stream": True})
            assert hidden.body == b"".join(encode_event(event) for event in STREAM if '"usage"' not in event)
            assert json.loads(upstream.received[1].body)["stream_options"] == {"include_usage": True}
            first, second = await here.traces(2)
            for trace in (first, second):
                assert (trace.reads, trace.output_tokens, trace.finish, trace.streamed) == (2, 2, "stop", True)
                assert 0.03 < (trace.ttft or 0) < trace.e2e
                assert (trace.stall or 0) > 0.01

    run(main())


def test_a_tool_call_in_a_stream_is_its_first_content(tmp_path: Path) -> None:
    call = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": ""}}
    events = [
        json.dumps({"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]}),
        json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}),
        json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
        "[DONE]",
    ]

    async def main() -> None:
        async with FaultServer(otherwise=stream(*events)) as upstream, world(tmp_path, {"base": upstream.url}) as here:
            response = await here.ask({"stream": True})
            assert response.body == b"".join(map(encode_event, events))
            (trace,) = await here.traces(1)
            assert (trace.reads, trace.finish) == (1, "tool_calls")

    run(main())


MANAGED = {"prompt": "prompts/ask.md", "preprocess": ["strip"], "postprocess": [{"json_field": "answer"}]}


@pytest.fixture
def managed(tmp_path: Path) -> Path:
    prompts = tmp_path / "project" / "services" / "chat" / "prompts"
    prompts.mkdir(parents=True)
    (prompts / "ask.md").write_text("Say: {{ question }}")
    return tmp_path


def managed_variant(url: str) -> dict[str, Any]:
    return {"model": {"provider": "openai-compatible", "name": "gpt", "url": url}, **MANAGED}


def test_variables_are_rendered_and_the_answer_is_processed(managed: Path) -> None:
    answer = Answer.json(completion('```json\n{"answer": "yes"}\n```'))

    async def main() -> None:
        async with (
            FaultServer(otherwise=answer) as upstream,
            world(managed, {"base": managed_variant(upstream.url)}) as here,
        ):
            response = await here.ask({"messages": [], "proveout": {"variables": {"question": "  why? "}}})
            assert said(response) == "yes"
            asked = json.loads(upstream.received[0].body)
            assert asked["messages"] == [{"role": "user", "content": "Say: why?"}]
            assert "proveout" not in asked
            plain = await here.ask()
            assert plain.body == answer.body
            first, second = await here.traces(2)
            assert (first.valid, second.valid) == (True, None)

    run(main())


def test_a_processed_stream_comes_in_one_piece(managed: Path) -> None:
    events = [
        json.dumps({"choices": [{"index": 0, "delta": {"content": piece}}]}) for piece in ('{"answer": ', '"yes"}')
    ]
    end = [json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}), "[DONE]"]

    async def main() -> None:
        async with (
            FaultServer(otherwise=stream(*events, *end)) as upstream,
            world(managed, {"base": managed_variant(upstream.url)}) as here,
        ):
            response = await here.ask({"stream": True, "proveout": {"variables": {"question": "why"}}})
            chunks = [json.loads(line[6:]) for line in response.body.split(b"\n\n") if line.startswith(b"data: {")]
            assert "".join(one["choices"][0]["delta"].get("content") or "" for one in chunks) == "yes"
            assert response.body.endswith(b"data: [DONE]\n\n")
            (trace,) = await here.traces(1)
            assert (trace.valid, trace.reads) == (True, 2)

    run(main())


def test_an_answer_that_can_not_be_processed_is_given_as_it_is(managed: Path) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=Answer.json(completion("no JSON"))) as upstream,
            world(managed, {"base": managed_variant(upstream.url)}) as here,
        ):
            assert said(await here.ask({"proveout": {"variables": {"question": "why"}}})) == "no JSON"
            assert (await here.traces(1))[0].valid is False
            refused = await here.ask({"proveout": {"variables": {"other": 1}}})
            assert (refused.status, error(refused)["code"]) == (400, "invalid_variables")
            assert len(upstream.received) == 1

    run(main())


def test_services_and_variants_are_models(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=Answer.json(completion("base"))) as first,
            FaultServer(otherwise=Answer.json(completion("next"))) as second,
            world(tmp_path, {"base": first.url, "next": second.url}) as here,
        ):
            assert said(await here.ask({"model": "chat/next"})) == "next"
            assert said(await here.ask({"model": "chat"})) == "base"
            listed = json.loads((await here.get("/v1/models")).body)["data"]
            assert [one["id"] for one in listed] == ["chat", "chat/base", "chat/next"]
            for model in ("absent", "chat/absent", "chat/next/x", "/"):
                refused = await here.ask({"model": model})
                assert (refused.status, error(refused)["code"]) == (404, "model_not_found")

    run(main())


def test_outside_dev_only_what_is_released_can_be_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with FaultServer(otherwise=Answer.json(completion("base"))) as upstream:
            variants = {"base": upstream.url, "next": upstream.url}
            environments = {"production": {"chat": {"champion": "base"}}}
            async with world(tmp_path, variants, environments=environments, environment="production") as here:
                assert (await here.ask({"model": "chat/base"})).status == 200
                assert (await here.ask({"model": "chat/next"})).status == 404

    run(main())


def test_embeddings_and_responses_go_to_the_variants_endpoint(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FaultServer(
                otherwise=Answer.json({"data": [], "usage": {"prompt_tokens": 4, "total_tokens": 4}})
            ) as upstream,
            world(tmp_path, {"base": upstream.url + "/v1"}) as here,
        ):
            for path in ("/v1/embeddings", "/v1/responses"):
                response = await here.post(path, {"model": "chat/base", "input": "x", "proveout": {}})
                assert json.loads(response.body)["data"] == []
            assert [one.target for one in upstream.received] == ["/v1/embeddings", "/v1/responses"]
            assert json.loads(upstream.received[0].body) == {"model": "model-base", "input": "x"}
            assert [trace.operation for trace in await here.traces(2)] == ["embeddings", "responses"]

    run(main())


def test_a_stream_of_the_responses_api_passes_through_and_tells_its_usage(tmp_path: Path) -> None:
    events = [
        {"type": "response.created", "response": {"id": "r1", "usage": None}},
        {"type": "response.output_text.delta", "delta": "Hi"},
        {"type": "response.completed", "response": {"id": "r1", "usage": {"input_tokens": 3, "output_tokens": 2}}},
    ]
    sent = [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events]

    async def main() -> None:
        async with (
            FaultServer(otherwise=Answer(events=sent)) as upstream,
            world(tmp_path, {"base": upstream.url}) as here,
        ):
            response = await here.post("/v1/responses", {"model": "chat", "input": "x", "stream": True})
            assert response.body == b"".join(sent)
            (trace,) = await here.traces(1)
            assert (trace.input_tokens, trace.output_tokens, trace.reads, trace.error) == (3, 2, 1, None)

    run(main())


def test_a_unit_stays_with_its_variant_and_propensities_are_kept(tmp_path: Path) -> None:
    from proveout.storage import Release, open_store

    async def main() -> None:
        async with (
            FaultServer(otherwise=Answer.json(completion("base"))) as first,
            FaultServer(otherwise=Answer.json(completion("next"))) as second,
            world(tmp_path, {"base": first.url, "next": second.url}) as here,
        ):
            weights = {here.fingerprint("base"): 3.0, here.fingerprint("next"): 1.0}
            with open_store(here.project.store_url) as store:
                store.releases.publish(Release(environment="dev", service="chat", weights=weights, step="canary"))
            await here.serves(1)
            by_unit = {unit: said(await here.ask(x_proveout_unit=unit)) for unit in map(str, range(30))}
            assert set(by_unit.values()) == {"base", "next"}
            for unit, variant in by_unit.items():
                assert said(await here.ask({"user": unit})) == variant
            traces = await here.traces(60)
            assert {trace.propensity for trace in traces} == {0.75, 0.25}
            assert {(trace.epoch, trace.step) for trace in traces} == {(1, "canary")}
            assert len({trace.unit for trace in traces}) == 30

    run(main())


def test_costs_come_from_the_price_book(tmp_path: Path) -> None:
    prices = [
        {"provider": "openai-compatible", "model": "model-base", "since": "2026-01-01", "input": 1.0, "output": 10.0}
    ]

    async def main() -> None:
        async with (
            FaultServer(otherwise=Answer.json(completion())) as upstream,
            world(tmp_path, {"base": upstream.url}, prices=prices) as here,
        ):
            await here.ask()
            (trace,) = await here.traces(1)
            assert trace.cost_usd == pytest.approx((9 * 1.0 + 3 * 10.0) / 1e6)
            assert (
                b'proveout_gateway_cost_usd_total{service="chat",variant="base"} 3.'
                in (await here.get("/metrics")).body
            )

    run(main())


def test_content_is_kept_only_where_the_project_says_so(tmp_path: Path) -> None:
    from proveout.storage import open_store

    secret = "sk-" + "a" * 30

    async def main(folder: Path, gateway: dict[str, Any]) -> list[tuple[str, str] | None]:
        async with (
            FaultServer([Answer.json(completion("fine")), stream()]) as upstream,
            world(folder, {"base": upstream.url}, gateway=gateway) as here,
        ):
            messages = [{"role": "user", "content": f"my key is {secret}"}]
            await here.ask({"messages": messages})
            await here.ask({"messages": messages, "stream": True})
            traces = await here.traces(2)
            with open_store(here.project.store_url) as store:
                return [store.traces.content(trace.id) for trace in traces]

    assert run(main(tmp_path / "off", {})) == [None, None]
    whole, streamed = run(main(tmp_path / "all", {"content": {"capture": "all"}}))
    assert "my key is ..." in whole[0]
    assert secret not in str(whole)
    assert "fine" in whole[1]
    assert streamed[1] == "Hi."


def test_plain_messages_of_a_managed_service_need_messages(tmp_path: Path) -> None:
    async def main() -> None:
        async with FaultServer() as upstream, world(tmp_path, {"base": upstream.url}) as here:
            refused = await here.ask(b'{"model": "chat"}')
            assert (refused.status, error(refused)["param"]) == (400, "messages")

    run(main())
