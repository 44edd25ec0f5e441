"""The same 2,000 examples by other harnesses, where they are installed, against the same endpoint in the same run.

    python -m benchmarks.evaluation.peers [--python PYTHON]

`--python` is an interpreter that has inspect-ai or lm-eval (default: this one); promptfoo is run where its command is
on the path. Prints for each, Proveout first: the endpoint's own span over the ideal, wall and CPU seconds of the whole
process, and peak memory. Each harness sends 2,000 requests at concurrency 64 to an endpoint that takes 50 ms, and
scores them by exact match.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.evaluation.speed import CALLS, CONCURRENCY, DELAY_S, measured, project, run_command, upstream

INSPECT = """
import json, sys
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import get_model
from inspect_ai.scorer import exact
from inspect_ai.solver import generate

rows = [json.loads(line) for line in open(sys.argv[1])]
samples = [Sample(input="Say it again: " + row["text"], target=row["expected"]) for row in rows]
eval(Task(dataset=samples, solver=generate(), scorer=exact()), model=get_model("openai/bench", responses_api=False),
     max_connections=64, max_samples=64, display="none", log_dir=sys.argv[2], log_realtime=False)
"""

TASK = """
task: echo
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{rows}"}}}}
test_split: test
output_type: generate_until
doc_to_text: "Say it again: {{{{text}}}}"
doc_to_target: "{{{{expected}}}}"
generation_kwargs: {{until: ["never"], max_gen_toks: 16}}
metric_list: [{{metric: exact_match}}]
"""


def rows(folder: Path) -> Path:
    """The examples, as both Python harnesses read them."""
    path = folder / "rows.jsonl"
    lines = [{"text": f"number {n}", "expected": f"Say it again: number {n}"} for n in range(CALLS)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def inspect_ai(folder: Path, url: str, python: str) -> list[str]:
    script = folder / "run_inspect.py"
    script.write_text(INSPECT)
    return [
        "env",
        f"OPENAI_BASE_URL={url}",
        "OPENAI_API_KEY=x",
        python,
        str(script),
        str(rows(folder)),
        str(folder / "logs"),
    ]


def lm_eval(folder: Path, url: str, python: str) -> list[str]:
    (folder / "echo.yaml").write_text(TASK.format(rows=rows(folder)))
    arguments = (
        f"base_url={url}/chat/completions,num_concurrent={CONCURRENCY},max_retries=1,model=bench,tokenizer_backend=None"
    )
    words = [python, "-m", "lm_eval", "--model", "local-chat-completions", "--model_args", arguments, "--tasks", "echo"]
    return ["env", "OPENAI_API_KEY=x", *words, "--include_path", str(folder), "--apply_chat_template"]


def promptfoo(folder: Path, url: str, _: str) -> list[str]:
    provider = {"id": "openai:chat:bench", "config": {"apiBaseUrl": url, "apiKey": "x"}}
    tests = [
        {"vars": {"text": row["text"]}, "assert": [{"type": "equals", "value": row["expected"]}]}
        for row in map(json.loads, rows(folder).read_text().splitlines())
    ]
    config = {"prompts": ["Say it again: {{text}}"], "providers": [provider], "tests": tests}
    (folder / "config.json").write_text(json.dumps(config))
    words = [
        "promptfoo",
        "eval",
        "-c",
        str(folder / "config.json"),
        "-j",
        str(CONCURRENCY),
        "--no-cache",
        "--no-progress-bar",
    ]
    return ["env", "PROMPTFOO_DISABLE_TELEMETRY=1", "PROMPTFOO_DISABLE_UPDATE=1", *words]


def proveout(folder: Path, url: str, _: str) -> list[str]:
    return run_command(project(folder / "project", url, CALLS // 2))


def has(python: str, module: str) -> bool:
    return not subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", default=sys.executable)
    python = parser.parse_args().python
    harnesses = [("proveout", proveout, True)]
    harnesses += [("inspect-ai", inspect_ai, has(python, "inspect_ai")), ("lm-eval", lm_eval, has(python, "lm_eval"))]
    harnesses += [("promptfoo", promptfoo, shutil.which("promptfoo") is not None)]
    ideal = CALLS / CONCURRENCY * DELAY_S
    print(f"{CALLS:,} calls of {DELAY_S * 1000:.0f} ms at concurrency {CONCURRENCY} (ideal {ideal:.2f} s):")
    print(f"  {'':<12} {'span / ideal':>12} {'wall s':>8} {'CPU s':>8} {'MB':>6}")
    os.environ["HF_DATASETS_OFFLINE"] = "1"
    for name, command, installed in harnesses:
        if not installed:
            print(f"  {name:<12} not installed")
            continue
        with tempfile.TemporaryDirectory() as folder, upstream(DELAY_S) as (url, seen):
            cost = measured(command(Path(folder), url, python), Path.cwd(), codes=(0, 1, 3, 100))
        note = "" if seen[0]["count"] == CALLS else f"   ({seen[0]['count']:.0f} requests seen)"
        span = seen[0]["span_s"] / ideal
        print(
            f"  {name:<12} {span:>12.2f} {cost.wall_s:>8.1f} {cost.cpu_s:>8.1f} {cost.rss_mb:>6.0f}{note}", flush=True
        )


if __name__ == "__main__":
    main()
