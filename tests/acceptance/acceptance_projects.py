"""What acceptance checks write into a project, and read from a run."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

SERVICE = """\
service: s
input: [q]
datasets: {golden: datasets/golden.jsonl}
scorers: [exact_match]
champion: a
objectives: {accuracy: {margin: 0.1}}
"""

CHANGE = "change: c\nservice: s\nchallenger: b\nimproves: [%s]\n"


class Ended(NamedTuple):
    """What a command left behind; `card` is the scorecard where it wrote one."""

    code: int
    out: str
    err: str
    card: dict[str, Any] | None

    def gate(self, metric: str) -> dict[str, Any]:
        assert self.card is not None, self.err
        return next(gate for gate in self.card["gates"] if gate["metric"] == metric)


def examples(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"e{n}", "input": {"q": f"question {n}"}, "expected": f"x{n % 7}", **more} for n in range(count)]


def answers(rows: Sequence[Mapping[str, Any]], wrong: int = 0, repeats: int = 1, **more: Any) -> list[dict[str, Any]]:
    """A recording that is right on all but the first `wrong` examples."""
    return [
        {"id": row["id"], "output": "wrong" if n < wrong else row["expected"], **more}
        for n, row in enumerate(rows)
        for _ in range(repeats)
    ]
