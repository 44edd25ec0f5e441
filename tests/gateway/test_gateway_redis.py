"""Gateways with one Redis share limits, budgets and answers; without it each goes on alone, and no request fails."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from gateway_world import PLAIN, World, completion, error, run, said, stream, until, world, write_project
from hypothesis import given
from hypothesis import strategies as st

from proveout import wire
from proveout.gateway.errors import Refused
from proveout.gateway.metrics import Metrics
from proveout.gateway.quotas import Meter
from proveout.gateway.resp import Address, Failed, Malformed, Replies, encoded
from proveout.gateway.settings import Quota, RedisSettings, read_settings
from proveout.gateway.sharing import Sharing
from proveout.project import ProjectError, load_project
from proveout.storage import open_store
from proveout.testing.faults import Answer, FaultServer
from proveout.testing.servers import RedisServer, ServerUnavailable, redis_server

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


def filled_since(began: float, *, rate: float) -> float:
    """How many more requests a rate has allowed meanwhile, on however slow a machine."""
    return (monotonic() - began) * rate / 60


def kept(redis: RedisServer) -> list[bytes]:
    """The names of the answers in it."""
    return redis.ask("KEYS", "*:answer:*")


def test_a_rate_holds_over_all_gateways(tmp_path: Path, redis: RedisServer) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=GOOD) as upstream,
            two(tmp_path, redis, upstream.url, {"requests_per_minute": 6}) as (one, other),
        ):
            began = monotonic()
            answers = await asyncio.gather(*(here.ask() for here in (one, other) * 6))
            assert {answer.status for answer in answers} == {200, 429}
            assert 6 <= sum(answer.status == 200 for answer in answers) <= 6 + filled_since(began, rate=6)
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
            began = monotonic()
            statuses = [(await here.ask()).status for here in (one, other, one, other)]
            assert 2 <= statuses.count(200) <= 2 + filled_since(began, rate=2)
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
            redis.ask("SET", kept(redis)[0], b"\xff not ours")
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


def test_a_password_is_sent_and_a_wrong_one_is_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        with redis_server(password="pass-word-of-redis") as server:

            async def state(url: str) -> str:
                monkeypatch.setenv("TEST_REDIS_URL", url)
                gateway = {"redis": {"url": "env:TEST_REDIS_URL", "patience": "10s"}}
                async with (
                    FaultServer(otherwise=GOOD) as upstream,
                    world(tmp_path, {"base": upstream.url}, gateway=gateway) as here,
                ):
                    assert (await here.ask()).status == 200
                    return here.run.gateway.sharing.state

            assert run(state(server.url)) == "up"
            assert run(state(server.url.replace("word", "wrong"))) == "away"
            assert "word-of-redis" not in caplog.text
    except ServerUnavailable as reason:
        pytest.skip(str(reason))


def test_scripts_that_redis_forgot_are_told_again(tmp_path: Path, redis: RedisServer) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=GOOD) as upstream,
            two(tmp_path, redis, upstream.url, {"requests_per_minute": 1000}) as (one, _),
        ):
            redis.ask("SCRIPT", "FLUSH")
            for _ in range(3):
                assert (await one.ask()).status == 200
            assert redis.ask("KEYS", "*:rate:*") == [b"proveout:tested:dev:rate:service chat"]

    run(main())


def test_the_processes_of_one_gateway_share_a_rate(tmp_path: Path, redis: RedisServer) -> None:
    gateway = {"redis": {"url": redis.url, "patience": "10s"}, "services": {"chat": {"requests_per_minute": 6}}}

    async def main() -> None:
        async with FaultServer(otherwise=GOOD) as upstream:
            root = write_project(tmp_path, {"base": upstream.url}, gateway=gateway)
            command = ["-m", "proveout", "gateway", "-C", str(root), "--port", "0", "--workers", "3"]
            process = await asyncio.create_subprocess_exec(
                sys.executable, *command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            try:
                assert process.stdout is not None
                found = re.search(rb"(http://\S+)/v1", await process.stdout.readline())
                assert found is not None

                async def status() -> int:
                    async with wire.Client(trust_env=False) as client:  # A new connection: any of the processes.
                        return (
                            await client.send("POST", f"{found[1].decode()}/v1/chat/completions", body=PLAIN)
                        ).status

                assert sorted([await status() for _ in range(18)]) == [200] * 6 + [429] * 12
            finally:
                process.terminate()
                await process.communicate()

    run(main())


def test_spending_is_told_as_a_total_that_only_grows(redis: RedisServer) -> None:
    """Whatever is told twice, late, or by a meter of earlier settings: the sum is what was spent."""

    async def main() -> None:
        one, other = Sharing(Metrics()), Sharing(Metrics())
        for sharing in (one, other):
            sharing.use(RedisSettings(redis.url, 10), "tested")
            await sharing.settled()
        old, new = (Meter(Quota(usd_per_day=10), "key web") for _ in range(2))
        old.charge(3)
        new.carry(old)
        new.charge(4)
        for meter in (new, old, new, old):
            await one.admit(meter)
        theirs = Meter(Quota(usd_per_day=10), "key web")
        await other.admit(theirs)
        assert theirs.elsewhere == pytest.approx(7)
        redis.ask("FLUSHALL")
        await one.admit(new)
        await other.admit(theirs)
        assert theirs.elsewhere == pytest.approx(7)
        theirs.charge(3)
        await other.admit(Meter(Quota(usd_per_day=11), "key web"))
        with pytest.raises(Refused, match="budget of key web is spent"):
            await other.admit(theirs)
        await one.aclose()
        await other.aclose()

    run(main())


# The protocol

REPLIES: list[tuple[bytes, Any]] = [
    (b"+OK\r\n", b"OK"),
    (b":-7\r\n", -7),
    (b"$-1\r\n", None),
    (b"$0\r\n\r\n", b""),
    (b"$4\r\na\r\nb\r\n", b"a\r\nb"),
    (b"*-1\r\n", None),
    (b"*0\r\n", []),
    (b"*3\r\n:1\r\n$1\r\n0\r\n*1\r\n+x\r\n", [1, b"0", [b"x"]]),
]


@given(st.lists(st.sampled_from(REPLIES), max_size=6), st.lists(st.integers(0, 120), max_size=8))
def test_replies_are_read_from_bytes_cut_anywhere(some: list[tuple[bytes, Any]], cuts: list[int]) -> None:
    data = b"".join(wire for wire, _ in some)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    replies, found = Replies(), []
    for start, end in pairwise(places):
        found += replies.feed(data[start:end])
    assert found == [value for _, value in some]


@given(st.binary(max_size=80))
def test_whatever_comes_is_read_or_called_malformed(data: bytes) -> None:
    with suppress(Malformed):
        Replies().feed(data)


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5))
def test_a_command_is_an_array_of_its_parts(parts: list[bytes]) -> None:
    assert Replies().feed(encoded(tuple(parts))) == [parts]


def test_an_error_is_a_reply_of_its_own() -> None:
    (error,) = Replies().feed(b"-NOSCRIPT no such script\r\n")
    assert isinstance(error, Failed)
    assert error.code == "NOSCRIPT"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://r", ("r", 6379, None, False, None, None, 0)),
        ("rediss://me:p%40ss@r:7000/3", ("r", 7000, None, True, "me", "p@ss", 3)),
        ("unix:///run/redis.sock?db=2", ("localhost", 6379, "/run/redis.sock", False, None, None, 2)),
    ],
)
def test_addresses(url: str, address: tuple[Any, ...]) -> None:
    assert tuple(Address.parse(url)) == address


@pytest.mark.parametrize("url", ["http://secret@r", "redis://r:secret", "redis://r/secret"])
def test_an_address_that_is_none_is_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match="address of Redis") as caught:
        Address.parse(url)
    assert "secret" not in str(caught.value)
