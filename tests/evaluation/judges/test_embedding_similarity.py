"""Nearness of meaning by an embedding model."""

import asyncio
from collections.abc import Sequence

import pytest
from judge_cases import JUDGE, ScriptedModels, attempt

from proveout.evaluation.scorers import ScorerFailed
from proveout.evaluation.scorers.embedding_similarity import EmbeddingSimilarity
from proveout.models import ModelError

SIMILAR = EmbeddingSimilarity(JUDGE)


class Vectors(ScriptedModels):
    def __init__(self, vectors: Sequence[Sequence[float]] | Exception):
        self.vectors = vectors

    async def embed(self, spec, texts):
        if isinstance(self.vectors, Exception):
            raise self.vectors
        return self.vectors


def score(scorer, models, *arguments):
    return asyncio.run(scorer.score(attempt(*arguments), models))


@pytest.mark.parametrize(
    ("vectors", "value"),
    [
        ([[1, 0], [1, 0]], 1.0),
        ([[1, 0], [0, 1]], 0.0),
        ([[1, 0], [-1, 0]], 0.0),
        ([[3, 4], [4, 3]], 0.96),
        ([[1, 0], [0, 1], [2, 0]], 1.0),
    ],
)
def test_the_cosine_with_the_nearest_expected_answer(vectors, value):
    expected = ["b", "c"][: len(vectors) - 1]
    assert score(SIMILAR, Vectors(vectors), "a", expected).value == pytest.approx(value)


def test_texts_go_to_the_model_as_they_are():
    assert score(SIMILAR, ScriptedModels(""), "listen", "silent").value == pytest.approx(1)


def test_a_threshold_makes_it_binary():
    scorer = EmbeddingSimilarity(JUDGE, threshold=0.9)
    assert (scorer.binary, SIMILAR.binary) == (True, False)
    assert score(scorer, Vectors([[3, 4], [4, 3]]), "a", "b").value == 1
    assert score(scorer, Vectors([[3, 4], [4, 0]]), "a", "b").value == 0


@pytest.mark.parametrize(
    "vectors",
    [
        ModelError("down", kind="connect"),
        [],
        [[1, 0]],
        [[0, 0], [1, 0]],
        [[1, 0], [1]],
        [[float("nan"), 0], [1, 0]],
        [[float("inf"), 0], [1, 0]],
    ],
)
def test_no_usable_embedding_is_a_failed_measurement(vectors):
    with pytest.raises(ScorerFailed):
        score(SIMILAR, Vectors(vectors), "a", "b")


def test_an_empty_answer_is_unreadable():
    assert score(SIMILAR, Vectors([]), "  ", "b").parse_failed


def test_nothing_to_compare_with():
    with pytest.raises(ScorerFailed, match="no expected answer"):
        score(SIMILAR, Vectors([]), "a")
