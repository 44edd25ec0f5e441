"""Resilience: tries, fallback, breakers, limits, disconnects; and nothing is retried once a client has got a byte."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest
from gateway_world import PLAIN, STREAM, chunk, completion, error, run, said, stream, until, world
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout import wire
from proveout.gateway.breaker import FAILURES_IN_A_ROW, FIRST_PAUSE_S, LONGEST_PAUSE_S, Breaker
from proveout.testing.faults import Answer, FaultServer
from proveout.testing.servers import free_port

GOOD = Answer.json(completion("old"))
FALLBACK = {"production": {"chat": {"champion": "base", "fallback": "old"}}}

FAILING = {
    "500": Answer(status=500),
    "503": Answer(status=503),
    "429": Answer.too_many("30"),
    "401": Answer.json({"error": {"message": "bad key"}}, status=401),
    "html": Answer(body=b"<html>", headers=[("content-type", "text/html")]),
    "no json": Answer(body=b"{", headers=[("content-type", "application/json")]),
    "cut": Answer(body=b"x" * 500, cut_after=150),
    "no http": Answer(raw=b"SSH-2.0-x\r\n\r\n"),
    "redirect": Answer(status=302, headers=[("location", "http://127.0.0.1/")]),
}


@pytest.mark.parametrize("kind", FAILING)
def test_a_failing_champion_is_stood_in_for(tmp_path: Path, kind: str) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=FAILING[kind]) as bad,
            FaultServer(otherwise=GOOD) as good,
            world(
                tmp_path, {"base": bad.url, "old": good.url}, environments=FALLBACK, environment="production"
            ) as here,
        ):
            response = await here.ask()
            assert said(response) == "old"
            assert response.headers.get("x-proveout-variant") == "old"
            (trace,) = await here.traces(1)
            assert (trace.chosen, trace.variant) == (here.fingerprint("base"), here.fingerprint("old"))
            assert (trace.status, trace.error) == (200, None)
            assert trace.attempts == len(bad.received) + 1

    run(main())


@pytest.mark.parametrize("kind", FAILING)
def test_without_a_fallback_the_client_gets_one_error_in_openais_shape(tmp_path: Path, kind: str) -> None:
    async def main() -> None:
        async with FaultServer(otherwise=FAILING[kind]) as bad, world(tmp_path, {"base": bad.url}) as here:
            for body in ({}, {"stream": True}):
                response = await here.ask(body)
                assert response.status in (429, 502)
                assert error(response)["type"] in ("server_error", "rate_limit_error")
                assert error(response)["message"]
                assert response.headers.get("x-proveout-trace-id")
            assert all(trace.error and trace.status == response.status for trace in await here.traces(2))

    run(main())


def test_nobody_there_and_nobody_answers_in_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with FaultServer(otherwise=Answer(hang=True)) as mute:
            slow = {
                "model": {"provider": "openai-compatible", "url": mute.url, "limits": {"timeout": "200ms"}},
            }
            async with world(tmp_path, {"base": slow, "gone": f"http://127.0.0.1:{free_port()}"}) as here:
                response = await here.ask()
                assert (response.status, error(response)["code"]) == (504, "upstream_timeout")
                assert len(mute.received) == 1
                response = await here.ask({"model": "chat/gone"})
                assert (response.status, error(response)["code"]) == (502, "upstream_connect")

    run(main())


def test_the_clients_own_fault_comes_back_in_the_providers_words(tmp_path: Path) -> None:
    words = Answer.json({"error": {"message": "max_tokens is too large", "code": "x"}}, status=400)

    async def main() -> None:
        async with (
            FaultServer(otherwise=words) as upstream,
            FaultServer(otherwise=GOOD) as good,
            world(
                tmp_path, {"base": upstream.url, "old": good.url}, environments=FALLBACK, environment="production"
            ) as here,
        ):
            for body in ({}, {"stream": True}):
                response = await here.ask(body)
                assert (response.status, response.body) == (400, words.body)
            assert not good.received
            assert [trace.error for trace in await here.traces(2)] == ["bad_request"] * 2

    run(main())


def test_one_more_try_heals_a_passing_failure(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FaultServer([Answer(status=503)], otherwise=GOOD) as upstream,
            world(tmp_path, {"base": upstream.url}) as here,
        ):
            assert said(await here.ask()) == "old"
            (trace,) = await here.traces(1)
            assert (trace.attempts, trace.error) == (2, None)

    run(main())


BROKEN_STREAMS = {
    "cut": stream(*STREAM[:2], cut_after=400),
    "an end without an end": stream(*STREAM[:2]),
    "reset": Answer(
        raw=b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: " + STREAM[1].encode() + b"\n\n"
    ),
}


@pytest.mark.parametrize("kind", BROKEN_STREAMS)
def test_a_stream_that_breaks_is_never_taken_for_whole_nor_tried_again(tmp_path: Path, kind: str) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=BROKEN_STREAMS[kind]) as bad,
            FaultServer(otherwise=stream()) as good,
            world(
                tmp_path, {"base": bad.url, "old": good.url}, environments=FALLBACK, environment="production"
            ) as here,
        ):
            got = bytearray()
            with pytest.raises(wire.ConnectionCut):
                await here.client.send(
                    "POST",
                    here.url + "/v1/chat/completions",
                    body=PLAIN[:-1] + b', "stream": true}',
                    on_data=lambda at, piece: got.extend(piece),
                )
            assert b'"error"' in got
            assert b"[DONE]" not in got
            assert (len(bad.received), len(good.received)) == (1, 0)
            (trace,) = await here.traces(1)
            assert trace.error == "cut"

    run(main())


BAD_STARTS = {
    "an error first": stream(json.dumps({"error": {"message": "overloaded"}})),
    "a page as a stream": Answer(body=b"<html>", headers=[("content-type", "text/event-stream")]),
    "an empty stream": stream("", ""),
}


@pytest.mark.parametrize("kind", BAD_STARTS)
def test_a_stream_that_begins_badly_is_stood_in_for(tmp_path: Path, kind: str) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=BAD_STARTS[kind]) as bad,
            FaultServer(otherwise=stream()) as good,
            world(
                tmp_path, {"base": bad.url, "old": good.url}, environments=FALLBACK, environment="production"
            ) as here,
        ):
            response = await here.ask({"stream": True})
            if kind != "an empty stream":
                assert response.headers.get("x-proveout-variant") == "old"
                assert response.body.endswith(b"data: [DONE]\n\n")

    if kind == "an empty stream":
        with pytest.raises(wire.ConnectionCut):
            run(main())
    else:
        run(main())


def test_an_endless_stream_ends_at_the_variants_time_limit(tmp_path: Path) -> None:
    endless = stream(*[chunk({"content": "x"})] * 2000, gap_s=0.01)

    async def main() -> None:
        async with FaultServer(otherwise=endless) as upstream:
            base = {"model": {"provider": "openai-compatible", "url": upstream.url, "limits": {"timeout": "300ms"}}}
            async with world(tmp_path, {"base": base}) as here:
                with pytest.raises(wire.ConnectionCut):
                    await here.ask({"stream": True})
                (trace,) = await here.traces(1)
                assert (trace.error, trace.e2e < 2) == ("timeout", True)

    run(main())


def test_a_client_that_goes_away_ends_the_upstreams_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=stream(*[chunk({"content": "x"})] * 500, gap_s=0.02)) as upstream,
            world(tmp_path, {"base": upstream.url}) as here,
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", here.run.server.port)
            body = PLAIN[:-1] + b', "stream": true}'
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
            )
            await reader.readuntil(b'"x"')
            writer.close()
            (trace,) = await here.traces(1)
            assert (trace.status, trace.error) == (499, "client_gone")
            await until(lambda: not upstream._writers)

    run(main())


def test_a_slow_reader_holds_the_upstream_back(tmp_path: Path) -> None:
    big = [chunk({"content": "x" * 60_000})] * 400

    async def main() -> None:
        sent = 0

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
            for event in big:
                writer.write(f"data: {event}\n\n".encode())
                await writer.drain()
                sent += 1

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with world(tmp_path, {"base": url}) as here:
            with socket.create_connection(("127.0.0.1", here.run.server.port)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                body = PLAIN[:-1] + b', "stream": true}'
                client.send(
                    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
                )
                await asyncio.sleep(1.0)
                assert 0 < sent < len(big)
        server.close()

    run(main())


def test_an_endpoint_that_keeps_failing_is_left_alone_and_asked_again_later(tmp_path: Path) -> None:
    async def main() -> None:
        script = [Answer(status=500)] * FAILURES_IN_A_ROW
        async with (
            FaultServer(script, otherwise=GOOD) as upstream,
            world(tmp_path, {"base": upstream.url}, gateway={"services": {"chat": {"retries": 0}}}) as here,
        ):
            statuses = [(await here.ask()).status for _ in range(FAILURES_IN_A_ROW + 3)]
            assert statuses == [502] * FAILURES_IN_A_ROW + [503] * 3
            assert len(upstream.received) == FAILURES_IN_A_ROW
            assert (
                b'proveout_gateway_breaker_open{service="chat",variant="base"} 1' in (await here.get("/metrics")).body
            )
            await asyncio.sleep(FIRST_PAUSE_S + 0.1)
            assert (await here.ask()).status == 200

    run(main())


def test_a_broken_champion_stops_costing_time_once_its_breaker_is_open(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=Answer(status=500)) as bad,
            FaultServer(otherwise=GOOD) as good,
            world(
                tmp_path, {"base": bad.url, "old": good.url}, environments=FALLBACK, environment="production"
            ) as here,
        ):
            for _ in range(12):
                assert said(await here.ask()) == "old"
            assert len(bad.received) <= FAILURES_IN_A_ROW + 1

    run(main())


def test_several_endpoints_share_a_variants_load_and_one_may_fail(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=Answer.json(completion(), delay_s=0.05)) as first,
            FaultServer(otherwise=Answer.json(completion(), delay_s=0.05)) as second,
        ):
            settings = {"services": {"chat": {"endpoints": {"base": [second.url]}}}}
            async with world(tmp_path, {"base": first.url}, gateway=settings) as here:
                await asyncio.gather(*(here.ask() for _ in range(20)))
                assert min(len(first.received), len(second.received)) >= 5
        async with FaultServer(otherwise=Answer.json(completion())) as alive:
            settings = {"services": {"chat": {"endpoints": {"base": [alive.url]}}}}
            async with world(tmp_path / "2", {"base": f"http://127.0.0.1:{free_port()}"}, gateway=settings) as here:
                assert {(await here.ask()).status for _ in range(10)} == {200}

    run(main())


LIMITED = {
    "gateway": ({"max_concurrency": 2}, {}),
    "service": ({"services": {"chat": {"max_concurrency": 2}}}, {}),
    "variant": ({}, {"limits": {"concurrency": 2}}),
}


@pytest.mark.parametrize("where", LIMITED)
def test_beyond_its_concurrency_it_says_429_at_once(tmp_path: Path, where: str) -> None:
    gateway, model = LIMITED[where]

    async def main() -> None:
        async with FaultServer(otherwise=Answer.json(completion(), delay_s=0.5)) as upstream:
            base = {"model": {"provider": "openai-compatible", "url": upstream.url, **model}}
            async with world(tmp_path, {"base": base}, gateway=gateway) as here:
                responses = await asyncio.gather(*(here.ask() for _ in range(5)))
                assert sorted(one.status for one in responses) == [200, 200, 429, 429, 429]
                refused = next(one for one in responses if one.status == 429)
                assert error(refused)["code"] == "concurrency_limit"
                assert refused.headers.get("retry-after") == "1"
                assert refused.done - refused.sent < 0.4
                assert (await here.ask()).status == 200

    run(main())


# The breaker


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3)), max_size=200))
@settings(derandomize=True, deadline=None)
def test_a_breaker_never_stays_open_for_good_and_opens_only_after_failures(steps: list[tuple[bool, float]]) -> None:
    breaker, now, row = Breaker(), 0.0, 0
    for good, pause in steps:
        now += pause
        assert 0 <= breaker.opens_in(now) <= LONGEST_PAUSE_S
        if not breaker.allows(now):
            continue
        if good:
            breaker.succeeded()
            assert breaker.state == "closed"
        else:
            breaker.failed(now)
        row = 0 if good else row + 1
        if breaker.state == "open":
            assert not breaker.allows(now)
            assert breaker.allows(now + LONGEST_PAUSE_S + 1)
            breaker.failed(now + LONGEST_PAUSE_S + 1)
            now += LONGEST_PAUSE_S + 1
        if row >= FAILURES_IN_A_ROW:
            assert breaker.state != "closed"


def test_while_half_open_only_one_call_passes() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_IN_A_ROW):
        breaker.failed(0.0)
    assert [breaker.allows(FIRST_PAUSE_S + 0.1) for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert breaker.allows(FIRST_PAUSE_S + 0.1)
