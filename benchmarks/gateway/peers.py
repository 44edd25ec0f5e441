"""What a request costs in other gateways, beside ours and nginx, in one run on the same upstream.

    make peers
    python -m benchmarks.gateway.peers [--litellm .peers/clients] [--portkey .peers/node] [--requests 4000] [--rounds 3]

One that is not installed is left out. LiteLLM and Portkey do less here than ours does: no store, no traces, no sticky
draw between variants (their lightest settings). LiteLLM is started twice, so that compiling its Python is not counted.
Rounds are interleaved; medians are shown, as multiples of nginx. CPU is that of all processes of the one measured.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import uvloop
from benchmarks.gateway.overhead import (
    KEY,
    Load,
    cpu_s,
    gateway,
    medians,
    nginx,
    proxy_config,
    quantile,
    rss_mb,
    upstream_config,
    write_project,
)

from proveout.testing.servers import free_port, wait_for_port

SLOWER = 12
"""How many times fewer requests a peer gets in a round: they take that much longer at least."""


class Measured(NamedTuple):
    """A gateway that runs: where, what it asks of a client, and how long it took to start."""

    port: int
    pid: int
    head: bytes
    requests: int
    start_s: float


def ask(one: Measured, concurrency: int, requests: int, pause_s: float = 0.0) -> Load:
    load = Load(requests, pause_s=pause_s)
    load.request = load.request.replace(b"authorization: Bearer %b\r\n" % KEY.encode(), one.head)
    return uvloop.run(load.run(one.port, concurrency))


def figures(one: Measured) -> dict[str, float]:
    before = cpu_s(one.pid)
    busy = ask(one, 16, one.requests)
    spent = cpu_s(one.pid) - before
    calm = ask(one, 1, 40, pause_s=0.02)
    return {
        "cpu_us": spent / one.requests * 1e6,
        "p50_ms": quantile(calm.took, 0.5) * 1e3,
        "p99_ms": quantile(busy.took, 0.99) * 1e3,
    }


@contextmanager
def peer(command: list[str], port: int, head: bytes, requests: int, folder: Path, **env: str) -> Iterator[Measured]:
    began = time.monotonic()
    with (folder / f"log-{port}").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, **env}, stdout=log, stderr=log)
        try:
            wait_for_port(port, timeout_s=180)
            yield Measured(port, process.pid, head, requests, time.monotonic() - began)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def litellm(venv: Path, upstream: int, requests: int, folder: Path) -> AbstractContextManager[Measured]:
    """LiteLLM's proxy without a database, spend logs, Redis or callbacks."""
    key, port = f"sk-{secrets.token_hex(24)}", free_port()
    parameters = {"model": "openai/gpt", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "unused"}
    config = {
        "model_list": [{"model_name": "svc", "litellm_params": parameters}],
        "general_settings": {"master_key": key},
        "litellm_settings": {"telemetry": False},
    }
    (folder / "litellm.yaml").write_text(json.dumps(config))
    command = [str(venv / "bin" / "litellm"), "--config", "litellm.yaml", "--host", "127.0.0.1", "--port", str(port)]
    head = f"authorization: Bearer {key}\r\n".encode()
    settings = {"PYTHONDONTWRITEBYTECODE": "", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with peer(command, port, head, requests, folder, **settings):
        pass
    return peer(command, port, head, requests, folder, **settings)


def portkey(node: Path, upstream: int, requests: int, folder: Path) -> AbstractContextManager[Measured]:
    """Portkey's open gateway; the client names the provider."""
    port = free_port()
    script = node.resolve() / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    config = {"provider": "openai", "custom_host": f"http://127.0.0.1:{upstream}/v1", "api_key": "unused"}
    head = f"x-portkey-config: {json.dumps(config)}\r\n".encode()
    command = [shutil.which("node") or "node", str(script), f"--port={port}", "--headless"]
    return peer(command, port, head, requests, folder, NODE_ENV="production", TRUSTED_CUSTOM_HOSTS="127.0.0.1")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--litellm", type=Path, default=Path(".peers/clients"), help="virtual environment with it")
    parser.add_argument("--portkey", type=Path, default=Path(".peers/node"), help="folder whose node_modules hold it")
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if shutil.which("nginx") is None:
        sys.exit("nginx is not installed; apt-get install nginx-light")
    few = max(50, options.requests // SLOWER)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        upstream, proxy, served = (free_port() for _ in range(3))
        (folder / "project").mkdir()
        write_project(folder / "project", f"http://127.0.0.1:{upstream}")
        stack.enter_context(nginx(upstream_config(folder / "up", upstream), upstream, folder / "up"))
        limit = stack.enter_context(nginx(proxy_config(folder / "proxy", proxy, upstream), proxy, folder / "proxy"))
        start: list[float] = []
        ours = stack.enter_context(gateway(folder / "project", served, start))
        plain = f"authorization: Bearer {KEY}\r\n".encode()
        all_of_them = {
            "nginx": Measured(proxy, limit.pid, plain, options.requests, 0.0),
            "proveout": Measured(served, ours.pid, plain, options.requests, start[0]),
        }
        if (options.litellm / "bin" / "litellm").exists():
            found = litellm(options.litellm.absolute(), upstream, few, folder)
            all_of_them["litellm"] = stack.enter_context(found)
        if (options.portkey / "node_modules" / "@portkey-ai" / "gateway").is_dir():
            all_of_them["portkey"] = stack.enter_context(portkey(options.portkey, upstream, few, folder))
        for one in all_of_them.values():
            ask(one, 16, min(one.requests, 500))
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in all_of_them}
        for number in range(options.rounds):
            for name in list(all_of_them)[:: 1 if number % 2 else -1]:
                runs[name].append(figures(all_of_them[name]))
        report(all_of_them, {name: medians(some) for name, some in runs.items()})


def report(measured: dict[str, Measured], found: dict[str, dict[str, float]]) -> None:
    limit = found["nginx"]
    print(f"{'':<10} {'CPU us/request':>15} {'x nginx':>9} {'p50 ms':>8} {'p99 ms':>8} {'RSS MB':>8} {'start s':>8}")
    for name, one in found.items():
        print(
            f"{name:<10} {one['cpu_us']:>15.0f} {one['cpu_us'] / limit['cpu_us']:>9.1f} {one['p50_ms']:>8.2f} "
            f"{one['p99_ms']:>8.1f} {rss_mb(measured[name].pid):>8.0f} {measured[name].start_s:>8.2f}"
        )
    ours = found["proveout"]["cpu_us"]
    for name in found.keys() - {"nginx", "proveout"}:
        print(f"{name} takes {found[name]['cpu_us'] / ours:.0f} times the CPU of ours for a request")


if __name__ == "__main__":
    main()
