"""A project whose variants are scripted endpoints, and a gateway that serves it, for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proveout import wire
from proveout.gateway.process import Listening, Running, running
from proveout.project import Project, load_project
from proveout.storage import Trace, open_store
from proveout.testing.faults import Answer, Received

MESSAGES = [{"role": "user", "content": "hello"}]
PLAIN = json.dumps({"model": "chat", "messages": MESSAGES}).encode()


def completion(text: str = "Hi.", **others: Any) -> dict[str, Any]:
    """An answer of chat completions."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "upstream-model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
        **others,
    }


def chunk(delta: Mapping[str, Any] | None = None, finish: str | None = None, **others: Any) -> str:
    """An event of a stream, as its JSON."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return json.dumps({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": choices, **others})


USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
STREAM = (
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Hi"}),
    chunk({"content": "."}),
    chunk({}, "stop"),
    chunk(usage=USAGE),
    "[DONE]",
)


def write_project(
    folder: Path,
    variants: Mapping[str, Mapping[str, Any] | str],
    *,
    service: Mapping[str, Any] | None = None,
    environments: Mapping[str, Any] | None = None,
    gateway: Mapping[str, Any] | None = None,
    store: str | None = None,
    prices: Sequence[Mapping[str, Any]] | None = None,
    telemetry: Mapping[str, Any] | None = None,
) -> Path:
    """A project with one service `chat`; a variant is the address of its endpoint, or its file's content."""
    root = folder / "project"
    home = root / "services" / "chat"
    (home / "variants").mkdir(parents=True, exist_ok=True)
    (home / "datasets").mkdir(exist_ok=True)
    (root / "environments").mkdir(exist_ok=True)
    named = {"project": "tested", "store": store, "telemetry": telemetry}
    _write(root / "proveout.yaml", {name: said for name, said in named.items() if said is not None})
    (home / "datasets" / "golden.jsonl").write_text(
        json.dumps({"id": "1", "input": {"question": "hello"}, "expected": "Hi."}) + "\n"
    )
    declared = {
        "service": "chat",
        "input": ["question"],
        "datasets": {"golden": "datasets/golden.jsonl"},
        "scorers": ["exact_match"],
        "champion": next(iter(variants)),
        "objectives": {"accuracy": {"metric": "exact_match", "margin": 0.02}},
    }
    _write(home / "service.yaml", declared | dict(service or {}))
    for name, said in variants.items():
        if isinstance(said, str):
            said = {"model": {"provider": "openai-compatible", "name": f"model-{name}", "url": said}}
        _write(home / "variants" / f"{name}.yaml", {"variant": name, **said})
    for name, releases in (environments or {}).items():
        _write(root / "environments" / f"{name}.yaml", {"environment": name, "releases": releases})
    if gateway is not None:
        _write(root / "gateway.yaml", gateway)
    if prices is not None:
        _write(root / "prices.yaml", {"prices": list(prices)})
    return root


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1))


@dataclass
class World:
    """A gateway that serves, and a client for it."""

    root: Path
    project: Project
    run: Running
    client: wire.Client

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.run.server.port}"

    async def ask(self, body: Mapping[str, Any] | bytes = b"", **headers: str) -> wire.Response:
        """A chat completion; by default a plain one of the service."""
        if not isinstance(body, bytes):
            body = {"model": "chat", "messages": MESSAGES, **body}
        return await self.post("/v1/chat/completions", body or PLAIN, **headers)

    async def post(self, path: str, body: Mapping[str, Any] | bytes, **headers: str) -> wire.Response:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = [(name.replace("_", "-"), text) for name, text in headers.items()]
        return await self.client.send("POST", self.url + path, headers=named, body=data)

    async def get(self, path: str, **headers: str) -> wire.Response:
        return await self.client.send("GET", self.url + path, headers=list(headers.items()))

    async def traces(self, count: int) -> list[Trace]:
        """All traces, once there are so many in the store."""
        await until(lambda: len(self.stored()) >= count)
        return self.stored()

    async def serves(self, epoch: int) -> None:
        """Wait until a release is served."""
        while json.loads((await self.get("/readyz")).body)["releases"]["chat"]["epoch"] != epoch:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    def stored(self) -> list[Trace]:
        with open_store(self.project.store_url) as store:
            return [one.trace for one in store.traces.after(limit=10_000)]

    def fingerprint(self, variant: str) -> str:
        return self.project.services["chat"].variants[variant].fingerprint


@asynccontextmanager
async def world(
    folder: Path, variants: Mapping[str, Any], *, environment: str = "dev", **others: Any
) -> AsyncIterator[World]:
    """A gateway for a project written by `write_project`."""
    root = write_project(folder, variants, **others)
    project = load_project(root)
    async with (
        running(project, environment, Listening(port=0)) as run,
        wire.Client(trust_env=False) as client,
    ):
        yield World(root, project, run, client)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something; the test's own time-out bounds it."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.03)


def echo(request: Received) -> Answer:
    """Answers with what it was sent, as the message's text."""
    return Answer.json(completion(request.body.decode()))


def said(response: wire.Response) -> str:
    return json.loads(response.body)["choices"][0]["message"]["content"]


def error(response: wire.Response) -> dict[str, Any]:
    return json.loads(response.body)["error"]


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return wire.run(_bounded(coroutine))


async def _bounded(coroutine: Coroutine[Any, Any, Any]) -> Any:
    async with asyncio.timeout(60):
        return await coroutine


def stream(*events: str, **others: Any) -> Answer:
    return Answer(events=events or STREAM, **others)
