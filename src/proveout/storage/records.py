"""What the store hands out and takes: frozen records. All times are seconds since 1970 in UTC, by the writing
machine's clock.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

RunState = Literal["running", "finished", "failed"]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a stage's gates. `id` sorts by time of creation; the scorecard is read apart, by
    `runs.scorecard(id)`.

    `champion` and `challenger` are fingerprints. A run that was killed stays `running`: nobody was left to say
    otherwise.
    """

    id: str
    change: str
    service: str
    stage: str
    champion: str
    challenger: str
    started: float
    finished: float | None = None
    state: RunState = "running"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One scored call of a run: `arm` 0 is the champion, 1 the challenger; `variant` its fingerprint.

    `scores` maps metric names to values, None where a metric could not be measured. `answer` is what was scored, as
    JSON can hold it. `failure` is a short stable word where there is no answer, else None. `call` is the key of the
    finished call.
    """

    run: str
    example: str
    repeat: int
    arm: int
    variant: str
    call: bytes | None = None
    scores: dict[str, float | None] = {}
    answer: Any = None
    failure: str | None = None


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A try that wants its share of a dataset version's error budget. `evidence` is the digest of the numbers that it
    rests on.
    """

    dataset_version: str
    service: str
    objective: str
    metric: str
    champion: str
    challenger: str
    evidence: str
    run: str
    p_value: float | None = None


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A claim on the ledger: try number `attempt` (from 1) on this dataset version and objective, to be judged at
    `level`.
    """

    dataset_version: str
    service: str
    objective: str
    metric: str
    champion: str
    challenger: str
    evidence: str
    attempt: int
    level: float
    p_value: float | None
    rejected: bool | None
    run: str
    created: float


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened and is never changed. `position` grows in the order of commits; readers go on after the
    last one seen.
    """

    position: int
    id: str
    time: float
    kind: str
    subject: str
    body: Any
