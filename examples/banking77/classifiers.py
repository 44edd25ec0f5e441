"""Two classical text classifiers in numpy, as honest offline stand-ins for language models: they are really trained on
one split and really wrong on the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float32]


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def words_and_pairs(text: str) -> list[str]:
    alone = words(text)
    return [*alone, *(f"{first} {second}" for first, second in pairwise(alone))]


class NearestCentroid:
    """The label whose training texts are nearest on average, by words weighted with their rarity (Rocchio, 1971)."""

    def fit(self, texts: Sequence[str], labels: Sequence[str]) -> NearestCentroid:
        self._vocabulary = {word: number for number, word in enumerate(sorted({w for t in texts for w in words(t)}))}
        self._labels = sorted(set(labels))
        counts = self._count(texts)
        self._rarity = np.log((1 + len(texts)) / (1 + np.count_nonzero(counts, axis=0))).astype(np.float32) + 1
        weighted = _unit(counts * self._rarity)
        owners = np.array(labels)
        self._centroids = _unit(np.stack([weighted[owners == label].mean(axis=0) for label in self._labels]))
        return self

    def predict(self, texts: Sequence[str]) -> list[str]:
        nearest = (_unit(self._count(texts) * self._rarity) @ self._centroids.T).argmax(axis=1)
        return [self._labels[number] for number in nearest]

    def _count(self, texts: Sequence[str]) -> Counts:
        return _counts([words(text) for text in texts], self._vocabulary)


class NaiveBayes:
    """Multinomial naive Bayes over words and pairs of words, with a little of every word for every label."""

    smoothing = 0.1

    def fit(self, texts: Sequence[str], labels: Sequence[str]) -> NaiveBayes:
        features = [words_and_pairs(text) for text in texts]
        self._vocabulary = {
            name: number for number, name in enumerate(sorted({name for row in features for name in row}))
        }
        self._labels = sorted(set(labels))
        of_label: dict[str, list[str]] = {label: [] for label in self._labels}
        for row, label in zip(features, labels, strict=True):
            of_label[label] += row
        counts = _counts(list(of_label.values()), self._vocabulary) + self.smoothing
        self._log_likelihood = np.log(counts / counts.sum(axis=1, keepdims=True))
        self._log_prior = np.log([list(labels).count(label) / len(labels) for label in self._labels])
        return self

    def predict(self, texts: Sequence[str]) -> list[str]:
        return list(self._predict(texts))

    def _predict(self, texts: Sequence[str]) -> Iterator[str]:
        for text in texts:
            known = [self._vocabulary[name] for name in words_and_pairs(text) if name in self._vocabulary]
            yield self._labels[int((self._log_prior + self._log_likelihood[:, known].sum(axis=1)).argmax())]


def _counts(rows: Sequence[Sequence[str]], vocabulary: dict[str, int]) -> Counts:
    counts = np.zeros((len(rows), len(vocabulary)), np.float32)
    for number, row in enumerate(rows):
        known = [vocabulary[name] for name in row if name in vocabulary]
        np.add.at(counts[number], known, 1)
    return counts


def _unit(rows: Counts) -> Counts:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
