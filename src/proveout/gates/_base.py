"""What a gate is: it says what evidence it needs, and turns that evidence into findings. Verdicts are given elsewhere,
in `verdicts`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import ClassVar, Protocol, Self, runtime_checkable

import msgspec

from proveout.economics.capacity import Goodput
from proveout.economics.prices import PriceBook
from proveout.economics.public_prices import public_price
from proveout.economics.waste import Spent
from proveout.evaluation.table import ScoreTable
from proveout.gates.scorecard import BreakEven, Claim, Hosted, Measure, MonthlyImpact, Notice, WasteShare
from proveout.project.records import Example, Migration, Objective, ObjectiveSpec, Project, Service, Variant
from proveout.statistics import Estimate, PairedTest

CONFIDENCE_ALPHA = 0.05
"""One-sided error of every gate that isn't a claim, and of being shown worse."""

DEFAULT_POWER = 0.8

DEFAULT_MAX_FAILURES = 0.05
"""The share of an arm's calls that may be missing before nothing is decided, where the service does not say."""


class Demand(msgspec.Struct, frozen=True):
    """What a gate wants of the evaluation: every example `base` times, and `sampled` repeats on about `sample`
    examples."""

    base: int = 1
    sampled: int = 1
    sample: int = 0
    load: int = 0
    """Calls of each variant in a phase of the gate's own (see `Collecting`)."""


class Finding(msgspec.Struct, frozen=True):
    """One figure that a gate measured on both variants, before a verdict.

    `test` is of the null that the claim asks for (margin 0 when the change claims to improve it). `pessimistic` is the
    same test with every failed call held against the challenger: a pass must survive it. `problem` says why it could
    not be measured; `blocked` why it may not pass whatever the figures say. `per_cluster` is the number of examples
    behind one cluster, to tell needed clusters in examples.
    """

    objective: Objective
    metric: str
    claim: Claim
    margin: float
    higher_is_better: bool
    champion: Estimate
    challenger: Estimate
    test: PairedTest | None
    pessimistic: PairedTest | None = None
    problem: str | None = None
    blocked: str | None = None
    per_cluster: float = 1.0
    unit: str = ""
    target: str = ""
    """What the test asks for, in words that follow "shown"; empty: better, or no worse by the margin."""
    opposite: str = ""
    """What a failed test shows, in such words; empty: worse, or worse by more than the margin."""
    needs: int = 0
    """Examples without which nothing can be tested at all; 0: there are enough."""


class Findings(msgspec.Struct, frozen=True):
    """All that a gate brings to the scorecard."""

    findings: tuple[Finding, ...]
    measures: tuple[Measure, ...] = ()
    notices: tuple[Notice, ...] = ()
    money: Money | None = None


class Money(msgspec.Struct, frozen=True):
    """What the cost gate tells beside its verdict."""

    impact: MonthlyImpact | None = None
    waste: tuple[WasteShare, ...] = ()
    hosting: tuple[Hosted, ...] = ()
    break_even: BreakEven | None = None


class Pricing(msgspec.Struct, frozen=True):
    """What it takes to price a run's calls: the price book, the day, and the variants in the order of the arms.

    `measured` are the goodputs of one replica that load tests have measured; None where there was none.
    """

    book: PriceBook
    on: date
    variants: tuple[Variant, Variant]
    measured: tuple[Goodput | None, Goodput | None] = (None, None)

    @classmethod
    def of(
        cls,
        project: Project,
        on: date,
        variants: tuple[Variant, Variant],
        measured: tuple[Goodput | None, Goodput | None] = (None, None),
    ) -> Self:
        """The project's own book, over published prices."""
        return cls(PriceBook(project.prices, public_price, project.hosts), on, variants, measured)


class Evidence(msgspec.Struct, frozen=True):
    """What was collected for the gates of one run.

    `judged` maps metrics that a model judges to whether that judge was calibrated against people's labels; `spent` is
    what both arms' paid answers were made of; `migration` what the change takes to make.
    """

    service: Service
    table: ScoreTable
    seed: int = 0
    judged: Mapping[str, bool] = {}
    lower_is_better: frozenset[str] = frozenset()
    pricing: Pricing | None = None
    collected: Mapping[Objective, object] = {}
    """What gates collected in phases of their own."""
    spent: tuple[Sequence[Spent], Sequence[Spent]] = ((), ())
    migration: Migration | None = None


class Gate(Protocol):
    """A test of one CLASS objective. Implementations are frozen dataclasses without state, one file each."""

    objective: ClassVar[Objective]

    def demand(self, spec: ObjectiveSpec) -> Demand:
        """The calls that this gate needs."""
        ...

    def measure(self, evidence: Evidence, spec: ObjectiveSpec, claim: Claim) -> Findings:
        """The figures and their tests. Never raises on data: what can't be measured is a finding with a `problem`."""
        ...


class Occasion(msgspec.Struct, frozen=True):
    """What a gate's own phase may use. `calls_left` and `usd_left` are what `--max-calls` and `--max-cost` leave, None
    without a limit; `usd_per_call` is what a call of each variant has cost so far, None where that is unknown."""

    project: Project
    service: Service
    variants: tuple[Variant, Variant]
    examples: Callable[[], Iterator[Example]]
    seed: int
    calls_left: int | None = None
    usd_left: float | None = None
    usd_per_call: tuple[float | None, float | None] = (None, None)


class Collected(msgspec.Struct, frozen=True):
    """What a gate's own phase brought, and what it took."""

    evidence: object
    calls: int = 0
    failed: int = 0
    cost_usd: float | None = 0.0


@runtime_checkable
class Collecting(Protocol):
    """A gate whose evidence the evaluation can't bring: it makes calls of its own, after the evaluation. `Demand.load`
    says how many, for the plan; `Evidence.collected` hands the result to `measure`."""

    async def collect(self, occasion: Occasion, spec: ObjectiveSpec) -> Collected:
        """Make the calls. Never raises on what endpoints do: that is part of the evidence."""
        ...


NOTHING = Estimate(float("nan"), float("nan"), float("nan"), 0)


LESS_IS_BETTER = frozenset({"cost", "latency"})


def not_measured(objective: Objective, metric: str, spec: ObjectiveSpec, claim: Claim, problem: str) -> Finding:
    """A finding that says only why there is none."""
    higher = objective not in LESS_IS_BETTER
    return Finding(objective, metric, claim, spec.margin, higher, NOTHING, NOTHING, None, problem=problem)


def claim_of(objective: Objective, improves: Collection[str]) -> Claim:
    """Whether a change claims to improve an objective or must hold it."""
    return "improves" if objective in improves else "holds"
