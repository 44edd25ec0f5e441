"""Finding JSON in what a model wrote: bare, in a code fence, or among words. Only values that every JSON reader can
hold.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAX_STARTS = 200
"""How many brackets are tried as the start of JSON, so that the time stays bounded on any text."""

_FENCE = re.compile(r"```[A-Za-z0-9_-]{0,20}[ \t]*\n(.*?)```", re.DOTALL)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) < 19 else _real(digits)


def _real(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError("too large a number")
    return number


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_real, parse_constant=_no_constant)


def parse_json(text: str) -> Any:
    """Strict JSON. NaN, infinities, numbers beyond 64 bits of precision that overflow, and half surrogate pairs are
    refused.

    Raises:
        ValueError: the text is not JSON.
    """
    try:
        value = _DECODER.decode(text)
        _check_text(text, value)
    except RecursionError:
        raise ValueError("nested too deep") from None
    return value


def first_json(text: str) -> tuple[bool, Any]:
    """Whether there is JSON in a text, and its value: the whole text, else a code fence's content, else the first
    object or list.
    """
    return _first(text, "{[")


def first_object(text: str) -> tuple[bool, Any]:
    """Whether there is a JSON object in a text, and the first one."""
    return _first(text, "{")


def _first(text: str, brackets: str) -> tuple[bool, Any]:
    stripped = text.strip()
    if len(brackets) > 1 or stripped.startswith("{"):
        try:
            return True, parse_json(stripped)
        except ValueError:
            pass
    fence = _FENCE.search(text)
    for part in ([fence[1]] if fence else []) + [text]:
        found, value = _scan(part, brackets)
        if found:
            return True, value
    return False, None


def _scan(text: str, brackets: str) -> tuple[bool, Any]:
    position = 0
    for _ in range(MAX_STARTS):
        starts = [start for start in (text.find(bracket, position) for bracket in brackets) if start >= 0]
        if not starts:
            break
        position = min(starts)
        try:
            value, end = _DECODER.raw_decode(text, position)
            _check_text(text[position:end], value)
        except (ValueError, RecursionError):
            position += 1
        else:
            return True, value
    return False, None


def _check_text(source: str, value: Any) -> None:
    """Half of a surrogate pair can be written in JSON, but not encoded again."""
    if "\\u" in source:
        json.dumps(value, ensure_ascii=False).encode()
