"""Near-duplicates are found as one cluster, whatever the order, in time that grows with their number."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from proveout.project import Example, find_clusters
from proveout.project.clusters import grouped
from proveout.project.datasets import even
from proveout.project.similarity import LONGEST, SKETCH, Sketches, candidates, matches

BANKING = Path("../shared/data/banking77/train.csv")


def examples(*texts: str) -> list[Example]:
    return [Example(str(number), {"message": text}, None, str(number)) for number, text in enumerate(texts)]


def words(count: int, seed: int) -> str:
    rng = random.Random(seed)
    return " ".join("".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(count))


def partition(clusters: dict[str, str] | object, ids: Iterable[str]) -> set[frozenset[str]]:
    members: dict[str, set[str]] = {}
    for name in ids:
        members.setdefault(clusters.get(name, name), set()).add(name)  # type: ignore[attr-defined]
    return {frozenset(group) for group in members.values()}


def test_case_punctuation_and_small_edits_make_near_duplicates() -> None:
    clusters = find_clusters(
        examples(
            "How do I track the card you sent me?",
            "how do i track the card, you sent me",
            "How do I track the card that you sent me?",
            "My PIN is blocked and I can't pay",
        )
    )
    assert clusters == {"1": "0", "2": "0"}


def test_a_chain_of_pairs_is_one_cluster() -> None:
    parts = words(20, seed=1).split()
    chain = [" ".join(parts[start : start + 12]) for start in range(6)]
    assert set(find_clusters(examples(*chain)).values()) == {"0"}
    ends = find_clusters(examples(chain[0], chain[-1]))
    assert ends == {}


def test_given_clusters_stay_and_take_in_their_near_duplicates() -> None:
    text = "How do I track the card you sent me?"
    given = Example("9", {"message": text}, None, "tracking")
    other = Example("8", {"message": text}, None, "cards")
    assert find_clusters([*examples(text), given, other]) == {"0": "cards"}
    assert find_clusters([*examples(text), given]) == {"0": "tracking"}


@pytest.mark.parametrize("texts", [(), ("",), ("", ""), ("?!", "?!"), ("a", "b"), ("日本", "日本")])
def test_tiny_texts(texts: tuple[str, ...]) -> None:
    expected = {"1": "0"} if len(texts) == 2 and texts[0] == texts[1] else {}
    assert find_clusters(examples(*texts)) == expected


def test_half_a_surrogate_pair_is_no_trouble() -> None:
    assert find_clusters(examples("card \ud800 lost", "card \ud800 lost")) == {"1": "0"}


def test_the_threshold_is_a_real_likeness() -> None:
    first, second = "the quick brown fox jumps over the lazy dog", "the quick brown fox jumps over the lazy cat"
    sketches = Sketches([even(first), even(second)])
    pieces = [{f" {text} "[start : start + 4] for start in range(len(text) - 1)} for text in (first, second)]
    likeness = len(pieces[0] & pieces[1]) / len(pieces[0] | pieces[1])
    assert sketches.likeness(0, 1) == pytest.approx(likeness)
    assert find_clusters(examples(first, second), likeness - 0.01)
    assert not find_clusters(examples(first, second), likeness + 0.01)


def test_the_likeness_of_long_texts_is_estimated_well() -> None:
    rng = random.Random(2)
    errors = []
    for seed in range(20):
        base = words(1500, seed).split()
        changed = [word if rng.random() < 0.93 else "".join(rng.choices("qrstuv", k=6)) for word in base]
        texts = [" ".join(base), " ".join(changed)]
        pieces = [{f" {text} "[start : start + 4] for start in range(len(text) - 1)} for text in texts]
        sketches = Sketches(texts)
        assert len(sketches.sketch(0)) == SKETCH
        errors.append(sketches.likeness(0, 1) - len(pieces[0] & pieces[1]) / len(pieces[0] | pieces[1]))
    assert max(map(abs, errors)) < 0.08
    assert abs(sum(errors) / len(errors)) < 0.02


def test_of_a_huge_text_the_first_million_characters_count() -> None:
    base = "a card that never came " * 100_000
    assert len(base) > LONGEST
    sketches = Sketches([base, base + "and other words", "nothing of the kind"])
    assert (sketches.likeness(0, 1), sketches.likeness(0, 2)) == (1.0, 0.0)


def test_a_crowd_of_the_like_is_one_cluster_and_costs_no_square() -> None:
    texts = [f"Please send the refund for order number {number} to my own bank account" for number in range(3000)]
    assert set(find_clusters(examples(*texts)).values()) == {"0"}
    pairs = sum(len(first) for first, _ in candidates(Sketches(map(even, texts)), 0.7))
    assert pairs <= 3000 * 16 * 8


def banking(count: int) -> list[Example]:
    if not BANKING.exists():
        pytest.skip("needs ../shared/data")
    with BANKING.open(newline="") as file:
        return [
            Example(f"{number:05}", {"message": row["text"]}, row["category"], f"{number:05}")
            for number, row in zip(range(count), csv.DictReader(file), strict=False)
        ]


def test_nearly_all_real_near_duplicates_are_found() -> None:
    texts = [even(str(example.input["message"])) for example in banking(2000)]
    sketches = Sketches(texts)
    vocabulary, place = np.unique(sketches.hashes, return_inverse=True)
    holds = np.zeros((len(texts), len(vocabulary)), np.float32)
    holds[np.repeat(np.arange(len(texts)), np.diff(sketches.starts)), place] = 1
    shared, sizes = holds @ holds.T, holds.sum(axis=1)
    likeness = shared / (sizes[:, None] + sizes - shared)
    ones, others = np.nonzero(np.triu(likeness, 1) >= 0.7)
    roots = np.array(grouped(sketches, 0.7))
    assert len(ones) > 100
    assert (roots[ones] == roots[others]).mean() > 0.97


def test_real_clusters_do_not_depend_on_the_order_of_rows() -> None:
    rows = banking(3000)
    shuffled = random.Random(1).sample(rows, len(rows))
    ids = [example.id for example in rows]
    clusters = find_clusters(rows)
    assert len(clusters) > 200
    assert partition(clusters, ids) == partition(find_clusters(shuffled), ids)
    assert clusters == find_clusters(shuffled)


def test_real_clusters_mostly_have_one_label() -> None:
    rows = {example.id: example for example in banking(10_003)}
    groups = [group for group in partition(find_clusters(rows.values()), rows) if len(group) > 1]
    one_label = sum(len({rows[name].expected for name in group}) == 1 for group in groups)
    assert one_label / len(groups) > 0.9
    assert max(map(len, groups)) < 50


def test_matches_are_the_likest_of_the_others() -> None:
    texts = ["where is my new card please", "i want to change my pin code now"]
    others = ["where is my new card, please?", "where is my card please", "nothing of the kind at all"]
    found = matches(Sketches(map(even, texts)), Sketches(map(even, others)), 0.6)
    assert found == {0: (0, 1.0)}
