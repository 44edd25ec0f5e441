"""Operators have a port and a token of their own; nothing of theirs is on the data port."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from gateway_world import PLAIN, World, completion, error, run, world, write_project

from proveout import wire
from proveout.gateway.orders import orders_file
from proveout.testing.faults import Answer, FaultServer
from proveout.testing.servers import free_port

TOKEN = "operators-only-0123456789"
KEY = "pk-a-client-of-ours"
GOOD = Answer.json(completion())
BEARER = {"authorization": f"Bearer {TOKEN}"}
CLIENT = {"authorization": f"Bearer {KEY}"}


def settings(port: int, **others: Any) -> dict[str, Any]:
    hashed = f"sha256:{sha256(KEY.encode()).hexdigest()}"
    return {
        "admin": {"token": "env:TEST_ADMIN_TOKEN", "port": port},
        "keys": {"web": {"hash": hashed, "usd_per_day": 10}},
        **others,
    }


class Operator:
    def __init__(self, here: World, port: int) -> None:
        self.here = here
        self.url = f"http://127.0.0.1:{port}"

    async def ask(self, method: str, path: str, headers: dict[str, str] = BEARER) -> wire.Response:
        return await self.here.client.send(method, self.url + path, headers=list(headers.items()), body=b"")

    async def told(self, method: str, path: str) -> Any:
        response = await self.ask(method, path)
        assert response.status == 200, response.body
        return json.loads(response.body)


@asynccontextmanager
async def operated(folder: Path, url: str, **others: Any) -> AsyncIterator[Operator]:
    port = free_port()
    async with world(folder, {"base": url}, gateway=settings(port), **others) as here:
        yield Operator(here, port)


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_ADMIN_TOKEN", TOKEN)


PATHS = [("GET", "/admin/status"), ("GET", "/admin/keys"), ("POST", "/admin/reload"), ("POST", "/admin/drain")]


def test_without_the_token_nothing_is_told_and_nothing_done(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with FaultServer(otherwise=GOOD) as upstream, operated(tmp_path, upstream.url) as operator:
            for method, path in (*PATHS, ("POST", "/admin/keys/web/revoke"), ("GET", "/metrics")):
                for headers in ({}, CLIENT, {"authorization": TOKEN}, {"authorization": f"Bearer {TOKEN}x"}):
                    refused = await operator.ask(method, path, headers)
                    assert refused.status == 401
                    assert error(refused)["code"] == "invalid_token"
            status = await operator.told("GET", "/admin/status")
            assert (status["status"], status["environment"], status["redis"]) == ("ready", "dev", "none")
            assert TOKEN not in json.dumps(status)

    run(main())
    assert TOKEN not in caplog.text


def test_the_data_port_has_nothing_for_operators(tmp_path: Path) -> None:
    async def main() -> None:
        async with FaultServer(otherwise=GOOD) as upstream, operated(tmp_path, upstream.url) as operator:
            for method, path in (*PATHS, ("POST", "/admin/keys/web/revoke")):
                url = operator.here.url + path
                answer = await operator.here.client.send(method, url, headers=list(BEARER.items()), body=b"")
                assert answer.status == 404
            for path in ("/v1/chat/completions", "/v1/models", "/v1/feedback"):
                assert (await operator.ask("POST", path)).status == 404
            assert (await operator.here.ask(**CLIENT)).status == 200

    run(main())


def test_a_revoked_key_is_refused_at_once_and_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        async with FaultServer(otherwise=GOOD) as upstream:
            async with operated(tmp_path, upstream.url) as operator:
                assert (await operator.here.ask(**CLIENT)).status == 200
                assert await operator.told("POST", "/admin/keys/web/revoke") == {"key": "web", "revoked": True}
                assert (await operator.here.ask(**CLIENT)).status == 401
                assert (await operator.told("GET", "/admin/keys"))["keys"]["web"]["revoked"] is True
                # The only key is revoked: that does not open the gateway to everybody.
                assert (await operator.here.ask()).status == 401
                assert (await operator.ask("POST", "/admin/keys/nobody/revoke")).status == 404
            async with operated(tmp_path, upstream.url) as operator:
                assert (await operator.here.ask(**CLIENT)).status == 401
                await operator.told("POST", "/admin/keys/web/restore")
                assert (await operator.here.ask(**CLIENT)).status == 200
                known = (await operator.told("GET", "/admin/keys"))["keys"]["web"]
                assert (known["revoked"], known["usd_per_day"]) == (False, 10)
                assert "hash" not in known

    run(main())


def test_a_key_that_is_restored_has_spent_what_it_spent(tmp_path: Path) -> None:
    price = {"provider": "openai-compatible", "model": "model-base", "since": "2026-01-01", "input": 1e6, "output": 0.0}

    async def main() -> None:
        async with (
            FaultServer(otherwise=GOOD) as upstream,
            operated(tmp_path, upstream.url, prices=[price]) as operator,
        ):
            assert [(await operator.here.ask(**CLIENT)).status for _ in range(3)] == [200, 200, 429]
            for order in ("revoke", "restore"):
                await operator.told("POST", f"/admin/keys/web/{order}")
            assert (await operator.here.ask(**CLIENT)).status == 429
            assert (await operator.told("GET", "/admin/keys"))["keys"]["web"]["usd_today"] == 18

    run(main())


def test_draining_is_for_load_balancers_and_can_be_taken_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with FaultServer(otherwise=GOOD) as upstream, operated(tmp_path, upstream.url) as operator:
            here = operator.here
            for order, ready in (("drain", 503), ("resume", 200)):
                await operator.told("POST", f"/admin/{order}")
                assert (await here.get("/readyz")).status == ready
                assert (await here.ask(**CLIENT)).status == 200

    run(main())


def test_a_reload_says_what_is_wrong_with_the_files(tmp_path: Path) -> None:
    async def main() -> None:
        async with FaultServer(otherwise=GOOD) as upstream, operated(tmp_path, upstream.url) as operator:
            file = operator.here.root / "gateway.yaml"
            sound = file.read_text()
            file.write_text(sound.replace('"admin"', '"amdin"'))
            for _ in range(2):
                told = await operator.told("POST", "/admin/reload")
                assert told["served"] is False
                assert "amdin" in " ".join(told["problems"])
            file.write_text(sound)
            assert await operator.told("POST", "/admin/reload") == {"served": True, "problems": []}

    run(main())


def test_what_waits_for_a_restart_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with FaultServer(otherwise=GOOD) as upstream, operated(tmp_path, upstream.url) as operator:
            file = operator.here.root / "gateway.yaml"
            sound = json.loads(file.read_text())
            for others in ({"max_concurrency": 7}, {"spool_megabytes": 3}):
                file.write_text(json.dumps(sound | others))
                assert (await operator.told("POST", "/admin/reload"))["served"] is True

    run(main())
    (said,) = [one for one in caplog.messages if one.startswith("restart the gateway")]
    assert "`spool_megabytes`" in said
    assert "admin" not in said


@pytest.mark.parametrize(("value", "why"), [("", "TEST_ADMIN_TOKEN is not set"), ("short", "fewer than 16")])
def test_it_does_not_start_with_a_token_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, why: str
) -> None:
    monkeypatch.setenv("TEST_ADMIN_TOKEN", value)
    root = write_project(tmp_path, {"base": "http://127.0.0.1:1"}, gateway=settings(free_port()))
    command = [sys.executable, "-m", "proveout", "gateway", "-C", str(root), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert why in done.stderr


@contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_an_order_to_one_worker_holds_for_all(tmp_path: Path) -> None:
    async def main() -> None:
        port = free_port()
        async with FaultServer(otherwise=GOOD) as upstream:
            root = write_project(tmp_path, {"base": upstream.url}, gateway=settings(port))
            command = [sys.executable, "-m", "proveout", "gateway", "-C", str(root), "--port", "0", "--workers", "2"]
            with started(command) as process:
                assert process.stdout is not None
                found = re.search(r"(http://\S+)/v1", await asyncio.to_thread(process.stdout.readline))
                assert found is not None

                async def fresh(method: str, url: str, headers: dict[str, str], body: bytes = b"") -> wire.Response:
                    async with wire.Client(trust_env=False) as client:  # A new connection: any of the workers.
                        return await client.send(method, url, headers=list(headers.items()), body=body)

                async def statuses() -> set[int]:
                    url = f"{found[1]}/v1/chat/completions"
                    return {(await fresh("POST", url, CLIENT, PLAIN)).status for _ in range(8)}

                assert await statuses() == {200}
                admin = f"http://127.0.0.1:{port}/admin"
                assert (await fresh("POST", f"{admin}/keys/web/revoke", BEARER)).status == 200
                assert orders_file(root).exists()
                while await statuses() != {401}:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
                assert (await fresh("POST", f"{admin}/drain", BEARER)).status == 200
                while {(await fresh("GET", f"{found[1]}/readyz", {})).status for _ in range(8)} != {503}:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)

    run(main())


def test_what_can_not_be_kept_is_not_done(tmp_path: Path) -> None:
    async def main() -> None:
        async with FaultServer(otherwise=GOOD) as upstream, operated(tmp_path, upstream.url) as operator:
            file = orders_file(operator.here.root)
            file.mkdir(parents=True)
            refused = await operator.ask("POST", "/admin/keys/web/revoke")
            assert (refused.status, error(refused)["code"]) == (503, "not_kept")
            assert (await operator.here.ask(**CLIENT)).status == 200

    run(main())
