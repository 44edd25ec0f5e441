"""Writes this example's dataset and recordings from OpenAI's published solutions to GSM8K.

    python prepare.py 175b.jsonl

The file is `example_model_solutions.jsonl` of github.com/openai/grade-school-math (MIT), or a part of it: the real
answers of two models to the 1,319 questions of the test split. Every line holds the question, the reference solution
and the models' solutions; all end with `A: number`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SERVICE = Path(__file__).parent / "services/arithmetic"
MODELS = {"finetuned": "175b_finetuning", "verified": "175b_verification"}


def main(source: Path) -> None:
    with source.open(encoding="utf-8") as file:
        problems = [json.loads(line) for line in file]
    _write(
        SERVICE / "datasets/golden.jsonl",
        (
            {
                "id": str(problem["id"]),
                "input": {"question": problem["question"]},
                "expected": problem["ground_truth"].rpartition("A:")[2].strip(),
            }
            for problem in problems
        ),
    )
    for name, model in MODELS.items():
        rows = ({"id": str(problem["id"]), "output": problem[model]["solution"]} for problem in problems)
        _write(SERVICE / f"recordings/{name}.jsonl", rows)


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")
    print(f"Wrote {len(lines):,} rows to {path.relative_to(Path(__file__).parent)}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Write: python prepare.py 175b.jsonl")
    main(Path(sys.argv[1]))
