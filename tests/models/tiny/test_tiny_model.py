from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, TypeVar

import pytest

from proveout.models._base import Generation, ModelError, Request
from proveout.models.tiny import BUILDS, Build, TinyModel
from proveout.models.tiny.instructions import PROMPT, Instruction
from proveout.models.tiny.model import load_tokenizer
from proveout.models.tiny.tickets import golden
from proveout.project.records import Message, ModelSpec

T = TypeVar("T")
ROWS = golden(480, 20)


def ask(message: str, system: str | None = PROMPT, **settings: Any) -> Request:
    extra = {name: settings.pop(name) for name in ("stream", "repeat") if name in settings}
    system_message = (Message("system", system),) if system is not None else ()
    parameters = {"temperature": 0, "max_tokens": 24} | settings
    return Request(messages=(*system_message, Message("user", message)), parameters=parameters, **extra)


def with_model(work: Callable[[TinyModel], Awaitable[T]], build: Build = "f16") -> T:
    async def run() -> T:
        model = TinyModel(build)
        try:
            return await work(model)
        finally:
            await model.aclose()

    return asyncio.run(run())


def answers(build: Build, rows: list[dict[str, Any]], system: str | None = PROMPT, **settings: Any) -> list[Generation]:
    async def work(model: TinyModel) -> list[Generation]:
        requests = [ask(row["input"]["message"], system, **settings) for row in rows]
        return await asyncio.gather(*map(model.generate, requests))

    return with_model(work, build)


def intent(generation: Generation) -> str | None:
    try:
        return json.loads(generation.text)["intent"]
    except (ValueError, KeyError, TypeError):
        return None


def accuracy(generations: list[Generation]) -> float:
    right = sum(intent(one) == row["expected"] for one, row in zip(generations, ROWS, strict=True))
    return right / len(ROWS)


@cache
def base() -> list[Generation]:
    return answers("f16", ROWS)


def test_the_base_is_right_often_but_not_always():
    assert 0.80 <= accuracy(base()) <= 0.90
    assert all(intent(one) is not None for one in base())


@pytest.mark.parametrize(
    ("build", "low", "high"), [("int8", -0.01, 0.01), ("int4", -0.02, 0.02), ("int2", -0.6, -0.2), ("lora", 0.03, 0.1)]
)
def test_builds_differ_from_the_base_as_published(build: Build, low: float, high: float):
    assert low <= accuracy(answers(build, ROWS)) - accuracy(base()) <= high


def test_eight_bits_answer_alike():
    same = sum(one.text == other.text for one, other in zip(base(), answers("int8", ROWS), strict=True))
    assert same / len(ROWS) >= 0.98


def test_heat_makes_answers_unsteady_and_breaks_json():
    first, second = (answers("f16", ROWS, temperature=1.5, seed=seed) for seed in (1, 2))
    steady = sum(intent(one) == intent(other) for one, other in zip(first, second, strict=True)) / len(ROWS)
    valid = sum(intent(one) is not None for one in first) / len(ROWS)
    assert steady < 0.75
    assert valid < 0.97


@pytest.mark.parametrize(
    ("prompt", "most"),
    [(Instruction(first=False).text(), 0.82), (Instruction(labels=False).text(), 0.65), (None, 0.0)],
)
def test_prompts_matter(prompt: str | None, most: float):
    assert accuracy(answers("f16", ROWS, prompt)) <= most


def test_an_instruction_decides_the_form_of_the_answer():
    rows = ROWS[:50]
    words = answers("f16", rows, Instruction("word").text())
    assert all(one.text.isalpha() for one in words)
    with_priority = answers("f16", rows, Instruction("json_priority").text())
    assert all(json.loads(one.text).keys() == {"intent", "priority"} for one in with_priority)


def test_a_generation_tells_what_it_cost_and_how_it_ended():
    request = ask("where is my package", logprobs=True, stream=True)
    found = with_model(lambda model: model.generate(request))

    assert found.text == '{"intent": "delivery"}'
    assert found.finish_reason == "stop"
    assert found.model == "tiny-f16"
    spoken = load_tokenizer().encode(found.text)
    assert found.usage is not None
    assert found.usage.output_tokens == len(spoken) + 1
    assert found.usage.input_tokens == len(load_tokenizer().encode(PROMPT + "where is my package")) + 3
    assert found.logprobs is not None
    assert len(found.logprobs) == found.usage.output_tokens
    assert all(logprob <= 0 for logprob in found.logprobs)
    assert found.timings is not None
    assert found.timings.ttft is not None
    assert len(found.timings.gaps) == len(spoken) - 1
    assert math.isclose(found.timings.ttft + sum(found.timings.gaps), found.timings.e2e, abs_tol=0.05)


