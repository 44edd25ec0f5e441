"""The scorecard: all evidence of one change at one stage, with the decision. Its JSON is the contract
`proveout.scorecard/v1`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from proveout.project.records import Objective

Verdict = Literal["pass", "fail", "inconclusive", "error"]
Claim = Literal["improves", "holds"]
SCHEMA = "proveout.scorecard/v1"
EXIT_CODES: dict[Verdict, int] = {"pass": 0, "fail": 1, "inconclusive": 3, "error": 4}


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """Which variant stood in this place."""

    variant: str
    fingerprint: str


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A value with its 95 % interval and n; null where it could not be measured."""

    value: float | None
    low: float | None
    high: float | None
    n: int


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """challenger - champion in the metric's unit (a ratio - 1 for latency and cost), with its 95 % interval."""

    value: float | None
    low: float | None
    high: float | None


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What would decide an inconclusive gate: this many examples in all (0: nothing more is needed, or no number would
    do)."""

    examples: int = 0


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict of one gate and the evidence that it rests on."""

    objective: Objective
    metric: str
    claim: Claim
    margin: float
    higher_is_better: bool
    champion: Figure
    challenger: Figure
    difference: Difference
    p_value: float | None
    alpha: float
    method: str
    verdict: Verdict
    reason: str
    needs: Needs = Needs()
    unit: str = ""


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure beside the gates that decides nothing."""

    objective: Objective
    metric: str
    champion: Figure
    challenger: Figure


class ImpactDriver(msgspec.Struct, frozen=True, kw_only=True):
    """What the monthly difference depends on: its P5 and P95 when only this varies, and its share of the variance."""

    name: str
    low: float
    high: float
    share: float


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """The 5th, 50th and 95th percentile of simulated months, in US dollars."""

    p5: float
    p50: float
    p95: float


class Payback(msgspec.Struct, frozen=True, kw_only=True):
    """In how many months the value of the median month pays for `usd` of migration, with those of the P95 and of the P5
    month; null: never. `in_time` is the probability that it is paid within `within` months."""

    usd: float
    months: float | None
    soonest: float | None
    latest: float | None
    within: float
    in_time: float


class MonthlyImpact(msgspec.Struct, frozen=True, kw_only=True):
    """What the change makes of a month's bill at the service's declared traffic: challenger - champion in US dollars,
    so that less than 0 saves.

    `saves` is the probability that it saves. `value` is what a month gains in all: what is saved, and the worth of more
    right answers (`usd_per_success` each) where the service says what one is worth. `score` runs from 0 to 100, 50
    neither earning nor costing; `drivers` come with the largest first, and move the outcome from `middle`. `counts`
    tell how many simulated months fell between two `edges`.
    """

    requests_per_month: float
    champion_usd: float
    challenger_usd: float
    p5: float
    p50: float
    p95: float
    saves: float
    score: float
    drivers: tuple[ImpactDriver, ...] = ()
    draws: int = 0
    seed: int = 0
    value: Spread | None = None
    usd_per_success: float = 0.0
    payback: Payback | None = None
    middle: float = 0.0
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()


class WasteShare(msgspec.Struct, frozen=True, kw_only=True):
    """One use of the money (`useful`, `syntax`, `unread`, `talk`, ...): `champion` and `challenger` are percent of both
    variants' bills, and all uses together are 100; null for a variant that isn't paid by the token. Beside them tokens
    and US dollars of the `n` answers looked at."""

    kind: str
    champion: float | None
    challenger: float | None
    champion_tokens: int = 0
    challenger_tokens: int = 0
    champion_usd: float = 0.0
    challenger_usd: float = 0.0
    champion_n: int = 0
    challenger_n: int = 0


class Hosted(msgspec.Struct, frozen=True, kw_only=True):
    """A variant on machines of one's own: what it takes to serve the declared traffic, and what that costs.

    `goodput` is what one replica of `machines` of the `host` serves within its SLOs (requests per second, with its
    interval where it was measured; `source` says where it comes from); `utilisation` is the mean traffic's share of all
    replicas' goodput.
    """

    variant: str
    host: str
    machines: int
    goodput: float
    goodput_low: float | None
    goodput_high: float | None
    source: str
    headroom: float
    replicas: int
    spare: int
    utilisation: float
    usd_per_month: float
    usd_per_request: float
    usd_per_million_tokens: float | None
    requests_per_month: float
    peak_to_mean: float


class HostingStep(msgspec.Struct, frozen=True, kw_only=True):
    """One number of replicas: up to how many requests a month it serves, what it costs, and between which volumes it is
    cheaper than the API (null where it never is)."""

    replicas: int
    most_requests: float
    usd_per_month: float
    cheaper: tuple[float, float] | None


class BreakEven(msgspec.Struct, frozen=True, kw_only=True):
    """Own machines (`own`) against an API (`api`): the smallest requests a month from which they are cheaper somewhere
    (`first`) and everywhere as far as `steps` reach (`always`); null: never. `needed_utilisation` is how busy replicas
    must be to cost as little."""

    own: str
    api: str
    api_usd_per_request: float
    requests_per_month: float
    first: float | None
    always: float | None
    needed_utilisation: float
    steps: tuple[HostingStep, ...]


class PricesUsed(msgspec.Struct, frozen=True, kw_only=True):
    """Which prices stand behind the dollars: the day, the newest price of prices.yaml that had begun and the hash of
    the book (null without a book), and the variants whose price a package published, with its name and version."""

    on: str
    newest: str | None
    content: str | None
    published: tuple[str, ...] = ()
    publisher: str = ""


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """One tag's examples on their own: exploration, never a verdict."""

    tag: str
    metric: str
    champion: Figure
    challenger: Figure
    difference: Difference


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """An example whose score changed between the variants."""

    example: str
    direction: Literal["better", "worse"]
    input: str
    expected: str
    champion: str
    challenger: str
    champion_score: float
    challenger_score: float
    tags: tuple[str, ...] = ()


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something an expert would want to look at before believing the figures."""

    kind: str
    message: str
    variant: str | None = None
    count: int = 0


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """How one quantity is distributed in both variants (score, answer length, end-to-end seconds): `edges` is one
    longer than the counts."""

    name: str
    unit: str
    edges: tuple[float, ...]
    champion: tuple[int, ...]
    challenger: tuple[int, ...]


class DatasetUse(msgspec.Struct, frozen=True, kw_only=True):
    """Which data was used: its kind, content version, and how many examples and clusters."""

    kind: str
    version: str
    examples: int
    clusters: int


class LedgerLine(msgspec.Struct, frozen=True, kw_only=True):
    """How the error budget of a claim on this dataset version is shared: this is try number `attempt`, judged at
    `alpha`."""

    objective: Objective
    dataset_version: str
    attempt: int
    alpha: float
    p_value: float | None
    variants: tuple[str, ...]


class Calls(msgspec.Struct, frozen=True, kw_only=True):
    """Calls made to endpoints, taken from the cache, and failed for good."""

    made: int
    cached: int
    failed: int


class Scorecard(msgspec.Struct, frozen=True, kw_only=True):
    """All evidence of one change at one stage. `decision` passes only if every gate does."""

    schema: str = SCHEMA
    change: str
    service: str
    stage: str
    decision: Verdict
    champion: Arm
    challenger: Arm
    gates: tuple[GateResult, ...]
    measures: tuple[Measure, ...] = ()
    slices: tuple[Slice, ...] = ()
    flips: tuple[Flip, ...] = ()
    flip_counts: dict[str, int] = {}
    histograms: tuple[Histogram, ...] = ()
    notices: tuple[Notice, ...] = ()
    datasets: tuple[DatasetUse, ...] = ()
    ledger: tuple[LedgerLine, ...] = ()
    improves: tuple[Objective, ...] = ()
    hypothesis: str = ""
    calls: Calls
    cost_usd: float | None
    seconds: float
    run: str = ""
    started: str = ""
    version: str = ""
    settings: dict[str, Any] = {}
    impact: MonthlyImpact | None = None
    waste: tuple[WasteShare, ...] = ()
    hosting: tuple[Hosted, ...] = ()
    break_even: BreakEven | None = None
    prices: PricesUsed | None = None

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.decision]

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1)

    @classmethod
    def from_json(cls, data: bytes) -> Scorecard:
        """Raises msgspec.ValidationError if `data` is not a scorecard of this schema."""
        return msgspec.json.decode(data, type=cls)


def decide(gates: tuple[GateResult, ...]) -> Verdict:
    """A change's decision from its gates' verdicts: shown bad beats not measurable beats not yet known; no gate at all
    is `error`."""
    verdicts = {gate.verdict for gate in gates}
    for verdict in ("fail", "error", "inconclusive"):
        if verdict in verdicts:
            return verdict
    return "pass" if verdicts else "error"
