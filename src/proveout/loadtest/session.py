"""One load test from what was asked for to its report: a run, a sweep, a comparison, a search for capacity."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np

from proveout import __version__
from proveout.loadtest import report as reporting
from proveout.loadtest.client_watch import MOST_CPU
from proveout.loadtest.compare import compared, comparison_plan, turns
from proveout.loadtest.figures import Run, figures, quantiles_ms
from proveout.loadtest.pacing import SURGE, Load, Pace, expected_rate, measured_pace, practical_rate
from proveout.loadtest.plan import DEFAULT_TIMEOUT_S, WARMUP, Plan, Workload
from proveout.loadtest.recorder import CannotLoad, Recorded
from proveout.loadtest.records import Records
from proveout.loadtest.report import Comparison, Report, Series
from proveout.loadtest.saturation import (
    FINE_FACTOR,
    PROBE_REQUESTS,
    Probe,
    Step,
    arrivals,
    concluded,
    fit_scaling,
    knee_in_words,
    search,
)
from proveout.loadtest.schedules import Closed, Open, Trace, poisson
from proveout.loadtest.slo import Metric, measured, slo_test
from proveout.loadtest.targets import is_local, serving, share_a_machine
from proveout.loadtest.workers import run_plan
from proveout.loadtest.workloads import Counting, SizedPrompts, learn_counting, parsing_seconds, service_requests
from proveout.project.records import Example, ModelSpec, Variant
from proveout.statistics.clustered_quantiles import clustered_quantile

SWEEP = (1, 2, 4, 8, 16, 32)
DEFAULT_METRICS = ("ttft_p50", "ttft_p95", "e2e_p50", "e2e_p95")
DEFAULT_MARGIN = 0.10
RUN_REQUESTS = 200
COMPARED_REQUESTS = 300
GRID_REQUESTS, GRID_RUN_S = 60, 60.0
"""Requests of each run of a grid (enough for a p95), and the seconds after which it sends no more."""
SHORTEST_PROBE_S, LIMITS_LONG, LONGEST_PROBE_S = 3.0, 3.0, 180.0
"""A probe lasts at least so many seconds, and so many times the longest limit of the SLOs, and no longer than the last,
unless it would have fewer than `FEWEST_PROBED` requests."""
FEWEST_PROBED = 100
SETTLING = 1 / 3
"""Share of a capacity probe's requests that let it reach a steady state, and don't count."""


@dataclass(frozen=True)
class Settings:
    """What was asked for. None: ours.

    `concurrency`: one level, or several that a sweep goes through. `surge`: how many times the rate a comparison is
    made at as well; 1: not.
    """

    concurrency: tuple[int, ...] = ()
    schedule: Open | Trace | None = None
    requests: int | None = None
    duration: float | None = None
    input_tokens: tuple[int, ...] = ()
    output_tokens: tuple[int, ...] = ()
    shared_prefix: int = 0
    max_concurrency: int | None = None
    workers: int = 1
    timeout_s: float = DEFAULT_TIMEOUT_S
    warmup: int = WARMUP
    seed: int = 0
    max_calls: int | None = None
    surge: float = SURGE

    @property
    def sized(self) -> bool:
        return bool(self.input_tokens or self.output_tokens) or isinstance(self.schedule, Trace)


@dataclass
class LoadTest:
    """Runs load tests on variants of one service. What was measured before it was stopped is in `report()`.

    Args:
        variants: one or two; with two, the first is the champion.
        examples: what to ask where no sizes are given.
        slo: limits in seconds by metric.
        settings: what was asked for.
        traffic: as the service declares it; where no rate is asked for, comparisons are made at its own.
        stopping: asked every 10 ms whether to end now.
        tell: told in a few words what is being done.
    """

    variants: tuple[Variant, ...]
    examples: Sequence[Example]
    slo: Mapping[str, float]
    settings: Settings = field(default_factory=Settings)
    margin: float = DEFAULT_MARGIN
    service: str = ""
    traffic: Mapping[str, Any] = field(default_factory=dict)
    stopping: Callable[[], bool] = lambda: False
    tell: Callable[[str], None] = lambda words: None

    def __post_init__(self) -> None:
        self._runs: list[Run] = []
        self._series: list[Series] = []
        self._extra: dict[str, Any] = {}
        self._comparisons: list[Comparison] = []
        self._countings: tuple[Counting, ...] = ()
        self._made = 0
        self._started = datetime.now(UTC).isoformat(timespec="seconds")

    def report(self) -> Report:
        """All that was measured so far."""
        return Report(
            service=self.service,
            runs=tuple(self._runs),
            series=tuple(self._series),
            slo_ms={name: limit * 1000 for name, limit in self.slo.items()},
            seed=self.settings.seed,
            started=self._started,
            version=__version__,
            interrupted=self.stopping(),
            comparison=reporting.decisive(self._comparisons),
            comparisons=tuple(self._comparisons),
            **self._extra,
        )

    # What can be done

    async def run(self) -> None:
        """One run; or one for each level of concurrency and each pair of sizes, where several were given; or, where
        nothing says how hard to press, a sweep over the usual concurrencies.

        Raises:
            CannotLoad: it can't be run as asked.
        """
        settings = self.settings
        cells = self._cells()
        levels = settings.concurrency or (SWEEP if settings.schedule is None else (None,))
        if len(cells) * len(levels) > 1:
            self.tell(f"{len(cells) * len(levels)} runs: {len(cells)} of sizes × {len(levels)} of load")
        async with serving(self.variants) as targets:
            for inputs, outputs in cells:
                workload = await self._workload(targets, inputs, outputs)
                for level in levels:
                    if self.stopping():
                        return
                    await self._one(targets[0], workload, level, brief=len(cells) > 1)
            if len(cells) == 1:
                self._scale()

    async def compare(self) -> None:
        """Both variants under the same open load, interleaved, for each pair of sizes: at the rate that was asked for,
        or that the service expects, which decides; then at `surge` times it, which is told beside it.

        A closed loop makes no verdict, so a concurrency becomes the rate at which about so many are under way.

        Raises:
            CannotLoad: it can't be run as asked.
        """
        settings = self.settings
        factors = (1.0, settings.surge) if settings.surge > 1 else (1.0,)
        async with serving(self.variants) as targets:
            work = [await self._workload(targets, *cell) for cell in self._cells()]
            paces = [await self._pace(targets, workload) for workload in work]
            for factor in factors:
                for workload, pace in zip(work, paces, strict=True):
                    if self.stopping():
                        return
                    await self._compare(targets, workload, pace, factor)

    async def _compare(self, targets: Sequence[ModelSpec], workload: Workload, pace: Pace, factor: float) -> None:
        settings = self.settings
        count = settings.requests or COMPARED_REQUESTS
        schedule, words = settings.schedule, ""
        if schedule is None:
            load = self._load(targets, pace, count)
            schedule, words = poisson(load.rate), load.words
        schedule = schedule.faster(factor)
        if settings.duration is not None and settings.requests is None:
            count = max(1, len(schedule.times(duration=settings.duration, seed=settings.seed)))
        taking = turns(
            count,
            "blocks" if share_a_machine(self.variants) else "requests",
            in_flight=pace.in_flight(schedule),
            answer_s=pace.answer_s,
        )
        plan = comparison_plan(
            targets,
            workload,
            schedule,
            taking,
            seed=settings.seed,
            max_concurrency=settings.max_concurrency,
            timeout_s=settings.timeout_s,
            warmup=settings.warmup,
            keep_text=not settings.sized,
        )
        told = schedule.describe()
        at = f"{told['rate']:.3g} requests/s" if "rate" in told else told["kind"]
        why = f" ({words})" if words and factor == 1 else f" ({factor:g} times the rate)" if factor != 1 else ""
        self.tell(f"comparing at {at}{why}: {taking.pairs} pairs of {taking.requests} requests")
        recorded = await self._record(plan)
        first = len(self._runs)
        for arm, variant in enumerate(self.variants):
            self._add(recorded, variant, told | {"interleave": taking.interleave}, workload, arm=arm)
        metrics = tuple(self.slo) or DEFAULT_METRICS
        rows = compared(recorded.records, metrics, self.slo, margin=self.margin, seed=settings.seed)
        self._comparisons.append(
            reporting.comparison_report(
                rows,
                names=(self.variants[0].name, self.variants[1].name),
                interleave=taking.interleave,
                pairs=taking.pairs,
                requests=taking.pairs * taking.requests,
                schedule=dict(told),
                margin=self.margin,
                workload=dict(workload.describe()),
                load=factor,
                rate_from=words,
                runs=(first, first + 1),
            )
        )

    def _load(self, targets: Sequence[ModelSpec], pace: Pace, count: int) -> Load:
        """At how many requests a second to compare where no rate was asked for."""
        if self.settings.concurrency:
            return Load(pace.rate, f"about {max(self.settings.concurrency)} at once")
        local = any(is_local(target) for target in targets)
        return practical_rate(expected_rate(self.traffic), pace, count, local=local)

    async def saturate(self) -> None:
        """Search for the highest rate that keeps the SLOs.

        Raises:
            CannotLoad: the service has no SLO, or it can't be run as asked.
        """
        if not self.slo:
            raise CannotLoad("there is no SLO to keep; write objectives.latency.slo: {ttft_p95: 800ms} in service.yaml")
        async with serving(self.variants) as targets:
            workload = await self._workload(targets, *self._cells()[0])
            start = (await self._pace(targets, workload)).rate
            probes: list[Probe] = []

            async def probe(step: Step) -> Probe | None:
                if self.stopping() or (probes and self._client_bound()):
                    return None
                found = await self._probe(targets[0], workload, step)
                if found is not None:
                    probes.append(found)
                return found

            try:
                await search(probe, start)
            finally:
                if probes:
                    self._extra["saturation"] = reporting.capacity_report(
                        self.variants[0].name,
                        concluded(probes),
                        [f"{name} ≤ {_told(self.slo[name])}" for name in self.slo],
                    )

    # The steps

    async def _one(self, target: ModelSpec, workload: Workload, level: int | None, *, brief: bool) -> None:
        settings = self.settings
        plan, told = self._plan(target, workload, level, brief=brief)
        sizes = "" if not settings.sized else _sizes_told(workload)
        self.tell(_pressing(told) + sizes)
        recorded = await self._record(replace(plan, keep_text=not settings.sized))
        self._add(recorded, self.variants[0], told, workload)

    def _plan(
        self, target: ModelSpec, workload: Workload, level: int | None, *, brief: bool
    ) -> tuple[Plan, dict[str, Any]]:
        """`brief`: one of many runs, so that fewer requests must do."""
        settings = self.settings
        if level is not None:
            usual = max(GRID_REQUESTS if brief else RUN_REQUESTS, (4 if brief else 8) * level)
            count = settings.requests or (1_000_000 if settings.duration else usual)
            duration = settings.duration or (GRID_RUN_S if brief and settings.requests is None else math.inf)
            schedule = Closed(level)
            plan = Plan(
                (target,),
                workload,
                np.zeros(count, dtype=np.int64),
                np.arange(count),
                concurrency=level,
                duration=duration,
                timeout_s=settings.timeout_s,
                warmup=max(settings.warmup, level),
            )
            return plan, schedule.describe()
        assert settings.schedule is not None
        count = settings.requests or (
            None
            if settings.duration or isinstance(settings.schedule, Trace)
            else GRID_REQUESTS
            if brief
            else RUN_REQUESTS
        )
        due = settings.schedule.times(requests=count, duration=settings.duration, seed=settings.seed)
        plan = Plan(
            (target,),
            workload,
            np.zeros(len(due), dtype=np.int64),
            np.arange(len(due)),
            due=due,
            max_concurrency=settings.max_concurrency,
            timeout_s=settings.timeout_s,
            warmup=settings.warmup,
        )
        cap = {} if settings.max_concurrency is None else {"max_concurrency": settings.max_concurrency}
        return plan, settings.schedule.describe() | cap

    async def _probe(self, target: ModelSpec, workload: Workload, step: Step) -> Probe | None:
        settings = self.settings
        count = (settings.requests or PROBE_REQUESTS) * (FINE_FACTOR if step.fine else 1)
        # Too short a burst would be over before it could break any limit.
        least = step.rate * max(SHORTEST_PROBE_S, LIMITS_LONG * max(self.slo.values()))
        most = max(FEWEST_PROBED, step.rate * LONGEST_PROBE_S)
        count = math.ceil(max(least, min(count, most)))
        schedule = poisson(step.rate)
        plan = Plan(
            (target,),
            workload,
            np.zeros(count, dtype=np.int64),
            np.arange(count),
            due=arrivals(step.rate, count, settings.seed + len(self._runs)),
            counted=np.arange(count) >= SETTLING * count,
            timeout_s=settings.timeout_s,
            warmup=settings.warmup,
        )
        self.tell(f"probing {step.rate:.3g} requests/s with {count:,} requests")
        recorded = await self._record(plan)
        self._add(recorded, self.variants[0], schedule.describe(), workload)
        if recorded.ended and self.stopping():
            return None
        return probed(step, recorded, self.slo)

    def _client_bound(self) -> bool:
        """Whether the client is at its own end, so that a higher rate would say nothing about the endpoint."""
        return (self._runs[-1].client["cpu_fraction"] or 0.0) > MOST_CPU

    async def _pace(self, targets: Sequence[ModelSpec], workload: Workload) -> Pace:
        at_once = max(self.settings.concurrency, default=1)
        found, calls = await measured_pace(targets, workload, timeout_s=self.settings.timeout_s, at_once=at_once)
        self._made += calls
        return found

    async def _record(self, plan: Plan) -> Recorded:
        limit = self.settings.max_calls
        if limit is not None:
            plan = self._within(plan, limit - self._made)
        recorded = await run_plan(plan, workers=self.settings.workers, stopping=self.stopping)
        self._made += len(recorded.records) + plan.warmup * len(plan.targets)
        return recorded

    def _within(self, plan: Plan, left: int) -> Plan:
        """The plan, if no more calls are left than it makes; one that ends by the clock is cut to what is left."""
        left -= plan.warmup * len(plan.targets)
        if left > 0 and math.isfinite(plan.duration):
            return replace(plan, arm=plan.arm[:left], prompt=plan.prompt[:left])
        if len(plan) > left:
            raise CannotLoad(
                f"--max-calls {self.settings.max_calls} does not allow {len(plan):,} more requests after "
                f"{self._made:,}; raise it, or send fewer with --requests"
            )
        return plan

    def _add(
        self,
        recorded: Recorded,
        variant: Variant,
        schedule: Mapping[str, Any],
        workload: Workload,
        arm: int | None = None,
    ) -> None:
        mine = recorded.records if arm is None else recorded.records.where(recorded.records.arm == arm)
        texts = [text for text, ok in zip(mine.text, mine.ok, strict=True) if ok]
        processing = {}
        place = self.variants.index(variant)
        if not isinstance(workload, SizedPrompts):
            processing = {
                "preprocessing": quantiles_ms(self._rendering[place]),
                "postprocessing": quantiles_ms(parsing_seconds(variant, texts)),
            }
        self._runs.append(
            figures(
                recorded,
                variant=variant.name,
                fingerprint=variant.fingerprint,
                schedule=schedule,
                slo=self.slo,
                workload=workload.describe(),
                arm=arm,
                processing=processing,
            )
        )
        self._series.append(reporting.series(mine, variant.name, len(self._runs) - 1))

    async def _workload(self, targets: Sequence[ModelSpec], inputs: int, outputs: int) -> Workload:
        settings = self.settings
        if not settings.sized:
            rendered = service_requests(self.variants, self.examples, seed=settings.seed)
            self._rendering = rendered.seconds
            return rendered.workload
        if not self._countings:
            self.tell("learning how the endpoint counts tokens")
            self._countings = tuple(
                [
                    await learn_counting(target, variant.parameters, timeout_s=settings.timeout_s)
                    for target, variant in zip(targets, self.variants, strict=True)
                ]
            )
        sizes: tuple[Sequence[int], Sequence[int]] = ((inputs,), (outputs,))
        if isinstance(settings.schedule, Trace):
            trace = settings.schedule
            sizes = (
                [size or inputs for size in trace.input_tokens],
                [size or outputs for size in trace.output_tokens],
            )
        return SizedPrompts(
            tuple(sizes[0]),
            tuple(sizes[1]),
            self._countings,
            tuple(variant.parameters for variant in self.variants),
            settings.shared_prefix,
            settings.seed,
        )

    def _cells(self) -> list[tuple[int, int]]:
        """Every pair of sizes that was asked for."""
        inputs = self.settings.input_tokens or (128,)
        outputs = self.settings.output_tokens or (64,)
        return [(asked, answered) for asked in inputs for answered in outputs]

    def _scale(self) -> None:
        swept = [run for run in self._runs if run.schedule["kind"] == "closed" and run.requests_per_s]
        levels = [int(run.schedule["concurrency"]) for run in swept]
        rates = [float(run.requests_per_s or 0) for run in swept]
        if len(set(levels)) == len(levels) and all(low < high for low, high in pairwise(levels)):
            law = fit_scaling(levels, rates)
            words = knee_in_words(levels, rates, law)
            self._extra["scaling"] = reporting.scaling_report(self.variants[0].name, law, words)


def probed(step: Step, recorded: Recorded, slo: Mapping[str, float]) -> Probe:
    """What a capacity probe says about its rate."""
    records = recorded.records.where(recorded.records.counted)
    states = {slo_test(records, name, limit).state for name, limit in slo.items()}
    state = "broken" if "broken" in states else "unresolved" if "unresolved" in states else "kept"
    worst = max(_share(records, name, limit) for name, limit in slo.items())
    answered = float(recorded.records.ok.sum()) / recorded.seconds if recorded.seconds > 0 else math.inf
    return Probe(step.rate, state, worst, len(recorded.records), answered, step.fine)


def _share(records: Records, name: str, limit: float) -> float:
    """A quantile over its limit."""
    metric = Metric.named(name)
    values, _ = measured(records, metric.latency)
    found = clustered_quantile(values, metric.probability).value if len(values) else math.inf
    return (float(np.max(values)) if math.isnan(found) else found) / limit


def _pressing(schedule: Mapping[str, Any]) -> str:
    """How hard a run presses, as it begins: `closed, 8 at once`."""
    kind = str(schedule["kind"])
    if "concurrency" in schedule:
        return f"{kind}, {schedule['concurrency']} at once"
    return f"{kind}, {schedule['rate']:.4g} requests/s" if "rate" in schedule else kind


def _sizes_told(workload: Workload) -> str:
    told = workload.describe()
    return f", {told.get('input_tokens')} tokens in, {told.get('output_tokens')} out"


def _told(seconds: float) -> str:
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:g} ms"
