"""Reads numbers as people and models write them: `$1,234.50`, `−3`, `45 %`, `2 1/2`, `6.02e23`, `\\frac{3}{4}`,
`\\boxed{7}`."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Literal

from proveout.evaluation.scorers._base import last_match

Percent = Literal["as_written", "divided"]
DecimalMark = Literal[".", ","]

_LONGEST = 300
"""Characters of one number; a longer one is no number that anybody meant."""

_VULGAR = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")
_GROUP_SPACE = re.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))")
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\s?\{([^{}]{1,40})\}\s?\{([^{}]{1,40})\}")
_LATEX_DIGITS = re.compile(r"\\[dt]?frac\s?(\d)(\d)")
_LATEX_UNIT = re.compile(r"\\(?:text|mathrm|mbox)\s?\{[^{}\d]{0,40}\}\s?\^\s?(?:\d|\{-?\d\})")
_LATEX_NOISE = re.compile(r"\\[,;:! ]|\\(?:left|right|text|mathrm|mathbf|displaystyle)(?![a-zA-Z])")
_BOXED = re.compile(r"\\f?boxed\s?\{")
_SIGN = r"(?:(?<![\w.,)\]])[-+])?"
_CURRENCY = r"(?:[A-Z]{2,3}\s?)?[$€£¥₹₩₽¢]\s?"


def _pattern(mark: DecimalMark) -> re.Pattern[str]:
    point, group = (r"\.", ",") if mark == "." else (",", r"\.")
    whole = rf"(?:\d{{1,3}}(?:{group}\d{{3}})+(?!\d)|\d+)"
    number = rf"(?:{whole}(?:{point}\d+)?|(?<!\d){point}\d+)"
    return re.compile(
        rf"(?P<sign>{_SIGN})(?:{_CURRENCY}(?P<inner>[-+](?=[\d.,]))?)?"
        rf"(?:(?P<mixed>\d{{1,9}})\s+(?=\d{{1,9}}\s?/\s?\d))?"
        rf"(?P<number>{number})(?:[eE](?P<power>[-+]?\d{{1,4}})(?![\w]))?"
        rf"(?:\s?/\s?(?P<over>\d{{1,9}})(?![\d/]))?"
        rf"\s?(?P<percent>\\?%)?"
    )


_PATTERNS: dict[DecimalMark, re.Pattern[str]] = {".": _pattern("."), ",": _pattern(",")}


def last_number(text: str, *, mark: DecimalMark = ".", percent: Percent = "as_written") -> float | int | None:
    """The last number of a text; what stands in the last `\\boxed{}` goes before all else. None where there is none."""
    found = last_match(_PATTERNS[mark], _plain(_boxed(text)))
    return None if found is None else _value(found, mark, percent)


def first_number(text: str, *, mark: DecimalMark = ".", percent: Percent = "as_written") -> float | int | None:
    """The first number of a text; None where there is none."""
    found = _PATTERNS[mark].search(_plain(text))
    return None if found is None else _value(found, mark, percent)


def _boxed(text: str) -> str:
    """What the last `\\boxed{...}` holds, with its braces balanced; the whole text where there is none."""
    start = last_match(_BOXED, text)
    if start is None:
        return text
    depth = 1
    for position in range(start.end(), len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start.end() : position]
    return text[start.end() :]


def _plain(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _VULGAR.sub(" ", _GROUP_SPACE.sub("", text)))
        text = text.translate(_ASCII_MARKS)
    text = text.replace("{,}", ",")
    if "\\" in text:
        text = _LATEX_NOISE.sub("", _LATEX_UNIT.sub("", text))
        text = _LATEX_FRACTION.sub(r"\1/\2", _LATEX_DIGITS.sub(r"\1/\2", text)).replace("\\$", "$")
    return text


_ASCII_MARKS = str.maketrans({**dict.fromkeys("\u2212\u2010\u2011\u2012\u2013", "-"), "\u2044": "/", "\u2019": "'"})


def _value(found: re.Match[str], mark: DecimalMark, percent: Percent) -> float | int | None:
    digits = found["number"]
    if len(digits) > _LONGEST:
        return None
    digits = digits.replace(",", "") if mark == "." else digits.replace(".", "").replace(",", ".")
    value: float | int = float(digits) if "." in digits else int(digits)
    if found["power"]:
        value = float(f"{digits}e{found['power']}")
    if found["over"]:
        value = _ratio(value, int(found["over"]))
        value += int(found["mixed"] or 0)
    if "-" in found["sign"] or found["inner"] == "-":
        value = -value
    if percent == "divided" and found["percent"]:
        value = value / 100 if abs(value) < 1e300 else math.inf
    return value if math.isfinite(value) else None


def _ratio(value: float | int, over: int) -> float | int:
    if over == 0 or value > 1e300:
        return math.nan
    return value // over if value % over == 0 else value / over
