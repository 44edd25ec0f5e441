"""Reading `POST /v1/feedback`."""

from __future__ import annotations

import math
import re
import secrets
import time
from hashlib import blake2b
from typing import Any

import msgspec

from proveout.gateway.errors import Refused
from proveout.storage.records import Feedback

_TRACE = re.compile(r"[0-9a-f]{32}")
MAX_TEXT = 10_000


class _Given(msgspec.Struct, forbid_unknown_fields=True):
    trace_id: str
    name: str
    value: bool | int | float | str | None
    comment: str | None = None


_decode = msgspec.json.Decoder(_Given).decode


def read_feedback(body: bytes, key: str | None) -> Feedback:
    """A score as it is kept. With an idempotency key, the same score sent again is the same row. The trace need not be
    known here: it may be another gateway's, or still on its way to the store.

    Raises:
        Refused: 400: the body is no feedback; says which field is wrong.
    """
    try:
        given = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        what = f"this is no feedback: {error}; write {{trace_id, name, value, comment?}}"
        raise Refused(400, what, code="invalid_feedback") from None
    if not _TRACE.fullmatch(given.trace_id):
        what = "`trace_id` is the 32 hexadecimal digits of the x-proveout-trace-id header"
        raise Refused(400, what, code="invalid_feedback", param="trace_id")
    if not 1 <= len(given.name) <= 100 or not given.name.isprintable():
        raise Refused(400, "`name` is a short word, such as ok or stars", code="invalid_feedback", param="name")
    for field in ("value", "comment"):
        text = getattr(given, field)
        if isinstance(text, str) and len(text) > MAX_TEXT:
            raise Refused(400, f"`{field}` is too long", code="invalid_feedback", param=field)
    return Feedback(
        id=secrets.token_hex(16) if key is None else _id(given.trace_id, key),
        trace=given.trace_id,
        name=given.name,
        value=_storable(given.value),
        score=_score(given.value),
        comment=None if given.comment is None else given.comment.replace("\0", ""),
        created=time.time(),
    )


def _id(trace: str, key: str) -> str:
    return blake2b(f"{trace}\0{key}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _score(value: Any) -> float | None:
    if isinstance(value, bool | int | float):
        number = float(value) if abs(value) < 1e300 else math.nan
        return number if math.isfinite(number) else None
    return None


def _storable(value: Any) -> Any:
    return value.replace("\0", "") if isinstance(value, str) else value
