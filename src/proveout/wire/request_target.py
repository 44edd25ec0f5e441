"""What a request line asks for."""

from __future__ import annotations

import re
from functools import lru_cache

_ABSOLUTE = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)


@lru_cache(maxsize=256)
def path_and_query(target: bytes) -> tuple[str, str]:
    """The path and the query (without its `?`) of a request target. Clients repeat themselves, so the last are kept."""
    path, _, query = _origin_form(target).decode("latin-1").partition("?")
    return path, query


def _origin_form(target: bytes) -> bytes:
    """The path and query of a request target; clients that take us for a proxy send a whole URL."""
    whole = None if target.startswith(b"/") else _ABSOLUTE.match(target)
    if whole is None:
        return target
    path = target[whole.end() :]
    return path if path.startswith(b"/") else b"/" + path
