"""The ledger: one try after the other, also among processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from typing import Any

import pytest

from proveout.storage import Claim, LedgerEntry, Store, open_store


def claim(evidence: str = "e1", **changes: Any) -> Claim:
    values = {
        "dataset_version": "d1",
        "service": "triage",
        "objective": "accuracy",
        "metric": "exact_match",
        "champion": "c0ffee",
        "challenger": "f00d",
        "evidence": evidence,
        "run": "run",
        "p_value": 0.04,
    }
    return Claim(**(values | changes))


def halving(earlier: Sequence[LedgerEntry]) -> float:
    return 0.05 / 2 ** (len(earlier) + 1)


def test_each_try_gets_the_next_number_and_the_level_that_it_was_given(store: Store) -> None:
    entries = [store.ledger.claim(claim(f"e{number}"), halving) for number in range(4)]
    assert [entry.attempt for entry in entries] == [1, 2, 3, 4]
    assert [entry.level for entry in entries] == [0.025, 0.0125, 0.00625, 0.003125]
    assert store.ledger.entries("d1") == entries
    assert entries[0].p_value == 0.04


def test_the_same_evidence_again_is_the_same_try(store: Store) -> None:
    first = store.ledger.claim(claim(), halving)
    store.ledger.claim(claim("e2"), halving)
    assert store.ledger.claim(claim(run="another run"), halving) == first
    assert len(store.ledger.entries("d1")) == 2


@pytest.mark.parametrize("change", [{"champion": "a"}, {"challenger": "b"}, {"evidence": "e9"}])
def test_another_variant_or_other_evidence_is_another_try(store: Store, change: dict[str, str]) -> None:
    store.ledger.claim(claim(), halving)
    assert store.ledger.claim(claim(**change), halving).attempt == 2


@pytest.mark.parametrize("change", [{"dataset_version": "d2"}, {"objective": "stability"}])
def test_each_dataset_version_and_objective_counts_for_itself(store: Store, change: dict[str, str]) -> None:
    store.ledger.claim(claim(), halving)
    assert store.ledger.claim(claim(**change), halving).attempt == 1


def test_the_level_is_decided_from_all_earlier_entries(store: Store) -> None:
    seen: list[list[LedgerEntry]] = []

    def level(earlier: Sequence[LedgerEntry]) -> float:
        seen.append(list(earlier))
        return 0.01

    first = store.ledger.claim(claim("e1"), level)
    store.ledger.settle(first, p_value=0.003, rejected=True)
    store.ledger.claim(claim("e2"), level)
    (settled,) = store.ledger.entries("d1")[:1]
    assert (settled.p_value, settled.rejected) == (0.003, True)
    assert seen == [[], [settled]]


def test_a_claim_whose_level_fails_leaves_no_trace(store: Store) -> None:
    def broken(earlier: Sequence[LedgerEntry]) -> float:
        raise ValueError("no budget left")

    with pytest.raises(ValueError, match="no budget left"):
        store.ledger.claim(claim(), broken)
    assert store.ledger.entries("d1") == []
    assert store.ledger.claim(claim(), halving).attempt == 1


def test_entries_by_objective(store: Store) -> None:
    store.ledger.claim(claim(), halving)
    store.ledger.claim(claim(objective="stability"), halving)
    assert [entry.objective for entry in store.ledger.entries("d1")] == ["accuracy", "stability"]
    assert [entry.objective for entry in store.ledger.entries("d1", "stability")] == ["stability"]
    assert store.ledger.entries("unknown") == []


def claim_many(url: str, worker: int, number: int) -> None:
    with open_store(url) as store:
        for trial in range(number):
            store.ledger.claim(claim(f"{worker} {trial}"), halving)
            store.ledger.claim(claim(f"shared {trial}"), halving)


def test_concurrent_runs_never_share_a_level(url: str) -> None:
    """Three processes with 20 tries of their own each, and 20 that all of them make on the same evidence."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=claim_many, args=(url, worker, 20)) for worker in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    with open_store(url) as store:
        entries = store.ledger.entries("d1")
    assert [entry.attempt for entry in entries] == list(range(1, 81))
    assert [entry.level for entry in entries] == [0.05 / 2**attempt for attempt in range(1, 81)]
