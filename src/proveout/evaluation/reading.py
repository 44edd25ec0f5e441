"""What an expert looks at before believing figures: truncated, empty and unparsed answers, refusals, and one text
for many inputs.

Pure functions on attempts, and a reader that counts while answers come in. All of it is a hint to look; nothing here
decides.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Literal

import msgspec

from proveout.evaluation.records import Attempt

Sign = Literal["truncated", "empty", "parse_failed", "refusal", "duplicate"]

KEPT_EXAMPLES = 5
"""Ids of examples kept per sign; all are counted."""

SUSPICIOUS_COPIES = 5
SUSPICIOUS_SHARE = 0.2
"""One text for at least this many different inputs, and this share of all answers, is suspicious."""

MOST_TEXTS = 20_000
"""Distinct texts that are told apart; a text as frequent as `SUSPICIOUS_SHARE` is met long before."""

FREE_TEXT_CHARACTERS = 40
"""A text shorter than this is a label, which many inputs may share for good reason."""

_REFUSAL_LOOKED_AT = 300
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:really |very |so |truly )?(?:sorry|afraid)\b.{0,60}\b(?:can(?:'t|not)|unable|not able|won't)"
    r"|i(?:(?:'m| am) (?:unable|not able|not allowed|not permitted) to| can(?:'t|not)| won't| will not"
    r"| (?:must|have to) decline to)"
    r" (?:\w+ )?(?:help|assist|provide|comply|fulfill?|answer|do that|discuss|create|generate|support|engage|share)\b"
    r"|as an? (?:ai|artificial intelligence|large language model|language model|ai language model)\b.{0,80}"
    r"\b(?:can(?:'t|not)|unable|not able|don't|do not)"
    r"|(?:this|your|that) (?:request|question|content) (?:violates|goes against|is against)"
    r"|i must (?:respectfully )?(?:decline|refuse))",
    re.IGNORECASE | re.DOTALL,
)
_APOSTROPHES = str.maketrans({"\u2019": "'", "\u02bc": "'"})

_MESSAGES: dict[Sign, str] = {
    "truncated": "answers were cut at their longest allowed length, so their end is missing (raise max_tokens)",
    "empty": "answers are empty",
    "parse_failed": "answers could not be read as the service wants them",
    "refusal": "answers read like refusals",
    "duplicate": "answers to different inputs are one and the same text",
}


class Reading(msgspec.Struct, frozen=True):
    """How often a sign was seen among `n` answers, and the first examples that show it."""

    sign: Sign
    count: int
    n: int
    examples: tuple[str, ...]

    @property
    def message(self) -> str:
        """One sentence for a person."""
        return f"{self.count:,} of {self.n:,} {_MESSAGES[self.sign]}."


def is_truncated(attempt: Attempt) -> bool:
    """Whether the answer ended because it reached its longest allowed length."""
    return attempt.finish_reason == "length"


def is_empty(attempt: Attempt) -> bool:
    """Whether the answer is white space only, and calls no tool."""
    return not attempt.text.strip() and not attempt.tool_calls


def is_refusal(text: str) -> bool:
    """Whether a text reads like a refusal: one of the usual English phrases within its first 300 characters, or a
    content filter's stop.

    A heuristic: it misses refusals in other words and languages, and takes a quoted one for a real one.
    """
    return _REFUSAL.search(text[:_REFUSAL_LOOKED_AT].translate(_APOSTROPHES)) is not None


def signs(attempt: Attempt) -> tuple[Sign, ...]:
    """What one answer shows by itself."""
    found: list[Sign] = []
    if is_truncated(attempt):
        found.append("truncated")
    if is_empty(attempt):
        found.append("empty")
    if attempt.answer.problem is not None:
        found.append("parse_failed")
    if attempt.finish_reason == "content_filter" or is_refusal(attempt.text):
        found.append("refusal")
    return tuple(found)


class _Copies(msgspec.Struct):
    """One text: how many answers are it, and the first examples that it answered."""

    answers: int = 0
    examples: list[str] = []

    def add(self, example: str) -> None:
        self.answers += 1
        if len(self.examples) < KEPT_EXAMPLES and example not in self.examples:
            self.examples.append(example)


class AnswerReader(msgspec.Struct):
    """Reads one variant's answers as they come in, in bounded memory: it keeps hashes of texts, no text, and not
    more than 20,000."""

    n: int = 0
    _counts: Counter[Sign] = msgspec.field(default_factory=Counter)
    _examples: defaultdict[Sign, list[str]] = msgspec.field(default_factory=lambda: defaultdict(list))
    _copies: dict[bytes, _Copies] = {}

    def add(self, attempt: Attempt) -> None:
        """Read one answer."""
        self.n += 1
        for sign in signs(attempt):
            self._counts[sign] += 1
            if len(self._examples[sign]) < KEPT_EXAMPLES:
                self._examples[sign].append(attempt.example.id)
        text = attempt.text.strip()
        if len(text) < FREE_TEXT_CHARACTERS:
            return
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        if len(self._copies) < MOST_TEXTS or digest in self._copies:
            self._copies.setdefault(digest, _Copies()).add(attempt.example.id)

    def readings(self) -> tuple[Reading, ...]:
        """Every sign that was seen, the most frequent first."""
        found = [Reading(sign, count, self.n, tuple(self._examples[sign])) for sign, count in self._counts.items()]
        most = max(self._copies.values(), key=lambda copies: copies.answers, default=None)
        if most is not None and len(most.examples) > 1 and self._is_suspicious(most.answers):
            found.append(Reading("duplicate", most.answers, self.n, tuple(most.examples)))
        return tuple(sorted(found, key=lambda reading: -reading.count))

    def _is_suspicious(self, copies: int) -> bool:
        return copies >= SUSPICIOUS_COPIES and copies >= SUSPICIOUS_SHARE * self.n


def read_answers(attempts: Iterable[Attempt]) -> tuple[Reading, ...]:
    """Every sign seen in these answers."""
    reader = AnswerReader()
    for attempt in attempts:
        reader.add(attempt)
    return reader.readings()
