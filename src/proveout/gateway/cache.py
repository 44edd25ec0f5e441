"""Answers kept by the exact request: opt-in, in memory and in Redis, with a time to live and a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from time import monotonic
from typing import NamedTuple

import msgspec

from proveout.gateway.bodies import Fields, encoded
from proveout.gateway.settings import CacheSettings
from proveout.gateway.sharing import Sharing
from proveout.models import Usage
from proveout.project.records import Service

HeaderPairs = tuple[tuple[str, str], ...]
_NOT_ASKED = ("user", "model", "metadata", "safety_identifier", "prompt_cache_key")
MAX_ENTRY_BYTES = 2**20


class Kept(NamedTuple):
    """A finished answer as it was sent: whole, or the bytes of its stream."""

    body: bytes
    headers: HeaderPairs
    usage: Usage | None
    finish: str | None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Kept).decode


class AnswerCache:
    """The least recently used entry goes first."""

    def __init__(
        self,
        settings: CacheSettings,
        sharing: Sharing | None = None,
        service: Service | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._settings = settings
        self._sharing = sharing
        # What other guards let pass is not given again.
        guards = "" if service is None else blake2b(repr(service.guards).encode(), digest_size=6).hexdigest()
        self._service = "" if service is None else f"{service.name}:{guards}"
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
        if self._sharing is not None and self._sharing.on:
            self._sharing.keep(self._name(key), _encode(kept), self._settings.ttl_s)

    async def fetch(self, key: bytes) -> Kept | None:
        """The answer that another gateway keeps. It stays there, so that its time ends for all at once."""
        if self._sharing is None or not self._sharing.on:
            return None
        found = await self._sharing.answer(self._name(key))
        if found is None:
            return None
        try:
            return _decode(found)
        except msgspec.DecodeError:  # Of another release of this program.
            return None

    def _name(self, key: bytes) -> str:
        return f"{self._service}:{key.hex()}"

    def __len__(self) -> int:
        return len(self._entries)


def cache_key(fingerprint: str, fields: Fields) -> bytes:
    """The key of a request for a variant: everything in it that the answer depends on, streaming included."""
    asked = {name: fields[name] for name in sorted(fields) if name not in _NOT_ASKED}
    return blake2b(encoded(asked), digest_size=20, key=fingerprint.encode()[:64]).digest()
