"""Regular expressions on text that nobody vouches for.

The standard library's `re` can't be stopped: `(a+)+b` holds 27 characters for ten seconds, and with it every other
call of the process. The `regex` package takes the same patterns and a limit on the time of each search.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

SEARCH_SECONDS = 0.5
"""How long one search may take."""


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Any:
    """A pattern of the `regex` package.

    Raises:
        ValueError: the pattern is not valid; the message says where.
    """
    import regex

    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise ValueError(str(error)) from None


def search(pattern: str, text: str) -> Any:
    """The first match, or None.

    Raises:
        TimeoutError: the search took longer than `SEARCH_SECONDS`.
        ValueError: the pattern is not valid.
    """
    return compiled(pattern).search(text, timeout=SEARCH_SECONDS)
