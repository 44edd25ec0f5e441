"""Where two answers differ, word by word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

MOST_WORDS = 400
"""Differing stretches longer than this are marked as one: word by word would take long and show confetti."""

_WORDS = re.compile(r"\s+|[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+|[^\w\s]")


class Piece(NamedTuple):
    """A stretch of text; `changed` where the other text has something else there."""

    text: str
    changed: bool


def changes(first: str, second: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts as pieces, the differing ones marked. Joined, the pieces of each give its text again."""
    one, other = _WORDS.findall(first), _WORDS.findall(second)
    start = _shared(one, other)
    end = _shared(one[start:][::-1], other[start:][::-1])
    left, right = one[start : len(one) - end], other[start : len(other) - end]
    shared_start, shared_end = "".join(one[:start]), "".join(one[len(one) - end :])
    marked = (
        _marked(left, right)
        if len(left) <= MOST_WORDS and len(right) <= MOST_WORDS
        else ([(left, True)], [(right, True)])
    )
    return tuple(_pieces([([shared_start], False), *side, ([shared_end], False)]) for side in marked)  # type: ignore[return-value]


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words both begin with."""
    pairs = zip(one, other, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


Side = list[tuple[Sequence[str], bool]]


def _marked(left: Sequence[str], right: Sequence[str]) -> tuple[Side, Side]:
    one: Side = []
    other: Side = []
    for kind, a, b, c, d in SequenceMatcher(None, left, right, autojunk=True).get_opcodes():
        one.append((left[a:b], kind != "equal"))
        other.append((right[c:d], kind != "equal"))
    return one, other


def _pieces(side: Side) -> list[Piece]:
    """Neighbours of one kind joined; a lone space between two changes belongs to them."""
    found: list[Piece] = []
    for words, changed in side:
        text = "".join(words)
        if not text:
            continue
        if found and found[-1].changed == changed:
            found[-1] = Piece(found[-1].text + text, changed)
        else:
            found.append(Piece(text, changed))
    return found
