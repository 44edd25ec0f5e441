"""What a request costs on its way through the gateway, against nginx as the limit, in one run on the same upstream.

    python benchmarks/gateway/overhead.py [--requests 4000] [--rounds 5]

The gateway does all that it does in production: a client key, a body of 2 KB parsed and rewritten, a sticky draw
between two variants, usage and cost read from the answer, metrics, and a trace in the store. nginx passes bytes on. The
upstream is another nginx with a fixed answer (streams: a server of ours that sends 64 events, 10 ms apart). Beside
them runs `bare.py`, which only rewrites a body and passes it on: the floor of what Python can do here.

CPU is user and system time of all processes of the one measured, from /proc. Rounds are interleaved; medians are shown.
On a busy machine trust CPU and ratios, not milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import uvloop

from proveout.project import load_project
from proveout.storage import Release, open_store
from proveout.testing.servers import free_port, wait_for_port

HERE = Path(__file__).parent
KEY = "pk-benchmark"
USERS = 500
TICK = os.sysconf("SC_CLK_TCK")
LIMITS = {
    "cpu": 3.0,
    "p50_ms": 0.3,
    "ttft_ms": 0.3,
    "p99": 2.0,
    "rss_mb": 100.0,
    "start_s": 0.5,
}


def nginx_config(folder: Path, port: int, inside: str) -> str:
    paths = " ".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/log crit;
events {{ worker_connections 4096; }}
http {{ access_log off; {paths} keepalive_requests 100000000; client_body_buffer_size 128k; {inside}
"""


def upstream_config(folder: Path, port: int) -> str:
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "x" * 600}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 500, "completion_tokens": 120, "total_tokens": 620},
    }
    server = f"server {{ listen 127.0.0.1:{port} backlog=1024; default_type application/json;"
    return nginx_config(folder, port, f"{server} location / {{ return 200 '{json.dumps(answer)}'; }} }} }}")


def proxy_config(folder: Path, port: int, upstream: int) -> str:
    pool = f"upstream up {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 100000000; }}"
    settings = 'proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;'
    location = f"location / {{ {settings} }}"
    return nginx_config(folder, port, f"{pool} server {{ listen 127.0.0.1:{port} backlog=1024; {location} }} }}")


@contextmanager
def started(command: list[str], port: int, **others: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, **others)
    try:
        wait_for_port(port)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@contextmanager
