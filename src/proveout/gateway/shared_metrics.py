"""The metrics of several processes that share one port: whichever is asked shows those of all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from proveout.gateway.metrics import METRICS, Sample

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Sample]).decode


class MetricsFolder:
    """One file for each process, written anew about every second."""

    def __init__(self, folder: Path) -> None:
        self.path = folder

    def write(self, samples: list[Sample], pid: int | None = None) -> None:
        path = self.path / str(pid or os.getpid())
        fresh = path.with_suffix(".new")
        fresh.write_bytes(_encode(samples))
        fresh.replace(path)

    def others(self) -> Iterator[list[Sample]]:
        """The samples of all processes but this one."""
        mine = str(os.getpid())
        for path in sorted(self.path.iterdir()):
            if path.name != mine and not path.suffix:
                try:
                    yield _decode(path.read_bytes())
                except (OSError, msgspec.DecodeError):
                    continue

    def bury(self, pid: int) -> None:
        """A process has ended: what it counted stays, what it was doing does not."""
        path = self.path / str(pid)
        try:
            samples = _decode(path.read_bytes())
        except (OSError, msgspec.DecodeError):
            return
        self.write([sample for sample in samples if METRICS[sample.name][0] != "gauge"], pid)
