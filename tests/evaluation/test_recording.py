"""What an evaluation keeps: any answer that a team's own code can make, and money that is known or said to be
unknown."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from test_runner import Scripted, exact_match, examples, same, variant

from proveout.evaluation import Arm, OutcomeRecorder, StoredCalls, Tally, evaluate
from proveout.evaluation.runner import Finished
from proveout.models import Generation, ModelError
from proveout.project.records import Answer
from proveout.storage import open_store


@pytest.mark.parametrize(
    "value", ["\ud800 half a character", {"a": {1, 2}}, object(), float("nan"), [1, {"b": None}], b"\xff"]
)
def test_any_parsed_answer_can_be_kept(tmp_path: Path, value: Any):
    with open_store(f"sqlite:///{tmp_path}/store.db") as store:
        run = store.runs.start(change="c", service="s", stage="dev", champion="a", challenger="b")
        recorder = OutcomeRecorder(store, run.id, ("exact_match",))

        def odd(finished: Finished) -> None:
            assert finished.attempt is not None
            recorder(finished._replace(attempt=msgspec.structs.replace(finished.attempt, answer=Answer(value))))

        asyncio.run(evaluate(examples(3), [Arm(variant("a"), Scripted(same))], [exact_match()], observers=[odd]))
        recorder.write()
        store.writer.flush()
        assert store.outcomes.count(run.id) == {0: 3}


def test_every_outcome_is_there_also_beyond_one_group(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/store.db") as store:
        run = store.runs.start(change="c", service="s", stage="dev", champion="a", challenger="b")
        recorder = OutcomeRecorder(store, run.id, ("exact_match",))
        arms = [Arm(variant("a"), Scripted(same)), Arm(variant("b"), Scripted(lambda _: ModelError("x", kind="cut")))]
        asyncio.run(evaluate(examples(15), arms, [exact_match()], observers=[recorder]))
        recorder.write()
        store.writer.flush()
        assert store.outcomes.count(run.id) == {0: 15, 1: 15}
        assert {outcome.failure for outcome in store.outcomes.page(run.id, arm=1)} == {"cut"}
        assert {outcome.scores["exact_match"] for outcome in store.outcomes.page(run.id, arm=1)} == {None}


def test_kept_calls_are_reused_only_where_that_is_wanted(tmp_path: Path):
    async def both() -> tuple[Generation | None, Generation | None]:
        with open_store(f"sqlite:///{tmp_path}/store.db") as store:
            await StoredCalls(store.calls).put(b"key", Generation(text="kept"))
            calls, unread = StoredCalls(store.calls), StoredCalls(store.calls, read=False)
            return await calls.get(b"key"), await unread.get(b"key")

    kept, fresh = asyncio.run(both())
    assert kept is not None
    assert kept.text == "kept"
    assert fresh is None


def test_one_call_of_unknown_price_makes_the_sum_unknown():
    costs = iter([0.25, 0.5, None])
    tally = Tally((False,))

    class Priced(Scripted):
        async def generate(self, request: Any) -> Generation:
            return Generation(text="x", cost_usd=next(costs))

    seen = []
    asyncio.run(
        evaluate(
            examples(3),
            [Arm(variant("a"), Priced(same))],
            [exact_match()],
            observers=[tally, lambda _: seen.append(tally.known_cost)],
            concurrency=1,
        )
    )
    assert seen == [0.25, 0.75, None]
    assert tally.usd_per_call(0) == 0.375
