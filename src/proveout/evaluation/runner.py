"""Asks every arm about every example, scores the answers, and fills the score table.

Workers draw from one bounded iterator (never a task per row), so time per example does not grow with the dataset. Each
call carries its example, arm and repeat with it, so that a score cannot end up at another row.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
import orjson

from proveout.evaluation.records import Attempt, Score
from proveout.evaluation.scorers import ModelScorer, PairwiseScorer, Scorer, ScorerFailed
from proveout.evaluation.table import NOT_MEASURED, ScoreTable, text_key
from proveout.evaluation.workload import Task
from proveout.models import BudgetExceeded, Generation, Model, ModelError, Request
from proveout.project.processing import StepFailed
from proveout.project.prompts import PromptError
from proveout.project.records import Example, Variant

AnyScorer = Scorer | ModelScorer | PairwiseScorer

GIVE_UP_AFTER = 20
"""An evaluation stops early once this many calls of one arm have failed and they are most of its calls: its endpoint is
down."""


class Arm(msgspec.Struct, frozen=True):
    """A variant with the opened model that answers for it."""

    variant: Variant
    model: Model


class Metric(msgspec.Struct, frozen=True):
    """A scorer under the name that its figures are reported by. An `optional` one may leave answers unscored."""

    name: str
    scorer: AnyScorer
    optional: bool = False


class Finished(NamedTuple):
    """One finished call, as observers see it. Either `generation` and `attempt` are set, or `failure` says why there is
    no answer.

    `scores` is in the order of the metrics; None where a scorer could not measure. `unscored` says why, where one that
    isn't optional could not.
    """

    example: Example
    arm: int
    variant: Variant
    repeat: int
    generation: Generation | None
    attempt: Attempt | None
    failure: ModelError | None
    scores: tuple[Score | None, ...]
    unscored: str = ""


class Observer(Protocol):
    """Something that looks at each finished call: a recorder, a progress display, a collector of flips."""

    def __call__(self, finished: Finished) -> None: ...


class Halted(Exception):
    """The evaluation can't go on: the endpoint is down, or refuses every call."""


class _Call(NamedTuple):
    row: int
    example: Example
    arm: int
    repeat: int


async def evaluate(
    work: Iterable[Task],
    arms: Sequence[Arm],
    metrics: Sequence[Metric],
    *,
    concurrency: int = 32,
    observers: Sequence[Observer] = (),
    models: Any = None,
    stream: bool = False,
) -> ScoreTable:
    """Run `work` on all `arms` and score every answer.

    Args:
        work: examples with their repeats; drawn lazily.
        arms: champion first, challenger second (or a single arm).
        metrics: scorers to apply to every answer.
        concurrency: calls in flight at once.
        observers: told about each finished call, in the order of finishing.
        models: opens models for scorers that need one (judges, embeddings).
        stream: ask for streamed answers, so that time to first token is measured.

    Returns:
        The table. `table.aborted` says why it ended early, if it did; failed calls are rows with NaN scores.
    """
    return await _Evaluation(arms, metrics, observers, models, stream).run(work, concurrency)


