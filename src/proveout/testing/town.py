"""A rollout with real processes: a gateway, a controller, models behind an endpoint with faults on demand, and users.

```python
with town(folder, steps=[{"canary": {"weight": 0.5, "requests": 60}}]) as place:
    place.start_rollout()
    place.traffic(200)
    place.controller.kill()
```
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from proveout.storage import Feedback, Store, open_store
from proveout.testing.servers import PostgresServer, free_port, wait_for_port, wait_until
from proveout.wire import Client, Responder, ServerRequest, WireError, serve

SERVICE, CHANGE, CHAMPION, CHALLENGER = "answers", "new", "base", "new"
USERS = 200
"""Users who come again and again while processes are killed."""

SCORED: Mapping[str, Any] = {
    "online": {"scorers": [{"contains": {"any": ["right"], "metric": "right"}}], "sample": 1.0},
    "gateway": {"content": {"capture": "all"}},
}
"""For `town`: every answer is kept, and scored by an online scorer."""

_JSON = {"content-type": "application/json"}


class Upstream:
    """Two models behind one OpenAI-compatible endpoint. `bad` is by model the share of wrong answers, at HTTP 200;
    `down` names models that answer 500.
    """

    def __init__(self, seed: int = 7) -> None:
        self.bad: dict[str, float] = {}
        self.down: set[str] = set()
        self._random = random.Random(seed)
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
        headers = list(_JSON.items())
        if model in self.down:
            responder.reply(500, headers, b'{"error":{"message":"down","type":"server_error"}}')
            return
        text = "wrong" if self._random.random() < self.bad.get(model, 0.0) else "right"
        body = {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
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
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            self._running = subprocess.Popen(command, stdout=log, stderr=log, env=environment)  # noqa: S603

    def kill(self, how: signal.Signals = signal.SIGKILL) -> int:
        """End it; returns its exit code."""
        if self._running is None:
            return 0
        self._running.send_signal(how)
        return self._running.wait(30)

    @property
    def log(self) -> str:
        return self._log.read_text()


class Town:
    """All of it. `acknowledged` are the traces whose feedback was taken."""

    def __init__(self, folder: Path, upstream: Upstream, store_url: str) -> None:
        self.folder = folder
        self.upstream = upstream
        self.port = free_port()
        self.store_url = store_url
        where = ("-C", folder)
        logs = folder.parent
        self.gateway = Process(
            logs / "gateway.log", "gateway", *where, "--environment", "production", "--port", self.port
        )
        self.controller = Process(logs / "controller.log", "controller", *where, "--interval", "0.1")
        self.acknowledged: set[str] = set()
        self.refused = 0
        self._number = 0

    def command(self, *words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "proveout", *map(str, words), "-C", str(self.folder)]
        return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603

    def status(self) -> dict[str, Any]:
        """`proveout rollout status SERVICE --json -`."""
        done = self.command("rollout", "status", SERVICE, "--json", "-")
        if done.returncode:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout)

    def store(self) -> Store:
        return open_store(self.store_url)

    def active(self) -> bool:
        """Whether a rollout goes on."""
        with self.store() as store:
            row = store.deliveries.latest("production", SERVICE)
        return row is not None and row.status in ("running", "paused")

    def start_rollout(self) -> None:
        """Begin a rollout, and wait until the gateway follows it."""
        done = self.command("rollout", "start", CHANGE, "--as", "ada")
        if done.returncode:
            raise RuntimeError(done.stderr)
        wait_until(lambda: CHALLENGER in self.traffic(4, feedback=False), "the challenger to serve", interval_s=0.3)

    def until_over(self, each: int = 40, most: int = 8_000) -> dict[str, Any]:
        """Traffic until the rollout is over, at most so many requests; returns the status then."""
        for _ in range(most // each):
            self.traffic(each)
            if not self.active():
                break
        self.catch_up()
        return self.status()

    def catch_up(self, timeout_s: float = 60.0) -> None:
        """A few more users until the rollout is over: they can be quicker than the controller's looks at them."""
        deadline = time.monotonic() + timeout_s
        while self.active() and time.monotonic() < deadline:
            self.traffic(2, feedback=False)
            time.sleep(0.3)

    def traffic(
        self, requests: int, *, feedback: bool = True, users: int | None = None, patient: bool = False
    ) -> list[str]:
        """Ask so often, and say what the answer was worth; returns who answered. Each asks as another user, or as one
        of so many `users`, over and over. A `patient` one counts what was not answered instead of raising.
        """
        return asyncio.run(self._traffic(requests, feedback, users, patient))

    async def _traffic(self, requests: int, feedback: bool, users: int | None, patient: bool) -> list[str]:
        served: list[str] = []
        numbers = range(self._number, self._number + requests)
        self._number += requests
        limit = asyncio.Semaphore(8)

        async def ask(client: Client, number: int) -> None:
            async with limit:
                try:
                    name = await self._ask(client, number if users is None else number % users, feedback)
                except WireError:
                    if not patient:
                        raise
                    self.refused += 1
                else:
                    served.append(name)

        async with Client() as client:
            await asyncio.gather(*(ask(client, number) for number in numbers))
        return served

    async def _ask(self, client: Client, user: int, feedback: bool) -> str:
        base = f"http://127.0.0.1:{self.port}/v1"
        body = json.dumps({"model": SERVICE, "messages": [{"role": "user", "content": f"q{user}"}]}).encode()
        unit = {"x-proveout-unit": f"user-{user}"}
        answer = await client.send("POST", f"{base}/chat/completions", headers=_JSON | unit, body=body)
        if answer.status != 200:
            raise RuntimeError(f"a user got {answer.status}: {answer.body!r}")
        if feedback:
            ok = json.loads(answer.body)["choices"][0]["message"]["content"] == "right"
            trace = str(answer.headers.get("x-proveout-trace-id"))
            said = json.dumps({"trace_id": trace, "name": "ok", "value": ok}).encode()
            kept = await client.send("POST", f"{base}/feedback", headers=_JSON, body=said)
            if kept.status != 200:
                raise RuntimeError(f"feedback got {kept.status}: {kept.body!r}")
            self.acknowledged.add(trace)
        return str(answer.headers.get("x-proveout-variant"))


