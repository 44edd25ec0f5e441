"""Gateways with one Redis share limits, budgets and answers; without it each goes on alone, and no request fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from gateway_world import World, completion, error, run, said, stream, until, world, write_project

from proveout.gateway.settings import read_settings
from proveout.project import ProjectError, load_project
from proveout.storage import open_store
from proveout.testing.faults import Answer, FaultServer
from proveout.testing.servers import RedisServer, ServerUnavailable, redis_server

library = pytest.importorskip("redis", reason="the extra [redis] is not installed")

GOOD = Answer.json(completion())
PRICES = [
    {"provider": "openai-compatible", "model": "model-base", "since": "2026-01-01", "input": 100_000.0, "output": 0.0}
]
"""A request of nine tokens costs 0.9 dollars."""


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    try:
        with redis_server() as server:
            yield server
    except ServerUnavailable as reason:
        pytest.skip(str(reason))


@asynccontextmanager
async def two(
    folder: Path, redis: RedisServer, url: str, chat: dict[str, Any], *, patience: str = "10s"
) -> AsyncIterator[tuple[World, World]]:
    """Two gateways of one project, as on two machines."""
    gateway = {"redis": {"url": redis.url, "patience": patience}, "services": {"chat": chat}}
    settings: dict[str, Any] = {"gateway": gateway, "prices": PRICES}
    for name in ("one", "other"):  # Not at the same time in two threads: Alembic can't.
        with open_store(load_project(write_project(folder / name, {"base": url})).store_url):
            pass
    async with (
        world(folder / "one", {"base": url}, **settings) as one,
        world(folder / "other", {"base": url}, **settings) as other,
    ):
        yield one, other


def kept(redis: RedisServer) -> list[bytes]:
    """The names of the answers in it."""
    with library.Redis.from_url(redis.url) as client:
        return client.keys("*:answer:*")


def test_a_rate_holds_over_all_gateways(tmp_path: Path, redis: RedisServer) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=GOOD) as upstream,
            two(tmp_path, redis, upstream.url, {"requests_per_minute": 6}) as (one, other),
        ):
            answers = await asyncio.gather(*(here.ask() for here in (one, other) * 6))
            assert sorted(answer.status for answer in answers) == [200] * 6 + [429] * 6
            refused = next(answer for answer in answers if answer.status == 429)
            assert error(refused)["code"] == "rate_limited"
            assert 1 <= int(refused.headers["retry-after"]) <= 10

    run(main())


def test_a_budget_holds_over_all_gateways(tmp_path: Path, redis: RedisServer) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=GOOD) as upstream,
            two(tmp_path, redis, upstream.url, {"usd_per_day": 3}) as (one, other),
        ):
            answers = [await here.ask() for here in (one, other) * 4]
            # 0.9 dollars each: the fourth goes beyond the budget, and is the last one.
            assert [answer.status for answer in answers] == [200] * 4 + [429] * 4
            assert error(answers[-1])["code"] == "budget_spent"

    run(main())


def test_a_budget_is_overspent_by_what_is_in_flight_at_most(tmp_path: Path, redis: RedisServer) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=Answer.json(completion(), delay_s=0.05)) as upstream,
            two(tmp_path, redis, upstream.url, {"usd_per_day": 10, "max_concurrency": 2}) as (one, other),
        ):
            served = 0

            async def client(here: World) -> None:
                nonlocal served
                while (answer := await here.ask()).status != 429 or error(answer)["code"] != "budget_spent":
                    served += answer.status == 200

            await asyncio.gather(*(client(here) for here in (one, other) for _ in range(3)))
            assert 12 <= served <= 12 + 4  # Twelve reach ten dollars; four may be in flight then.

    run(main())


def test_an_answer_that_one_gateway_keeps_is_given_by_the_other(tmp_path: Path, redis: RedisServer) -> None:
    async def main() -> None:
        async with (
            FaultServer([GOOD, stream()], otherwise=Answer(status=500)) as upstream,
            two(tmp_path, redis, upstream.url, {"cache": {"ttl": "1m"}}) as (one, other),
        ):
            for number, body in enumerate(({}, {"stream": True}), 1):
                first = await one.ask(body)
                await until(lambda number=number: len(kept(redis)) == number)
                second = await other.ask(body)
                assert second.headers.get("x-proveout-cache") == "hit"
                assert second.body == first.body
                assert second.headers.get("content-type") == first.headers.get("content-type")
            assert len(upstream.received) == 2
            assert [trace.cached for trace in await other.traces(2)] == [True, True]

    run(main())


@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_redis_goes_and_comes_back_under_load(tmp_path: Path, redis: RedisServer, fault: str) -> None:
    """No request fails, the budget is known again afterwards, and limits are shared again."""
    limits = {"requests_per_minute": 1e6, "usd_per_day": 1e6, "cache": {"ttl": "1m"}}

    async def main() -> None:
        async with (
            FaultServer(otherwise=GOOD) as upstream,
            two(tmp_path, redis, upstream.url, limits, patience="300ms") as (one, other),
        ):
            assert (one.run.gateway.sharing.state, other.run.gateway.sharing.state) == ("up", "up")
            statuses: list[int] = []
            done = False

            async def load(here: World, name: str) -> None:
                number = 0
                while not done:
                    number += 1
                    answer = await here.ask({"seed": number}, x_proveout_unit=name)
                    statuses.append(answer.status)
                    await asyncio.sleep(0.01)

            clients = [asyncio.create_task(load(here, str(n))) for n in range(2) for here in (one, other)]
            await until(lambda: len(statuses) > 20)
            await asyncio.to_thread(redis.kill if fault == "kill" else redis.freeze)
            await until(lambda: {here.run.gateway.sharing.state for here in (one, other)} == {"away"})
            seen = len(statuses)
            await until(lambda: len(statuses) > seen + 20)
            await asyncio.to_thread(redis.start if fault == "kill" else redis.thaw)
            await until(lambda: {here.run.gateway.sharing.state for here in (one, other)} == {"up"})
            done = True
            await asyncio.gather(*clients)
            assert set(statuses) == {200}
            # What both spent is known to both, though a killed server has lost it.
            first, second = (here.run.gateway._catalog.routes["chat"].load.meter for here in (one, other))
            while first.elsewhere != pytest.approx(second.spent):
                await one.ask({"seed": -1})

    run(main())


def test_a_gateway_starts_without_its_redis_and_finds_it_later(tmp_path: Path, redis: RedisServer) -> None:
    redis.stop()

    async def main() -> None:
        async with (
            FaultServer(otherwise=GOOD) as upstream,
            two(tmp_path, redis, upstream.url, {"requests_per_minute": 2}, patience="1s") as (one, other),
        ):
            assert [(await one.ask()).status for _ in range(3)] == [200, 200, 429]
            assert b"proveout_gateway_redis_up 0" in (await one.get("/metrics")).body
            await asyncio.to_thread(redis.start)
            await until(lambda: {here.run.gateway.sharing.state for here in (one, other)} == {"up"})
            answers = [await here.ask() for here in (one, other, one, other)]
            assert [answer.status for answer in answers] == [200, 200, 429, 429]
            assert b"proveout_gateway_redis_up 1" in (await one.get("/metrics")).body

    run(main())


def test_what_is_no_answer_of_ours_in_redis_is_passed_over(tmp_path: Path, redis: RedisServer) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=GOOD) as upstream,
            two(tmp_path, redis, upstream.url, {"cache": {"ttl": "1m"}}) as (one, other),
        ):
            await one.ask()
            await until(lambda: bool(kept(redis)))
            with library.Redis.from_url(redis.url) as client:
                client.set(kept(redis)[0], b"\xff not ours")
            answer = await other.ask()
            assert (answer.status, answer.headers.get("x-proveout-cache")) == (200, None)
            assert said(answer) == "Hi."

    run(main())


def test_the_address_is_a_reference_where_it_holds_a_password(tmp_path: Path) -> None:
    root = write_project(tmp_path, {"base": "http://127.0.0.1:1"})
    for text in ("redis: {url: 'redis://:hunter2@127.0.0.1'}", "redis: {url: 'http://127.0.0.1'}"):
        (root / "gateway.yaml").write_text(text)
        with pytest.raises(ProjectError) as caught:
            read_settings(load_project(root))
        assert "env:REDIS_URL" in str(caught.value)
        assert "hunter2" not in str(caught.value)
