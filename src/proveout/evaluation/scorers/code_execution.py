"""Whether code that a model wrote passes its tests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from msgspec import Meta

from proveout.evaluation.records import Attempt, Score
from proveout.evaluation.sandbox import Limits, Sandbox, SandboxUnavailable
from proveout.evaluation.scorers._base import (
    RIGHT,
    Models,
    ModelScorer,
    ScorerError,
    ScorerFailed,
    answer_as_text,
    expected_answer,
    unparsed,
    unreadable,
    wrong,
)
from proveout.evaluation.scorers._registry import scorer
from proveout.project.records import Service

_FENCED = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL)
_PYTHON = ("python", "python3", "py")


@scorer("code_execution")
@dataclass(frozen=True)
class CodeExecution(ModelScorer):
    """1 when the answer's Python code runs and all its tests pass, in a sandbox without network, files of this
    machine or environment. Tests are Python statements (such as asserts): the expected answer, or a list of them; or
    an input column named by `tests`. The code is the answer's last fenced block, else the whole answer. Only the
    standard library is there. Off unless the service says `allow_code_execution: true`."""

    tests: Annotated[
        str | None,
        Meta(
            description="Input column that holds the tests; by default they are the expected answer.",
            examples=["tests"],
        ),
    ] = None
    wall_s: Annotated[float, Meta(description="Most seconds on the clock.", gt=0, le=600, examples=[10])] = 10.0
    cpu_s: Annotated[int, Meta(description="Most seconds of one processor.", ge=1, le=600, examples=[5])] = 5
    memory_mb: Annotated[
        int, Meta(description="Most memory of one process, in MB.", ge=32, le=65536, examples=[256])
    ] = 256
    disk_mb: Annotated[int, Meta(description="Most that it can write, in MB.", ge=1, le=4096, examples=[16])] = 16
    processes: Annotated[int, Meta(description="Most processes and threads at once.", ge=1, le=256, examples=[4])] = 4
    isolation: Annotated[
        Literal["namespaces", "process"],
        Meta(
            description="`namespaces` (Linux) shuts it off from network, files and other processes, and refuses to "
            "run where it can't; "
            "`process` only limits it: for code that you trust, or inside a machine made for it.",
            examples=["namespaces"],
        ),
    ] = "namespaces"

    @classmethod
    def build(cls, parameters: dict[str, Any], service: Service) -> Self:
        if not service.allow_code_execution:
            raise ScorerError(
                "it runs code that a model wrote, and the service does not allow that. Write "
                "`allow_code_execution: true` in it"
            )
        built = cls(**parameters)
        problem = built.sandbox.problem()
        if problem is not None:
            raise ScorerError(
                f"isolation: {problem}. Run on Linux with user namespaces allowed, or write `isolation: process`"
            )
        return built

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox that the parameters describe."""
        limits = Limits(
            wall_s=self.wall_s,
            cpu_s=self.cpu_s,
            memory_mb=self.memory_mb,
            disk_mb=self.disk_mb,
            processes=self.processes,
        )
        return Sandbox(limits, self.isolation)

    async def score(self, attempt: Attempt, models: Models) -> Score:
        failed = unparsed(attempt)
        if failed is not None:
            return failed
        code = find_code(answer_as_text(attempt))
        if not code.strip():
            return unreadable("there is no code in the answer")
        tests = _statements(self._tests(attempt), attempt)
        try:
            result = await self.sandbox.run(code, tests)
        except SandboxUnavailable as error:
            raise ScorerFailed(str(error)) from error
        return RIGHT if result.passed else wrong(result.reason)

    def _tests(self, attempt: Attempt) -> Any:
        if self.tests is None:
            return expected_answer(attempt)
        if self.tests not in attempt.example.input:
            raise ScorerFailed(f"example {attempt.example.id} has no input {self.tests!r}")
        return attempt.example.input[self.tests]


def find_code(text: str) -> str:
    """The last fenced block of an answer that is Python (or says nothing of its language), else the whole answer."""
    blocks = [found[2] for found in _FENCED.finditer(text) if found[1].lower() in (*_PYTHON, "")]
    return blocks[-1] if blocks else text


def _statements(tests: Any, attempt: Attempt) -> str:
    parts = tests if isinstance(tests, list | tuple) else [tests]
    if isinstance(tests, Mapping) or not parts or not all(isinstance(part, str) and part.strip() for part in parts):
        raise ScorerFailed(f"example {attempt.example.id}: its tests are not Python statements, or a list of them")
    return "\n".join(parts)
