"""What an operator told a running gateway: keys that no longer hold, and whether it gives way to others."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec


class Orders:
    """Orders of all processes of one gateway. Revoked keys outlive a restart; draining does not.

    `kept` is the file of revoked keys, `passing` a folder that this run's processes share (None: there is only one).
    """

    def __init__(self, kept: Path, passing: Path | None) -> None:
        self._kept = kept
        self._passing = None if passing is None else passing / "draining.order"
        self.revoked: frozenset[str] = frozenset()
        self.draining = False
        self.read()

    def read(self) -> bool:
        """Learn what other processes were told; whether it is something new. A file that can't be read changes
        nothing: a revoked key stays revoked."""
        before = self.revoked, self.draining
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            self.revoked = frozenset(msgspec.json.decode(self._kept.read_bytes(), type=list[str]))
        if self._passing is not None:
            self.draining = self._passing.exists()
        return (self.revoked, self.draining) != before

    def drain(self) -> None:
        self.draining = True
        if self._passing is not None:
            self._passing.touch()

    def resume(self) -> None:
        self.draining = False
        if self._passing is not None:
            self._passing.unlink(missing_ok=True)

    def revoke(self, name: str) -> None:
        """
        Raises:
            OSError: it can't be kept; the key holds on.
        """
        self.read()
        self._write(self.revoked | {name})

    def restore(self, name: str) -> None:
        """Raises as `revoke`."""
        self.read()
        self._write(self.revoked - {name})

    def _write(self, revoked: frozenset[str]) -> None:
        self._kept.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._kept.with_suffix(f".{os.getpid()}.new")
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(sorted(revoked)))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._kept)
        self.revoked = revoked


def orders_file(root: Path) -> Path:
    """Where a project's gateway keeps which keys are revoked."""
    return root / ".proveout" / "gateway" / "revoked.json"
