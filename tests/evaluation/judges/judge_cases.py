"""What the judge tests share: attempts, and models whose answers a test decides."""

from collections.abc import Callable, Sequence
from typing import Any

from proveout.evaluation.records import Attempt
from proveout.models import Generation, ModelError, Request
from proveout.project.records import Answer, Example, ModelSpec

JUDGE = ModelSpec("openai", "gpt-4o-mini", options={"organisation": "us"})


def attempt(answer: Any, expected: Any = None, problem: str | None = None, **input: Any) -> Attempt:
    example = Example(id="e1", input=input or {"message": "Where is my card?"}, expected=expected, cluster="e1")
    return Attempt(example=example, text=str(answer), answer=Answer(answer, problem))


class ScriptedModels:
    """Answers each request by a function of it, or with answers in turn. An exception among them is raised."""

    def __init__(self, *answers: str | Exception | Generation | Callable[[Request], str | Exception]) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []

    async def judge(self, spec: ModelSpec, request: Request) -> Generation:
        self.requests.append(request)
        answer: Any = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Generation) else Generation(text=answer)

    async def embed(self, spec: ModelSpec, texts: Sequence[str]) -> list[list[float]]:
        """Counts of letters: texts of the same letters are the same."""
        return [[float(text.count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts]


def prompt(request: Request) -> str:
    """All that a judge was told."""
    return "\n".join(str(message.content) for message in request.messages)


def down() -> ModelError:
    return ModelError("connection refused", kind="connect")
