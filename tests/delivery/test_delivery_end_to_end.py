"""Real processes: gateway, controller, an upstream with faults on demand, and a client that sends real traffic."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from delivery_house import write_environment

from proveout.storage import Store, open_store
from proveout.testing.servers import free_port, wait_for_port, wait_until
from proveout.wire import Client, Responder, ServerRequest, serve

pytestmark = pytest.mark.timeout(240)

STEPS = [{"canary": {"weight": 0.5, "requests": 60}}]


class Upstream:
    """Two models behind one OpenAI-compatible endpoint. `bad` is by model the share of wrong answers, at HTTP 200;
    `down` names models that answer 500.
    """

    def __init__(self) -> None:
        self.bad: dict[str, float] = {}
        self.down: set[str] = set()
        self._random = random.Random(7)
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    def __enter__(self) -> Upstream:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(serve(self._answer))
        self.port = server.port
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(server.close())
        self._loop.close()

    def _answer(self, request: ServerRequest, responder: Responder) -> None:
        model = json.loads(request.body)["model"]
        headers = [("content-type", "application/json")]
        if model in self.down:
            responder.reply(500, headers, b'{"error":{"message":"down","type":"server_error"}}')
            return
        text = "wrong" if self._random.random() < self.bad.get(model, 0.0) else "right"
        message = {"role": "assistant", "content": text}
        body = {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
        }
        responder.reply(200, headers, json.dumps(body).encode())


class Process:
    """One of our commands, killed and started at will."""

    def __init__(self, log: Path, *words: object) -> None:
        self._words = [str(word) for word in words]
        self._log = log
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "proveout", *self._words]
            self._running = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )

    def kill(self, how: signal.Signals = signal.SIGKILL) -> int:
        assert self._running is not None
        self._running.send_signal(how)
        return self._running.wait(30)

    @property
    def log(self) -> str:
        return self._log.read_text()


class Town:
    """All of it."""

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self.folder = folder
        self.upstream = upstream
        self.port = free_port()
        self.store_url = f"sqlite:///{folder}/.proveout/store.db"
        logs = folder.parent
        self.gateway = Process(
            logs / "gateway.log", "gateway", "-C", folder, "--environment", "production", "--port", self.port
        )
        self.controller = Process(logs / "controller.log", "controller", "-C", folder, "--interval", "0.1")
        self.answers: list[tuple[str, str]] = []
        self.number = 0

    def command(self, *words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "proveout", *map(str, words), "-C", str(self.folder)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def status(self) -> dict[str, Any]:
        done = self.command("rollout", "status", "answers", "--json", "-")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def traffic(self, requests: int, *, feedback: bool = True) -> list[str]:
        """Ask so often, each as another user, and say what the answer was worth; returns who answered."""
        return asyncio.run(self._traffic(requests, feedback))

    async def _traffic(self, requests: int, feedback: bool) -> list[str]:
        served: list[str] = []
        base = f"http://127.0.0.1:{self.port}/v1"
        headers = {"content-type": "application/json"}
        limit = asyncio.Semaphore(8)

        async def ask(client: Client, number: int) -> None:
            body = json.dumps({"model": "answers", "messages": [{"role": "user", "content": f"q{number}"}]}).encode()
            unit = {"x-proveout-unit": f"user-{number}"}
            async with limit:
                answer = await client.send("POST", f"{base}/chat/completions", headers=headers | unit, body=body)
                assert answer.status == 200, answer.body
                served.append(str(answer.headers.get("x-proveout-variant")))
                if feedback:
                    ok = json.loads(answer.body)["choices"][0]["message"]["content"] == "right"
                    trace = answer.headers.get("x-proveout-trace-id")
                    said = json.dumps({"trace_id": trace, "name": "ok", "value": ok}).encode()
                    kept = await client.send("POST", f"{base}/feedback", headers=headers, body=said)
                    assert kept.status == 200, kept.body

        async with Client() as client:
            numbers = range(self.number, self.number + requests)
            self.number += requests
            await asyncio.gather(*(ask(client, number) for number in numbers))
        return served


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    folder = tmp_path / "project"
    root = folder / "services" / "answers"
    for name in ("datasets", "variants", "changes", "prompts"):
        (root / name).mkdir(parents=True)
    with Upstream() as upstream:
        write(folder / "proveout.yaml", {"project": "town"})
        (root / "prompts" / "ask.md").write_text("{{ question }}\n")
        (root / "datasets" / "golden.jsonl").write_text(
            '{"id": "1", "input": {"question": "q"}, "expected": "right"}\n'
        )
        write(
            root / "service.yaml",
            {
                "service": "answers",
                "input": ["question"],
                "datasets": {"golden": "datasets/golden.jsonl"},
                "scorers": ["exact_match"],
                "champion": "base",
                "objectives": {"accuracy": {"metric": "exact_match", "margin": 0.15}},
                "rollout": {"unit": "user", "steps": STEPS},
            },
        )
        for name in ("base", "new"):
            model = {
                "provider": "openai-compatible",
                "name": name,
                "url": f"http://127.0.0.1:{upstream.port}/v1",
            }
            write(root / "variants" / f"{name}.yaml", {"variant": name, "model": model, "prompt": "prompts/ask.md"})
        write(
            root / "changes" / "new.yaml",
            {"change": "new", "service": "answers", "challenger": "new", "improves": [], "hypothesis": "as good"},
        )
        write_environment(folder, "base")
        town = Town(folder, upstream)
        town.controller.start()
        town.gateway.start()
        try:
            wait_for_port(town.port)
            yield town
        finally:
            for process in (town.gateway, town.controller):
                process.kill()


def write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


def started(town: Town) -> None:
    """A rollout whose release the gateway has."""
    done = town.command("rollout", "start", "new", "--as", "ada")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: "new" in town.traffic(4, feedback=False), "the canary to serve", interval_s=0.3)


def until_over(town: Town, each: int = 40, seconds: float = 90.0) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        town.traffic(each)
        with open_store(town.store_url) as store:
            if not active(store):
                break
    return town.status()


def active(store: Store) -> bool:
    row = store.deliveries.latest("production", "answers")
    return row is not None and row.status in ("running", "paused")


def test_a_good_challenger_becomes_champion_and_serves_alone(town: Town) -> None:
    started(town)
    status = until_over(town)
    assert status["schema"] == "proveout.rollout/v1"
    assert status["state"] == "promoted", (status, town.controller.log)
    assert status["weights"] == {"new": 1.0}
    assert {signal["signal"] for signal in status["signals"]} >= {"errors", "feedback:ok"}
    wait_until(lambda: set(town.traffic(8)) == {"new"}, "the new champion to serve alone", interval_s=0.3)


def test_a_worse_challenger_that_answers_200_is_rolled_back_and_its_failures_are_kept(town: Town) -> None:
    town.upstream.bad = {"new": 0.4, "base": 0.05}
    started(town)
    status = until_over(town)
    assert status["state"] == "rolled_back", (status, town.controller.log)
    assert "feedback:ok is worse" in status["reason"]
    with open_store(town.store_url) as store:
        kept = store.deliveries.failures("answers")
        assert kept
        assert {failure.signal for failure in kept} == {"feedback:ok"}
        assert all(store.traces.get(failure.trace) is not None for failure in kept)
    wait_until(lambda: set(town.traffic(8)) == {"base"}, "the champion to serve alone", interval_s=0.3)


def test_an_outage_trips_the_kill_switch_and_users_get_the_champions_answers(town: Town) -> None:
    started(town)
    town.upstream.down = {"new"}
    for _ in range(80):
        assert set(town.traffic(2, feedback=False)) == {"base"}  # The gateway falls back, so that no user sees it.
        time.sleep(0.3)  # Seven requests a second: a trace takes its way through the store to a decision and back.
        with open_store(town.store_url) as store:
            if not active(store):
                break
    status = town.status()
    assert status["state"] == "rolled_back"
    assert "kill switch" in status["reason"]
    with open_store(town.store_url) as store:
        traces = [one.trace for one in store.traces.after(limit=10_000)]
    challenger = status["challenger"]["fingerprint"]
    failed = [trace for trace in traces if trace.chosen == challenger and trace.variant != challenger]
    assert len(failed) <= 20


def test_processes_killed_at_any_time_lose_no_decision_and_change_no_assignment(town: Town) -> None:
    random_ = random.Random(3)
    started(town)
    before = assignments(town)
    for _ in range(10):
        town.traffic(10)
        victim = random_.choice([town.controller, town.gateway])
        victim.kill()
        if victim is town.gateway:
            victim.start()
            wait_for_port(town.port)
        else:
            victim.start()
    with open_store(town.store_url) as store:
        if active(store) and store.deliveries.latest("production", "answers").status == "running":  # pyright: ignore
            assert assignments(town) == before
    status = until_over(town)
    assert status["state"] == "promoted", (status, town.controller.log[-2000:])
    with open_store(town.store_url) as store:
        assert store.audit.problems() == []
        actions = [entry.action for entry in store.audit.after()]
    assert actions.count("adopt") == 1
    assert actions.count("start") == 1
    assert actions.count("advance") == 1


def assignments(town: Town) -> dict[str, str]:
    """Which variant each of some users gets."""

    async def ask() -> dict[str, str]:
        found: dict[str, str] = {}
        async with Client() as client:
            for number in range(12):
                answer = await client.send(
                    "POST",
                    f"http://127.0.0.1:{town.port}/v1/chat/completions",
                    headers={"content-type": "application/json", "x-proveout-unit": f"sticky-{number}"},
                    body=json.dumps({"model": "answers", "messages": [{"role": "user", "content": "q"}]}).encode(),
                )
                found[f"sticky-{number}"] = str(answer.headers.get("x-proveout-variant"))
        return found

    return asyncio.run(ask())


def test_the_controller_takes_alerts_and_ends_in_good_order(town: Town, tmp_path: Path) -> None:
    town.controller.kill()
    town.controller = Process(
        tmp_path / "door.log", "controller", "-C", town.folder, "--interval", "0.1", "--port", "0"
    )
    town.controller.start()
    wait_until(lambda: "/alerts" in town.controller.log, "the door to open")
    url = re.search(r"http://\S+/alerts", town.controller.log)
    assert url is not None
    started(town)
    alert = {"version": "4", "status": "firing", "alerts": [
        {"status": "firing", "labels": {"alertname": "Slow", "service": "answers"}, "annotations": {}}
    ]}  # fmt: skip

    async def post(body: bytes) -> int:
        async with Client() as client:
            return (await client.send("POST", url[0], body=body)).status

    assert asyncio.run(post(b"{")) == 400
    assert asyncio.run(post(json.dumps(alert).encode())) == 200
    assert town.status()["state"] == "rolled_back"
    assert "Slow is firing" in town.status()["reason"]
    assert town.controller.kill(signal.SIGTERM) == 0
    town.controller.start()
