"""The runner: every score stays with its call, failures are never wrong answers, and nothing grows with the dataset."""

import asyncio
import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.evaluation import Arm, FailureCollector, Metric, ReadingCollector, ScoreTable, Task, create_scorer
from proveout.evaluation.inspection import FlipCollector
from proveout.evaluation.runner import GIVE_UP_AFTER, Finished, evaluate
from proveout.evaluation.scorers import PairwiseResult, PairwiseScorer, ScorerFailed
from proveout.models import BudgetExceeded, Generation, ModelError, Request, Usage
from proveout.project.records import Example, Lineage, Message, ModelSpec, OutputContract, ScorerSpec, Service, Variant


class Asked:
    """A prompt that asks an example's question."""

    source = "{{ question }}"

    def render(self, variables: Any) -> tuple[Message, ...]:
        return (Message("user", variables["question"]),)


class Scripted:
    """A model whose answers, delays and failures a function of the request decides."""

    def __init__(self, answer: Callable[[Request], str | Exception], delay: Callable[[Request], float] | None = None):
        self.answer = answer
        self.delay = delay
        self.requests: list[Request] = []
        self.in_flight = self.most = 0

    async def generate(self, request: Request) -> Generation:
        self.requests.append(request)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await asyncio.sleep(self.delay(request) if self.delay else 0)
        finally:
            self.in_flight -= 1
        answer = self.answer(request)
        if isinstance(answer, Exception):
            raise answer
        return Generation(text=answer, usage=Usage(input_tokens=3, output_tokens=1))

    async def aclose(self) -> None:
        return None


def variant(name: str) -> Variant:
    return Variant(name, ModelSpec("replay"), {}, Asked(), (), (), Lineage(), name, Path(name), OutputContract(), ())


def examples(count: int, expected: Callable[[int], str] = str) -> Iterator[Task]:
    for number in range(count):
        yield Task(Example(f"e{number}", {"question": str(number)}, expected(number), f"e{number}"), 1)


def exact_match() -> Metric:
    service = Service("s", Path("s/service.yaml"), ("question",), OutputContract(), {}, (), "base", {}, {}, {})
    return Metric("exact_match", create_scorer(ScorerSpec("exact_match", "exact_match"), service))


def run(
    work: Iterator[Task], models: Sequence[Scripted], *, metrics: Sequence[Metric] | None = None, **more: Any
) -> ScoreTable:
    arms = [Arm(variant(f"v{number}"), model) for number, model in enumerate(models)]
    return asyncio.run(evaluate(work, arms, metrics or [exact_match()], **more))


def same(request: Request) -> str:
    return str(request.messages[0].content)


def scores_by_example(table: ScoreTable, arm: int) -> dict[str, float]:
    return {
        table.examples.ids[example]: score
        for example, row_arm, score in zip(table.example, table.arm, table.scores[0], strict=True)
        if row_arm == arm
    }


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.integers(1, 20), st.sets(st.integers(0, 39)))
def test_a_score_stays_with_its_example_in_whatever_order_calls_finish(seed: int, concurrency: int, wrong: set[int]):
    pauses = random.Random(seed)
    slow = Scripted(
        lambda request: "no" if int(same(request)) in wrong else same(request), lambda _: pauses.random() / 500
    )
    table = run(examples(40), [slow, Scripted(same)], concurrency=concurrency)
    assert scores_by_example(table, 0) == {f"e{n}": float(n not in wrong) for n in range(40)}
    assert set(scores_by_example(table, 1).values()) == {1.0}


def test_no_more_calls_are_in_flight_than_asked_for_and_examples_are_drawn_as_needed():
    drawn = []

    def counted() -> Iterator[Task]:
        for task in examples(500):
            drawn.append(task)
            assert len(drawn) - len(model.requests) <= 9
            yield task

    model = Scripted(same, lambda _: 0.0005)
    run(counted(), [model], concurrency=8)
    assert model.most == 8
    assert len(model.requests) == 500


def test_a_failed_call_has_no_score_and_is_counted_apart_from_wrong_answers():
    failures = FailureCollector()
    flaky = Scripted(lambda r: ModelError("cut", kind="cut") if same(r) == "3" else "wrong")
    table = run(examples(10), [flaky], observers=[failures])
    assert math.isnan(scores_by_example(table, 0)["e3"])
    assert scores_by_example(table, 0)["e4"] == 0.0
    assert failures.calls == {(0, "cut"): 1}
    assert list(np.flatnonzero(table.failed)) == [list(table.example).index(3)]


def test_an_endpoint_that_is_down_ends_the_evaluation_and_says_why():
    down = Scripted(lambda _: ModelError("connection refused", kind="connect"))
    table = run(examples(10_000), [down], concurrency=4)
    assert table.aborted is not None
    assert "connection refused" in table.aborted
    assert GIVE_UP_AFTER <= len(down.requests) < GIVE_UP_AFTER + 8


def test_a_refused_key_is_noticed_at_once():
    refused = Scripted(lambda _: ModelError("401 bad key", kind="auth"))
    table = run(examples(1_000), [refused], concurrency=1)
    assert table.aborted is not None
    assert "refused" in table.aborted
    assert len(refused.requests) == 3


def test_one_arm_that_is_down_ends_it_however_well_the_other_answers():
    down = Scripted(lambda _: ModelError("connection refused", kind="connect"))
    table = run(examples(10_000), [Scripted(same), down], concurrency=4)
    assert table.aborted is not None
    assert "calls of v1 failed" in table.aborted
    assert len(down.requests) < GIVE_UP_AFTER + 8


