"""TLS: verified always, and refused in words that say what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
from pathlib import Path
from time import monotonic

import pytest
import trustme
from wire_peers import ask, listening, serving, until

from proveout.testing.faults import Answer, FaultServer
from proveout.wire import Client, Limits, Responder, ServerRequest, TlsFailed


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_side(authority: trustme.CA, *names: str, expired: bool = False) -> ssl.SSLContext:
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, not_after=past if expired else None).configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_a_verified_server_is_talked_to_and_its_connection_kept(authority: trustme.CA) -> None:
    async with (
        FaultServer(otherwise=Answer(body=b"ok"), ssl_context=server_side(authority, "127.0.0.1")) as server,
        Client(ssl_context=trusting(authority)) as client,
    ):
        answers = [await client.send("POST", server.url, body=b"x" * 300_000) for _ in range(3)]
    assert [answer.body for answer in answers] == [b"ok"] * 3
    assert [answer.reused for answer in answers] == [False, True, True]
    assert [len(request.body) for request in server.received] == [300_000] * 3


async def test_a_host_name_is_verified(authority: trustme.CA) -> None:
    async with (
        FaultServer(ssl_context=server_side(authority, "localhost")) as server,
        Client(ssl_context=trusting(authority)) as client,
    ):
        assert (await client.send("GET", f"https://localhost:{server.port}/")).status == 200


async def test_a_certificate_for_another_host_is_refused(authority: trustme.CA) -> None:
    async with (
        FaultServer(ssl_context=server_side(authority, "models.example")) as server,
        Client(ssl_context=trusting(authority)) as client,
    ):
        with pytest.raises(TlsFailed, match=r"certificate was refused: .*(localhost|[Hh]ostname mismatch)"):
            await client.send("GET", f"https://localhost:{server.port}/")
    assert server.received == []


async def test_an_expired_certificate_is_refused(authority: trustme.CA) -> None:
    async with (
        FaultServer(ssl_context=server_side(authority, "127.0.0.1", expired=True)) as server,
        Client(ssl_context=trusting(authority)) as client,
    ):
        with pytest.raises(TlsFailed, match="certificate was refused: certificate has expired"):
            await client.send("GET", server.url)


async def test_a_certificate_that_nobody_vouches_for_is_refused_by_default(authority: trustme.CA) -> None:
    async with FaultServer(ssl_context=server_side(authority, "127.0.0.1")) as server, Client() as client:
        with pytest.raises(TlsFailed, match=r"certificate was refused: .*local issuer|self-signed"):
            await client.send("GET", server.url)
    assert server.received == []


async def test_the_environment_may_name_whom_to_trust(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    async with FaultServer(ssl_context=server_side(authority, "127.0.0.1")) as server, Client() as client:
        assert (await client.send("GET", server.url)).status == 200


@pytest.mark.parametrize("reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
async def test_a_server_without_tls_gets_no_request(reply: bytes) -> None:
    heard = bytearray()

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(5))
        writer.write(reply)

    async with listening(plain) as url, Client() as client:
        with pytest.raises(TlsFailed, match="handshake"):
            await client.send("GET", url.replace("http", "https", 1), headers={"authorization": "secret"})
    assert heard[:1] == b"\x16"  # A handshake record, and nothing else.


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_an_old_protocol_version_is_refused(authority: trustme.CA) -> None:
    context = server_side(authority, "127.0.0.1")
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with FaultServer(ssl_context=context) as server, Client(ssl_context=trusting(authority)) as client:
        with pytest.raises(TlsFailed):
            await client.send("GET", server.url)


async def test_the_wires_own_server_speaks_tls_and_streams(authority: trustme.CA) -> None:
    async def stream(request: ServerRequest, responder: Responder) -> None:
        responder.start(200)
        for _ in range(50):
            responder.write(bytes(50_000))
            await responder.drain()
        responder.end()

    async with (
        serving(stream, ssl_context=server_side(authority, "127.0.0.1")) as server,
        Client(ssl_context=trusting(authority)) as client,
    ):
        for _ in range(2):
            answer = await client.send("GET", f"https://127.0.0.1:{server.port}/")
            assert answer.body == bytes(2_500_000)
    assert answer.reused


async def test_a_handshake_that_never_ends_is_cut(authority: trustme.CA) -> None:
    def app(request: ServerRequest, responder: Responder) -> None:
        responder.reply(200)

    limits = Limits(head_s=0.2)
    async with serving(app, limits=limits, ssl_context=server_side(authority, "127.0.0.1")) as server:
        for said in (b"", b"\x16\x03\x01"):
            started = monotonic()
            with contextlib.suppress(ConnectionResetError):
                await ask(server.port, said)
            assert 0.15 < monotonic() - started < 3


async def test_a_server_with_kept_tls_connections_closes_at_once(authority: trustme.CA) -> None:
    def app(request: ServerRequest, responder: Responder) -> None:
        responder.reply(200)

    async with Client(ssl_context=trusting(authority)) as client:
        async with serving(app, ssl_context=server_side(authority, "127.0.0.1")) as server:
            await client.send("GET", f"https://127.0.0.1:{server.port}/")
            started = monotonic()
        assert monotonic() - started < 3


async def test_a_tls_client_that_goes_away_is_noticed(authority: trustme.CA) -> None:
    async def slow(request: ServerRequest, responder: Responder) -> None:
        await asyncio.sleep(60)

    async with (
        serving(slow, ssl_context=server_side(authority, "127.0.0.1")) as server,
        Client(ssl_context=trusting(authority)) as client,
    ):
        answer = asyncio.ensure_future(client.send("GET", f"https://127.0.0.1:{server.port}/"))
        await until(lambda: server.tasks, "the handler to start")
        answer.cancel()
        await until(lambda: not server.tasks and not server.connections, "the handler to be cancelled")
