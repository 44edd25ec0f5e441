"""What serving a model on machines of one's own costs, and from how many requests on it beats an API."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from proveout.project.records import Host

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

HOURS_PER_MONTH = 730.0
SECONDS_PER_MONTH = HOURS_PER_MONTH * 3600


class Serving(msgspec.Struct, frozen=True):
    """How one replica serves a workload: `goodput` is the requests per second at which it still keeps all SLOs (from a
    load test; `goodput_doubt` is its relative standard deviation), on `machines` of a host. `headroom` is the share of
    it that may be planned with, `spare` the replicas kept beside (for a rollout, or a failure)."""

    host: Host
    goodput: float
    machines: int = 1
    headroom: float = 0.8
    spare: int = 0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    goodput_doubt: float = 0.0

    def __post_init__(self) -> None:
        if not self.goodput > 0 or not 0 < self.headroom <= 1 or self.machines < 1 or self.spare < 0:
            raise ValueError("a replica needs a goodput above 0, a headroom above 0 and up to 1, and a machine")


class Hosting(msgspec.Struct, frozen=True):
    """What it takes and costs to serve a month's requests. `utilisation` is of the goodput of all replicas: half of it
    doubles the price of a token. `usd_per_million_tokens` are input and output together; None where their number is
    unknown."""

    replicas: int
    utilisation: float
    usd_per_month: float
    usd_per_request: float
    usd_per_million_tokens: float | None


class Step(msgspec.Struct, frozen=True):
    """One number of replicas: up to how many requests a month it serves, what it costs, and between which volumes it is
    cheaper than the API (None where it never is)."""

    replicas: int
    most_requests: float
    usd_per_month: float
    cheaper: tuple[float, float] | None


class BreakEven(msgspec.Struct, frozen=True):
    """The staircase of own machines against an API.

    `first` is the smallest number of requests a month from which own machines are cheaper somewhere, `always` the one
    from which they are cheaper everywhere, as far as `steps` reach; None where that never is. `needed_utilisation` is
    how busy replicas must be to cost as little as the API.
    """

    first: float | None
    always: float | None
    needed_utilisation: float
    steps: tuple[Step, ...]


def machine_usd_per_hour(host: Host) -> float:
    """Rent or depreciation, and power: kW x $/kWh x PUE."""
    return host.usd_per_hour + host.kilowatts * host.usd_per_kwh * host.pue


def replica_usd_per_month(serving: Serving) -> float:
    return serving.machines * machine_usd_per_hour(serving.host) * HOURS_PER_MONTH


def machines_usd_per_month(serving: Serving, requests_per_month: Any, peak_to_mean: float, goodput: Any) -> Any:
    """What whole replicas for these months cost; numbers or arrays, of requests and of the goodput of one replica."""
    import numpy as np

    peak = np.asarray(requests_per_month) / SECONDS_PER_MONTH * peak_to_mean
    working = np.maximum(1, np.ceil(peak / (np.asarray(goodput) * serving.headroom) - 1e-9))
    return (working + serving.spare) * replica_usd_per_month(serving) + serving.host.people_usd_per_month


def hosting(serving: Serving, requests_per_month: float, peak_to_mean: float = 2.0) -> Hosting:
    """Replicas for the peak, and the price of a request when all requests of a month pay for them.

    Raises:
        ValueError: no requests, or a peak below the mean.
    """
    if not requests_per_month > 0 or not peak_to_mean >= 1:
        raise ValueError("give more than 0 requests a month, and a peak of at least the mean")
    mean = requests_per_month / SECONDS_PER_MONTH
    replicas = _replicas(mean * peak_to_mean, serving)
    month = replicas * replica_usd_per_month(serving) + serving.host.people_usd_per_month
    tokens = serving.input_tokens + serving.output_tokens
    each = month / requests_per_month
    return Hosting(
        replicas=replicas,
        utilisation=mean / (replicas * serving.goodput),
        usd_per_month=month,
        usd_per_request=each,
        usd_per_million_tokens=each / tokens * 1e6 if tokens > 0 else None,
    )


def break_even(
    serving: Serving, api_usd_per_request: float, *, peak_to_mean: float = 2.0, most_replicas: int = 64
) -> BreakEven:
    """Compare own machines with an API at every number of replicas: costs rise in steps, an API's in a line.

    Raises:
        ValueError: the API's price is not above 0, or the peak is below the mean.
    """
    if not api_usd_per_request > 0 or not peak_to_mean >= 1:
        raise ValueError("give an API price above 0, and a peak of at least the mean")
    per_replica = serving.goodput * serving.headroom / peak_to_mean * SECONDS_PER_MONTH
    steps: list[Step] = []
    for working in range(1, most_replicas + 1):
        replicas = working + serving.spare
        month = replicas * replica_usd_per_month(serving) + serving.host.people_usd_per_month
        least, most = (working - 1) * per_replica, working * per_replica
        equal = month / api_usd_per_request
        steps.append(Step(replicas, most, month, (max(equal, least), most) if equal < most else None))
    cheaper = [step.cheaper for step in steps]
    needed = replica_usd_per_month(serving) / (api_usd_per_request * serving.goodput * SECONDS_PER_MONTH)
    return BreakEven(
        first=next((span[0] for span in cheaper if span is not None), None),
        always=_always(cheaper, per_replica),
        needed_utilisation=needed,
        steps=tuple(steps),
    )


def token_seconds(busy_seconds: ArrayLike, input_tokens: ArrayLike, output_tokens: ArrayLike) -> tuple[float, float]:
    """Machine seconds of one input and one output token, from measured runs: least squares of
    busy = a x input + b x output with neither below 0.

    Args:
        busy_seconds, input_tokens, output_tokens: by run (say, by cell of a grid of sizes), each of shape (N,).

    Raises:
        ValueError: fewer than two runs, or runs of one shape only, which can't tell the two apart.
    """
    import numpy as np

    work = np.column_stack([np.asarray(input_tokens, dtype=float), np.asarray(output_tokens, dtype=float)])
    busy = np.asarray(busy_seconds, dtype=float)
    if len(busy) < 2 or np.linalg.matrix_rank(work, tol=1e-9 * float(np.abs(work).max() or 1.0)) < 2:
        raise ValueError("give runs of at least two different shapes of input and output")
    solved: Any = np.linalg.lstsq(work, busy, rcond=None)[0]
    if (solved >= 0).all():
        return float(solved[0]), float(solved[1])
    alone = [max(float(column @ busy / (column @ column)), 0.0) for column in work.T]
    errors = [float(((busy - share * column) ** 2).sum()) for share, column in zip(alone, work.T, strict=True)]
    return (alone[0], 0.0) if errors[0] <= errors[1] else (0.0, alone[1])


def _replicas(peak: float, serving: Serving) -> int:
    return max(1, math.ceil(peak / (serving.goodput * serving.headroom) - 1e-9)) + serving.spare


def _always(cheaper: list[tuple[float, float] | None], per_replica: float) -> float | None:
    """Where the unbroken run of cheaper volumes that reaches the last step begins."""
    start: float | None = None
    for index in range(len(cheaper) - 1, -1, -1):
        span = cheaper[index]
        if span is None:
            break
        start = span[0]
        if span[0] > index * per_replica * (1 + 1e-12):
            break
    return start
