"""What one replica can serve within its SLOs, as load tests measured it: kept with the variant, for the cost gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import asdict

if TYPE_CHECKING:
    from proveout.storage import Store

KIND = "loadtest.goodput"

_NORMAL_95 = 1.959964


class Goodput(msgspec.Struct, frozen=True):
    """Requests per second that one replica serves within all its SLOs.

    `low` is shown to keep them and `high` to break them, where a search found such rates; `slo` are the limits that it
    was measured under (seconds by metric), `measured` the day.
    """

    rate: float
    low: float | None = None
    high: float | None = None
    slo: Mapping[str, float] | None = None
    measured: str = ""

    @property
    def doubt(self) -> float:
        """The relative standard deviation that goes with `low` and `high`, taken as a 95 % interval; 0 without."""
        if not self.rate > 0 or self.low is None:
            return 0.0
        high = self.high if self.high is not None else 2 * self.rate - self.low
        return max(0.0, high - self.low) / (2 * _NORMAL_95 * self.rate)


def keep_goodput(store: Store, fingerprint: str, goodput: Goodput) -> None:
    """Keep what a load test measured of a variant.

    Raises:
        StoreError: the store could not keep it.
    """
    store.events.append_nowait(KIND, _subject(fingerprint), asdict(goodput))
    store.writer.flush()


def kept_goodput(store: Store, fingerprint: str, slo: Mapping[str, float]) -> Goodput | None:
    """The newest goodput of a variant that was measured under these SLOs; None where there is none."""
    found: Goodput | None = None
    position = 0
    while events := store.events.after(position, subject=_subject(fingerprint), kind=KIND):
        for event in events:
            body: dict[str, Any] = event.body
            if dict(body.get("slo") or {}) == dict(slo):
                found = Goodput(**body)
        position = events[-1].position
    return found


def _subject(fingerprint: str) -> str:
    return f"variant:{fingerprint}"