def test_a_key_that_only_one_arm_is_refused_is_noticed_as_soon():
    refused = Scripted(lambda _: ModelError("401 bad key", kind="auth"))
    table = run(examples(1_000), [Scripted(same), refused], concurrency=1)
    assert table.aborted is not None
    assert len(refused.requests) == 3


def test_what_was_not_recorded_or_is_refused_at_the_beginning_does_not_end_it():
    gaps = Scripted(lambda r: ModelError("not recorded", kind="no_recording") if int(same(r)) < 90 else same(r))
    table = run(examples(100), [Scripted(same), gaps])
    assert (table.aborted, len(table)) == (None, 200)
    too_long = Scripted(lambda r: ModelError("400", kind="bad_request") if int(same(r)) < 10 else same(r))
    table = run(examples(100), [too_long], concurrency=1)
    assert (table.aborted, len(table)) == (None, 100)


def test_scattered_failures_do_not_end_it():
    table = run(examples(400), [Scripted(lambda r: ModelError("x", kind="cut") if int(same(r)) % 10 == 0 else "a")])
    assert table.aborted is None
    assert sum(table.failed) == 40


def test_a_spent_budget_ends_it_and_keeps_what_was_had():
    model = Scripted(lambda r: BudgetExceeded("--max-calls 5 is reached") if int(same(r)) >= 5 else same(r))
    table = run(examples(100), [model], concurrency=1)
    assert table.aborted == "--max-calls 5 is reached"
    assert len(table) == 5


def test_arms_take_turns_at_going_first():
    order = []
    models = [Scripted(lambda r, arm=arm: order.append(arm) or same(r)) for arm in (0, 1)]
    run(examples(100), models, concurrency=1)
    firsts = order[::2]
    assert firsts.count(0) == firsts.count(1) == 50


def test_repeats_are_numbered_and_every_one_is_a_row():
    model = Scripted(same)
    work = iter([Task(Example("a", {"question": "q"}, "q", "a"), 3)])
    table = run(work, [model])
    assert sorted(request.repeat for request in model.requests) == [0, 1, 2]
    assert sorted(table.repeat) == [0, 1, 2]


def test_an_example_without_an_expected_answer_is_unscored_not_wrong():
    failures = FailureCollector()
    work = iter([Task(Example("a", {"question": "q"}, None, "a"), 1)])
    table = run(work, [Scripted(same)], observers=[failures])
    assert np.isnan(table.column("exact_match")).all()
    assert failures.unscored == {0: 1}


class Longer(PairwiseScorer):
    async def compare(self, example: Any, first: Any, second: Any, models: Any) -> PairwiseResult:
        if example.id == "e2":
            raise ScorerFailed("judge is down")
        return PairwiseResult((len(second.text) > len(first.text)) - (len(second.text) < len(first.text)))


def test_a_pairwise_scorer_sees_both_answers_and_its_scores_mirror_each_other():
    short, long = Scripted(same), Scripted(lambda r: same(r) * 2, lambda r: int(same(r)) % 3 / 1000)
    table = run(examples(6), [short, long], metrics=[Metric("longer", Longer())], concurrency=3)
    champion, challenger = scores_by_example(table, 0), scores_by_example(table, 1)
    assert math.isnan(champion.pop("e2"))
    assert math.isnan(challenger.pop("e2"))
    assert set(champion.values()) == {0.0}
    assert set(challenger.values()) == {1.0}


def test_a_pair_without_one_answer_is_not_compared():
    flaky = Scripted(lambda r: ModelError("cut", kind="cut") if same(r) == "1" else same(r) * 2)
    table = run(examples(3), [Scripted(same), flaky], metrics=[Metric("longer", Longer())])
    assert math.isnan(scores_by_example(table, 0)["e1"])
    assert scores_by_example(table, 0)["e0"] == 0.0


def test_the_digest_does_not_depend_on_the_order_of_finishing_but_on_every_score_and_answer():
    pauses = random.Random(3)
    steady = run(examples(30), [Scripted(same)], concurrency=1)
    hurried = run(examples(30), [Scripted(same, lambda _: pauses.random() / 500)], concurrency=16)
    other = run(examples(30), [Scripted(lambda r: "x" if same(r) == "7" else same(r))], concurrency=1)
    assert steady.digest() == hurried.digest()
    assert steady.digest() != other.digest()


def test_cancelling_stops_every_worker():
    async def cancelled() -> int:
        model = Scripted(same, lambda _: 10)
        running = asyncio.ensure_future(evaluate(examples(100), [Arm(variant("v"), model)], [exact_match()]))
        await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return model.in_flight

    assert asyncio.run(cancelled()) == 0


def test_a_defect_in_an_observer_is_not_swallowed():
    def broken(_: Finished) -> None:
        raise RuntimeError("disk is full")

    with pytest.raises(RuntimeError, match="disk is full"):
        run(examples(50), [Scripted(same)], observers=[broken])


def test_flips_pair_the_same_example_in_both_directions():
    flipped = FlipCollector(0)
    models = [
        Scripted(lambda r: "no" if same(r) in "01" else same(r)),
        Scripted(lambda r: "no" if same(r) in "234" else same(r)),
    ]
    run(examples(8), models, observers=[flipped])
    assert flipped.counts == {"better": 2, "worse": 3}
    assert {flip.example.id for flip in flipped.worse} == {"e2", "e3", "e4"}
    assert all(flip.challenger == "no" for flip in flipped.worse)


def test_readings_tell_the_arms_apart():
    seen = ReadingCollector()
    run(examples(30), [Scripted(same), Scripted(lambda _: "I'm sorry, I can't help with that.")], observers=[seen])
    assert [(arm, reading.sign, reading.count) for arm, reading in seen.findings() if reading.sign == "refusal"] == [
        (1, "refusal", 30)
    ]
