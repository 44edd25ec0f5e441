"""How long an endpoint asks to be left alone, in every form that providers say it."""

from __future__ import annotations

import math
import re
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from proveout.wire import Headers

_SPAN = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_NUMBER = re.compile(r"\d{1,15}(\.\d{1,9})?")
_EPOCH_S = 1e9
_EPOCH_MS = 1e12
_RESETS = (
    ("x-ratelimit-reset-requests", "x-ratelimit-remaining-requests"),
    ("x-ratelimit-reset-tokens", "x-ratelimit-remaining-tokens"),
    ("anthropic-ratelimit-requests-reset", "anthropic-ratelimit-requests-remaining"),
    ("anthropic-ratelimit-input-tokens-reset", "anthropic-ratelimit-input-tokens-remaining"),
    ("anthropic-ratelimit-output-tokens-reset", "anthropic-ratelimit-output-tokens-remaining"),
    ("anthropic-ratelimit-tokens-reset", "anthropic-ratelimit-tokens-remaining"),
    ("x-ratelimit-reset", "x-ratelimit-remaining"),
)


def retry_after(headers: Headers, *, limited: bool) -> float | None:
    """Seconds to wait, or None where the response does not say.

    Read in this order: `retry-after-ms`, `retry-after` (seconds or an HTTP date, which is held against the response's
    own `date`), and for rate limits (`limited`) the resets of the limits that are used up.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    said = headers.get("retry-after")
    if said is not None:
        seconds = _number(said)
        if seconds is None:
            seconds = _until(_http_date(said), headers)
        if seconds is not None:
            return seconds
    return _until_reset(headers) if limited else None


def _until_reset(headers: Headers) -> float | None:
    used_up: list[float] = []
    unclear: list[float] = []
    for reset, remaining in _RESETS:
        seconds = _span(headers.get(reset), headers)
        if seconds is not None:
            left = _number(headers.get(remaining))
            if left is None:
                unclear.append(seconds)
            elif left == 0:
                used_up.append(seconds)
    return max(used_up or unclear, default=None)


def _span(text: str | None, headers: Headers) -> float | None:
    """`1s`, `6m0s`, `120ms`, seconds, seconds or milliseconds since 1970, or a date of ISO 8601."""
    if not text:
        return None
    text = text.strip()
    number = _number(text)
    if number is not None:
        if number >= _EPOCH_MS:
            return _until(number / 1000, headers)
        return _until(number, headers) if number >= _EPOCH_S else number
    if text[:4].isdigit() and "T" in text:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            return None
        return _until((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp(), headers)
    match = _SPAN.fullmatch(text)
    if match is None or not any(match.groups()):
        return None
    days, hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds + milliseconds / 1000


def _until(moment: float | None, headers: Headers) -> float | None:
    if moment is None:
        return None
    now = _http_date(headers.get("date") or "")
    return max(0.0, moment - (time.time() if now is None else now))


def _http_date(text: str) -> float | None:
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _number(text: str | None) -> float | None:
    if text is None or not _NUMBER.fullmatch(text.strip()):
        return None
    value = float(text)
    return value if math.isfinite(value) else None
