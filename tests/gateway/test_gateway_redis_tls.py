"""Redis by TLS, for a user with few rights, and cut off in the middle of what it says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from gateway_world import World, completion, run, until, world, write_project

from proveout.gateway.settings import read_settings
from proveout.project import load_project
from proveout.project.records import Secret
from proveout.testing.faults import Answer, FaultServer
from proveout.testing.servers import RedisServer, ServerUnavailable, free_port, redis_server

GOOD = Answer.json(completion())
RIGHTS = "~proveout:* +ping +select +get +set +evalsha +script|load +time +hget +hset +hvals +hmget +expire"
"""What docs/gateway.md says that a gateway needs."""
CHAT = {"requests_per_minute": 1e6, "usd_per_day": 1e6, "cache": {"ttl": "1m"}}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def encrypted(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisServer, int]]:
    """A Redis and the port where it takes TLS, with a certificate for 127.0.0.1."""
    folder, port = tmp_path_factory.mktemp("certificate"), free_port()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    files = {"cert": "certificate.pem", "key": "key.pem", "ca-cert": "ca.pem"}
    settings = {f"tls-{name}-file": str(folder / file) for name, file in files.items()}
    try:
        with redis_server(others={"tls-port": str(port), "tls-auth-clients": "no", **settings}) as server:
            yield server, port
    except ServerUnavailable as reason:
        pytest.skip(str(reason))


@asynccontextmanager
async def sharing(folder: Path, upstream: str, **redis: Any) -> AsyncIterator[World]:
    gateway = {"redis": {"patience": "5s", **redis}, "services": {"chat": CHAT}}
    async with world(folder, {"base": upstream}, gateway=gateway) as here:
        yield here


def kept(server: RedisServer) -> list[bytes]:
    return server.ask("KEYS", "*:answer:*")


async def up(here: World) -> None:
    await until(lambda: here.run.gateway.sharing.on)


def test_a_user_with_few_rights_by_tls(
    tmp_path: Path,
    encrypted: tuple[RedisServer, int],
    authority: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, port = encrypted
    server.ask("FLUSHALL")
    server.ask("ACL", "SETUSER", "gateway", "on", ">a:pass/word", *RIGHTS.split())
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REDIS_OF_TEST", f"rediss://gateway:a%3Apass%2Fword@127.0.0.1:{port}/1")

    async def main() -> None:
        async with (
            FaultServer([GOOD], otherwise=Answer(status=500)) as upstream,
            sharing(tmp_path, upstream.url, url="env:REDIS_OF_TEST", ca=f"file:{tmp_path / 'ca.pem'}") as here,
        ):
            await up(here)
            assert (await here.ask()).status == 200
            assert (await here.ask()).headers["x-proveout-cache"] == "hit"
            # In the database of the address, and under our own names.
            await until(lambda: b"db1:keys=" in server.ask("INFO", "keyspace"))
            assert b"db0" not in server.ask("INFO", "keyspace")

    with caplog.at_level(logging.DEBUG):
        run(main())
    denied = server.ask("ACL", "LOG")
    assert denied == []
    assert "pass" not in caplog.text


@pytest.mark.parametrize(
    ("wrong", "what"),
    [("authority", "its certificate is not accepted"), ("name", "its certificate is not accepted"), ("plain", "TLS")],
)
def test_what_cannot_be_verified_is_not_talked_to(
    tmp_path: Path,
    encrypted: tuple[RedisServer, int],
    authority: trustme.CA,
    wrong: str,
    what: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, port = encrypted
    server.ask("FLUSHALL")
    (trustme.CA() if wrong == "authority" else authority).cert_pem.write_to_path(tmp_path / "ca.pem")
    host = "localhost" if wrong == "name" else "127.0.0.1"
    monkeypatch.setenv("REDIS_OF_TEST", f"rediss://:hunter2@{host}:{server.port if wrong == 'plain' else port}/0")

    async def main() -> None:
        async with (
            FaultServer(otherwise=GOOD) as upstream,
            sharing(
                tmp_path,
                upstream.url,
                url="env:REDIS_OF_TEST",
                ca=f"file:{tmp_path / 'ca.pem'}",
                patience="300ms" if wrong == "plain" else "5s",  # It waits for a whole command in what is none.
            ) as here,
        ):
            assert (await here.ask()).status == 200  # Alone.
            assert not here.run.gateway.sharing.on
            assert b"proveout_gateway_redis_up 0" in (await here.get("/metrics")).body

    run(main())
    assert "Redis is away" in caplog.text
    assert what in caplog.text
    assert "hunter2" not in caplog.text


def test_an_authority_without_certificates_is_named_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")

    async def main() -> None:
        with pytest.raises(Exception, match="`ca` holds no PEM certificates"):
            async with sharing(tmp_path, "http://127.0.0.1:1", url="rediss://127.0.0.1", ca=f"file:{tmp_path}/ca.pem"):
                pass

    run(main())


def test_the_authority_is_read_from_the_file(tmp_path: Path) -> None:
    redis = {"url": "rediss://127.0.0.1", "ca": "env:REDIS_CA"}
    settings = read_settings(load_project(write_project(tmp_path, {"base": "http://r"}, gateway={"redis": redis})))
    assert settings.redis is not None
    assert (settings.redis.url, settings.redis.ca) == ("rediss://127.0.0.1", Secret("env:REDIS_CA"))


class Cutting:
    """Before a Redis: passes on what it says, until it is told to cut the next reply in its middle."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.cut = False
        self.cuts = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self._port)

        async def asked() -> None:
            while data := await reader.read(65536):
                forth.write(data)
            forth.close()

        task = asyncio.create_task(asked())
        while data := await back.read(65536):
            if self.cut:
                self.cut, self.cuts = False, self.cuts + 1
                writer.write(data[: len(data) // 2])
                break
            writer.write(data)
        writer.close()
        task.cancel()
        forth.close()


def test_a_redis_that_is_cut_off_in_the_middle_of_an_answer_fails_no_request(tmp_path: Path) -> None:
    async def main(server: RedisServer) -> None:
        cutting = Cutting(server.port)
        proxy = await asyncio.start_server(cutting, "127.0.0.1", 0)
        port = proxy.sockets[0].getsockname()[1]
        async with (
            proxy,
            FaultServer(otherwise=GOOD) as upstream,
            sharing(tmp_path, upstream.url, url=f"redis://127.0.0.1:{port}") as here,
        ):
            for number in range(5):
                await up(here)
                cutting.cut = True
                asked = [here.ask({"temperature": number + part / 10}) for part in range(8)]
                assert {answer.status for answer in await asyncio.gather(*asked)} == {200}
                await until(lambda number=number: cutting.cuts > number)
            await up(here)
            await here.traces(40)

    try:
        with redis_server() as server:
            run(main(server))
    except ServerUnavailable as reason:
        pytest.skip(str(reason))
