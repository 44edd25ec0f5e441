"""The longest sequence of words that an answer shares with the expected one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

from proveout.evaluation.records import Attempt, Score
from proveout.evaluation.scorers._base import Scorer, ScorerError, accepted_texts, answer_as_text, unparsed
from proveout.evaluation.scorers._registry import scorer


@scorer("rouge_l")
@dataclass(frozen=True)
class RougeL(Scorer):
    """ROUGE-L F1 (Lin 2004), computed by the rouge-score package; the best of several expected answers. Needs the extra
    `proveout[scorers]`."""

    variant: Annotated[
        Literal["rougeL", "rougeLsum", "rouge1", "rouge2"], Meta(description="Which ROUGE.", examples=["rougeLsum"])
    ] = "rougeL"
    stemmer: Annotated[bool, Meta(description="Compare Porter stems, for English.", examples=[True])] = False
    binary = False
    _rouge: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            from rouge_score.rouge_scorer import RougeScorer
        except ImportError:
            raise ScorerError(
                "the package rouge-score is not installed. Run `pip install 'proveout[scorers]'`"
            ) from None
        object.__setattr__(self, "_rouge", RougeScorer([self.variant], use_stemmer=self.stemmer))

    def score(self, attempt: Attempt) -> Score:
        failed = unparsed(attempt)
        if failed is not None:
            return failed
        accepted = accepted_texts(attempt)
        return Score(value=float(self._rouge.score_multi(accepted, answer_as_text(attempt))[self.variant].fmeasure))
