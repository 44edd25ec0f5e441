"""Writes this example's dataset and recordings from Banking77.

    python prepare.py banking77

The folder holds `train.csv` and `test.csv` (columns `text` and `category`) of
github.com/PolyAI-LDN/task-specific-datasets (CC BY 4.0). Classifiers are trained on the one and asked about the other;
their answers are recorded, so that every run replays what they really said.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from classifiers import NaiveBayes, NearestCentroid

SERVICE = Path(__file__).parent / "services/triage"


def main(source: Path) -> None:
    texts, labels = _read(source / "train.csv")
    questions, intents = _read(source / "test.csv")
    ids = [f"test-{number:04}" for number in range(1, len(questions) + 1)]
    rows = zip(ids, questions, intents, strict=True)
    _write(
        "datasets/golden.jsonl", ({"id": id, "input": {"message": text}, "expected": label} for id, text, label in rows)
    )
    classifiers = {
        "centroid": NearestCentroid().fit(texts, labels),
        "bayes": NaiveBayes().fit(texts, labels),
        "bayes-tenth": NaiveBayes().fit(texts[::10], labels[::10]),
    }
    for name, classifier in classifiers.items():
        answers = zip(ids, classifier.predict(questions), strict=True)
        _write(f"recordings/{name}.jsonl", ({"id": id, "output": answer} for id, answer in answers))


def _read(path: Path) -> tuple[list[str], list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["category"] for row in rows]


def _write(name: str, rows: Iterable[Mapping[str, Any]]) -> None:
    path = SERVICE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")
    print(f"Wrote {len(lines):,} rows to {path.relative_to(Path(__file__).parent)}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Write: python prepare.py FOLDER, with train.csv and test.csv of Banking77 in it")
    main(Path(sys.argv[1]))
