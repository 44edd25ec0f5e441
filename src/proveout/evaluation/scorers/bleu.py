"""How many runs of words an answer shares with the expected one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

from proveout.evaluation.records import Attempt, Score
from proveout.evaluation.scorers._base import Scorer, ScorerError, accepted_texts, answer_as_text, unparsed
from proveout.evaluation.scorers._registry import scorer


@scorer("bleu")
@dataclass(frozen=True)
class Bleu(Scorer):
    """Sentence BLEU from 0 to 1 (exponential smoothing, effective order), computed by sacrebleu against all expected
    answers. A mean of sentence scores is not corpus BLEU. Needs the extra `proveout[scorers]`."""

    tokenize: Annotated[
        Literal["13a", "intl", "char", "zh", "none"],
        Meta(
            description="How sacrebleu splits text: 13a for most languages, zh for Chinese, char for languages "
            "without spaces.",
            examples=["zh"],
        ),
    ] = "13a"
    ignore_case: Annotated[bool, Meta(description="Compare in lower case.", examples=[True])] = False
    binary = False
    _bleu: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            from sacrebleu.metrics.bleu import BLEU
        except ImportError:
            raise ScorerError("the package sacrebleu is not installed. Run `pip install 'proveout[scorers]'`") from None
        object.__setattr__(
            self, "_bleu", BLEU(lowercase=self.ignore_case, tokenize=self.tokenize, effective_order=True)
        )

    def score(self, attempt: Attempt) -> Score:
        failed = unparsed(attempt)
        if failed is not None:
            return failed
        accepted = accepted_texts(attempt)
        value = self._bleu.sentence_score(answer_as_text(attempt), accepted).score / 100
        return Score(value=min(1.0, max(0.0, value)))