def nginx(text: str, port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    folder.mkdir()
    (folder / "conf").write_text(text)
    with started(["nginx", "-c", str(folder / "conf"), "-p", str(folder)], port) as process:
        yield process


def write_project(root: Path, url: str) -> None:
    home = root / "services" / "svc"
    (home / "variants").mkdir(parents=True)
    (home / "datasets").mkdir()
    (home / "datasets" / "golden.jsonl").write_text('{"id": "1", "input": {"q": "a"}, "expected": "b"}\n')
    files = {
        root / "proveout.yaml": {"project": "benchmark"},
        root / "gateway.yaml": {"keys": {"load": {"hash": f"sha256:{sha256(KEY.encode()).hexdigest()}"}}},
        root / "prices.yaml": {
            "prices": [
                {"provider": "openai-compatible", "model": "gpt", "since": "2026-01-01", "input": 1.0, "output": 2.0}
            ]
        },
        home / "service.yaml": {
            "service": "svc",
            "input": ["q"],
            "datasets": {"golden": "datasets/golden.jsonl"},
            "scorers": ["exact_match"],
            "champion": "base",
            "objectives": {"accuracy": {"metric": "exact_match", "margin": 0.02}},
        },
    }
    for name, temperature in (("base", 0), ("next", 0.5)):
        files[home / "variants" / f"{name}.yaml"] = {
            "variant": name,
            "model": {"provider": "openai-compatible", "name": "gpt", "url": url},
            "parameters": {"temperature": temperature},
        }
    for path, value in files.items():
        path.write_text(json.dumps(value))
    project = load_project(root)
    weights = {variant.fingerprint: 0.5 for variant in project.services["svc"].variants.values()}
    with open_store(project.store_url) as store:
        store.releases.publish(Release(environment="dev", service="svc", weights=weights))


@contextmanager
def gateway(
    root: Path, port: int, seconds: list[float], *, profile: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "proveout", "gateway", "-C", str(root), "--port", str(port)]
    if profile is not None:
        command = [sys.executable, str(HERE / "profiled.py"), str(profile), *command[3:]]
    began = time.monotonic()
    with started(command, port, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        seconds.append(time.monotonic() - began)
        time.sleep(2)  # The store's release is followed within half a second.
        yield process


def family(pid: int) -> Iterator[int]:
    yield pid
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                yield from family(int(child))
    except OSError:
        return


def cpu_s(pid: int) -> float:
    total = 0
    for member in family(pid):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def rss_mb(pid: int) -> float:
    pages = sum(int(Path(f"/proc/{member}/statm").read_text().split()[1]) for member in family(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def request(stream: bool, number: int = 0) -> bytes:
    """One of many users' requests, each about 2 KB and of a length of its own."""
    question = "x" * (950 + number * 37 % 100)
    messages = [{"role": "system", "content": "y" * 1000}, {"role": "user", "content": question}]
    body = json.dumps({"model": "svc", "messages": messages, "user": f"u-{number}", "stream": stream}).encode()
    lines = (
        "POST /v1/chat/completions HTTP/1.1",
        "host: h",
        "content-type: application/json",
        f"authorization: Bearer {KEY}",
    )
    head = "\r\n".join(lines)
    return f"{head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


class Caller(asyncio.Protocol):
    """Sends one request after the other, and times each: first content and last byte."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.data = bytearray()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.next()

    def next(self) -> None:
        if self.load.left <= 0:
            self.transport.close()
            return
        self.load.left -= 1
        self.data.clear()
        request = self.load.requests[self.load.left % len(self.load.requests)]
        self.first = 0.0
        self.sent = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        self.data += data
        if not self.first and b"data: " in self.data:
            self.first = now
        if self.complete():
            self.load.took.append(now - self.sent)
            self.load.first.append(self.first - self.sent)
            self.load.bad += not self.data.startswith(b"HTTP/1.1 200")
            if self.load.pause_s:
                asyncio.get_running_loop().call_later(self.load.pause_s, self.next)
            else:
                self.next()

    def complete(self) -> bool:
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self.data[:end]).lower()
        if b"transfer-encoding: chunked" in head:
            return self.data.endswith(b"0\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
        return len(self.data) >= end + 4 + length

    def connection_lost(self, error: Exception | None) -> None:
        self.load.closed()


class Load:
    def __init__(self, count: int, *, stream: bool = False, pause_s: float = 0.0) -> None:
        self.left = count
        self.requests = [request(stream, number) for number in range(USERS)]
        self.pause_s = pause_s
        self.took: list[float] = []
        self.first: list[float] = []
        self.bad = 0

    async def run(self, port: int, concurrency: int) -> Load:
        loop = asyncio.get_running_loop()
        self.open = concurrency
        self.done = loop.create_future()
        for _ in range(concurrency):
            await loop.create_connection(lambda: Caller(self), "127.0.0.1", port)
        await self.done
        assert not self.bad, f"{self.bad} answers were no 200"
        return self

    def closed(self) -> None:
        self.open -= 1
        if not self.open and not self.done.done():
            self.done.set_result(None)


def loaded(port: int, concurrency: int, count: int, **others: Any) -> Load:
    return uvloop.run(Load(count, **others).run(port, concurrency))


def quantile(values: list[float], q: float) -> float:
    return sorted(values)[min(int(len(values) * q), len(values) - 1)]


def measured(port: int, pid: int, concurrency: int, count: int, **others: Any) -> dict[str, float]:
    before = cpu_s(pid)
    load = loaded(port, concurrency, count, **others)
    spent = cpu_s(pid) - before
    return {
        "cpu_us": spent / count * 1e6,
        "p50_ms": quantile(load.took, 0.5) * 1e3,
        "p99_ms": quantile(load.took, 0.99) * 1e3,
        "ttft_ms": quantile(load.first, 0.5) * 1e3,
    }


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def compare(
    ports: dict[str, tuple[int, int]], rounds: int, *arguments: Any, **others: Any
) -> dict[str, dict[str, float]]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ports}
    for number in range(rounds):
        names = list(ports) if number % 2 else list(ports)[::-1]
        for name in names:
            port, pid = ports[name]
            found[name].append(measured(port, pid, *arguments, **others))
    return {name: medians(runs) for name, runs in found.items()}


def show(title: str, found: dict[str, dict[str, float]], field: str, value: float, limit: float, unit: str) -> None:
    each = ", ".join(f"{name} {figures[field]:.2f}" for name, figures in found.items())
    print(f"{title:<44} {value:7.2f} {unit:<5} (at most {limit:g}; {each})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", type=Path, help="write a profile of the gateway under load here, and nothing else")
    options = parser.parse_args()
    if shutil.which("nginx") is None:
        sys.exit("nginx is not installed; apt-get install nginx-light")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fixed, direct_proxy, bare, stream, stream_proxy, served, streaming = (free_port() for _ in range(7))
        (folder / "plain").mkdir()
        (folder / "stream").mkdir()
        write_project(folder / "plain", f"http://127.0.0.1:{fixed}")
        write_project(folder / "stream", f"http://127.0.0.1:{stream}")
        start: list[float] = []
        with (
            nginx(upstream_config(folder / "up", fixed), fixed, folder / "up"),
            nginx(proxy_config(folder / "proxy", direct_proxy, fixed), direct_proxy, folder / "proxy") as limit,
            started([sys.executable, str(HERE / "bare.py"), str(bare), str(fixed)], bare) as floor,
            gateway(folder / "plain", served, start, profile=options.profile) as ours,
        ):
            if options.profile is not None:
                loaded(served, 16, options.requests * options.rounds)
                return
            ports = {
                "nginx": (direct_proxy, limit.pid),
                "bare Python": (bare, floor.pid),
                "proveout": (served, ours.pid),
            }
            plain(options, ports, fixed)
            print(f"{'memory after the run':<44} {rss_mb(ours.pid):7.1f} MB    (at most {LIMITS['rss_mb']:g})")
        for _ in range(3):
            with gateway(folder / "plain", served, start):
                pass
        print(f"{'start until it answers':<44} {min(start):7.2f} s     (at most {LIMITS['start_s']:g}; best of 4)")
        with (
            started([sys.executable, str(HERE / "events.py"), str(stream)], stream),
            nginx(proxy_config(folder / "sproxy", stream_proxy, stream), stream_proxy, folder / "sproxy") as limit,
            gateway(folder / "stream", streaming, start) as ours,
        ):
            ports = {
                "direct": (stream, os.getpid()),
                "nginx": (stream_proxy, limit.pid),
                "proveout": (streaming, ours.pid),
            }
            found = compare(ports, 3, 1, 12, stream=True)
            added = found["proveout"]["ttft_ms"] - found["direct"]["ttft_ms"]
            show("streams: added time to first event", found, "ttft_ms", added, LIMITS["ttft_ms"], "ms")
            found = compare({name: ports[name] for name in ("nginx", "proveout")}, 3, 32, 200, stream=True)
            ratio = found["proveout"]["cpu_us"] / found["nginx"]["cpu_us"]
            show("streams: CPU per stream, times nginx", found, "cpu_us", ratio, LIMITS["cpu"], "x")


def plain(options: argparse.Namespace, ports: dict[str, tuple[int, int]], upstream: int) -> None:
    for port, _ in ports.values():
        loaded(port, 16, 500)
    found = compare(ports, options.rounds, 16, options.requests)
    ratio = found["proveout"]["cpu_us"] / found["nginx"]["cpu_us"]
    show("CPU per request at concurrency 16, times nginx", found, "cpu_us", ratio, LIMITS["cpu"], "x")
    found = compare(ports, options.rounds, 64, options.requests)
    ratio = found["proveout"]["p99_ms"] / found["nginx"]["p99_ms"]
    show("p99 at concurrency 64, times nginx", found, "p99_ms", ratio, LIMITS["p99"], "x")
    found = compare({"direct": (upstream, os.getpid()), **ports}, 3, 1, 100, pause_s=0.02)
    added = found["proveout"]["p50_ms"] - found["direct"]["p50_ms"]
    show("added p50 at a low rate", found, "p50_ms", added, LIMITS["p50_ms"], "ms")


if __name__ == "__main__":
    main()
