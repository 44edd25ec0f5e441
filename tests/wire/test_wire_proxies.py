"""Proxies as the environment names them, through a real small proxy."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import trustme
from wire_peers import answering, http, listening

from proveout.testing.faults import Answer, FaultServer
from proveout.wire import Client, ProxyFailed, TimedOut, Timeouts, TlsFailed
from proveout.wire.proxies import ProxySettings
from proveout.wire.urls import parse_url


@dataclass
class SmallProxy:
    """Forwards requests in absolute form, and opens tunnels."""

    url: str = ""
    heads: list[str] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        method, target, _ = head.split("\r\n")[0].split(" ")
        host, _, port = target.removeprefix("http://").partition("/")[0].rpartition(":")
        there, away = await asyncio.open_connection(host.strip("[]"), int(port))
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\nvia: small\r\n\r\n")
        else:
            path = "/" + target.removeprefix("http://").partition("/")[2]
            away.write(head.replace(target, path, 1).encode())
        await asyncio.gather(self._copy(reader, away), self._copy(there, writer))

    @staticmethod
    async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()


@contextlib.asynccontextmanager
async def proxy_for(variable: str, monkeypatch: pytest.MonkeyPatch, credentials: str = "") -> AsyncIterator[SmallProxy]:
    proxy = SmallProxy()
    async with listening(proxy) as url:
        proxy.url = url
        monkeypatch.setenv(variable, url.replace("//", f"//{credentials}"))
        yield proxy


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
async def test_plain_requests_go_through_a_forward_proxy(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FaultServer() as server, proxy_for(variable, monkeypatch) as proxy, Client() as client:
        answers = [await client.send("GET", f"{server.url}/a?b=c") for _ in range(2)]
    assert proxy.heads[0].startswith(f"GET {server.url}/a?b=c HTTP/1.1\r\n")
    assert next(request.target for request in server.received) == "/a?b=c"
    assert [answer.reused for answer in answers] == [False, True]


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy"])
async def test_https_goes_through_a_tunnel_and_is_verified_end_to_end(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    theirs, ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(theirs)
    authority.configure_trust(ours)
    async with (
        FaultServer(otherwise=Answer(body=b"ok"), ssl_context=theirs) as server,
        proxy_for(variable, monkeypatch, "me:p%40ss@") as proxy,
        Client(ssl_context=ours) as client,
    ):
        url = f"https://localhost:{server.port}/secret"
        answers = [await client.send("POST", url, body=b"x" * 400_000) for _ in range(2)]
        with pytest.raises(TlsFailed, match="certificate was refused"):
            await client.send("GET", f"https://127.0.0.1:{server.port}/")
    assert [(answer.body, answer.reused) for answer in answers] == [(b"ok", False), (b"ok", True)]
    assert proxy.heads[0].startswith(f"CONNECT localhost:{server.port} HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic bWU6cEBzcw==" in proxy.heads[0]
    assert "secret" not in proxy.heads[0]
    assert "proxy-authorization" not in server.received[0].headers


async def test_a_forward_proxy_gets_its_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FaultServer() as server, proxy_for("http_proxy", monkeypatch, "me:p%40ss@") as proxy, Client() as client:
        await client.send("GET", server.url)
    assert "proxy-authorization: Basic bWU6cEBzcw==\r\n" in proxy.heads[0]


async def test_a_forward_proxy_that_wants_credentials_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(http("407 Proxy Authentication Required", "content-length: 0")) as url:
        monkeypatch.setenv("http_proxy", url)
        async with Client() as client:
            with pytest.raises(ProxyFailed, match="wants other credentials"):
                await client.send("GET", "http://models.invalid/")


async def test_no_proxy_names_what_is_reached_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FaultServer() as server, proxy_for("http_proxy", monkeypatch) as proxy:
        monkeypatch.setenv("NO_PROXY", "example.com, 127.0.0.0/8")
        async with Client() as client:
            await client.send("GET", server.url)
    assert proxy.heads == []


async def test_the_environment_can_be_left_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        FaultServer() as server,
        proxy_for("http_proxy", monkeypatch) as proxy,
        Client(trust_env=False) as client,
    ):
        await client.send("GET", server.url)
    assert proxy.heads == []


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "it wants other credentials: write http://user:password@host:port",
        ),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "answered CONNECT with 502"),
        (b"SSH-2.0-x\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\nearly", "bytes before the TLS handshake"),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 20_000, "too large"),
        (b"HTTP/1.1 200 OK\r\n", "closed the connection during CONNECT"),
    ],
)
async def test_a_proxy_that_opens_no_tunnel_is_named(answer: bytes, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(answer) as url:
        monkeypatch.setenv("https_proxy", url.replace("//", "//me:hunter2@"))
        async with Client() as client:
            with pytest.raises(ProxyFailed, match=why) as caught:
                await client.send("GET", "https://models.invalid/")
    assert "hunter2" not in str(caught.value)


async def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering() as url:
        pass
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, url)
    async with Client() as client:
        for scheme in ("http", "https"):
            with pytest.raises(ProxyFailed, match=f"no connection to the proxy at {url.removeprefix('http://')}"):
                await client.send("GET", f"{scheme}://models.invalid/")


async def test_a_silent_proxy_runs_into_the_connect_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(mute) as url:
        monkeypatch.setenv("https_proxy", url)
        async with Client(timeouts=Timeouts(connect=0.2)) as client:
            with pytest.raises(TimedOut) as caught:
                await client.send("GET", "https://models.invalid/")
    assert caught.value.phase == "connect"


@pytest.mark.parametrize(
    ("url", "no_proxy", "direct"),
    [
        ("http://a.example/", "*", True),
        ("http://a.example/", "example", True),
        ("http://a.example/", ".example", True),
        ("http://a.example/", "*.example", True),
        ("http://example/", ".example", True),
        ("http://an-example/", "example", False),
        ("http://a.example:81/", "a.example:81", True),
        ("http://a.example:81/", "a.example:82", False),
        ("http://A.EXAMPLE/", "x  a.Example ,y", True),
        ("http://10.1.2.3/", "10.0.0.0/8", True),
        ("http://11.1.2.3/", "10.0.0.0/8", False),
        ("http://[::1]:81/", "::1", True),
        ("http://[::1]:81/", "[::1]:81", True),
        ("http://[::1]:81/", "[::1]:82", False),
        ("http://[fd00::1]/", "fd00::/8", True),
        ("http://a.example/", "10.0.0.0/8, nonsense/99, :, .", False),
    ],
)
def test_no_proxy_entries(url: str, no_proxy: str, direct: bool) -> None:
    settings = ProxySettings({"http_proxy": "http://p:3128", "NO_PROXY": no_proxy})
    assert (settings.choose(parse_url(url)) is None) == direct


def test_lower_case_wins_and_empty_means_none() -> None:
    both = ProxySettings({"http_proxy": "http://low:1", "HTTP_PROXY": "http://up:2"})
    chosen = both.choose(parse_url("http://a/"))
    assert chosen is not None
    assert (chosen.host, chosen.port) == ("low", 1)
    assert ProxySettings({"http_proxy": ""}).choose(parse_url("http://a/")) is None
    assert ProxySettings({"http_proxy": "http://p:1"}).choose(parse_url("https://a/")) is None


def test_a_cgi_script_does_not_let_its_caller_choose_the_proxy() -> None:
    assert (
        ProxySettings({"HTTP_PROXY": "http://evil:1", "REQUEST_METHOD": "GET"}).choose(parse_url("http://a/")) is None
    )


def test_a_proxy_without_scheme_is_an_http_proxy() -> None:
    chosen = ProxySettings({"https_proxy": "user@p:3128"}).choose(parse_url("https://a/"))
    assert chosen is not None
    assert (chosen.host, chosen.port) == ("p", 3128)
    assert "authorization" not in repr(chosen)


@pytest.mark.parametrize("value", ["socks5://p:1", "https://p:1", "http://", "http://[::1", "http://p:99999"])
def test_a_proxy_that_is_not_understood_is_named_by_its_variable(value: str) -> None:
    with pytest.raises(ProxyFailed, match=r"ALL_PROXY holds .*: write http://host:port"):
        ProxySettings({"ALL_PROXY": value}).choose(parse_url("http://a/"))
