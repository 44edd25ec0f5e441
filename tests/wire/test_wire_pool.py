"""Connections: reused, limited, waited for in turn, never leaked, and never trusted once they may have ended."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest
from wire_peers import http, listening, open_sockets, serving, until, whole

from proveout.testing.faults import Answer, FaultServer, Received
from proveout.wire import Client, ClientClosed, ConnectionCut, Responder, ServerRequest, TimedOut, Timeouts, WireError
from proveout.wire.pool import Pool


async def test_a_connection_is_kept_and_used_again() -> None:
    async with FaultServer() as server, Client() as client:
        responses = [await client.send("POST", server.url, body=b"x") for _ in range(5)]
    assert server.connections == 1
    assert [response.reused for response in responses] == [False, True, True, True, True]


async def test_a_response_that_closes_is_not_followed_on_its_connection() -> None:
    async with FaultServer(otherwise=Answer(keep_alive=False)) as server, Client() as client:
        assert [(await client.send("GET", server.url)).reused for _ in range(3)] == [False] * 3


async def test_an_http_1_0_response_is_not_followed_unless_it_says_so() -> None:
    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for keep in ("connection: keep-alive", "x: y"):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(whole(b"ok", keep).replace(b"1.1", b"1.0", 1))
        await asyncio.sleep(1)

    async with listening(old) as url, Client() as client:
        assert [(await client.send("GET", url)).reused for _ in range(3)] == [False, True, False]


async def test_origins_have_their_own_connections() -> None:
    async with FaultServer() as one, FaultServer() as other, Client() as client:
        for server in (one, other, one, other):
            await client.send("GET", server.url)
    assert (one.connections, other.connections) == (1, 1)


class Counting:
    """An app that counts how many requests it serves at once, and in which order they came."""

    def __init__(self, hold_s: float = 0.01) -> None:
        self.now = self.most = 0
        self.order: list[str] = []
        self.hold_s = hold_s

    async def __call__(self, request: ServerRequest, responder: Responder) -> None:
        self.order.append(request.path)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self.hold_s)
        self.now -= 1
        responder.reply(200)


async def test_no_more_connections_than_allowed_and_first_come_is_first_served() -> None:
    app = Counting()
    async with serving(app) as server, Client(max_connections_per_origin=3) as client:
        url = f"http://127.0.0.1:{server.port}"
        await asyncio.gather(*(client.send("GET", f"{url}/{i}") for i in range(30)))
        assert len(server.connections) <= 3
    assert app.most == 3
    places = [int(path[1:]) for path in app.order]
    assert all(abs(place - at) <= 2 for at, place in enumerate(places))  # Three at a time may overtake each other.


async def test_waiting_for_a_connection_counts_towards_the_total_limit() -> None:
    async with FaultServer([Answer(hang=True)]) as server, Client(max_connections_per_origin=1) as client:
        first = asyncio.ensure_future(client.send("GET", server.url))
        await until(lambda: server.received, "the first request")
        with pytest.raises(TimedOut) as caught:
            await client.send("GET", server.url, timeouts=Timeouts(total=0.1))
        assert caught.value.phase == "total"
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        assert (await client.send("GET", server.url)).status == 200


async def test_a_failed_connect_gives_its_place_to_the_next() -> None:
    async with FaultServer() as server:
        pass
    async with Client(max_connections_per_origin=1) as client:
        results = await asyncio.gather(*(client.send("GET", server.url) for _ in range(5)), return_exceptions=True)
    assert [type(result).__name__ for result in results] == ["ConnectFailed"] * 5


async def test_a_cancelled_exchange_closes_its_connection_and_frees_its_place() -> None:
    async with FaultServer([Answer(hang=True)]) as server, Client(max_connections_per_origin=1) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.send("GET", server.url)
        assert not (await client.send("GET", server.url)).reused


async def test_a_storm_of_cancellations_leaks_neither_places_nor_sockets() -> None:
    chance = random.Random(11)
    before = open_sockets()
    async with serving(Counting(0.002)) as server:
        url = f"http://127.0.0.1:{server.port}/"
        async with Client(max_connections_per_origin=4) as client:

            async def one() -> None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(chance.uniform(0, 0.02)):
                        await client.send("GET", url)

            for _ in range(15):
                await asyncio.gather(*(one() for _ in range(20)))
            await asyncio.gather(*(client.send("GET", url) for _ in range(4)))  # All four places are free.
            await until(lambda: len(server.connections) <= 4, "abandoned connections to close")
    await until(lambda: open_sockets() <= before, "sockets to be closed")


async def test_a_server_that_restarted_is_not_noticed_by_the_caller() -> None:
    async with FaultServer() as server, Client() as client:
        await asyncio.gather(*(client.send("POST", server.url, body=b"x") for _ in range(5)))
        server.drop_connections()
        await asyncio.sleep(0.05)
        assert (await client.send("POST", server.url, body=b"x")).status == 200


async def test_an_end_that_lies_unread_in_the_kernel_is_seen_before_a_request_is_sent() -> None:
    """The loop has had no chance to read it: only a look at the socket can tell."""
    async with FaultServer() as server, Client() as client:
        await client.send("POST", server.url, body=b"1")
        [connection] = client._origins[server.url].pool._idle
        connection._transport.pause_reading()
        server.drop_connections()
        await asyncio.sleep(0.05)
        response = await client.send("POST", server.url, body=b"2")
    assert response.status == 200
    assert not response.reused
    assert [request.body for request in server.received] == [b"1", b"2"]


class CutsSecond:
    """Serves one request per connection and cuts the next one after it has read it."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(whole(b"ok"))
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))


