"""Quantities with units as people write them: `800ms`, `2s`, `10%`, `0.02`."""

from __future__ import annotations

import re

_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)\s?(ms|s|m|h|d)", re.ASCII)
_PERCENTAGE = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)\s?%", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: object) -> float:
    """A duration in seconds: a number with one of the units ms, s, m, h, d.

    Raises:
        ValueError: it is something else; the message says what to write.
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("a duration has a number and a unit, such as 800ms, 2s or 5m")
    return float(match[1]) * _SECONDS[match[2]]


def share(value: object) -> float:
    """A share of one: a number such as 0.02, or a percentage such as 2%.

    Raises:
        ValueError: it is something else; the message says what to write.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = _PERCENTAGE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a share is a number such as 0.02 or a percentage such as 2%")
    return round(float(match[1]) / 100, 12)
