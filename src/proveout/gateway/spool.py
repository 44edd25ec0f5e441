"""Rows that wait on disk while the store is away: appended, bounded, and given back in order."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

SEGMENT_BYTES = 8 * 2**20
TABLES = ("feedback", "traces", "trace_contents")
"""In the order in which they are delivered; feedback is never given up."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Any]).decode


class SpoolFull(Exception):
    """The rows were not taken: the bound is reached."""


class Spool:
    """Segments of JSON lines in a folder, each table's apart. A process locks those that it writes to; those of a
    process that is gone are delivered by whoever comes first. A line that a crash cut short is passed over."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._open: dict[str, IO[bytes]] = {}
        self._number = 0

    @property
    def waiting_bytes(self) -> int:
        return sum(_size(path) for path in self._segments())

    def append(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """Keep rows; they survive the end of the process and, for feedback, that of the machine.

        Raises:
            SpoolFull: the bound is reached (never for feedback).
            OSError: the disk refuses.
        """
        data = b"".join(_encode(row) + b"\n" for row in rows)
        if table != "feedback" and self.waiting_bytes + len(data) > self._limit:
            raise SpoolFull
        file = self._open.get(table)
        if file is None or file.tell() > SEGMENT_BYTES:
            file = self._new(table)
        file.write(data)
        file.flush()
        if table == "feedback":
            os.fsync(file.fileno())

    def segments(self) -> Iterator[tuple[str, Path]]:
        """Tables and segments to deliver, feedback first, then oldest first. Each is this process's until it is
        `done`."""
        for file in self._open.values():
            file.close()
        self._open.clear()
        for table in TABLES:
            for path in sorted(self._folder.glob(f"{table}-*.jsonl")) if self._folder.is_dir() else ():
                try:
                    with path.open("rb") as file:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        yield table, path
                except (BlockingIOError, FileNotFoundError):
                    continue

    @staticmethod
    def rows(path: Path) -> Iterator[tuple[Any, ...]]:
        """The whole rows of a segment."""
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    try:
                        yield tuple(_decode(line))
                    except msgspec.DecodeError:
                        continue

    def done(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()

    def _new(self, table: str) -> IO[bytes]:
        earlier = self._open.pop(table, None)
        if earlier is not None:
            earlier.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._number += 1
        path = self._folder / f"{table}-{time.time_ns():020}-{os.getpid()}-{self._number:06}.jsonl"
        file = path.open("ab")
        os.chmod(path, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        self._open[table] = file
        return file

    def _segments(self) -> Iterator[Path]:
        return self._folder.glob("*.jsonl") if self._folder.is_dir() else iter(())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
