"""What the gate tests share: score tables filled by hand, and the evidence around them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from proveout.evaluation import ScoreTable
from proveout.evaluation.table import text_key
from proveout.gates import Evidence
from proveout.project.records import Example, ObjectiveSpec, OutputContract, Service

SERVICE = Service("s", Path("s/service.yaml"), ("question",), OutputContract(), {}, (), "base", {}, {}, {})


def spec(objective: str, margin: float = 0.02, metric: str | None = None, **settings: Any) -> ObjectiveSpec:
    return ObjectiveSpec(objective, margin, metric, settings)  # type: ignore[arg-type]


class Table:
    """Adds examples and calls to a score table by name."""

    def __init__(self, *metrics: str) -> None:
        self.table = ScoreTable(metrics or ("exact_match",))

    def example(
        self,
        name: str,
        *,
        cluster: str | None = None,
        source: str = "golden",
        expected: Any = "x",
        tags: Sequence[str] = (),
    ) -> int:
        example = Example(name, {"question": name}, expected, cluster or name, tuple(tags), source)  # type: ignore[arg-type]
        return self.table.examples.add(example, text_key(str(expected)))

    def call(
        self, row: int, arm: int, scores: Sequence[float], *, repeat: int = 0, answer: str = "", failed: bool = False
    ):
        key = text_key(answer)
        self.table.add(row, arm, repeat, scores, answer=key, raw=key, failed=failed)

    def scored(self, champion: Sequence[float], challenger: Sequence[float], **of_example: Any) -> "Table":
        """One example a pair of scores."""
        start = len(self.table.examples)
        for index, pair in enumerate(zip(champion, challenger, strict=True)):
            row = self.example(f"{of_example.get('source', 'golden')}{start + index}", **of_example)
            for arm, score in enumerate(pair):
                self.call(row, arm, [score], failed=bool(np.isnan(score)))
        return self

    def evidence(self, judged: Mapping[str, bool] | None = None, lower: frozenset[str] = frozenset()) -> Evidence:
        return Evidence(SERVICE, self.table, 0, judged or {}, lower)


def bits(right: int, wrong: int) -> list[float]:
    return [1.0] * right + [0.0] * wrong
