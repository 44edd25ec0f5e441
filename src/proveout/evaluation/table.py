"""The score table: every call of an evaluation as one row of compact columns. Statistics read nothing else."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from proveout.project.records import Example

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NOT_MEASURED = float("nan")


class ExampleIndex(msgspec.Struct):
    """The examples of an evaluation, numbered in the order in which they were met; texts are not kept."""

    ids: list[str] = []
    clusters: list[str] = []
    tags: list[tuple[str, ...]] = []
    sources: list[str] = []
    expected: list[int] = []

    def add(self, example: Example, expected_key: int) -> int:
        self.ids.append(example.id)
        self.clusters.append(example.cluster)
        self.tags.append(example.tags)
        self.sources.append(example.source)
        self.expected.append(expected_key)
        return len(self.ids) - 1

    def __len__(self) -> int:
        return len(self.ids)


class ScoreTable:
    """One row per call: which example, arm (0 champion, 1 challenger) and repeat; its scores; and hashes of its answer
    and raw text.

    A score of NaN means "not measured" (the call or the scorer failed), never "wrong". `answer` and `raw` are 64-bit
    hashes that are equal exactly when the parsed answers, or the raw texts, are. Tokens and `cost_usd` are NaN where
    the endpoint did not count them or the price is unknown; `cut` marks answers that ended at the token limit.
    """

    def __init__(self, metrics: Sequence[str]) -> None:
        self.metrics = tuple(metrics)
        self.examples = ExampleIndex()
        self.example = array("i")
        self.arm = array("b")
        self.repeat = array("i")
        self.scores = tuple(array("d") for _ in self.metrics)
        self.answer = array("q")
        self.raw = array("q")
        self.failed = array("b")
        self.seconds = array("d")
        self.input_tokens = array("d")
        self.cached_tokens = array("d")
        self.cache_write_tokens = array("d")
        self.output_tokens = array("d")
        self.reasoning_tokens = array("d")
        self.cost_usd = array("d")
        self.cut = array("b")
        self.characters = array("i")
        self.aborted: str | None = None

    def __len__(self) -> int:
        return len(self.example)

    def add(
        self,
        example: int,
        arm: int,
        repeat: int,
        scores: Sequence[float],
        *,
        answer: int = 0,
        raw: int = 0,
        failed: bool = False,
        seconds: float = NOT_MEASURED,
        input_tokens: float = NOT_MEASURED,
        cached_tokens: float = NOT_MEASURED,
        cache_write_tokens: float = NOT_MEASURED,
        output_tokens: float = NOT_MEASURED,
        reasoning_tokens: float = NOT_MEASURED,
        cost_usd: float = NOT_MEASURED,
        cut: bool = False,
        characters: int = 0,
    ) -> None:
        """Append one call. `scores` is in the order of `metrics`."""
        self.example.append(example)
        self.arm.append(arm)
        self.repeat.append(repeat)
        for column, score in zip(self.scores, scores, strict=True):
            column.append(score)
        self.answer.append(answer)
        self.raw.append(raw)
        self.failed.append(failed)
        self.seconds.append(seconds)
        self.input_tokens.append(input_tokens)
        self.cached_tokens.append(cached_tokens)
        self.cache_write_tokens.append(cache_write_tokens)
        self.output_tokens.append(output_tokens)
        self.reasoning_tokens.append(reasoning_tokens)
        self.cost_usd.append(cost_usd)
        self.cut.append(cut)
        self.characters.append(characters)

    def column(self, name: str) -> NDArray[np.float64]:
        """A numeric column by name, or a metric's scores, as a numpy array in row order."""
        import numpy as np

        values = self.scores[self.metrics.index(name)] if name in self.metrics else getattr(self, name)
        return np.asarray(values)

    def digest(self) -> str:
        """A hash of all scores and answers, the same in whatever order the calls finished."""
        import numpy as np

        order = np.lexsort(
            (np.asarray(self.repeat), np.asarray(self.arm), self._example_order()[np.asarray(self.example)])
        )
        state = hashlib.blake2b(digest_size=16)
        for column in (self.arm, self.repeat, *self.scores, self.answer):
            state.update(np.ascontiguousarray(np.asarray(column)[order]).tobytes())
        return state.hexdigest()

    def _example_order(self) -> NDArray[np.int64]:
        """Each example's rank by id, so that the digest does not depend on the order in which a dataset was read."""
        import numpy as np

        ranks = np.empty(len(self.examples), dtype=np.int64)
        ranks[np.argsort(np.asarray(self.examples.ids, dtype=object))] = np.arange(len(self.examples))
        return ranks


def text_key(text: str) -> int:
    """A signed 64-bit hash of a text, the same in every process."""
    return int.from_bytes(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big", signed=True
    )
