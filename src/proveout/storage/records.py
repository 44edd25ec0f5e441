"""What the store hands out and takes: frozen records. All times are seconds since 1970 in UTC, by the writing
machine's clock.
"""

from __future__ import annotations

import hashlib
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


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """What one environment serves for one service during one epoch: a period of constant weights.

    Variants are named by fingerprint. `weights` say which share of units each serves (they need not add up to one);
    `shadow` which share of requests is copied to a variant beside the answer; `fallback` who answers, in order, when
    the chosen variant can't. `champion` is the one that the environment's file named when this was decided: the
    release holds for as long as the file names that one (empty: whatever it names). `epoch` 0 is the file itself.
    """

    environment: str
    service: str
    weights: dict[str, float]
    champion: str = ""
    shadow: dict[str, float] = {}
    fallback: tuple[str, ...] = ()
    change: str = ""
    step: str = ""
    epoch: int = 0
    created: float = 0.0


class Trace(msgspec.Struct, kw_only=True, gc=False):
    """One served request, or one copy of it in the shadow (`shadow_of` is then the trace that it copies). Fields are
    the table's columns, in order.

    `chosen` is the variant that the release's weights drew, with `propensity`; `variant` the one that answered, which
    differs after a fallback: a signal about a challenger counts by `chosen`. `unit` is a hash. Times are seconds;
    `ttft` to the first content, `stall` the largest gap between two of the `reads` that brought content. `error` is a
    short stable word. `cached` answers came from the gateway and say nothing about a variant's speed. `valid`: the
    answer met the service's output contract. `guards`: a JSON object of what each guard said, by its name: `pass`,
    `flag`, `block` or `error`; None where none was asked.
    """

    id: str
    service: str
    environment: str
    operation: str = "chat"
    started: float = 0.0
    epoch: int = 0
    step: str = ""
    chosen: str = ""
    propensity: float = 1.0
    variant: str = ""
    variant_name: str = ""
    unit: str | None = None
    status: int = 0
    error: str | None = None
    finish: str | None = None
    streamed: bool = False
    e2e: float = 0.0
    ttft: float | None = None
    stall: float | None = None
    reads: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cost_usd: float | None = None
    attempts: int = 0
    cached: bool = False
    valid: bool | None = None
    refused: bool | None = None
    shadow_of: str | None = None
    parent: str | None = None
    client: str | None = None
    guards: str | None = None


def coin(id: str) -> float:
    """A number from 0 up to 1 that a trace's id stands for, so that all who sample by it mean the same traces."""
    return int(hashlib.blake2b(id.encode(), digest_size=4).hexdigest(), 16) / 2**32


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """A score given to a trace afterwards. `value` is any JSON scalar; `score` its number, where it has one (true is 1,
    false 0). Of several with one trace and name, the last holds.
    """

    id: str
    trace: str
    name: str
    value: Any
    score: float | None = None
    comment: str | None = None
    created: float = 0.0


class RolloutRow(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout as it is kept. `body` is its state as JSON, which only delivery reads; `entry` the hash of the newest
    entry of the audit trail about it.
    """

    id: str
    environment: str
    service: str
    change: str
    status: str
    version: int
    started: float
    updated: float
    body: str
    entry: str = ""


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what to what, and when. `hash` covers the entry and the hash of the one before."""

    position: int
    time: float
    actor: str
    action: str
    subject: str
    body: Any
    hash: str


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be done outside of the store because of a decision (an alert, a pull request), at least once. `id`
    is made from the decision, so that no errand is given twice.
    """

    id: str
    kind: str
    body: Any
    created: float = 0.0
    due: float = 0.0
    attempts: int = 0
    done: float | None = None
    result: str = ""


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """A detected degradation of a variant, with what was known then."""

    id: str
    environment: str
    service: str
    variant: str
    reason: str
    evidence: Any
    opened: float
    closed: float | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A trace that was kept as a bad case, and by which signal."""

    trace: str
    signal: str
    service: str
    variant: str
    incident: str
    created: float