def test_without_streaming_only_the_whole_time_is_known():
    found = with_model(lambda model: model.generate(ask("hello")))
    assert found.timings is not None
    assert found.timings.e2e > 0
    assert (found.timings.ttft, found.timings.gaps, found.logprobs) == (None, (), None)


def test_max_tokens_and_stop_strings_end_an_answer():
    cut = with_model(lambda model: model.generate(ask("where is my package", max_tokens=3)))
    assert cut.usage is not None
    assert (cut.finish_reason, cut.usage.output_tokens) == ("length", 3)
    modern = with_model(
        lambda model: model.generate(ask("where is my package", max_tokens=None, max_completion_tokens=3))
    )
    assert modern.text == cut.text
    stopped = with_model(lambda model: model.generate(ask("where is my package", stop="intent")))
    assert (stopped.text, stopped.finish_reason) == ('{"', "stop")


def test_repeats_draw_anew_and_a_run_can_be_done_again():
    requests = [ask(row["input"]["message"], temperature=1.5, repeat=repeat) for row in ROWS[:40] for repeat in (0, 1)]

    async def work(model: TinyModel) -> list[str]:
        return [one.text for one in await asyncio.gather(*map(model.generate, requests))]

    once = with_model(work)
    assert with_model(work) == once
    assert once[0::2] != once[1::2]


def test_a_seed_makes_repeats_equal():
    async def work(model: TinyModel) -> list[str]:
        requests = [ask("my words are unclear", temperature=2, seed=5, repeat=repeat) for repeat in range(4)]
        return [(await model.generate(request)).text for request in requests]

    assert len(set(with_model(work))) == 1


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"seed": 1.5}, "seed"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_completion_tokens"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stop": {"a": 1}}, "stop"),
        ({"logprobs": 3}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"logit_bias": {"5": 10}}, "logit_bias"),
        ({"top_k": 40}, "top_k"),
    ],
)
def test_what_the_model_cannot_do_is_refused_by_name(parameters: dict[str, Any], field: str):
    request = ask("hello", **({"max_tokens": None} | parameters))
    with pytest.raises(ModelError, match=f"^{field}: ") as caught:
        with_model(lambda model: model.generate(request))
    assert (caught.value.kind, caught.value.retryable) == ("bad_request", False)


@pytest.mark.parametrize(
    "parameters",
    [
        {"n": 1},
        {"tools": []},
        {"frequency_penalty": 0},
        {"response_format": {"type": "text"}},
        {"user": "me"},
        {"stop": None},
    ],
)
def test_parameters_that_ask_for_nothing_are_taken(parameters: dict[str, Any]):
    assert with_model(lambda model: model.generate(ask("hello", **parameters))).text


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ((), "messages"),
        ((Message("tool", "x"),), r"messages\[0\].role"),
        ((Message("user", [{"type": "image_url"}]),), r"messages\[0\].content"),
        ((Message("user", "word " * 600),), "messages"),
    ],
)
def test_messages_that_it_cannot_read_are_refused(messages: tuple[Message, ...], field: str):
    with pytest.raises(ModelError, match=f"^{field}: "):
        with_model(lambda model: model.generate(Request(messages=messages)))


def test_text_parts_are_read_as_one_text():
    parts = [{"type": "text", "text": "where is "}, {"type": "text", "text": "my package"}]
    request = Request(messages=(Message("system", PROMPT), Message("user", parts)), parameters={"temperature": 0})
    assert intent(with_model(lambda model: model.generate(request))) == "delivery"


def test_a_spec_names_the_build():
    assert TinyModel.from_spec(ModelSpec("tiny", options={"build": "int4"})).build == "int4"
    assert TinyModel.from_spec(ModelSpec("tiny")).build == "f16"
    with pytest.raises(ValueError, match=f"it has {', '.join(BUILDS)}"):
        TinyModel("int3")  # pyright: ignore[reportArgumentType]
