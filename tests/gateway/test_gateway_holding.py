"""What output guards are against is kept back from the clients of streams too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from gateway_world import USAGE, World, chunk, error, run, stream, world, write_project
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proveout import wire
from proveout.gateway.guarding import Guarding, Withheld
from proveout.gateway.holding import GuardedStream
from proveout.gateway.metrics import Metrics
from proveout.project import load_project
from proveout.project.records import GuardSpec, Service
from proveout.storage import Trace
from proveout.testing.faults import Answer, FaultServer

KEY = "sk-abcdefghijklmnopqrstuvwx"
SECRETS = {"name": "keys", "no_secrets": True, "action": "block"}
LONG = "word " * 200


def spoken(text: str, *, piece: int = 7) -> Answer:
    """A stream that says this, some characters at a time."""
    parts = [chunk({"content": text[at : at + piece]}) for at in range(0, len(text), piece)]
    return stream(chunk({"role": "assistant", "content": ""}), *parts, chunk({}, "stop"), chunk(usage=USAGE), "[DONE]")


def guarded(*guards: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"service": {"guards": {"output": list(guards)}, **others}}


def chunks(answer: wire.Response) -> list[dict[str, Any]]:
    events = [line[6:] for line in answer.body.decode().splitlines() if line.startswith("data: ")]
    assert events.pop() == "[DONE]"
    return [json.loads(event) for event in events]


def heard(answer: wire.Response) -> tuple[str, str | None]:
    """The text of a streamed answer, and how it ended."""
    choices = [choice for one in chunks(answer) for choice in one["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices), choices[-1]["finish_reason"]


async def asked(here: World, **others: Any) -> wire.Response:
    return await here.ask({"stream": True, **others})


def results(trace: Trace) -> dict[str, str]:
    return json.loads(trace.guards or "{}")


def test_a_stream_is_stopped_before_what_a_guard_is_against(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FaultServer([spoken(f"{LONG} the key is {KEY}. {LONG}"), spoken(LONG)]) as upstream,
            world(tmp_path, {"base": upstream.url}, **guarded(SECRETS)) as here,
        ):
            text, finish = heard(await asked(here))
            assert finish == "content_filter"
            assert f"{LONG} the key is".startswith(text)
            assert len(text) > 500
            assert heard(await asked(here)) == (LONG, "stop")
            first, second = await here.traces(2)
            assert (first.status, first.error, first.finish, results(first)) == (
                200,
                None,
                "content_filter",
                {"keys": "block"},
            )
            assert (second.finish, results(second)) == ("stop", {"keys": "pass"})

    run(main())


def test_the_provider_is_left_when_a_guard_stops_its_stream(tmp_path: Path) -> None:
    endless = Answer(
        events=[chunk({"content": f"{LONG} {KEY} {LONG}"})] + [chunk({"content": "more "})] * 10_000, gap_s=0.05
    )

    async def main() -> None:
        async with (
            FaultServer(otherwise=endless) as upstream,
            world(tmp_path, {"base": upstream.url}, **guarded({**SECRETS, "refusal": "No."})) as here,
        ):
            assert heard(await asked(here)) == ("No.", "content_filter")
            (trace,) = await here.traces(1)
            assert (trace.finish, trace.attempts) == ("content_filter", 1)

    run(main())


@pytest.mark.parametrize("refusal", [None, "I can't show that."])
def test_a_stream_of_which_nothing_was_given_is_refused_like_any_answer(tmp_path: Path, refusal: str | None) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=spoken(f"It is {KEY}")) as upstream,
            world(
                tmp_path, {"base": upstream.url}, **guarded({**SECRETS, "refusal": refusal} if refusal else SECRETS)
            ) as here,
        ):
            answer = await asked(here)
            if refusal is None:
                assert (answer.status, error(answer)["code"]) == (422, "guard")
            else:
                assert heard(answer) == (refusal, "content_filter")
            assert KEY.encode() not in answer.body

    run(main())


def test_what_judges_whole_answers_holds_all_of_a_stream(tmp_path: Path) -> None:
    shape = {"name": "json", "json_valid": True, "action": "block", "refusal": "{}"}

    async def main() -> None:
        async with (
            FaultServer([spoken("[1, 2, 3, 4]"), spoken("[1, 2")]) as upstream,
            world(tmp_path, {"base": upstream.url}, **guarded(shape)) as here,
        ):
            assert heard(await asked(here)) == ("[1, 2, 3, 4]", "stop")
            assert heard(await asked(here)) == ("{}", "content_filter")

    run(main())


def test_a_length_is_held_to_without_keeping_anything_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=spoken("0123456789" * 10, piece=10)) as upstream,
            world(
                tmp_path, {"base": upstream.url}, **guarded({"name": "length", "max_chars": 35, "action": "block"})
            ) as here,
        ):
            assert heard(await asked(here)) == ("0123456789" * 3, "content_filter")

    run(main())


def test_what_is_let_go_comes_as_the_provider_sent_it(tmp_path: Path) -> None:
    text = "".join(f"word{number} " for number in range(200))
    answer = spoken(text)

    async def main() -> None:
        async with (
            FaultServer(otherwise=answer) as upstream,
            world(tmp_path / "with", {"base": upstream.url}, **guarded(SECRETS)) as here,
            world(tmp_path / "without", {"base": upstream.url}) as plain,
        ):
            for options in ({}, {"stream_options": {"include_usage": True}}):
                assert (await asked(here, **options)).body == (await asked(plain, **options)).body

    run(main())


PARTS = ['{"key": "', *(KEY[at : at + 5] for at in range(0, len(KEY), 5)), '"}']


@pytest.mark.parametrize(
    "deltas",
    [
        [{"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in PARTS],
        [{"function_call": {"arguments": part}} for part in PARTS],
        [{"refusal": part} for part in PARTS],
    ],
    ids=["tool calls", "function call", "refusal"],
)
def test_all_that_an_answer_says_is_looked_at_while_it_comes(tmp_path: Path, deltas: list[dict[str, Any]]) -> None:
    begun = {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]}
    said = [chunk(delta, type="of some provider's own") for delta in [begun, *deltas]]
    answer = stream(*said, chunk({}, "tool_calls"), "[DONE]")

    async def main() -> None:
        async with (
            FaultServer(otherwise=answer) as upstream,
            world(tmp_path, {"base": upstream.url}, **guarded(SECRETS)) as here,
        ):
            refused = await asked(here)
            assert (refused.status, error(refused)["code"]) == (422, "guard")

    run(main())


def test_a_stream_that_a_guard_has_stopped_is_not_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FaultServer([spoken(LONG + KEY), spoken(LONG)], otherwise=Answer(status=500)) as upstream,
            world(
                tmp_path,
                {"base": upstream.url},
                gateway={"services": {"chat": {"cache": {"ttl": "1m"}}}},
                **guarded(SECRETS),
            ) as here,
        ):
            assert heard(await asked(here))[1] == "content_filter"
            for _ in range(2):
                assert heard(await asked(here)) == (LONG, "stop")

    run(main())


def test_a_stream_that_breaks_while_it_is_held_is_asked_for_again(tmp_path: Path) -> None:
    cut = Answer(events=[chunk({"content": "wor"})])

    async def main() -> None:
        async with (
            FaultServer([cut, spoken(LONG)]) as upstream,
            world(tmp_path, {"base": upstream.url}, **guarded(SECRETS)) as here,
        ):
            assert heard(await asked(here)) == (LONG, "stop")
            (trace,) = await here.traces(1)
            assert trace.attempts == 2

    run(main())


def test_a_processed_stream_is_looked_at_before_it_is_given(tmp_path: Path) -> None:
    prompts = tmp_path / "project" / "services" / "chat" / "prompts"
    prompts.mkdir(parents=True)
    (prompts / "ask.md").write_text("Say: {{ question }}")

    async def main() -> None:
        async with FaultServer(otherwise=spoken(f" {KEY} ")) as upstream:
            model = {"provider": "openai-compatible", "name": "m", "url": upstream.url}
            variant = {"model": model, "prompt": "prompts/ask.md", "postprocess": ["strip"]}
            async with world(tmp_path, {"base": variant}, **guarded({**SECRETS, "refusal": "No."})) as here:
                answer = await here.ask({"stream": True, "proveout": {"variables": {"question": "key?"}}})
                assert heard(answer) == ("No.", "content_filter")

    run(main())


def test_a_translated_stream_is_stopped_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_TEST", "k")
    text = f"{LONG}{KEY} {LONG}"
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text[at : at + 9]}}
        for at in range(0, len(text), 9)
    ]
    events = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *deltas,
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]
    said = Answer(events=[f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events])

    async def main() -> None:
        async with FaultServer(otherwise=said) as upstream:
            model = {"provider": "anthropic", "name": "claude", "url": upstream.url, "key": "env:KEY_OF_TEST"}
            async with world(tmp_path, {"base": {"model": model}}, **guarded(SECRETS)) as here:
                text, finish = heard(await asked(here))
                assert (finish, LONG.startswith(text)) == ("content_filter", True)
                assert len(text) > 500

    run(main())


def test_the_responses_api_is_told_that_its_answer_is_incomplete(tmp_path: Path) -> None:
    response = {"id": "resp_1", "object": "response", "status": "in_progress", "output": []}
    place = {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0}
    text = LONG + KEY + LONG
    events = [
        {"type": "response.created", "response": response},
        *({**place, "delta": text[at : at + 9]} for at in range(0, len(text), 9)),
        {"type": "response.completed", "response": {**response, "status": "completed"}},
    ]
    told = Answer(
        events=[
            f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n".encode()
            for number, event in enumerate(events)
        ]
    )

    async def main() -> None:
        async with (
            FaultServer(otherwise=told) as upstream,
            world(tmp_path, {"base": upstream.url}, **guarded(SECRETS)) as here,
        ):
            answer = await here.post("/v1/responses", {"model": "chat", "input": "hello", "stream": True})
            seen = [json.loads(line[6:]) for line in answer.body.decode().splitlines() if line.startswith("data: ")]
            assert "".join(one.get("delta", "") for one in seen).startswith("word word")
            assert KEY[:8].encode() not in answer.body
            last = seen[-1]
            assert last["type"] == "response.incomplete"
            assert last["response"]["status"] == "incomplete"
            assert last["response"]["incomplete_details"] == {"reason": "content_filter"}
            (trace,) = await here.traces(1)
            assert results(trace) == {"keys": "block"}

    run(main())


def events_of(text: str, cuts: Sequence[int]) -> Iterator[bytes]:
    edges = [0, *sorted({cut % (len(text) + 1) for cut in cuts}), len(text)]
    for begin, end in pairwise(edges):
        yield b"data: " + chunk({"content": text[begin:end]}).encode() + b"\n\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return load_project(write_project(tmp_path_factory.mktemp("held"), {"base": "http://127.0.0.1:1"})).services["chat"]


@given(
    before=st.text("ab ", max_size=120),
    after=st.text("ab ", max_size=120),
    cuts=st.lists(st.integers(0, 300), max_size=20),
    hold=st.integers(7, 60),
)
def test_however_a_stream_is_cut_nothing_that_fits_the_hold_gets_out(
    service: Service, before: str, after: str, cuts: list[int], hold: int
) -> None:
    spec = GuardSpec("x", "output", "deny_pattern", "SECRET!", "block", hold=hold)
    guards = Guarding(replace(service, guards=(spec,)), Metrics())
    trace = Trace(id="0" * 32, service="chat", environment="dev")
    held = GuardedStream(guards, service.variants["base"], trace, given=False)
    out = b""
    with suppress(Withheld):
        for event in events_of(f"{before}SECRET!{after}", cuts):
            out += held.take(event)
        out += held.finish()
    assert results(trace) == {"x": "block"}
    told = "".join(json.loads(line[6:])["choices"][0]["delta"]["content"] for line in out.splitlines() if line)
    assert not set(told) & set("SECRET!")
