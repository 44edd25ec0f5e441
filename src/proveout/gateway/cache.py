"""Answers kept by the exact request: opt-in, in memory, with a time to live and a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from time import monotonic
from typing import NamedTuple

from proveout.gateway.bodies import Fields, encoded
from proveout.gateway.settings import CacheSettings
from proveout.models import Usage

HeaderPairs = tuple[tuple[str, str], ...]
_NOT_ASKED = ("user", "model", "metadata", "safety_identifier", "prompt_cache_key")
MAX_ENTRY_BYTES = 2**20


class Kept(NamedTuple):
    """A finished answer as it was sent: whole, or the bytes of its stream."""

    body: bytes
    headers: HeaderPairs
    usage: Usage | None
    finish: str | None


class AnswerCache:
    """The least recently used entry goes first."""

    def __init__(self, settings: CacheSettings, clock: Callable[[], float] = monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._entries: OrderedDict[bytes, tuple[float, Kept]] = OrderedDict()

    def get(self, key: bytes) -> Kept | None:
        found = self._entries.get(key)
        if found is None:
            return None
        if self._clock() >= found[0]:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return found[1]

    def put(self, key: bytes, kept: Kept) -> None:
        if len(kept.body) > MAX_ENTRY_BYTES:
            return
        self._entries[key] = (self._clock() + self._settings.ttl_s, kept)
        self._entries.move_to_end(key)
        while len(self._entries) > self._settings.entries:
            self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)


def cache_key(fingerprint: str, fields: Fields) -> bytes:
    """The key of a request for a variant: everything in it that the answer depends on, streaming included."""
    asked = {name: fields[name] for name in sorted(fields) if name not in _NOT_ASKED}
    return blake2b(encoded(asked), digest_size=20, key=fingerprint.encode()[:64]).digest()
