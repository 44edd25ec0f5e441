"""Handlers that run in steps: what they may await, how they end, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Coroutine
from typing import Any

import pytest
from wire_peers import ask, serving, until

from proveout.testing.faults import Answer, FaultServer
from proveout.wire import App, Client, ClientClosed, ConnectFailed, Responder, ServerRequest
from proveout.wire.steps import Outcome, Steps

CLOSE = b"connection: close\r\n\r\n"
GET = b"GET /%b HTTP/1.1\r\nhost: a\r\n"


async def ended(coroutine: Coroutine[Any, Any, Any]) -> BaseException | None:
    """Run a coroutine in steps to its end; what it raised."""
    end: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
    Steps(coroutine, end.set_result).start()
    return await end


async def test_what_is_brought_goes_on_in_the_very_call_that_brings_it() -> None:
    outcome: Outcome[int] = Outcome()
    seen: list[int] = []

    async def waits() -> None:
        seen.append(await outcome)

    Steps(waits(), lambda error: seen.append(-1)).start()
    assert seen == []
    outcome.bring(7)
    assert seen == [7, -1]


async def test_futures_tasks_sleeps_and_threads_may_be_awaited() -> None:
    async def waits() -> None:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, 1)
        assert await future == 1
        assert await asyncio.ensure_future(asyncio.sleep(0.001, 2)) == 2
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        assert await asyncio.to_thread(lambda: 3) == 3
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)

    assert await ended(waits()) is None


async def test_what_came_before_it_was_awaited_is_not_lost() -> None:
    good: Outcome[int] = Outcome()
    good.bring(1)
    bad: Outcome[int] = Outcome()
    bad.fail(KeyError())

    async def waits() -> None:
        assert await good == 1
        with pytest.raises(KeyError):
            await bad

    assert await ended(waits()) is None
    await waits()


async def test_an_outcome_may_be_awaited_by_a_task() -> None:
    outcome: Outcome[int] = Outcome()
    stopped: list[bool] = []
    outcome.stop = lambda: stopped.append(True)
    loop = asyncio.get_running_loop()
    loop.call_soon(outcome.bring, 5)
    assert await outcome == 5
    other: Outcome[int] = Outcome()
    other.stop = lambda: stopped.append(True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await other
    assert stopped == [True]
    other.bring(1)  # Too late: nobody is told, and nothing fails.


@pytest.mark.parametrize("waits_for", ["outcome", "future", "nothing yet"])
async def test_a_cancellation_is_raised_where_the_coroutine_waits(waits_for: str) -> None:
    outcome: Outcome[int] = Outcome()
    stopped: list[bool] = []
    outcome.stop = lambda: stopped.append(True)
    end: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
    cleaned: list[bool] = []

    async def waits() -> None:
        if waits_for == "nothing yet":
            steps.cancel()
        try:
            await (asyncio.sleep(60) if waits_for == "future" else outcome)
        finally:
            cleaned.append(True)

    steps = Steps(waits(), end.set_result)
    steps.start()
    steps.cancel()
    assert isinstance(await end, asyncio.CancelledError)
    assert cleaned == [True]
    assert stopped == ([] if waits_for == "future" else [True])


def forwarding(client: Client, url: str) -> App:
    async def app(request: ServerRequest, responder: Responder) -> None:
        answer = await client.exchange(client.prepare("POST", url), request.body)
        responder.reply(answer.status, body=answer.body)

    return app


async def test_a_forwarder_in_steps_forwards() -> None:
    async with FaultServer(otherwise=Answer(body=b"yes")) as upstream, Client() as client:
        app = forwarding(client, upstream.url)
        async with serving(app, stepped=True) as server:
            answers = await asyncio.gather(*(ask(server.port, GET % b"" + CLOSE) for _ in range(20)))
            assert not server.tasks
    assert all(answer.endswith(b"\r\n\r\nyes") for answer in answers)


async def test_an_upstream_call_is_given_up_when_the_client_goes() -> None:
    async with FaultServer(otherwise=Answer(hang=True)) as upstream, Client() as client:
        app = forwarding(client, upstream.url)
        async with serving(app, stepped=True) as server:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(GET % b"" + b"\r\n")
            await until(lambda: upstream.received, "the upstream to be asked")
            writer.close()
            pool = client._origins[upstream.url].pool
            await until(lambda: not server.connections and not pool._open, "both connections to close")


async def test_what_a_handler_in_steps_raises_is_a_500_that_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with FaultServer() as gone:
        pass
    async with Client() as client:
        app = forwarding(client, gone.url)
        async with serving(app, stepped=True) as server:
            with caplog.at_level(logging.CRITICAL, "proveout.wire"):
                answer = await ask(server.port, GET % b"" + CLOSE)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"refused" not in answer


async def test_errors_of_an_exchange_are_raised_in_steps_as_in_tasks() -> None:
    async with FaultServer() as gone:
        pass
    async with Client() as client:

        async def refused() -> None:
            with pytest.raises(ConnectFailed):
                await client.send("GET", gone.url)

        assert await ended(refused()) is None
    assert isinstance(await ended(client.send("GET", gone.url)), ClientClosed)


async def test_a_forwarded_request_leaves_no_circles_behind() -> None:
    """What only the garbage collector finds makes every thousandth request a slow one."""
    async with FaultServer(otherwise=Answer(body=b"yes")) as upstream, Client() as client:
        app = forwarding(client, upstream.url)
        async with serving(app, stepped=True) as server, Client() as caller:
            url = f"http://127.0.0.1:{server.port}/"
            await caller.send("POST", url, body=b"x")
            gc.collect()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                for _ in range(5):
                    await caller.send("POST", url, body=b"x")
                gc.collect()
                left = [type(one).__name__ for one in gc.garbage if type(one).__module__.startswith("proveout.wire")]
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
    assert left == []
