"""How many words an answer shares with the expected one."""

from __future__ import annotations

import re
import string
from collections import Counter
from dataclasses import dataclass

from proveout.evaluation.records import Attempt, Score
from proveout.evaluation.scorers._base import Scorer, accepted_texts, answer_as_text, shown, unparsed
from proveout.evaluation.scorers._registry import scorer

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@scorer("token_f1")
@dataclass(frozen=True)
class TokenF1(Scorer):
    """The F1 of shared words, with SQuAD's normalisation (lower case, no punctuation, no articles); the best of
    several expected answers. Rajpurkar et al. 2016, arXiv 1606.05250; answers without words as in SQuAD 2.0."""

    binary = False

    def score(self, attempt: Attempt) -> Score:
        failed = unparsed(attempt)
        if failed is not None:
            return failed
        accepted = accepted_texts(attempt)
        words = normalised_words(answer_as_text(attempt))
        value = max(shared_f1(words, normalised_words(one)) for one in accepted)
        return Score(value=value, reason="" if value == 1 else f"expected {shown(accepted[0])}")


def normalised_words(text: str) -> list[str]:
    """A text's words as SQuAD compares them."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def shared_f1(answer: list[str], expected: list[str]) -> float:
    """The harmonic mean of precision and recall of the words that two lists share; two empty lists agree."""
    if not answer or not expected:
        return float(answer == expected)
    shared = (Counter(answer) & Counter(expected)).total()
    return 2 * shared / (len(answer) + len(expected))
