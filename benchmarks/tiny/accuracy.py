"""How good each build of the built-in model is, at each temperature and under each prompt.

    python -m benchmarks.tiny.accuracy

By the statistics of Proveout's gates: means and intervals over the phrasings (clusters), as two tickets in one phrasing
are not two pieces of evidence, and the accuracy gate's paired test for differences.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proveout.models._base import Request
from proveout.models.tiny import BUILDS, Build, TinyModel
from proveout.models.tiny.instructions import PROMPT, Instruction
from proveout.models.tiny.tickets import GROUPS, golden
from proveout.models.tiny.weights import packed_bytes
from proveout.project.records import Message
from proveout.statistics import mean_interval, paired_test

TEMPERATURES = (0.5, 1.0, 1.5)
SOLVED = (1, 3)
"""How many tickets with their answers are shown before the one that is asked about."""
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
    rows: Sequence[dict[str, Any]],
    build: Build,
    temperature: float = 0.0,
    prompt: str = PROMPT,
    repeat: int = 0,
    solved: Sequence[dict[str, Any]] = (),
) -> Trial:
    model = TinyModel(build)
    parameters = {"temperature": temperature, "max_tokens": 24}
    shown = [
        message
        for row in solved
        for message in (
            Message("user", row["input"]["message"]),
            Message("assistant", json.dumps({"intent": row["expected"]})),
        )
    ]
    requests = [
        Request(
            messages=(Message("system", prompt), *shown, Message("user", row["input"]["message"])),
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


Rows = Sequence[dict[str, Any]]


def clusters(rows: Rows, values: Sequence[float]) -> NDArray[np.float64]:
    """The values averaged by cluster, as the gates do."""
    _, codes = np.unique([row["cluster"] for row in rows], return_inverse=True)
    return np.bincount(codes, weights=values) / np.bincount(codes)


def share(rows: Rows, hits: Sequence[bool]) -> str:
    found = mean_interval(clusters(rows, hits))
    return f"{found.value:.1%} [{found.low:.1%}, {found.high:.1%}], {found.n}"


def right(rows: Rows, trial: Trial, tag: str = "") -> str:
    kept = [(row, intent) for row, intent in zip(rows, trial.intents, strict=True) if not tag or tag in row["tags"]]
    return share([row for row, _ in kept], [row["expected"] == intent for row, intent in kept])


def gain(rows: Rows, base: Trial, trial: Trial) -> str:
    """The difference of accuracy in points, by the accuracy gate's test."""
    arms = [
        clusters(rows, [row["expected"] == intent for row, intent in zip(rows, one.intents, strict=True)])
        for one in (base, trial)
    ]
    found = paired_test(*arms).difference
    return f"{100 * found.value:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}], {found.n}"


def agreeing(rows: Rows, one: Trial, other: Trial) -> str:
    return share(rows, [first == second for first, second in zip(one.intents, other.intents, strict=True)])


def valid(rows: Rows, trial: Trial) -> str:
    return share(rows, [intent is not None for intent in trial.intents])


def table(*columns: str) -> None:
    print("\n| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|", flush=True)


def line(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


async def run(rows: Rows) -> None:
    print(f"{len(rows)} tickets in {len({row['cluster'] for row in rows})} phrasings; value [95 % interval], n")
    base = await ask(rows, "f16")
    trials = {build: await ask(rows, build) for build in BUILDS}
    table("build", "KB packed", "accuracy", "points to f16", "valid JSON", "same answer as f16")
    for build, trial in trials.items():
        figures = right(rows, trial), gain(rows, base, trial), valid(rows, trial), agreeing(rows, base, trial)
        line(build, f"{packed_bytes(build) / 1000:.0f}", *figures)
    table("accuracy of", *GROUPS)
    for build, trial in trials.items():
        line(build, *(right(rows, trial, group) for group in GROUPS))
    table("temperature (f16)", "accuracy", "valid JSON", "two draws agree")
    for temperature in TEMPERATURES:
        first, second = [await ask(rows, "f16", temperature, repeat=repeat) for repeat in (0, 1)]
        line(str(temperature), right(rows, first), valid(rows, first), agreeing(rows, first, second))
    table("prompt (f16) says", "accuracy", "on mixed tickets")
    for name, prompt in PROMPTS.items():
        trial = await ask(rows, "f16", prompt=prompt)
        line(name, right(rows, trial), right(rows, trial, "mixed"))
    for count in SOLVED:
        trial = await ask(rows, "f16", solved=golden(count, seed=1))
        line(f"the example's, and solved tickets: {count}", right(rows, trial), right(rows, trial, "mixed"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy of the builds of the built-in model.")
    parser.add_argument("--tickets", type=int, default=480)
    parser.add_argument("--seed", type=int, default=20)
    options = parser.parse_args()
    asyncio.run(run(golden(options.tickets, options.seed)))


if __name__ == "__main__":
    main()
