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
from proveout.storage import StoreError, open_store


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


def test_answers_from_the_cache_cost_nothing_now_and_say_what_a_call_costs():
    tally = Tally((False,))

    class Cached(Scripted):
        async def generate(self, request: Any) -> Generation:
            return Generation(text="x", cost_usd=0.5, cached=True)

    asyncio.run(evaluate(examples(2), [Arm(variant("a"), Cached(same))], [exact_match()], observers=[tally]))
    assert (tally.known_cost, tally.cached) == (0.0, 2)
    assert tally.usd_per_call(0) == 0.5


def test_what_is_asked_for_at_once_is_looked_up_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def looked_up() -> list[Generation | None]:
        with open_store(f"sqlite:///{tmp_path}/store.db") as store:
            calls = StoredCalls(store.calls)
            await asyncio.gather(*(calls.put(b"%d" % n, Generation(text=str(n))) for n in range(3)))
            find = store.calls.get_many
            monkeypatch.setattr(store.calls, "get_many", lambda keys: (queries.append(len(keys)), find(keys))[1])
            return await asyncio.gather(*(calls.get(b"%d" % n) for n in range(4)))

    queries: list[int] = []
    found = asyncio.run(looked_up())
    assert [kept.text if kept else None for kept in found] == ["0", "1", "2", None]
    assert queries == [4]


def test_where_nothing_is_found_no_call_waits_for_others_and_once_something_is_they_are_asked_for_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def looked_up() -> list[list[bool]]:
        with open_store(f"sqlite:///{tmp_path}/store.db") as store:
            calls = StoredCalls(store.calls)
            await asyncio.gather(*(calls.put(b"%d" % n, Generation(text=str(n))) for n in range(3)))
            find = store.calls.get_many
            monkeypatch.setattr(store.calls, "get_many", lambda keys: (queries.append(len(keys)), find(keys))[1])
            return [
                [kept is not None for kept in await asyncio.gather(*map(calls.get, keys))]
                for keys in ((b"7", b"8"), (b"9", b"0"), (b"1", b"2"))
            ]

    queries: list[int] = []
    assert asyncio.run(looked_up()) == [[False, False], [False, True], [True, True]]
    assert queries == [2, 2]


def test_a_store_that_cannot_be_read_fails_the_calls_that_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(keys: list[bytes]) -> dict[bytes, bytes]:
        raise StoreError("other", "store.db", "it is broken", "Mend it.")

    async def asked() -> list[object]:
        with open_store(f"sqlite:///{tmp_path}/store.db") as store:
            monkeypatch.setattr(store.calls, "get_many", broken)
            calls = StoredCalls(store.calls)
            return await asyncio.gather(*(calls.get(b"%d" % n) for n in range(2)), return_exceptions=True)

    assert [type(result) for result in asyncio.run(asked())] == [StoreError, StoreError]
