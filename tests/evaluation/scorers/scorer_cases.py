"""What the scorer tests share: attempts from an answer and what was expected, and scorers as a file declares them."""

import reprlib
from pathlib import Path
from typing import Any

from proveout.evaluation.records import Attempt, Score
from proveout.evaluation.scorers import create_scorer
from proveout.project.records import Answer, Example, OutputContract, ScorerSpec, Service

FOLDER = Path("services/triage")
FREE_TEXT = OutputContract()


def service(folder: Path = FOLDER, output: OutputContract = FREE_TEXT, code: bool = False) -> Service:
    return Service(
        name="triage",
        path=folder / "service.yaml",
        inputs=("message",),
        output=output,
        datasets={},
        scorers=(),
        champion="base",
        objectives={},
        variants={},
        changes={},
        allow_code_execution=code,
    )


def attempt(answer: Any, expected: Any = None, problem: str | None = None, **fields: Any) -> Attempt:
    example = Example(id="e1", input=fields.pop("input", {"message": "hello"}), expected=expected, cluster="e1")
    text = answer if isinstance(answer, str) else reprlib.repr(answer)
    return Attempt(example=example, text=text, answer=Answer(answer, problem), **fields)


def build(name: str, _service: Service | None = None, /, **parameters: Any) -> Any:
    return create_scorer(ScorerSpec(name, name, parameters), _service or service())


def score(name: str, answer: Any, expected: Any = None, /, **parameters: Any) -> Score:
    return build(name, **parameters).score(attempt(answer, expected))
