"""The gateway as processes: start, reload, drain, several workers of which one is killed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from gateway_world import PLAIN, completion, run, said, stream, until, world, write_project

from proveout import wire
from proveout.gateway.metrics import METRICS, Metrics, merged, rendered
from proveout.project import load_project
from proveout.storage import open_store
from proveout.testing.faults import Answer, FaultServer

GOOD = Answer.json(completion())
ENDPOINT = "/v1/chat/completions"


@contextmanager
def started(root: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`proveout gateway` and its address."""
    command = [sys.executable, "-m", "proveout", "gateway", "-C", str(root), "--port", "0", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"(http://\S+)/v1", line)
        if found is None:
            raise AssertionError(f"it did not start: {line}{process.communicate(timeout=20)}")
        yield process, found[1]
    finally:
        process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


async def ask(client: wire.Client, url: str, body: bytes = PLAIN) -> wire.Response:
    return await client.send("POST", url + ENDPOINT, body=body)


def test_sigterm_lets_requests_in_flight_finish_and_writes_their_traces(tmp_path: Path) -> None:
    async def main() -> None:
        slow = Answer.json(completion(), delay_s=1.0)
        async with FaultServer(otherwise=slow) as upstream, wire.Client(trust_env=False) as client:
            root = write_project(tmp_path, {"base": upstream.url})
            with started(root) as (process, url):
                asked = [asyncio.create_task(ask(client, url)) for _ in range(5)]
                await until(lambda: len(upstream.received) == 5)
                process.terminate()
                await asyncio.sleep(0.2)
                with pytest.raises(wire.WireError):
                    await asyncio.wait_for(wire.Client(trust_env=False).send("GET", url + "/healthz"), 5)
                assert [(await one).status for one in asked] == [200] * 5
                assert await asyncio.to_thread(process.wait, 20) == 0
            with open_store(load_project(root).store_url) as store:
                assert len(store.traces.after()) == 5

    run(main())


def _wait_for_traces(root: Path) -> None:
    with open_store(load_project(root).store_url) as store:
        until = time.monotonic() + 20
        while time.monotonic() < until and not store.traces.after(limit=1):
            time.sleep(0.05)


def test_several_workers_share_a_port_and_a_killed_one_is_replaced(tmp_path: Path) -> None:
    async def main() -> None:
        async with FaultServer(otherwise=Answer.json(completion(), delay_s=0.02)) as upstream:
            root = write_project(tmp_path, {"base": upstream.url})
            with started(root, "--workers", "3") as (process, url):
                workers = _children(process.pid)
                assert len(workers) == 3
                failed, answered = 0, 0
                stop = asyncio.Event()

                async def load() -> None:
                    nonlocal failed, answered
                    while not stop.is_set():
                        async with wire.Client(trust_env=False) as client:
                            try:
                                response = await ask(client, url)
                            except wire.WireError:
                                failed += 1
                            else:
                                answered += response.status == 200
                                failed += response.status != 200

                tasks = [asyncio.create_task(load()) for _ in range(6)]
                await asyncio.to_thread(_wait_for_traces, root)  # Workers that just began have not opened it yet.
                await asyncio.sleep(1)
                os.kill(workers[0], signal.SIGKILL)
                await asyncio.sleep(3)
                stop.set()
                await asyncio.gather(*tasks)
                assert failed <= 6  # At most what was in flight in the killed one.
                assert answered > 30
                assert len(_children(process.pid)) == 3
                async with wire.Client(trust_env=False) as client:
                    await asyncio.sleep(2.5)
                    shown = (await client.send("GET", url + "/metrics")).body.decode()
                counted = re.search(r'requests_total{service="chat",variant="base",status="200"} (\d+)', shown)
                assert counted is not None
                assert (
                    0.75 * answered <= int(counted[1]) <= answered + failed
                )  # A killed one takes its last second along.
            with open_store(load_project(root).store_url) as store:
                assert len(store.traces.after(limit=10_000)) >= answered - 60

    run(main())


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_files_are_followed_without_dropping_a_request(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=Answer.json(completion("base"), delay_s=0.01)) as first,
            FaultServer(otherwise=Answer.json(completion("next"), delay_s=0.01)) as second,
        ):
            environments = {"production": {"chat": {"champion": "base"}}}
            variants = {"base": first.url, "next": second.url}
            async with world(tmp_path, variants, environments=environments, environment="production") as here:
                texts: list[str] = []
                stop = asyncio.Event()

                async def load() -> None:
                    while not stop.is_set():
                        texts.append(said(await here.ask()))

                tasks = [asyncio.create_task(load()) for _ in range(4)]
                file = here.root / "environments" / "production.yaml"
                await until(lambda: texts.count("base") > 20)
                file.write_text("environment: production\nreleases: {chat: {champion: nxet}}\n")
                await here.run.reloader.look()
                seen = len(texts)
                await until(lambda: len(texts) > seen + 10)
                assert "next" not in texts  # A file with a mistake changes nothing.
                file.write_text("environment: production\nreleases: {chat: {champion: next}}\n")
                await until(lambda: texts.count("next") > 20)
                stop.set()
                await asyncio.gather(*tasks)
                assert texts == sorted(texts[: len(texts) - 10]) + ["next"] * 10
                assert b"proveout_gateway_reload_failures_total 1" in (await here.get("/metrics")).body

    run(main())


