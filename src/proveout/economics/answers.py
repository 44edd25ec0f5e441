"""Which characters of an answer its service uses: values it reads, JSON around them, fields nobody reads, and talk."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|[{}\[\],:]|\s+', re.DOTALL)
_OPENS = re.compile(r"[{\[]")
_DECODER = json.JSONDecoder()


class AnswerParts(msgspec.Struct, frozen=True):
    """Characters of an answer's text; together they are all of it."""

    useful: int = 0
    syntax: int = 0
    unread: int = 0
    talk: int = 0

    @property
    def total(self) -> int:
        return self.useful + self.syntax + self.unread + self.talk


def answer_parts(text: str, answer: Any, reads: Sequence[str] | None = None) -> AnswerParts:
    """Split an answer's text by what its service does with it.

    Args:
        text: the model's whole text.
        answer: what post-processing made of it (`Answer.value`); None where nothing could be read.
        reads: the JSON fields that the service reads, at any depth; None reads all.

    Returns:
        In a text that holds JSON: the values of fields that are read (`useful`), of others (`unread`), all keys,
        punctuation and white space (`syntax`), and everything around it (`talk`). In another text: the answer where it
        stands in the text (`useful`) and the rest (`talk`).
    """
    found = _json_in(text)
    if found is None:
        return _plain(text, answer)
    start, end = found
    useful = syntax = unread = 0
    for length, kind in _json_characters(text[start:end], None if reads is None else frozenset(reads)):
        if kind == "syntax":
            syntax += length
        elif kind == "read":
            useful += length
        else:
            unread += length
    return AnswerParts(useful, syntax, unread, len(text) - (end - start))


def _plain(text: str, answer: Any) -> AnswerParts:
    if not text:
        return AnswerParts()
    if answer is None:
        return AnswerParts(talk=len(text))
    said = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    useful = len(said) if said and said in text else min(len(said), len(text))
    return AnswerParts(useful=useful, talk=len(text) - useful)


def _json_in(text: str) -> tuple[int, int] | None:
    """Where the first JSON object or array stands in a text; None where there is none."""
    for match in _OPENS.finditer(text):
        try:
            value, end = _DECODER.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(value, (dict, list)) and value:
            return match.start(), end
    return None


def _json_characters(text: str, reads: frozenset[str] | None) -> Iterator[tuple[int, str]]:
    """Every token of a valid JSON text with its length and what it is: `syntax`, or a value that is `read` or `unread`.

    A value is read if its own key or that of a container around it is.
    """
    stack: list[tuple[str, bool]] = []
    inherited, current = reads is None, reads is None
    expects_key = False
    for match in _TOKEN.finditer(text):
        piece = match.group()
        if piece in "{[":
            stack.append((piece, inherited))
            inherited, expects_key = current, piece == "{"
            yield 1, "syntax"
        elif piece in "}]":
            _, inherited = stack.pop()
            current = inherited
            expects_key = False
            yield 1, "syntax"
        elif piece == ",":
            expects_key = stack[-1][0] == "{"
            current = inherited
            yield 1, "syntax"
        elif expects_key and piece.startswith('"'):
            current = inherited or (reads is not None and json.loads(piece) in reads)
            expects_key = False
            yield len(piece), "syntax"
        elif piece == ":" or piece.isspace():
            yield len(piece), "syntax"
        else:
            quotes = 2 if piece.startswith('"') else 0
            if quotes:
                yield quotes, "syntax"
            yield len(piece) - quotes, "read" if current else "unread"
