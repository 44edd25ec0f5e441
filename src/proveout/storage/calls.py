"""Finished calls, by the hash of what was asked: paid once, kept for good."""

from __future__ import annotations

import time
from collections.abc import Sequence

from proveout.storage.driver import Driver
from proveout.storage.rows import CALLS
from proveout.storage.writer import Writer

KEYS_PER_QUERY = 500


class Calls:
    """A cache of opaque bytes. Reads go straight to the database; writes go through the batching writer."""

    def __init__(self, driver: Driver, writer: Writer) -> None:
        self._driver = driver
        self._writer = writer

    @property
    def are_local(self) -> bool:
        """Whether asking for one is no round trip to a server."""
        return self._driver.is_local

    def get(self, key: bytes) -> bytes | None:
        """The generation kept under a key. On PostgreSQL this is a round trip: ask for many with `get_many`."""
        rows = self._driver.query("SELECT generation FROM calls WHERE key = ?", (key,))
        return bytes(rows[0][0]) if rows else None

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The generations of those keys that are there."""
        found: dict[bytes, bytes] = {}
        for start in range(0, len(keys), KEYS_PER_QUERY):
            part = keys[start : start + KEYS_PER_QUERY]
            marks = ", ".join("?" * len(part))
            rows = self._driver.query(f"SELECT key, generation FROM calls WHERE key IN ({marks})", part)  # noqa: S608
            found.update((bytes(key), bytes(generation)) for key, generation in rows)
        return found

    async def put(self, key: bytes, generation: bytes) -> None:
        """Keep a finished call; returns once it would survive a kill. The first generation under a key stays.

        Raises:
            StoreError: it was not kept.
        """
        await self._writer.put(CALLS, (key, generation, time.time()))
