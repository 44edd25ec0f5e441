"""Whether an answer is the expected one."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import filterfalse
from typing import Annotated, Any, Literal

from msgspec import Meta

from proveout.evaluation.records import Attempt, Score
from proveout.evaluation.scorers._base import RIGHT, Scorer, ScorerFailed, expected_answer, shown, unparsed, wrong
from proveout.evaluation.scorers._registry import scorer


@scorer("exact_match")
@dataclass(frozen=True)
class ExactMatch(Scorer):
    """1 when the answer equals the expected one. A list of expected answers accepts any of them. Numbers compare by
    value, also with numbers written as text; JSON compares by structure, in any order of keys."""

    ignore_case: Annotated[bool, Meta(description="`Yes` equals `yes`.", examples=[True])] = False
    ignore_whitespace: Annotated[
        bool,
        Meta(
            description="White space around the answer is dropped, and each run inside counts as one space.",
            examples=[False],
        ),
    ] = True
    ignore_punctuation: Annotated[bool, Meta(description="`yes.` equals `yes`.", examples=[True])] = False
    unicode: Annotated[
        Literal["none", "nfc", "nfkc"],
        Meta(
            description="Normal form to compare in; nfkc also folds full-width letters and ligatures.",
            examples=["nfkc"],
        ),
    ] = "nfc"

    def score(self, attempt: Attempt) -> Score:
        failed = unparsed(attempt)
        if failed is not None:
            return failed
        expected, answer = expected_answer(attempt), attempt.answer.value
        try:
            accepted = self.accepts(expected, answer) or self._accepts_json(expected, answer)
        except RecursionError:
            raise ScorerFailed(f"example {attempt.example.id}: nested too deeply to compare") from None
        if accepted:
            return RIGHT
        return wrong(f"expected {shown(expected)}, got {shown(answer)}")

    def normalise(self, text: str) -> str:
        """The form in which texts are compared."""
        if not text.isascii() and self.unicode != "none":
            text = unicodedata.normalize("NFC" if self.unicode == "nfc" else "NFKC", text)
        if self.ignore_case:
            text = text.casefold()
        if self.ignore_punctuation:
            text = text.translate(_PUNCTUATION) if text.isascii() else "".join(filterfalse(_is_punctuation, text))
        return " ".join(text.split()) if self.ignore_whitespace else text

    def accepts(self, expected: Any, answer: Any) -> bool:
        """Whether an answer is the expected one, or one of a list of them."""
        if isinstance(expected, str) and isinstance(answer, str):
            return expected == answer or self.normalise(expected) == self.normalise(answer)
        if isinstance(expected, list | tuple):
            if isinstance(answer, list | tuple) and self.same(expected, answer):
                return True
            return any(self.same(accepted, answer) for accepted in expected)
        return self.same(expected, answer)

    def _accepts_json(self, expected: Any, answer: Any) -> bool:
        """Whether an answer in the text of JSON is the expected value."""
        value = _read_json(answer)
        if value is answer:
            return False
        wanted = [_read_json(one) for one in expected] if isinstance(expected, list | tuple) else _read_json(expected)
        return self.accepts(wanted, value)

    def same(self, expected: Any, answer: Any) -> bool:
        """Whether two values are equal, by structure where they are JSON."""
        if isinstance(expected, str) and isinstance(answer, str):
            return self.normalise(expected) == self.normalise(answer)
        if isinstance(expected, Mapping) and isinstance(answer, Mapping):
            return expected.keys() == answer.keys() and all(self.same(expected[key], answer[key]) for key in expected)
        if isinstance(expected, list | tuple) and isinstance(answer, list | tuple):
            return len(expected) == len(answer) and all(map(self.same, expected, answer))
        if isinstance(expected, bool) or isinstance(answer, bool):
            return _flag(expected) is not None and _flag(expected) is _flag(answer)
        if isinstance(expected, int | float) or isinstance(answer, int | float):
            number = _number(expected)
            return number is not None and number == _number(answer)
        return expected is None and answer is None


def _read_json(value: Any) -> Any:
    """The object or list that a text writes out as JSON; the value itself where it is anything else."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    import json

    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith("P")


_PUNCTUATION = {code: None for code in range(128) if _is_punctuation(chr(code))}


def _flag(value: Any) -> bool | None:
    """A truth value, also one written as text."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.strip().casefold()) if isinstance(value, str) else None


def _number(value: Any) -> float | int | None:
    """A number, also one written as plain text: `18`, `18.0`, `1e3`."""
    if isinstance(value, str):
        try:
            return float(value) if len(value) < 400 else None
        except ValueError:
            return None
    return value if isinstance(value, int | float) else None
