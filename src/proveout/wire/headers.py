"""HTTP header fields: reading them without regard to case, and writing them without letting anything be injected."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import cast

from proveout.wire.errors import InvalidRequest

HeaderInput = Mapping[str, str] | Iterable[tuple[str, str]] | bytes
"""Names and values; or lines that `encode_headers` made before, for those who send the same again and again."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_WRITTEN_BY_THE_WIRE = frozenset({"connection", "content-length", "transfer-encoding"})
_COMMON = frozenset(
    {"accept", "authorization", "cache-control", "content-type", "retry-after", "user-agent", "x-api-key"}
)


class Headers:
    """The fields of one message, in order. Names are compared without case; a name may occur several times."""

    __slots__ = ("_fields", "_first")

    def __init__(self, fields: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """`fields`: (name in lower case, value) pairs as they came from the wire. A list is not copied."""
        self._fields = fields if isinstance(fields, list) else list(fields)
        self._first: dict[bytes, bytes] | None = None

    def first(self, name: bytes) -> bytes | None:
        """The first value of a name in lower case, as it came: for those who look at every message."""
        first = self._first
        if first is None:
            first = self._first = dict(reversed(self._fields))
        return first.get(name)

    def combined(self) -> dict[bytes, bytes]:
        """Values by name in lower case, those of a repeated field joined by commas (RFC 9110, 5.3)."""
        values = dict(self._fields)
        if len(values) == len(self._fields):
            self._first = values
            return values
        values.clear()
        for name, value in self._fields:
            values[name] = values[name] + b", " + value if name in values else value
        return values

    def firsts(self, names: Iterable[bytes]) -> tuple[bytes | None, ...]:
        """The first values of names in lower case, None for those that are not there."""
        return tuple(map((self._first or dict(reversed(self._fields))).get, names))

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of `name`."""
        value = self.first(_spelled(name))
        return default if value is None else value.decode("latin-1")

    def index(self, name: bytes) -> int:
        """The place of the first field of a name in lower case.

        Raises:
            ValueError: there is none.
        """
        return [key for key, _ in self._fields].index(name)

    def with_value(self, index: int, value: bytes) -> Headers:
        """These fields, with another value for the one at `index`, which is the first of its name."""
        fields = self._fields.copy()
        name = fields[index][0]
        fields[index] = (name, value)
        changed = Headers(fields)
        if self._first is not None:
            changed._first = {**self._first, name: value}
        return changed

    def get_all(self, name: str) -> list[str]:
        """Every value of `name`, in order."""
        wanted = name.lower().encode("latin-1")
        return [value.decode("latin-1") for key, value in self._fields if key == wanted]

    def items(self) -> list[tuple[str, str]]:
        """All (name in lower case, value) pairs, in order, repeated names included."""
        return [(key.decode("latin-1"), value.decode("latin-1")) for key, value in self._fields]

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.items())

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        names = ", ".join(key.decode("latin-1") for key, _ in self._fields)
        return f"<Headers {names}>"


def encode_headers(headers: HeaderInput) -> bytes:
    """Header lines, each ended by CRLF.

    Raises:
        InvalidRequest: a name is not a token, a value holds a line break or other control character, or the field is
            one that frames the message (connection, content-length, transfer-encoding), which the wire writes itself.
    """
    if isinstance(headers, bytes):
        return headers
    pairs = cast(Iterable[tuple[str, str]], headers.items() if isinstance(headers, Mapping) else headers)
    lines: list[str] = []
    for name, value in pairs:
        if name not in _COMMON:
            _check_name(name)
        # isprintable is the fast test; the expression also allows tabs and all of latin-1.
        if not (value.isascii() and value.isprintable()) and not _VALUE.fullmatch(value):
            raise InvalidRequest(f"the value of header {name!r} holds a character that no header value may hold")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1")


@lru_cache(maxsize=1024)
def _spelled(name: str) -> bytes:
    return name.lower().encode("latin-1")


@lru_cache(maxsize=1024)
def _check_name(name: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise InvalidRequest("a header name holds characters that no header name may hold")
    if name.lower() in _WRITTEN_BY_THE_WIRE:
        raise InvalidRequest(f"header {name!r} frames the message and is written by the wire: leave it out")
