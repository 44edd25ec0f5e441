"""Outcomes: many rows, read by page."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
import tracemalloc

import pytest

from proveout.storage import Outcome, Store
from proveout.storage.outcomes import cursor


def make(example: str, repeat: int = 0, arm: int = 0, run: str = "run", failure: str | None = None) -> Outcome:
    return Outcome(
        run=run,
        example=example,
        repeat=repeat,
        arm=arm,
        variant="c0ffee" if arm == 0 else "f00d",
        call=bytes([arm, repeat]),
        scores={} if failure else {"exact_match": float(arm)},
        answer=None if failure else {"intent": "lost_card", "sure": True},
        failure=failure,
    )


def keep(store: Store, *outcomes: Outcome) -> None:
    for outcome in outcomes:
        store.outcomes.put_nowait(outcome)
    store.writer.flush()


def test_an_outcome_comes_back_as_it_was(store: Store) -> None:
    kept = make("an example: ümlaut 漢字", 3, 1)
    asyncio.run(store.outcomes.put(kept))
    assert store.outcomes.page("run") == [kept]


@pytest.mark.parametrize(
    "answer", ["text\u0000with nul", ["a", 1, None], {"deep": {"er": [1.5]}}, 7, None, "\U0001f600"]
)
def test_any_json_is_an_answer(store: Store, answer: object) -> None:
    keep(store, Outcome(run="run", example="e", repeat=0, arm=0, variant="f00d", answer=answer))
    assert store.outcomes.page("run")[0].answer == answer


def test_a_score_that_could_not_be_measured_stays_unmeasured(store: Store) -> None:
    keep(store, Outcome(run="run", example="e", repeat=0, arm=0, variant="f00d", scores={"a": math.nan, "b": 0.25}))
    assert store.outcomes.page("run")[0].scores == {"a": None, "b": 0.25}


def test_champion_and_challenger_of_one_example_stand_side_by_side(store: Store) -> None:
    every = [make(example, repeat, arm) for example in ("a", "B", "ä", "b") for repeat in (0, 1) for arm in (0, 1)]
    keep(store, *reversed(every))
    in_order = sorted(every, key=lambda outcome: (outcome.example.encode(), outcome.repeat, outcome.arm))
    assert store.outcomes.page("run") == in_order


def test_pages_join_without_gap_or_overlap(store: Store) -> None:
    every = [make(f"{number:03d}", repeat, arm) for number in range(40) for repeat in (0, 1) for arm in (0, 1)]
    keep(store, *every, *(make("x", run="other") for _ in range(3)))
    pages, after = [], None
    while page := store.outcomes.page("run", after=after, limit=7):
        pages.append(page)
        after = cursor(page[-1])
    assert list(itertools.chain(*pages)) == every
    assert list(store.outcomes.scan("run", page=7)) == every
    assert list(store.outcomes.scan("run", arm=1, page=7)) == [outcome for outcome in every if outcome.arm == 1]


def test_failures_are_found_among_the_rest(store: Store) -> None:
    every = [make(f"{number:03d}", failure="timeout" if number % 5 == 0 else None) for number in range(30)]
    keep(store, *every)
    assert store.outcomes.page("run", failed=True) == every[::5]
    assert len(store.outcomes.page("run", failed=False)) == 24
    assert store.outcomes.count("run") == {0: 30}
    assert store.outcomes.count("nobody") == {}


def test_the_same_call_twice_is_one_outcome(store: Store) -> None:
    keep(store, make("e"), make("e"))
    keep(store, make("e", failure="timeout"))
    assert store.outcomes.page("run") == [make("e")]


def test_a_page_of_a_long_run_costs_no_more_than_one_of_a_short_run(store: Store) -> None:
    """Pages are found by key: neither their time nor their memory may grow with the rows before them."""
    for part in range(0, 15_000, 5_000):
        keep(store, *(make(f"{number:06d}", arm=arm) for number in range(part, part + 5_000) for arm in (0, 1)))
    assert store.outcomes.count("run") == {0: 15_000, 1: 15_000}

    def seconds(after: tuple[str, int, int]) -> float:
        began = time.perf_counter()
        assert len(store.outcomes.page("run", after=after)) == 100
        return time.perf_counter() - began

    first = min(seconds(("000010", 0, 0)) for _ in range(7))
    last = min(seconds(("014900", 0, 0)) for _ in range(7))
    assert last < 3 * first

    tracemalloc.start()
    assert sum(1 for _ in store.outcomes.scan("run", page=500)) == 30_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6_000_000
