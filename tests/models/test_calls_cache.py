"""The same question twice is one call; another question never gets its answer."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from calls_models import MemoryCache, ScriptedModel, ask, failure
from hypothesis import given
from hypothesis import strategies as st

from proveout.models import Generation, ModelError, Request, request_key
from proveout.models.cache import Cached, CallKeys
from proveout.project.records import Limits, Message, ModelSpec, Price, Secret
from proveout.wire import run

SPEC = ModelSpec(
    provider="openai-compatible",
    name="m",
    url="http://localhost:1/v1",
    key=Secret("env:A"),
    options={"headers": {"x-team": "support", "x-pass": Secret("env:B")}},
)
PRICE = Price(provider="openai-compatible", model="m", since="2026-01-01", input=1, output=1)

texts = st.text(max_size=8)
parameters = st.dictionaries(
    st.sampled_from(["temperature", "max_tokens", "seed", "stop", "tools", "user"]),
    st.integers(0, 3) | texts | st.lists(texts, max_size=2) | st.booleans() | st.none(),
    max_size=3,
)
roles = st.sampled_from(["system", "user", "assistant", "tool"])
messages = st.lists(st.builds(Message, roles, texts | st.just([{"type": "text", "text": "a"}])), max_size=3)
requests = st.builds(
    Request, messages=messages.map(tuple), parameters=parameters, repeat=st.integers(0, 2), stream=st.booleans()
)


def cached(model: ScriptedModel, cache: Any = None, price: Price | None = PRICE) -> Cached:
    return Cached(model, MemoryCache() if cache is None else cache, CallKeys(SPEC), price, {})


@given(requests, requests)
def test_two_requests_have_one_key_only_if_they_ask_the_same(one: Request, other: Request) -> None:
    def asked(request: Request) -> tuple[Any, ...]:
        return (request.messages, _typed(request.parameters), request.repeat)

    assert (request_key(SPEC, one) == request_key(SPEC, other)) is (asked(one) == asked(other))


def _typed(value: Any) -> Any:
    """Python takes True for 1; JSON does not."""
    if isinstance(value, dict):
        return {name: _typed(item) for name, item in value.items()}
    return (type(value), value)


@pytest.mark.parametrize(
    "change",
    [
        {"provider": "vllm"},
        {"name": "n"},
        {"url": "http://localhost:2/v1"},
        {"options": {"headers": {"x-team": "sales"}}},
        {"options": {"api_version": "2"}},
    ],
)
def test_another_endpoint_has_other_keys(change: dict[str, Any]) -> None:
    assert request_key(msgspec.structs.replace(SPEC, **change), ask()) != request_key(SPEC, ask())


@pytest.mark.parametrize(
    "change",
    [
        {"key": Secret("env:OTHER")},
        {"key": None},
        {"limits": Limits(concurrency=1)},
        {"url": "http://localhost:1/v1/"},
        {"options": {"headers": {"x-team": "support", "x-pass": Secret("env:OTHER")}}},
    ],
)
def test_keys_limits_and_secrets_are_not_part_of_what_was_asked(change: dict[str, Any]) -> None:
    assert request_key(msgspec.structs.replace(SPEC, **change), ask()) == request_key(SPEC, ask())


def test_spelling_streaming_and_the_example_do_not_matter() -> None:
    plain = Request(messages=(Message("user", "hi"),), parameters={"temperature": 0, "top_p": 1})
    other = Request(
        messages=(Message("user", "hi"),),
        parameters={"top_p": 1.0, "stream": True, "stream_options": {"include_usage": True}, "temperature": 0.0},
        stream=True,
        example="7",
        input={"message": "hi"},
    )
    assert request_key(SPEC, plain) == request_key(SPEC, other)


def test_parameters_that_are_changed_in_place_have_another_key() -> None:
    keys, shared = CallKeys(SPEC), {"temperature": 0}
    first = keys.key(Request(messages=(), parameters=shared))
    shared["temperature"] = 1
    assert keys.key(Request(messages=(), parameters=shared)) != first


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_parameter_that_is_no_json_is_a_bad_request(number: float) -> None:
    model = ScriptedModel()
    with pytest.raises(ModelError) as raised:
        run(cached(model).generate(ask(temperature=number)))
    assert (raised.value.kind, model.requests) == ("bad_request", [])


def test_a_kept_answer_says_so_and_what_it_costs_by_todays_prices() -> None:
    model, cache = ScriptedModel(), MemoryCache()
    first = run(cached(model, cache).generate(ask()))
    second = run(cached(model, cache, msgspec.structs.replace(PRICE, input=2, output=0)).generate(ask()))
    assert (first.cached, second.cached, len(model.requests)) == (False, True, 1)
    assert second.text == first.text
    assert second.cost_usd == pytest.approx(20 / 1e6)


def test_repeats_are_calls_of_their_own() -> None:
    model = ScriptedModel()
    answers = cached(model)

    async def main() -> None:
        for repeat in (0, 1, 0, 1):
            await answers.generate(ask(repeat=repeat))

    run(main())
    assert [request.repeat for request in model.requests] == [0, 1]


def test_asked_at_once_it_is_still_one_call() -> None:
    model = ScriptedModel(seconds=0.01)
    answers = cached(model)

    async def main() -> list[Generation]:
        return await asyncio.gather(*(answers.generate(ask()) for _ in range(50)))

    results = run(main())
    assert len(model.requests) == 1
    assert [generation.cached for generation in results] == [False] + [True] * 49
    assert {generation.text for generation in results} == {"HELLO"}


def test_a_failed_call_is_shared_and_not_kept() -> None:
    model = ScriptedModel(lambda number, _: failure() if number == 1 else Generation(text="ok"), seconds=0.01)
    answers = cached(model)

    async def main() -> None:
        results = await asyncio.gather(*(answers.generate(ask()) for _ in range(5)), return_exceptions=True)
        assert {type(result) for result in results} == {ModelError}
        assert (await answers.generate(ask())).text == "ok"

    run(main())
    assert len(model.requests) == 2


def test_when_the_caller_goes_away_the_next_one_makes_the_call() -> None:
    model = ScriptedModel(seconds=0.02)
    answers = cached(model)

    async def main() -> None:
        calls = [asyncio.ensure_future(answers.generate(ask())) for _ in range(4)]
        await asyncio.sleep(0.005)
        calls[0].cancel()
        calls[2].cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [getattr(result, "text", None) for result in results] == [None, "HELLO", None, "HELLO"]

    run(main())
    assert len(model.requests) == 2


def test_a_cache_that_cannot_keep_says_so_to_all_who_asked() -> None:
    class Full(MemoryCache):
        async def put(self, key: bytes, generation: Generation) -> None:
            raise OSError("the disk is full")

    model = ScriptedModel(seconds=0.01)
    answers = cached(model, Full())

    async def main() -> None:
        results = await asyncio.gather(*(answers.generate(ask()) for _ in range(3)), return_exceptions=True)
        assert [str(result) for result in results] == ["the disk is full"] * 3

    run(main())
    assert len(model.requests) == 1


def test_an_answer_is_kept_before_it_is_handed_out() -> None:
    class Slow(MemoryCache):
        async def put(self, key: bytes, generation: Generation) -> None:
            await asyncio.sleep(0.01)
            await super().put(key, generation)

    cache = Slow()

    async def main() -> None:
        await cached(ScriptedModel(), cache).generate(ask())
        assert len(cache.kept) == 1

    run(main())
