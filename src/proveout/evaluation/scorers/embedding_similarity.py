"""How near an answer's meaning is to the expected one, by an embedding model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import mul
from typing import Annotated

from msgspec import Meta

from proveout.evaluation.records import Attempt, Score
from proveout.evaluation.scorers._base import (
    Models,
    ModelScorer,
    ScorerFailed,
    accepted_texts,
    answer_as_text,
    unparsed,
    unreadable,
)
from proveout.evaluation.scorers._registry import scorer
from proveout.project.records import ModelSpec


@scorer("embedding_similarity")
@dataclass(frozen=True)
class EmbeddingSimilarity(ModelScorer):
    """The cosine between the embeddings of the answer and the expected answer, with negative ones as 0; the best of
    several expected answers. With `threshold`, 1 when the cosine reaches it. An empty answer scores 0 and counts as
    unreadable."""

    model: Annotated[
        ModelSpec,
        Meta(
            description="The embedding model.",
            examples=[{"provider": "openai", "name": "text-embedding-3-small", "key": "env:OPENAI_API_KEY"}],
        ),
    ]
    threshold: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | None,
        Meta(description="Score 1 from this cosine on, else 0; by default the cosine is the score.", examples=[0.85]),
    ] = None
    binary: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "binary", self.threshold is not None)

    async def score(self, attempt: Attempt, models: Models) -> Score:
        failed = unparsed(attempt)
        if failed is not None:
            return failed
        accepted = accepted_texts(attempt)
        answer = answer_as_text(attempt)
        if not answer.strip():
            return unreadable("the answer is empty")
        from proveout.models import ModelError

        try:
            vectors = await models.embed(self.model, [answer, *accepted])
        except ModelError as error:
            raise ScorerFailed(f"the embedding model gave no answer: {error}") from error
        if len(vectors) != len(accepted) + 1:
            raise ScorerFailed(f"the embedding model gave {len(vectors)} vectors for {len(accepted) + 1} texts")
        vector, *others = vectors
        cosine = max(_cosine(vector, other) for other in others)
        value = max(0.0, cosine) if self.threshold is None else float(cosine >= self.threshold)
        return Score(value=value, reason=f"cosine {cosine:.3f}")


def _cosine(first: Sequence[float], second: Sequence[float]) -> float:
    if len(first) != len(second):
        raise ScorerFailed(f"the embeddings have {len(first)} and {len(second)} dimensions")
    lengths = math.sqrt(_dot(first, first)) * math.sqrt(_dot(second, second))
    if not lengths > 0 or not math.isfinite(lengths):
        raise ScorerFailed("the embedding model gave a vector without direction")
    return min(1.0, max(-1.0, _dot(first, second) / lengths))


def _dot(first: Sequence[float], second: Sequence[float]) -> float:
    return math.fsum(map(mul, first, second))