@pytest.mark.parametrize(("method", "headers"), [("GET", {}), ("PUT", {}), ("POST", {"Idempotency-Key": "7"})])
async def test_a_harmless_request_is_sent_again_when_a_kept_connection_ends(method: str, headers: dict) -> None:
    peer = CutsSecond()
    async with listening(peer) as url, Client() as client:
        await client.send(method, url, headers=headers)
        assert (await client.send(method, url, headers=headers)).reused is False
    assert len(peer.heads) == 3


async def test_a_post_is_never_sent_twice() -> None:
    peer = CutsSecond()
    async with listening(peer) as url, Client() as client:
        await client.send("POST", url)
        with pytest.raises(ConnectionCut, match="before the response head") as caught:
            await client.send("POST", url)
    assert len(peer.heads) == 2
    assert (caught.value.received, caught.value.head) == (0, False)


async def test_nothing_is_sent_again_after_a_byte_of_its_response() -> None:
    heads: list[bytes] = []

    async def one_byte(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in (whole(b"ok"), b"H"):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)

    async with listening(one_byte) as url, Client() as client:
        await client.send("GET", url)
        with pytest.raises(ConnectionCut):
            await client.send("GET", url)
    assert len(heads) == 2


async def test_nothing_is_sent_again_that_failed_on_a_new_connection() -> None:
    async with FaultServer(otherwise=Answer(cut_after=0, raw=b" ")) as server, Client() as client:
        with pytest.raises(ConnectionCut):
            await client.send("GET", server.url)
    assert len(server.received) == 1


@pytest.mark.parametrize("junk", [b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged", b"junk", b"\0"])
async def test_what_follows_a_response_is_never_taken_for_the_next(junk: bytes) -> None:
    async def chatty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(whole(b"true") + junk)
        await reader.read()

    async with listening(chatty) as url, Client() as client:
        responses = [await client.send("GET", url) for _ in range(3)]
    assert [(response.body, response.reused) for response in responses] == [(b"true", False)] * 3


async def test_what_comes_unasked_on_a_kept_connection_ends_it() -> None:
    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(whole(b"true"))
        await asyncio.sleep(0.05)
        writer.write(http("200 OK", "content-length: 6", body=b"forged"))
        await reader.read()

    async with listening(late) as url, Client() as client:
        await client.send("GET", url)
        await asyncio.sleep(0.1)
        response = await client.send("GET", url)
    assert (response.body, response.reused) == (b"true", False)


async def test_a_quiet_connection_is_given_up_after_its_time() -> None:
    async with FaultServer() as server, Client(idle_connection_s=0.05) as client:
        await client.send("GET", server.url)
        await asyncio.sleep(0.15)
        assert not client._origins[server.url].pool._idle
        assert not (await client.send("GET", server.url)).reused


async def test_a_server_that_says_how_long_it_waits_is_left_earlier() -> None:
    hint = Answer(headers=[("Keep-Alive", "timeout=1, max=100")])
    async with FaultServer(otherwise=hint) as server, Client() as client:
        await client.send("POST", server.url)
        await asyncio.sleep(0.05)
        assert not (await client.send("POST", server.url)).reused


async def test_closing_ends_what_is_in_flight_waiting_and_connecting() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    before = open_sockets()
    async with listening(mute) as url:
        client = Client(max_connections_per_origin=1, trust_env=False)
        secure = url.replace("http", "https", 1)  # Its handshake is never answered: for ever connecting.
        calls = [asyncio.ensure_future(client.send("GET", place)) for place in (url, url, secure)]
        await asyncio.sleep(0.05)
        await client.aclose()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) for result in results] == [ClientClosed] * 3
        await client.aclose()
        with pytest.raises(ClientClosed):
            await client.send("GET", url)
    await until(lambda: open_sockets() <= before, "sockets to be closed")


async def test_every_fault_frees_its_place() -> None:
    """A few hundred exchanges over two places, most of them with a fault, and the places are still there."""
    faults = [
        Answer(cut_after=20, body=b"x" * 50),
        Answer(raw=b"junk"),
        Answer(raw=whole(b"x", "content-encoding: gzip")),
        Answer(hang=True),
        Answer(body=b"x" * 2000),
        Answer(keep_alive=False),
        Answer(raw=whole(b"x") + b"more"),
        Answer(),
    ]
    chance = random.Random(5)

    def script(_: Received) -> Answer:
        return chance.choice(faults)

    async with FaultServer(script) as server:
        limits = {"max_connections_per_origin": 2, "max_body_bytes": 1000, "timeouts": Timeouts(first_byte=0.02)}
        async with Client(**limits) as client:
            sends = (client.send("GET", server.url) for _ in range(200))
            results = await asyncio.gather(*sends, return_exceptions=True)
            pool = client._origins[server.url].pool
            assert pool._taken == len(pool._idle)
    assert all(isinstance(result, WireError) or result.status == 200 for result in results)
    assert len({type(result) for result in results}) == 5


async def test_a_place_handed_to_one_who_was_just_cancelled_goes_to_the_next() -> None:
    pool = Pool(1, 30.0, 4096)
    assert await pool.take_or_permit() is None
    first, second = (asyncio.ensure_future(pool.take_or_permit()) for _ in range(2))
    await asyncio.sleep(0)
    pool.return_permit()
    first.cancel()  # Before it could learn of its luck.
    assert await asyncio.wait_for(second, 1) is None
    assert first.cancelled()
