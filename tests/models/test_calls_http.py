"""The whole stack over real HTTP: storms, slow and cut answers, a server that bears only so much, embeddings."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any

import pytest
from calls_models import MemoryCache, ask

from proveout.models import Budget, BudgetExceeded, Generation, ModelError, ModelPool
from proveout.project.records import Limits, ModelSpec, Price, Secret
from proveout.testing.faults import Answer, FaultServer, Received
from proveout.wire import run


def chat(text: str = "ok", tokens: tuple[int, int] = (10, 5), **others: Any) -> Answer:
    return Answer.json(
        {
            "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)},
        },
        **others,
    )


def spec(server: FaultServer, **limits: Any) -> ModelSpec:
    return ModelSpec(provider="openai-compatible", name="m", url=f"{server.url}/v1", limits=Limits(**limits))


PRICE = Price(provider="openai-compatible", model="m", since="2026-01-01", input=1.0, output=10.0)


async def answers(model: Any, count: int, workers: int = 64, **parameters: Any) -> list[Any]:
    """Generations and errors of `count` different questions."""
    results: list[Any] = []
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            try:
                results.append(await model.generate(ask(f"question {number}", **parameters)))
            except ModelError as error:
                results.append(error)

    await asyncio.gather(*(work() for _ in range(workers)))
    return results


@pytest.mark.parametrize(
    "bad",
    [
        Answer.too_many("0.05"),
        Answer.too_many(),
        Answer(status=500, body=b"oops"),
        Answer(status=503),
        chat(cut_after=60),
        Answer(body=b"<html>", headers=[("content-type", "application/json")]),
    ],
    ids=["429 with Retry-After", "429", "500", "503", "cut", "malformed"],
)
def test_a_failing_server_that_recovers_costs_tries_and_no_answers(bad: Answer) -> None:
    async def main() -> list[Any]:
        async with FaultServer([bad] * 3, otherwise=chat()) as server, ModelPool() as pool:
            results = await answers(pool.open(spec(server)), 8, workers=2)
            assert len(server.received) == 11
            return results

    results = run(main())
    assert [result.text for result in results] == ["ok"] * 8
    assert sum(result.attempts for result in results) == 11


@pytest.mark.parametrize("retry_after", ["0.3", None])
def test_a_storm_that_hits_everybody_passes_without_a_lost_call(retry_after: str | None) -> None:
    """For most of a second every request is refused; 64 callers come through, and few requests are made meanwhile."""

    async def main() -> None:
        ends = monotonic() + 0.8
        storm = Answer.too_many(retry_after)
        async with FaultServer(lambda one: storm if one.at < ends else chat()) as server, ModelPool() as pool:
            results = await answers(pool.open(spec(server)), 300)
            assert Counter(type(result) for result in results) == {Generation: 300}
            assert sum(received.at < ends for received in server.received) < 64 * 2.5

    run(main())


def test_a_slow_answer_times_out_and_is_asked_again() -> None:
    async def main() -> Generation:
        async with FaultServer([Answer(hang=True)], otherwise=chat()) as server, ModelPool() as pool:
            return await pool.open(spec(server, timeout_s=0.2)).generate(ask())

    assert run(main()).attempts == 2


def test_a_server_that_is_down_is_a_failed_call() -> None:
    async def main() -> None:
        async with FaultServer() as server:
            gone = spec(server, retries=1)
        async with ModelPool() as pool:
            with pytest.raises(ModelError) as raised:
                await pool.open(gone).generate(ask())
        assert (raised.value.kind, raised.value.attempts) == ("connect", 2)

    run(main())


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_refusal_is_not_asked_again(status: int) -> None:
    async def main() -> None:
        async with FaultServer(otherwise=Answer(status=status)) as server, ModelPool() as pool:
            with pytest.raises(ModelError):
                await pool.open(spec(server)).generate(ask())
            assert len(server.received) == 1

    run(main())


def test_nobody_calls_during_retry_after() -> None:
    async def main() -> None:
        script = [chat(delay_s=0.02) for _ in range(16)] + [Answer.too_many("0.4")]
        async with FaultServer(script, otherwise=chat()) as server, ModelPool() as pool:
            results = await answers(pool.open(spec(server)), 100, workers=16)
            assert Counter(type(result) for result in results) == {Generation: 100}
            refused = server.received[16].at
            # What was under way when the refusal came may still arrive; then there is silence.
            assert [one for one in server.received if refused + 0.1 < one.at < refused + 0.39] == []

    run(main())


class Crowded:
    """A server that bears `most` requests at once and answers 429 to the others. Counts what it was asked."""

    def __init__(self, most: int, seconds: float) -> None:
        self.most = most
        self.served = self.refused = 0
        self._seconds = seconds
        self._busy_until: list[float] = []

    def __call__(self, received: Received) -> Answer:
        self._busy_until = [until for until in self._busy_until if until > received.at]
        if len(self._busy_until) >= self.most:
            self.refused += 1
            return Answer.too_many()
        self.served += 1
        self._busy_until.append(received.at + self._seconds)
        return chat(delay_s=self._seconds + 0.002)


@pytest.mark.parametrize("most", [2, 8])
def test_concurrency_finds_what_the_server_bears(most: int) -> None:
    """64 callers, a server that takes a few: every call is answered, few are refused, and the server is kept busy."""
    crowded, count, seconds = Crowded(most, 0.02), 60 * most, 0.02

    async def main() -> float:
        async with FaultServer(crowded) as server, ModelPool() as pool:
            began = monotonic()
            results = await answers(pool.open(spec(server, retries=8)), count)
            assert [error for error in results if isinstance(error, ModelError)] == []
            return monotonic() - began

    took = run(main())
    assert crowded.served == count
    assert crowded.refused < 64 + count / 4
    assert took < 5 * count * seconds / most + 5


class Metered:
    """A server that allows `per_second` requests a second, a few at once, and answers 429 to the others."""

    def __init__(self, per_second: float, burst: int) -> None:
        self.refused = 0
        self._per_second = per_second
        self._most = self._left = float(burst)
        self._at = 0.0

    def __call__(self, received: Received) -> Answer:
        self._left = min(self._most, self._left + (received.at - self._at) * self._per_second)
        self._at = received.at
        if self._left < 1:
            self.refused += 1
            return Answer.too_many()
        self._left -= 1
        return chat()


def test_a_server_that_counts_requests_and_does_not_say_how_long_to_wait_still_answers_all() -> None:
    """Far fewer a second than even one call at a time would make."""
    metered = Metered(per_second=25, burst=5)

    async def main() -> float:
        async with FaultServer(metered) as server, ModelPool() as pool:
            began = monotonic()
            results = await answers(pool.open(spec(server)), 100)
            assert [error for error in results if isinstance(error, ModelError)] == []
            return monotonic() - began

    assert run(main()) < 5 * 95 / 25 + 5
    assert metered.refused < 250


def test_concurrency_grows_back_once_the_server_bears_more() -> None:
    crowded = Crowded(2, 0.005)

    async def main() -> tuple[int, int]:
        async with FaultServer(crowded) as server, ModelPool() as pool:
            model, limiter = pool.open(spec(server, retries=8)), pool.limiter(spec(server, retries=8))
            await answers(model, 60)
            low = limiter.limit
            crowded.most = 1000
            await answers(model, 600)
            return low, limiter.limit

    low, high = run(main())
    assert low <= 6
    assert high >= 12


def test_a_budget_is_not_overspent_by_sixty_four_callers_of_a_failing_server() -> None:
    """The server adds up what it would bill."""
    billed: list[float] = []

    def respond(received: Received) -> Answer:
        number = len(billed)
        if number % 7 == 3:
            billed.append(1.0 * 40 / 1e6)
            return chat(cut_after=40)
        tokens = (len(received.body) // 4, received.json()["max_tokens"] - number % 50)
        billed.append((tokens[0] * PRICE.input + tokens[1] * PRICE.output) / 1e6)
        return chat(tokens=tokens)

    async def main() -> None:
        async with FaultServer(respond) as server, ModelPool(prices=[PRICE], budget=Budget(max_cost_usd=0.05)) as pool:
            results = await answers(pool.open(spec(server)), 400, max_tokens=60)
            assert sum(billed) <= pool.budget.spent_usd + 1e-9 <= 0.05 + 1e-9
            assert any(isinstance(result, BudgetExceeded) for result in results)
            known = [result for result in results if isinstance(result, Generation)]
            assert sum(result.cost_usd for result in known) <= pool.budget.spent_usd
            # What is left is less than one more call could cost.
            assert pool.budget.spent_usd > 0.05 - 60 * 10 / 1e6 - 500 / 1e6

    run(main())


def test_max_calls_counts_every_try_that_is_sent() -> None:
    async def main() -> None:
        script = [Answer.too_many("0.01"), chat(cut_after=30), Answer(status=500)]
        async with FaultServer(script, otherwise=chat()) as server, ModelPool(budget=Budget(max_calls=5)) as pool:
            results = await answers(pool.open(spec(server)), 10, workers=1)
            assert [type(result) for result in results] == [Generation] * 2 + [BudgetExceeded] * 8
            assert len(server.received) == 5  # Two refused, one cut off, two answered.

    run(main())


def test_variants_of_one_endpoint_share_a_limiter_and_other_keys_have_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FIRST", "a")
    monkeypatch.setenv("SECOND", "b")

    def on(variable: str, **limits: Any) -> ModelSpec:
        return ModelSpec(
            provider="openai-compatible",
            name="m",
            url="http://127.0.0.1:9/v1",
            key=Secret(f"env:{variable}"),
            limits=Limits(**limits),
        )

    pool = ModelPool()
    assert pool.limiter(on("FIRST", concurrency=4)) is pool.limiter(on("FIRST", concurrency=2))
    assert pool.limiter(on("FIRST")).limit == 2
    assert pool.limiter(on("SECOND")) is not pool.limiter(on("FIRST"))


def test_a_model_is_opened_once_and_an_unset_secret_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROVEOUT_UNSET", raising=False)
    unset = ModelSpec(provider="openai", name="m", key=Secret("env:PROVEOUT_UNSET"))

    async def main() -> None:
        async with FaultServer() as server, ModelPool() as pool:
            assert pool.open(spec(server)) is pool.open(spec(server))
            with pytest.raises(LookupError, match="PROVEOUT_UNSET is not set"):
                pool.open(unset)

    run(main())


def test_closing_is_idempotent_and_leaves_no_connection() -> None:
    async def main() -> None:
        async with FaultServer(otherwise=chat()) as server:
            pool = ModelPool()
            await pool.open(spec(server)).generate(ask())
            await pool.aclose()
            await pool.aclose()
            await asyncio.sleep(0.01)
            assert server._writers == set()

    run(main())


def test_the_built_in_model_costs_nothing_but_its_calls_count_once() -> None:
    tiny = ModelSpec(provider="tiny", options={"build": "int8"})

    async def main() -> None:
        budget, cache = Budget(max_calls=2, max_cost_usd=0.0), MemoryCache()
        async with ModelPool(budget=budget, cache=cache) as pool:
            for repeat in (0, 1, 0, 1):
                assert (await pool.open(tiny).generate(ask(repeat=repeat))).cost_usd == 0.0
            with pytest.raises(BudgetExceeded):
                await pool.open(tiny).generate(ask(repeat=2))
        assert len(cache.kept) == 2

    run(main())


def vectors(received: Received) -> Answer:
    texts = received.json()["input"]
    rows = [{"index": index, "embedding": [len(text), 0.1, -1.0]} for index, text in enumerate(texts)]
    return Answer.json({"data": rows, "usage": {"prompt_tokens": 4 * len(texts), "total_tokens": 4 * len(texts)}})


async def embedder_of(stack: AsyncExitStack, script: Callable[[Received], Answer], **options: Any) -> tuple[Any, ...]:
    server = await stack.enter_async_context(FaultServer(script))
    pool = await stack.enter_async_context(ModelPool(**options))
    return server, pool, pool.open_embedder(spec(server))


def sent(server: FaultServer) -> list[str]:
    return [text for received in server.received for text in json.loads(received.body)["input"]]


def test_each_text_is_embedded_once_whoever_asks() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            server, _, embedder = await embedder_of(stack, vectors, cache=MemoryCache())
            found = await asyncio.gather(*(embedder.embed([f"answer {n}", "expected", "expected"]) for n in range(20)))
            assert Counter(sent(server)) == Counter(["expected", *(f"answer {n}" for n in range(20))])
            assert [len(vectors) for vectors in found] == [3] * 20
            assert found[0][0] == pytest.approx((8.0, 0.1, -1.0))
            again = await embedder.embed(["expected", "answer 3"])
            assert list(again) == [found[0][1], found[3][0]]
            assert len(sent(server)) == 21

    run(main())


def test_embeddings_are_batched_retried_and_paid_from_the_budget() -> None:
    storm = iter([Answer.too_many("0.01")])
    price = Price(provider="openai-compatible", model="m", since="2026-01-01", input=1.0, output=0.0)

    async def main() -> None:
        async with AsyncExitStack() as stack:
            server, pool, embedder = await embedder_of(
                stack, lambda received: next(storm, None) or vectors(received), prices=[price], cache=MemoryCache()
            )
            assert len(await embedder.embed([str(n) for n in range(300)])) == 300
            assert len(server.received) == 4
            assert pool.budget.spent_usd == pytest.approx(300 * 4 / 1e6)
            assert pool.budget.calls == 4  # One was refused: it costs nothing, and was sent.

    run(main())


def test_when_one_caller_of_an_embedding_goes_away_the_others_still_get_theirs() -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            server, _, embedder = await embedder_of(
                stack, lambda received: Answer(**{**_fields(vectors(received)), "delay_s": 0.05})
            )
            first = asyncio.ensure_future(embedder.embed(["same"]))
            await asyncio.sleep(0.01)
            second = asyncio.ensure_future(embedder.embed(["same"]))
            await asyncio.sleep(0.01)
            first.cancel()
            assert len((await second)[0]) == 3
            assert sent(server) == ["same", "same"]

    run(main())


def _fields(answer: Answer) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in ("status", "headers", "body")}