def test_it_starts_soon_and_without_what_it_does_not_need(tmp_path: Path) -> None:
    program = (
        "import sys, proveout.gateway.process; "
        "print([name for name in ('numpy', 'sqlalchemy', 'alembic', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("--environment", "prod"), "there is no environment 'prod'; there is dev"),
        (("--host", "0.0.0.0"), "declares no keys"),
        (("--host", "203.0.113.1"), "can't be listened on|declares no keys"),
    ],
)
def test_what_can_not_be_served_is_said_with_exit_code_2(tmp_path: Path, flags: tuple[str, ...], why: str) -> None:
    root = write_project(tmp_path, {"base": "http://127.0.0.1:1"})
    command = [sys.executable, "-m", "proveout", "gateway", "-C", str(root), "--port", "0", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert re.search(why, done.stderr)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_missing_secret_of_the_champion_is_said_before_anything_is_served(tmp_path: Path, workers: str) -> None:
    model = {"provider": "openai", "name": "gpt", "key": "env:GATEWAY_TEST_ABSENT"}
    root = write_project(tmp_path, {"base": {"model": model}})
    command = [sys.executable, "-m", "proveout", "gateway", "-C", str(root), "--port", "0"]
    done = subprocess.run([*command, "--workers", workers], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "environment variable GATEWAY_TEST_ABSENT is not set" in done.stderr


def test_a_missing_secret_of_another_variant_is_that_variants_own(tmp_path: Path) -> None:
    model = {"provider": "openai", "name": "gpt", "key": "env:GATEWAY_TEST_ABSENT"}

    async def main() -> None:
        async with (
            FaultServer(otherwise=GOOD) as upstream,
            world(tmp_path, {"base": upstream.url, "next": {"model": model}}) as here,
        ):
            assert (await here.ask()).status == 200
            response = await here.ask({"model": "chat/next"})
            assert response.status == 503
            assert b"ABSENT" not in response.body

    run(main())


def test_check_reads_the_gateways_file_too(tmp_path: Path) -> None:
    root = write_project(tmp_path, {"base": "http://127.0.0.1:1"}, gateway={"max_concurrency": 0})
    command = [sys.executable, "-m", "proveout", "check", "-C", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "gateway.yaml:2" in done.stderr) == (2, True)


def test_a_new_key_is_printed_with_its_hash(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "proveout", "gateway", "--new-key", "web"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.search(r"pk-[\w-]{40,}", told)
    assert re.search(r"web: {hash: 'sha256:[0-9a-f]{64}'}", told)


# Metrics


def test_every_metric_in_use_is_declared_and_rendered_as_prometheus_reads_it() -> None:
    metrics = Metrics()
    metrics.count("proveout_gateway_requests_total", service='a"b\\c\n', variant="v", status="200").value += 3
    histogram = metrics.histogram("proveout_gateway_request_duration_seconds", service="s", variant="v")
    for seconds in (0.004, 0.005, 0.2, 500):
        histogram.observe(seconds)
    lines = rendered(merged([metrics.samples(), metrics.samples()])).decode().splitlines()
    assert 'proveout_gateway_requests_total{service="a\\"b\\\\c\\n",variant="v",status="200"} 6' in lines
    name = "proveout_gateway_request_duration_seconds"
    assert f'{name}_bucket{{service="s",variant="v",le="0.005"}} 4' in lines
    assert f'{name}_bucket{{service="s",variant="v",le="+Inf"}} 8' in lines
    assert f'{name}_count{{service="s",variant="v"}} 8' in lines
    for line in lines:
        assert re.fullmatch(r"# (HELP|TYPE) \w+ .+|\w+(\{.*\})? [0-9.e+-]+", line)
    assert all(name.endswith("_total") == (kind == "counter") for name, (kind, _) in METRICS.items())


def test_a_stream_under_way_survives_a_change_of_release(tmp_path: Path) -> None:
    from gateway_world import STREAM

    async def main() -> None:
        async with (
            FaultServer(otherwise=stream(*STREAM, gap_s=0.1)) as upstream,
            world(tmp_path, {"base": upstream.url}) as here,
        ):
            asked = asyncio.create_task(here.ask({"stream": True}))
            await until(lambda: len(upstream.received) == 1)
            (here.root / "gateway.yaml").write_text(json.dumps({"services": {"chat": {"retries": 0}}}))
            await here.run.reloader.look()
            assert (await asked).body.endswith(b"[DONE]\n\n")

    run(main())
