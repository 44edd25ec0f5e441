"""What is to be asked about one portion of kept answers: which scores each of them lacks, and how each is had."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from proveout.delivery.online import AGREEMENT, FORMAT, LiveScoring, has_contract
from proveout.project.records import Service, Variant
from proveout.storage.errors import StoreError
from proveout.storage.records import Trace

if TYPE_CHECKING:
    from proveout.evaluation import Attempt, OpenModels


class Found(NamedTuple):
    """A score, or why there is none; `refused` where the day's budget does not allow it."""

    trace: str
    name: str
    value: float | None
    why: str
    refused: bool = False


Job = Callable[["OpenModels | None"], Awaitable[list[Found]]]


@dataclass
class Work:
    """What is to be done of a portion; `hold` is the first position that must be read again."""

    jobs: list[Job] = field(default_factory=list[Job])
    hold: int | None = None
    without_content: int = 0


@dataclass(frozen=True)
class Wanted:
    """The scores that one answer lacks."""

    trace: Trace
    attempt: Attempt
    done: set[tuple[str, str]]

    def lacks(self, name: str) -> bool:
        return (self.trace.id, name) not in self.done

    def alone(self, service: Service, scoring: LiveScoring, variant: Variant, work: Work) -> None:
        """Scores of this answer by itself."""
        if self.trace.valid is None and has_contract(service, variant) and self.lacks(FORMAT):
            problem = self.attempt.answer.problem
            work.jobs.append(_known(Found(self.trace.id, FORMAT, float(problem is None), problem or "")))
        for name, scorer in scoring.each.items():
            if self.lacks(name):
                work.jobs.append(_asked(self.trace.id, name, scorer, self.attempt))

    def beside(self, scoring: LiveScoring, main: Trace, other: Attempt, work: Work) -> None:
        """Scores of this answer beside the champion's to the same request."""
        if self.lacks(AGREEMENT):
            value = scoring.agreement(self.attempt, other)
            work.jobs.append(_known(Found(self.trace.id, AGREEMENT, value, "")))
        for name, scorer in scoring.pairwise.items():
            if self.lacks(name):
                work.jobs.append(_compared(main.id, self.trace.id, name, scorer, other, self.attempt))


def _known(found: Found) -> Job:
    async def job(models: OpenModels | None) -> list[Found]:
        return [found]

    return job


def _asked(trace: str, name: str, scorer: Any, attempt: Attempt) -> Job:
    from proveout.evaluation.scorers import ModelScorer

    async def job(models: OpenModels | None) -> list[Found]:
        try:
            asks = isinstance(scorer, ModelScorer)
            score = await scorer.score(attempt, models) if asks else scorer.score(attempt)
        except StoreError:
            raise
        except (
            Exception
        ) as error:  # Whatever a team's own scorer raises: there is no score then, and the next one is asked.
            return [Found(trace, name, None, str(error), _refused(error))]
        return [Found(trace, name, score.value, score.reason)]

    return job


def _compared(main: str, copy: str, name: str, scorer: Any, champion: Attempt, challenger: Attempt) -> Job:
    """A win is 1, a loss 0, a tie 1/2 for both."""

    async def job(models: OpenModels | None) -> list[Found]:
        try:
            result = await scorer.compare(champion.example, champion, challenger, models)
        except StoreError:
            raise
        except (
            Exception
        ) as error:  # Whatever a team's own scorer raises: there is no score then, and the next one is asked.
            return [Found(copy, name, None, str(error), _refused(error))]
        why = "; ".join(result.reasons)
        return [
            Found(main, name, (1 - result.preference) / 2, why),
            Found(copy, name, (1 + result.preference) / 2, why),
        ]

    return job


def _refused(error: BaseException) -> bool:
    """Whether the budget is what was in the way."""
    from proveout.models import BudgetExceeded

    return isinstance(error, BudgetExceeded) or isinstance(error.__cause__, BudgetExceeded)
