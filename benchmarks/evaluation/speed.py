"""How fast `proveout run` evaluates: against the ideal, against peers where installed, and again from the cache.

    python -m benchmarks.evaluation.speed [--large]

Prints for 2,000 calls (1,000 examples, two variants) and for 4,000 (2,000 examples) at concurrency 64 against a 50 ms
endpoint: the time from the first request in to the last answer out, measured at the endpoint, over the ideal (calls /
concurrency x delay); CPU seconds of the whole process per 1,000 calls, start-up included; peak memory; and the time of
a second run, which pays for nothing. Then what a call costs beyond the start-up (the difference of the two), and what
of a start is spent on other people's packages; and with `--large` the CPU per example of 2,000 against 200,000.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DELAY_S = 0.05
CONCURRENCY = 64
CALLS = 2_000
READINGS = (CALLS, 2 * CALLS)
"""Calls of a run: of 1,000 and of 2,000 examples by two variants."""


OTHERS = (
    "import typer, pydantic, asyncio, uvloop, numpy, orjson, msgspec, ruamel.yaml, sqlite3, httptools, rich.table\n"
    "pydantic.TypeAdapter(int)"
)


@dataclass(frozen=True)
class Cost:
    """What one process used."""

    wall_s: float
    cpu_s: float
    rss_mb: float
    exit_code: int


def measured(command: list[str], folder: Path, codes: tuple[int, ...] = (0, 1, 3)) -> Cost:
    """Run a command to its end, which must be one of these exit codes."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in codes:
        sys.exit(f"{' '.join(command)} ended with {code}:\n{errors.decode()[-2000:]}")
    return Cost(time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, code)


@contextmanager
def upstream(delay_s: float) -> Iterator[tuple[str, list[dict[str, float]]]]:
    """A running endpoint: its base URL, and a list that holds its own count and span once it has stopped."""
    seen: list[dict[str, float]] = []
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.evaluation.upstream", str(delay_s)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1", seen
    finally:
        process.send_signal(signal.SIGTERM)
        seen.append(json.loads(process.stdout.read()))
        process.wait()


def project(folder: Path, url: str, examples: int) -> Path:
    """Two variants on one endpoint, so that a run makes two calls an example."""
    service = folder / "services" / "echo"
    for name in ("datasets", "variants", "changes", "prompts"):
        (service / name).mkdir(parents=True)
    (folder / "proveout.yaml").write_text("project: bench\n")
    (service / "prompts" / "ask.md").write_text("Say it again: {{ text }}\n")
    with (service / "datasets" / "golden.jsonl").open("w") as file:
        for number in range(examples):
            row = {
                "id": f"e{number}",
                "input": {"text": f"number {number}"},
                "expected": f"Say it again: number {number}",
            }
            file.write(json.dumps(row) + "\n")
    (service / "service.yaml").write_text(
        "service: echo\ninput: [text]\ndatasets: {golden: datasets/golden.jsonl}\nscorers: [exact_match]\n"
        "champion: a\nobjectives: {accuracy: {metric: exact_match, margin: 0.02}}\n"
    )
    for name, temperature in (("a", 0), ("b", 1)):
        (service / "variants" / f"{name}.yaml").write_text(
            f"variant: {name}\nmodel: {{provider: openai-compatible, name: bench, url: '{url}'}}\n"
            f"parameters: {{temperature: {temperature}}}\nprompt: prompts/ask.md\n"
        )
    (service / "changes" / "b.yaml").write_text(
        "change: b\nservice: echo\nchallenger: b\nimproves: []\nhypothesis: As good.\n"
    )
    return folder


def run_command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "proveout", "run", "b", "-C", str(folder), "--concurrency", str(CONCURRENCY), "--yes"]


def line(what: str, figure: str, limit: str, ok: bool) -> None:
    print(f"  {what:<58} {figure:>12}   {limit:<12} {'ok' if ok else 'MISSED'}", flush=True)


def evaluation() -> None:
    first, again = zip(*map(reading, READINGS), strict=True)
    calls = READINGS[1] - READINGS[0]
    print("What a call adds to a run, CPU ms:")
    line("asked", f"{(first[1].cpu_s - first[0].cpu_s) / calls * 1000:.2f}", "", True)
    line("from the cache", f"{(again[1].cpu_s - again[0].cpu_s) / calls * 1000:.2f}", "", True)


def reading(calls: int) -> tuple[Cost, Cost]:
    """A first run of so many calls and the best of three cached ones, printed."""
    ideal = calls / CONCURRENCY * DELAY_S
    with tempfile.TemporaryDirectory() as name, upstream(DELAY_S) as (url, seen):
        folder = project(Path(name), url, calls // 2)
        first = measured(run_command(folder), Path.cwd())
        again = min((measured(run_command(folder), Path.cwd()) for _ in range(3)), key=lambda cost: cost.wall_s)
    span = seen[0]["span_s"]
    if seen[0]["count"] != calls:
        sys.exit(f"the endpoint saw {seen[0]['count']} calls, not {calls}")
    print(f"{calls:,} calls of {DELAY_S * 1000:.0f} ms at concurrency {CONCURRENCY} (ideal {ideal:.2f} s):")
    line("span at the endpoint / ideal", f"{span / ideal:.2f}", "<= 1.15", span / ideal <= 1.15)
    cpu = first.cpu_s / calls * 1000
    line("CPU seconds per 1,000 calls, start-up included", f"{cpu:.2f}", "<= 0.6", cpu <= 0.6)
    line("peak memory, MB", f"{first.rss_mb:.0f}", "<= 150", first.rss_mb <= 150)
    limit, ok = ("<= 0.5", again.wall_s <= 0.5) if calls == CALLS else ("", True)
    line("second run, all from the cache, seconds", f"{again.wall_s:.2f}", limit, ok)
    line("  of which CPU", f"{again.cpu_s:.2f}", "", True)
    return first, again


def growth() -> None:
    print("CPU per example as the dataset grows (endpoint without delay):")
    per_example: dict[int, float] = {}
    for examples in (2_000, 20_000, 200_000):
        with tempfile.TemporaryDirectory() as name, upstream(0.0) as (url, _):
            cost = measured(run_command(project(Path(name), url, examples)), Path.cwd())
        per_example[examples] = cost.cpu_s / examples * 1000
        ratio = per_example[examples] / per_example[2_000]
        line(f"{examples:,} examples: CPU ms each, over 2,000's", f"{ratio:.2f}", "<= 1.1", ratio <= 1.1)
        line("  peak memory, MB", f"{cost.rss_mb:.0f}", "", True)


def start_up() -> None:
    costs = [measured([sys.executable, "-m", "proveout", "--help"], Path.cwd()) for _ in range(5)]
    print("Start-up:")
    best = min(cost.wall_s for cost in costs)
    line("proveout --help, seconds (best of 5)", f"{best:.2f}", "<= 0.25", best <= 0.25)
    others = min(measured([sys.executable, "-c", OTHERS], Path.cwd()).cpu_s for _ in range(5))
    line("importing the packages that a run needs, CPU s (best of 5)", f"{others:.2f}", "", True)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    parser = argparse.ArgumentParser()
    parser.add_argument("--large", action="store_true", help="also 20,000 and 200,000 examples")
    evaluation()
    start_up()
    if parser.parse_args().large:
        growth()
