"""What it costs to read a project: start-up with a small one, and 50 services with 10 variants each.

    python benchmarks/project/loading.py

Prints seconds of this process's CPU. The limit for a small project is 0.15 s, parsers and shapes included; the peer
for a large one is ruamel.yaml's own safe loader on the same files, which checks nothing and keeps no positions.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SMALL_LIMIT = 0.15
SERVICES, VARIANTS = 50, 10
CHOICES = ", ".join(f"intent_{number}" for number in range(20))
START_UP = """
import sys, time
started = time.process_time()
from proveout.project import load_project
load_project(sys.argv[1])
print(time.process_time() - started)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small", Path(folder) / "large"
        write_project(small, 1, 2)
        write_project(large, SERVICES, VARIANTS)
        first = min(start_up(small) for _ in range(5))
        print(
            f"start-up and load, 1 service:   {first:.3f} s   {first / SMALL_LIMIT:.2f} x the limit of {SMALL_LIMIT} s"
        )
        from proveout.project import load_project

        load_project(small)
        again = cpu(lambda: load_project(small))
        print(f"load again, 1 service:          {again:.3f} s")
        many, plain = cpu(lambda: load_project(large)), cpu(lambda: plainly(large))
        print(f"load, {SERVICES} services x {VARIANTS} variants: {many:.3f} s   {many / plain:.2f} x ruamel.yaml alone")


def start_up(project: Path) -> float:
    command = [sys.executable, "-c", START_UP, str(project)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def cpu(work: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


def plainly(project: Path) -> None:
    from ruamel.yaml import YAML

    for path in project.rglob("*.yaml"):
        YAML(typ="safe", pure=True).load(path)


def write_project(root: Path, services: int, variants: int) -> None:
    write(root / "proveout.yaml", "project: benchmark\n")
    for number in range(services):
        folder = root / f"services/s{number}"
        write(
            folder / "service.yaml",
            f"service: s{number}\ninput: [message]\noutput: {{choices: [{CHOICES}]}}\n"
            "datasets: {golden: datasets/golden.jsonl}\nscorers: [exact_match]\nchampion: v0\n"
            "objectives:\n  accuracy: {margin: 0.02}\n  latency: {slo: {ttft_p95: 800ms}, margin: 10%}\n",
        )
        write(folder / "datasets/golden.jsonl", '{"input": "Where is my card?", "expected": "intent_1"}\n')
        for variant in range(variants):
            write(
                folder / f"variants/v{variant}.yaml",
                f"variant: v{variant}\nmodel: {{provider: openai, name: gpt-{variant}, key: env:OPENAI_API_KEY}}\n"
                f"parameters: {{temperature: 0, max_tokens: 64}}\nprompt: prompts/p{variant}.md\n"
                "postprocess: [{json_field: intent}]\n",
            )
            write(
                folder / f"prompts/p{variant}.md", f"Which intent ({variant}) has this message?\n\n{{{{ message }}}}\n"
            )
        change = "change: c\nservice: s{}\nchallenger: v1\nimproves: [accuracy]\nhypothesis: Better.\n"
        write(folder / "changes/c.yaml", change.format(number))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    main()