def killed_again_and_again(
    place: Town, random_: random.Random, *, kills: int, store: PostgresServer | None = None, each: int = 20
) -> list[str]:
    """Kill one of the processes by signal 9, let users go on meanwhile, start it again; so often. Returns who was
    killed.
    """
    victims = ["controller", "gateway", *(("store",) if store is not None else ())]
    killed: list[str] = []
    for _ in range(kills):
        victim = random_.choice(victims)
        killed.append(victim)
        place.traffic(random_.randrange(each), users=USERS)
        if victim == "store":
            assert store is not None
            store.kill()
            place.traffic(each // 2, users=USERS)  # Users get their answers all the same.
            store.start()
        elif victim == "controller":
            place.controller.kill()
            place.traffic(each // 2, users=USERS)
            place.controller.start()
        else:
            cut = threading.Thread(target=place.traffic, args=(each,), kwargs={"users": USERS, "patient": True})
            cut.start()
            time.sleep(random_.random() * 0.1)
            place.gateway.kill()
            cut.join()
            place.gateway.start()
            wait_for_port(place.port)
    return killed


def consistent(place: Town) -> list[str]:
    """What is wrong after all that: nothing, if no decision, no acknowledged feedback and no assignment was lost."""
    wait_until(lambda: not _missing(place), "acknowledged feedback to arrive in the store", interval_s=0.3)
    found: list[str] = []
    with place.store() as store:
        found += store.audit.problems()
        epochs = [one.epoch for one in store.releases.history("production", SERVICE)]
        if epochs != list(range(1, len(epochs) + 1)):
            found.append(f"epochs are {epochs}")
        row = store.deliveries.latest("production", SERVICE)
        release = store.releases.current("production")[SERVICE]
        state = json.loads(row.body) if row is not None else {}
        serving = state.get("challenger" if state.get("status") == "promoted" else "champion", {})
        if row is None or set(release.weights) != {serving["fingerprint"]}:
            found.append(f"the release {release.weights} is not what the rollout says ({state.get('status')})")
        trail = store.audit.after(limit=100_000)
        for once in ("adopt", "start"):
            if (count := sum(entry.action == once for entry in trail)) != 1:
                found.append(f"{count} entries say {once}")
        steps = [entry.body["step"] for entry in trail if entry.action == "advance"]
        if steps != sorted(set(steps)):
            found.append(f"steps were taken twice: {steps}")
        drawn: dict[tuple[str, int], set[str]] = {}
        position = 0
        while page := store.traces.after(position, limit=5_000):
            position = page[-1].position
            for _, trace in page:
                if trace.unit is not None:
                    drawn.setdefault((trace.unit, trace.epoch), set()).add(trace.chosen)
        names = [(feedback.trace, feedback.name) for feedback in _feedback(store)]
        scored = [name for name in names if name[1].startswith("scorer:")]
        if len(scored) != len(set(scored)):
            found.append("answers were scored twice")
        if (place.folder / "gateway.yaml").exists() and not scored:
            found.append("no answer was scored")
        changed = [unit for (unit, _), variants in drawn.items() if len(variants) > 1]
        if changed:
            found.append(f"{len(changed)} users got two variants in one epoch")
    return found


def _missing(place: Town) -> set[str]:
    with place.store() as store:
        return place.acknowledged - {feedback.trace for feedback in _feedback(store) if feedback.name == "ok"}


def _feedback(store: Store) -> Iterator[Feedback]:
    position = 0
    while page := store.feedback.after(position, limit=5_000):
        position = page[-1][0]
        yield from (feedback for _, feedback in page)


@contextlib.contextmanager
def town(
    folder: Path,
    *,
    steps: Sequence[Mapping[str, Any]],
    store_url: str | None = None,
    margin: float = 0.15,
    seed: int = 7,
    gateway: Mapping[str, Any] | None = None,
    **service: Any,
) -> Iterator[Town]:
    """A project in a new folder, its gateway and controller running, and all gone at the end.

    Args:
        store_url: where its store is; SQLite in the project unless set.
        gateway: `gateway.yaml`.
        service: further fields of `service.yaml`.
    """
    root = folder / "services" / SERVICE
    for name in ("datasets", "variants", "changes", "prompts"):
        (root / name).mkdir(parents=True)
    (folder / "environments").mkdir()
    with Upstream(seed) as upstream:
        _write(folder / "proveout.yaml", {"project": "town"} | ({"store": "env:TOWN_STORE"} if store_url else {}))
        _write(
            folder / "environments" / "production.yaml",
            {"environment": "production", "releases": {SERVICE: {"champion": CHAMPION}}},
        )
        if gateway is not None:
            _write(folder / "gateway.yaml", gateway)
        (root / "prompts" / "ask.md").write_text("{{ question }}\n")
        (root / "datasets" / "golden.jsonl").write_text(
            '{"id": "1", "input": {"question": "q"}, "expected": "right"}\n'
        )
        declared = {
            "service": SERVICE,
            "input": ["question"],
            "datasets": {"golden": "datasets/golden.jsonl"},
            "scorers": ["exact_match"],
            "champion": CHAMPION,
            "objectives": {"accuracy": {"metric": "exact_match", "margin": margin}},
            "rollout": {"unit": "user", "steps": list(steps)},
        }
        _write(root / "service.yaml", declared | service)
        for name in (CHAMPION, CHALLENGER):
            url = f"http://127.0.0.1:{upstream.port}/v1"
            model = {"provider": "openai-compatible", "name": name, "url": url}
            _write(root / "variants" / f"{name}.yaml", {"variant": name, "model": model, "prompt": "prompts/ask.md"})
        change = {"change": CHANGE, "service": SERVICE, "challenger": CHALLENGER, "improves": []}
        _write(root / "changes" / f"{CHANGE}.yaml", change)
        place = Town(folder, upstream, store_url or f"sqlite:///{folder}/.proveout/store.db")
        if store_url:
            os.environ["TOWN_STORE"] = store_url
        try:
            place.controller.start()
            place.gateway.start()
            wait_for_port(place.port)
            yield place
        finally:
            os.environ.pop("TOWN_STORE", None)
            for process in (place.gateway, place.controller):
                process.kill()


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
