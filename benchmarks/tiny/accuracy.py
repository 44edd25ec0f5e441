"""How good each build of the built-in model is, at each temperature and under each prompt.

    python -m benchmarks.tiny.accuracy

Intervals are 95 %, over the phrasings (clusters), as two tickets in one phrasing are not two pieces of evidence.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from proveout.models._base import Request
from proveout.models.tiny import BUILDS, Build, TinyModel
from proveout.models.tiny.instructions import PROMPT, Instruction
from proveout.models.tiny.tickets import golden
from proveout.models.tiny.weights import packed_bytes
from proveout.project.records import Message

TEMPERATURES = (0.5, 1.0, 1.5)
PROMPTS = {
    "labels, first request (the example's)": PROMPT,
    "labels": Instruction(first=False).text(),
    "first request": Instruction(labels=False).text(),
    "neither": Instruction(labels=False, first=False).text(),
    "unknown wording": "Classify this message. Answer as JSON.",
}


@dataclass(frozen=True)
class Trial:
    """One way to ask, and the intents that came back (None where the answer was no JSON with an intent)."""

    intents: Sequence[str | None]


async def ask(
    rows: Sequence[dict[str, Any]], build: Build, temperature: float = 0.0, prompt: str = PROMPT, repeat: int = 0
) -> Trial:
    model = TinyModel(build)
    parameters = {"temperature": temperature, "max_tokens": 24}
    requests = [
        Request(
            messages=(Message("system", prompt), Message("user", row["input"]["message"])),
            parameters=parameters,
            repeat=repeat,
        )
        for row in rows
    ]
    generations = await asyncio.gather(*map(model.generate, requests))
    await model.aclose()
    return Trial([read_intent(generation.text) for generation in generations])


def read_intent(text: str) -> str | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    found = value.get("intent") if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def share(rows: Sequence[dict[str, Any]], hits: Sequence[bool]) -> str:
    """The mean over clusters, with its t interval; where all clusters are alike, with the exact binomial one."""
    clusters: defaultdict[str, list[bool]] = defaultdict(list)
    for row, hit in zip(rows, hits, strict=True):
        clusters[row["cluster"]].append(hit)
    means = np.array([np.mean(values) for values in clusters.values()])
    mean, count = means.mean(), len(means)
    half = 1.97 * means.std(ddof=1) / np.sqrt(count)
    low, high = max(0.0, mean - half), min(1.0, mean + half)
    if mean in (0, 1):
        rare = 1 - 0.025 ** (1 / count)
        low, high = (0.0, rare) if mean == 0 else (1 - rare, 1.0)
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def right(rows: Sequence[dict[str, Any]], trial: Trial, tag: str = "") -> str:
    kept = [(row, intent) for row, intent in zip(rows, trial.intents, strict=True) if not tag or tag in row["tags"]]
    return share([row for row, _ in kept], [row["expected"] == intent for row, intent in kept])


def agreeing(rows: Sequence[dict[str, Any]], one: Trial, other: Trial) -> str:
    return share(rows, [first == second for first, second in zip(one.intents, other.intents, strict=True)])


def valid(trial: Trial) -> str:
    return f"{np.mean([intent is not None for intent in trial.intents]):.1%}"


async def run(rows: Sequence[dict[str, Any]]) -> None:
    clusters = len({row["cluster"] for row in rows})
    print(f"{len(rows)} tickets in {clusters} phrasings\n")
    print(
        "| build | KB packed | accuracy | trained | new | unseen | valid JSON | same answer as f16 |\n"
        + "|---" * 8
        + "|"
    )
    base = await ask(rows, "f16")
    for build in BUILDS:
        trial = await ask(rows, build)
        groups = " | ".join(right(rows, trial, tag) for tag in ("trained", "new", "unseen"))
        figures = f"{right(rows, trial)} | {groups} | {valid(trial)} | {agreeing(rows, base, trial)}"
        print(f"| {build} | {packed_bytes(build) / 1000:.0f} | {figures} |", flush=True)
    print("\n| temperature (f16) | accuracy | valid JSON | two draws agree |\n|---|---|---|---|")
    for temperature in TEMPERATURES:
        first = await ask(rows, "f16", temperature)
        second = await ask(rows, "f16", temperature, repeat=1)
        print(
            f"| {temperature} | {right(rows, first)} | {valid(first)} | {agreeing(rows, first, second)} |", flush=True
        )
    print("\n| prompt (f16) says | accuracy | on mixed tickets |\n|---|---|---|")
    for name, prompt in PROMPTS.items():
        trial = await ask(rows, "f16", prompt=prompt)
        print(f"| {name} | {right(rows, trial)} | {right(rows, trial, 'mixed')} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy of the builds of the built-in model.")
    parser.add_argument("--tickets", type=int, default=480)
    parser.add_argument("--seed", type=int, default=20)
    options = parser.parse_args()
    asyncio.run(run(golden(options.tickets, options.seed)))


if __name__ == "__main__":
    main()
