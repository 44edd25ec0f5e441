"""Looks at answers while they come in, the way an expert would: what flipped between the variants, and what looks
odd."""

from __future__ import annotations

from collections import Counter, defaultdict

import msgspec

from proveout.evaluation.reading import AnswerReader, Reading
from proveout.evaluation.recording import clean_text
from proveout.evaluation.runner import Finished, answer_text
from proveout.project.records import Example

KEPT_FLIPS = 100
"""Flips kept whole per direction; all are counted."""

SHOWN_CHARACTERS = 2000


class Flip(msgspec.Struct, frozen=True):
    """An example whose score for one metric differs between the variants, with both answers of the first repeat."""

    example: Example
    champion: str
    challenger: str
    champion_score: float
    challenger_score: float

    @property
    def better(self) -> bool:
        return self.challenger_score > self.champion_score


class FlipCollector(msgspec.Struct):
    """Pairs the arms' first answers to each example and keeps those whose scores differ by half a point or more.

    Only examples that one arm has answered and the other has not are held in memory.
    """

    metric: int
    better: list[Flip] = []
    worse: list[Flip] = []
    counts: Counter[str] = msgspec.field(default_factory=Counter)
    _waiting: dict[str, tuple[int, str, float] | None] = {}

    def __call__(self, finished: Finished) -> None:
        if finished.repeat != 0:
            return
        score = finished.scores[self.metric] if finished.scores else None
        mine = None
        if finished.attempt is not None and score is not None:
            mine = (finished.arm, _shown(finished.attempt.text, answer_text(finished.attempt)), score.value)
        key = f"{finished.example.source}\0{finished.example.id}"
        if key not in self._waiting:
            self._waiting[key] = mine
            return
        other = self._waiting.pop(key)
        if mine is None or other is None or abs(mine[2] - other[2]) < 0.5:
            return
        champion, challenger = (mine, other) if mine[0] == 0 else (other, mine)
        flip = Flip(finished.example, champion[1], challenger[1], champion[2], challenger[2])
        kept, direction = (self.better, "better") if flip.better else (self.worse, "worse")
        self.counts[direction] += 1
        if len(kept) < KEPT_FLIPS:
            kept.append(flip)


class FailureCollector(msgspec.Struct):
    """Counts calls without an answer and scorers that could not measure, by arm and cause, with one message of each.

    `optional` are the places of metrics that may leave answers unscored.
    """

    optional: frozenset[int] = frozenset()
    calls: Counter[tuple[int, str]] = msgspec.field(default_factory=Counter)
    messages: dict[tuple[int, str], str] = {}
    unscored: Counter[int] = msgspec.field(default_factory=Counter)
    unscored_because: dict[int, str] = {}
    parse_failed: Counter[int] = msgspec.field(default_factory=Counter)

    def __call__(self, finished: Finished) -> None:
        if finished.failure is not None:
            key = (finished.arm, finished.failure.kind)
            self.calls[key] += 1
            self.messages.setdefault(key, str(finished.failure))
            return
        if any(score is None and place not in self.optional for place, score in enumerate(finished.scores)):
            self.unscored[finished.arm] += 1
            self.unscored_because.setdefault(finished.arm, finished.unscored)
        if any(score is not None and score.parse_failed for score in finished.scores):
            self.parse_failed[finished.arm] += 1


class ReadingCollector(msgspec.Struct):
    """Reads each arm's answers for what an expert would want to look at: cut, empty or refused answers, copies."""

    _readers: defaultdict[int, AnswerReader] = msgspec.field(default_factory=lambda: defaultdict(AnswerReader))

    def __call__(self, finished: Finished) -> None:
        if finished.attempt is not None:
            self._readers[finished.arm].add(finished.attempt)

    def findings(self) -> list[tuple[int, Reading]]:
        """Every sign that was seen, with its arm."""
        return [(arm, reading) for arm in sorted(self._readers) for reading in self._readers[arm].readings()]


def _shown(text: str, answer: str) -> str:
    shown = text if text.strip() == answer else f"{answer}\n\n{text}" if answer not in text else text
    return clean_text(shown if len(shown) <= SHOWN_CHARACTERS else shown[:SHOWN_CHARACTERS] + " …")
