"""Request heads that come again: a client sends nearly the same one each time on a connection."""

from __future__ import annotations

import re

from proveout.wire.headers import Headers

_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ([1-9]\d{0,8})\r\n")
_MOST_DIGITS = 9


class Found:
    """A known head at the start of some bytes: where it ends, and what it says of its own."""

    __slots__ = ("end", "headers", "length")

    def __init__(self, end: int, length: int, headers: Headers) -> None:
        self.end = end
        self.length = length
        self.headers = headers


class KnownHead:
    """A head that the parser has taken, and what it understood.

    One that differs from it only in the digits of its Content-Length means the same but for that number, so it needs
    no parsing: official SDKs send some twenty header fields, each of which would cost a call.
    """

    __slots__ = ("_after", "_before", "_found", "_length_at", "_whole", "keep_alive", "method", "old", "url")

    def __init__(
        self,
        head: bytes,
        digits: tuple[int, int],
        headers: Headers,
        url: bytes,
        method: str,
        *,
        old: bool,
        keep_alive: bool,
    ) -> None:
        start, end = digits
        self._before = head[:start]
        self._after = head[end:]
        self._length_at = headers.index(b"content-length")
        self._whole = head
        self._found = Found(len(head), int(head[start:end]), headers)
        self.url = url
        self.method = method
        self.old = old
        self.keep_alive = keep_alive

    @staticmethod
    def of(data: bytes, headers: Headers, url: bytes, method: str, *, old: bool, keep_alive: bool) -> KnownHead | None:
        """The head at the start of `data`; None where it is not there whole, or announces no body by its length."""
        end = data.find(b"\r\n\r\n") + 4
        length = _LENGTH.search(data, 0, end)
        if length is None or method == "HEAD":
            return None
        return KnownHead(data[:end], length.span(1), headers, url, method, old=old, keep_alive=keep_alive)

    def found_in(self, data: bytes) -> Found | None:
        """What `data` starts with, if that is this head with a body's length of its own."""
        if data.startswith(self._whole):
            return self._found
        if not data.startswith(self._before):
            return None
        start = len(self._before)
        end = data.find(b"\r\n", start, start + _MOST_DIGITS + 2)
        digits = data[start:end]
        if end < 0 or not digits.isdigit() or not data.startswith(self._after, end) or not int(digits):
            return None
        self._whole = data[: end + len(self._after)]
        headers = self._found.headers.with_value(self._length_at, digits)
        self._found = Found(len(self._whole), int(digits), headers)
        return self._found
