from __future__ import annotations

import asyncio
import random
import threading
import time
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from proveout.models._base import ModelError
from proveout.models.tiny.batching import SLOTS, Batcher, Job, Piece
from proveout.models.tiny.engine import load_engine
from proveout.models.tiny.instructions import PROMPT
from proveout.models.tiny.model import load_tokenizer
from proveout.models.tiny.sampling import Sampling
from proveout.models.tiny.tickets import golden

GREEDY = Sampling(temperature=0.0)


def prompts(count: int, *, long: bool = False) -> list[list[int]]:
    tokenizer = load_tokenizer()
    rows = golden(count, 31)
    messages = [row["input"]["message"] * (1 + 3 * (long and number % 5 == 0)) for number, row in enumerate(rows)]
    return [tokenizer.chat([("system", PROMPT), ("user", message)]) for message in messages]


def job(prompt: list[int], sampling: Sampling = GREEDY, max_tokens: int = 24, stop: tuple[str, ...] = ()) -> Job:
    return Job(prompt, sampling, max_tokens, stop)


async def collect(batcher: Batcher, wanted: Job) -> list[Piece]:
    return [piece async for piece in batcher.stream(wanted)]


def new_batcher(slots: int = SLOTS) -> Batcher:
    return Batcher(load_engine("f16"), load_tokenizer(), slots=slots)


def test_answers_do_not_depend_on_who_joins_and_leaves_meanwhile():
    """Greedy and seeded answers, with their log-probabilities, alone and among requests that come at random times."""
    jobs = [
        job(prompt, Sampling(temperature=float(number % 2), seed=number, alternatives=2), max_tokens=4 + number % 20)
        for number, prompt in enumerate(prompts(60, long=True))
    ]

    async def run() -> None:
        alone, crowded = new_batcher(slots=1), new_batcher(slots=7)
        source = random.Random(1)

        async def late(wanted: Job) -> list[Piece]:
            await asyncio.sleep(source.random() * 0.1)
            return await collect(crowded, wanted)

        expected = [await collect(alone, wanted) for wanted in jobs]
        assert await asyncio.gather(*map(late, jobs)) == expected
        assert len({len(pieces) for pieces in expected}) > 3
        alone.close()
        crowded.close()

    asyncio.run(run())


def test_a_request_that_leaves_frees_its_slot_for_the_next():
    async def run() -> None:
        batcher = new_batcher(slots=1)
        first, second = prompts(2)
        async with aclosing(batcher.stream(job(first))) as pieces:
            await anext(pieces)
        finished = await asyncio.wait_for(collect(batcher, job(second)), timeout=10)
        assert finished[-1].finish == "stop"
        hanging = asyncio.create_task(collect(batcher, job(first, max_tokens=20)))
        await asyncio.sleep(0)
        hanging.cancel()
        assert (await asyncio.wait_for(collect(batcher, job(second)), timeout=10)) == finished
        batcher.close()

    asyncio.run(run())


def test_the_event_loop_stays_responsive_while_the_engine_is_full():
    async def run() -> list[float]:
        batcher = new_batcher()
        answering = asyncio.gather(*(collect(batcher, job(prompt)) for prompt in prompts(240)))
        lags: list[float] = []
        while not answering.done():
            started = time.perf_counter()
            await asyncio.sleep(0.001)
            lags.append(time.perf_counter() - started - 0.001)
        batcher.close()
        return lags

    lags = asyncio.run(run())
    assert len(lags) > 20
    assert np.median(lags) < 0.02


def test_sixteen_at_a_time_share_their_steps(monkeypatch: pytest.MonkeyPatch):
    """A step's time grows slowly with its sequences, so this is why throughput rises (benchmarks/tiny/speed.py)."""
    engine = load_engine("f16")
    steps = 0

    def counted(*arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        return decode(*arguments)

    decode = engine.decode
    monkeypatch.setattr(engine, "decode", counted)

    async def taken(concurrency: int) -> int:
        nonlocal steps
        steps = 0
        batcher = Batcher(engine, load_tokenizer())
        gate = asyncio.Semaphore(concurrency)

        async def one(prompt: list[int]) -> None:
            async with gate:
                await collect(batcher, job(prompt))

        await asyncio.gather(*map(one, prompts(64)))
        batcher.close()
        return steps

    assert asyncio.run(taken(1)) >= 4 * asyncio.run(taken(16))


def workers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "proveout-tiny"}


def test_closing_ends_jobs_in_flight_and_refuses_new_ones():
    before = workers()

    async def run() -> None:
        batcher = new_batcher(slots=1)
        waiting = [asyncio.create_task(collect(batcher, job(prompt, max_tokens=400))) for prompt in prompts(8)]
        await asyncio.sleep(0)
        batcher.close()
        batcher.close()
        outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), timeout=10)
        assert any(isinstance(outcome, ModelError) for outcome in outcomes)
        with pytest.raises(ModelError, match="closed"):
            await collect(batcher, job(prompts(1)[0]))

    asyncio.run(run())
    for thread in workers() - before:
        thread.join(timeout=10)
    assert workers() <= before


def test_a_failing_engine_fails_its_callers_instead_of_leaving_them_waiting():
    async def run() -> None:
        batcher = new_batcher()
        with pytest.raises(ModelError, match="failed: IndexError"):
            await asyncio.wait_for(collect(batcher, job([10**9])), timeout=10)

    asyncio.run(run())


def test_one_batcher_serves_several_event_loops():
    batcher = new_batcher()
    prompt = prompts(1)[0]
    first = asyncio.run(collect(batcher, job(prompt)))
    found: list[list[Piece]] = []
    threads = [
        threading.Thread(target=lambda: found.append(asyncio.run(collect(batcher, job(prompt))))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert found == [first] * 3
    batcher.close()


def test_a_stop_string_ends_an_answer_before_it():
    async def run() -> None:
        batcher = new_batcher()
        prompt = prompts(1)[0]
        whole = "".join(piece.text for piece in await collect(batcher, job(prompt)))
        assert whole.startswith('{"intent": "')
        cut = await collect(batcher, job(prompt, stop=('": "',)))
        assert "".join(piece.text for piece in cut) == '{"intent'
        assert cut[-1].finish == "stop"
        batcher.close()

    asyncio.run(run())


def test_an_answer_ends_where_the_context_does():
    async def run() -> None:
        batcher = new_batcher()
        context = load_engine("f16").config.context
        prompt = (prompts(1)[0] * 40)[: context - 3]
        pieces = await collect(batcher, job(prompt, Sampling(temperature=2.0, seed=4), max_tokens=50))
        assert len(pieces) <= 4
        full = await collect(batcher, job((prompt * 2)[:context], max_tokens=50))
        assert len(full) == 1
        batcher.close()

    asyncio.run(run())