class _Evaluation:
    def __init__(
        self, arms: Sequence[Arm], metrics: Sequence[Metric], observers: Sequence[Observer], models: Any, stream: bool
    ) -> None:
        self.arms = arms
        self.metrics = metrics
        self.observers = observers
        self.models = models
        self.stream = stream
        self.table = ScoreTable([metric.name for metric in metrics])
        self.pairwise = any(isinstance(metric.scorer, PairwiseScorer) for metric in metrics)
        self.waiting: dict[tuple[int, int], tuple[_Call, Generation | None, Attempt | None, ModelError | None]] = {}
        self.failures = [0 for _ in arms]
        self.done = [0 for _ in arms]

    async def run(self, work: Iterable[Task], concurrency: int) -> ScoreTable:
        calls = self._calls(work)
        workers = [asyncio.ensure_future(self._work(calls)) for _ in range(max(1, concurrency))]
        try:
            await asyncio.gather(*workers)
        except Halted as halt:
            self.table.aborted = str(halt)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return self.table

    def _calls(self, work: Iterable[Task]) -> Iterator[_Call]:
        """Arms take turns at going first, so that neither always meets the endpoint warm."""
        order = range(len(self.arms))
        for example, repeats in work:
            row = self.table.examples.add(example, text_key(_canonical(example.expected)))
            for repeat in range(repeats):
                for arm in order if (row + repeat) % 2 == 0 else reversed(order):
                    yield _Call(row, example, arm, repeat)

    async def _work(self, calls: Iterator[_Call]) -> None:
        """Answer calls until there are none, or the budget is spent. What is in flight then is finished and kept: it is
        paid for."""
        for call in calls:
            if self.table.aborted is not None:
                return
            await self._answer(call)

    async def _answer(self, call: _Call) -> None:
        arm = self.arms[call.arm]
        generation = attempt = failure = None
        try:
            request = request_of(arm.variant, call.example, call.repeat, stream=self.stream)
            generation = await arm.model.generate(request)
        except BudgetExceeded as error:
            self.table.aborted = self.table.aborted or str(error)
            return
        except ModelError as error:
            failure = error
        if generation is not None:
            attempt = Attempt(
                example=call.example,
                text=generation.text,
                answer=arm.variant.parse(generation.text),
                tool_calls=generation.tool_calls,
                finish_reason=generation.finish_reason,
            )
        if self.pairwise and len(self.arms) == 2:
            await self._meet_partner(call, generation, attempt, failure)
        else:
            self._finish(call, generation, attempt, failure, *await self._score(attempt))

    async def _score(self, attempt: Attempt | None) -> tuple[list[Score | None], str]:
        """Every metric's score; None where there is no answer, where the scorer failed, or where it takes a pair to
        score. With it, why the first that isn't optional failed."""
        scores: list[Score | None] = []
        unscored = ""
        for metric in self.metrics:
            scorer = metric.scorer
            if attempt is None or isinstance(scorer, PairwiseScorer):
                scores.append(None)
                continue
            try:
                if isinstance(scorer, ModelScorer):
                    scores.append(await scorer.score(attempt, self.models))
                else:
                    scores.append(scorer.score(attempt))
            except ScorerFailed as error:
                scores.append(None)
                unscored = unscored or ("" if metric.optional else f"{metric.name}: {error}")
        return scores, unscored

    async def _meet_partner(
        self, call: _Call, generation: Generation | None, attempt: Attempt | None, failure: ModelError | None
    ) -> None:
        """Pairwise scorers need both arms' answers: the first to finish waits in a slot, the second scores both."""
        slot = (call.row, call.repeat)
        partner = self.waiting.pop(slot, None)
        mine = (call, generation, attempt, failure)
        if partner is None:
            self.waiting[slot] = mine
            return
        champion, challenger = (mine, partner) if call.arm == 0 else (partner, mine)
        (first, why_first), (second, why_second) = await self._score(champion[2]), await self._score(challenger[2])
        if champion[2] is not None and challenger[2] is not None:
            for index, metric in enumerate(self.metrics):
                if isinstance(metric.scorer, PairwiseScorer):
                    try:
                        first[index], second[index] = await self._compare(metric.scorer, champion[2], challenger[2])
                    except ScorerFailed as error:
                        why_first, why_second = (why or f"{metric.name}: {error}" for why in (why_first, why_second))
        self._finish(*champion, first, why_first)
        self._finish(*challenger, second, why_second)

    async def _compare(self, scorer: PairwiseScorer, champion: Attempt, challenger: Attempt) -> tuple[Score, Score]:
        """A win is 1, a loss 0, a tie 1/2 for both: the difference of the scores is the preference.

        Raises:
            ScorerFailed: the pair could not be compared.
        """
        result = await scorer.compare(champion.example, champion, challenger, self.models)
        reason = "; ".join(result.reasons)
        return (
            Score(value=(1 - result.preference) / 2, reason=reason),
            Score(value=(1 + result.preference) / 2, reason=reason),
        )

    def _finish(
        self,
        call: _Call,
        generation: Generation | None,
        attempt: Attempt | None,
        failure: ModelError | None,
        scores: Sequence[Score | None],
        unscored: str,
    ) -> None:
        values = [NOT_MEASURED if score is None else score.value for score in scores]
        if generation is None or attempt is None:
            self.table.add(call.row, call.arm, call.repeat, values, failed=True)
        else:
            usage, timings = generation.usage, generation.timings
            self.table.add(
                call.row,
                call.arm,
                call.repeat,
                values,
                answer=text_key(answer_text(attempt)),
                raw=text_key(attempt.text),
                seconds=timings.e2e if timings else NOT_MEASURED,
                input_tokens=usage.input_tokens if usage else NOT_MEASURED,
                cached_tokens=usage.cached_tokens if usage else NOT_MEASURED,
                cache_write_tokens=usage.cache_write_tokens if usage else NOT_MEASURED,
                output_tokens=usage.output_tokens if usage else NOT_MEASURED,
                reasoning_tokens=usage.reasoning_tokens if usage else NOT_MEASURED,
                cost_usd=NOT_MEASURED if generation.cost_usd is None else generation.cost_usd,
                cut=generation.finish_reason == "length",
                characters=len(attempt.text),
            )
        variant = self.arms[call.arm].variant
        finished = Finished(
            call.example, call.arm, variant, call.repeat, generation, attempt, failure, tuple(scores), unscored
        )
        for observer in self.observers:
            observer(finished)
        self._watch(call.arm, failure)

    def _watch(self, arm: int, failure: ModelError | None) -> None:
        self.done[arm] += 1
        if failure is None or failure.kind == "no_recording":
            return
        self.failures[arm] += 1
        failed, done = self.failures[arm], self.done[arm]
        name = self.arms[arm].variant.name
        if failure.kind == "auth" and failed == done >= 3:
            raise Halted(f"every call of {name} so far was refused: {failure}")
        if failed >= GIVE_UP_AFTER and failed > done / 2:
            raise Halted(f"{failed} of {done} calls of {name} failed, the last with: {failure}")


def request_of(variant: Variant, example: Example, repeat: int = 0, *, stream: bool = False) -> Request:
    """The call that asks a variant about an example.

    Raises:
        ModelError: `bad_request`: the variant's own steps or prompt fail on this input, so there is nothing to send.
    """
    try:
        messages = variant.render(example.input)
    except (PromptError, StepFailed) as error:
        raise ModelError(f"variant {variant.name}, example {example.id!r}: {error}", kind="bad_request") from error
    return Request(
        messages=messages,
        parameters=variant.parameters,
        stream=stream,
        repeat=repeat,
        example=example.id,
        input=example.input,
    )


def answer_text(attempt: Attempt) -> str:
    """What agreement is measured on: the parsed answer in a canonical form, or the raw text where it could not be
    parsed."""
    if attempt.answer.problem is not None:
        return attempt.text.strip()
    value = attempt.answer.value
    return value.strip() if isinstance(value, str) else _canonical(value)


def _canonical(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, orjson.JSONEncodeError):
        return repr(value)
