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
from proveout.loadtest.pacing import Pace, measured_pace
from proveout.loadtest.plan import DEFAULT_TIMEOUT_S, WARMUP, Plan, Workload
from proveout.loadtest.recorder import CannotLoad, Recorded
from proveout.loadtest.report import Report, Series
from proveout.loadtest.saturation import Probe, concluded, fit_scaling, knee_in_words, next_rate
from proveout.loadtest.schedules import Closed, Open, Trace, poisson
from proveout.loadtest.slo import Metric, measured, slo_test
from proveout.loadtest.targets import serving, share_a_machine
from proveout.loadtest.workers import run_plan
from proveout.loadtest.workloads import SizedPrompts, learn_counting, parsing_seconds, service_requests
from proveout.project.records import Example, ModelSpec, Variant
from proveout.statistics.clustered_quantiles import clustered_quantile

SWEEP = (1, 2, 4, 8, 16, 32)
DEFAULT_METRICS = ("ttft_p50", "ttft_p95", "e2e_p50", "e2e_p95")
DEFAULT_MARGIN = 0.10
RUN_REQUESTS = 200
COMPARED_REQUESTS = 300
PROBE_REQUESTS = 400
FINE_FACTOR = 3
"""A probe near the limit sends so many times more requests than one of the first search."""
SHORTEST_PROBE_S, LIMITS_LONG = 3.0, 3.0
"""A probe lasts at least so many seconds, and so many times the longest limit of the SLOs."""
SETTLING = 1 / 3
"""Share of a capacity probe's requests that let it reach a steady state, and don't count."""


@dataclass(frozen=True)
class Settings:
    """What was asked for. None: ours."""

    concurrency: int | None = None
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
        stopping: asked every 10 ms whether to end now.
        tell: told in a few words what is being done.
    """

    variants: tuple[Variant, ...]
    examples: Sequence[Example]
    slo: Mapping[str, float]
    settings: Settings = field(default_factory=Settings)
    margin: float = DEFAULT_MARGIN
    service: str = ""
    stopping: Callable[[], bool] = lambda: False
    tell: Callable[[str], None] = lambda words: None

    def __post_init__(self) -> None:
        self._runs: list[Run] = []
        self._series: list[Series] = []
        self._extra: dict[str, Any] = {}
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
            **self._extra,
        )

    # What can be done

    async def run(self) -> None:
        """One run; or one for each pair of sizes, where several were given; or, where nothing says how hard to press,
        a sweep over the usual concurrencies.

        Raises:
            CannotLoad: it can't be run as asked.
        """
        async with serving(self.variants) as targets:
            settings = self.settings
            sweep = settings.concurrency is None and settings.schedule is None
            for inputs, outputs in self._cells():
                workload = await self._workload(targets, inputs, outputs)
                levels = SWEEP if sweep else (settings.concurrency,)
                for level in levels:
                    if self.stopping():
                        return
                    await self._one(targets[0], workload, level)
            if sweep:
                self._scale()

    async def compare(self) -> None:
        """Both variants under the same open load, interleaved; closed where only a concurrency was given makes no
        verdict, so it becomes a rate.

        Raises:
            CannotLoad: it can't be run as asked.
        """
        settings = self.settings
        async with serving(self.variants) as targets:
            cells = self._cells()
            workload = await self._workload(targets, *cells[0])
            pace = await self._pace(targets, workload)
            schedule = settings.schedule or poisson(pace.rate)
            count = settings.requests or COMPARED_REQUESTS
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
            self.tell(f"comparing: {taking.pairs} pairs of {taking.requests} requests, {schedule.describe()['kind']}")
            recorded = await self._record(plan)
            told = schedule.describe() | {"interleave": taking.interleave}
            for arm, variant in enumerate(self.variants):
                self._add(recorded, variant, told, workload, arm=arm)
            metrics = tuple(self.slo) or DEFAULT_METRICS
            rows = compared(recorded.records, metrics, self.slo, margin=self.margin, seed=settings.seed)
            self._extra["comparison"] = reporting.comparison_report(
                rows,
                names=(self.variants[0].name, self.variants[1].name),
                interleave=taking.interleave,
                pairs=taking.pairs,
                requests=taking.pairs * taking.requests,
                schedule=dict(schedule.describe()),
                margin=self.margin,
            )

    async def saturate(self) -> None:
        """Search for the highest rate that keeps the SLOs.

        Raises:
            CannotLoad: the service has no SLO, or it can't be run as asked.
        """
        if not self.slo:
            raise CannotLoad("there is no SLO to keep; write objectives.latency.slo: {ttft_p95: 800ms} in service.yaml")
        settings = self.settings
        async with serving(self.variants) as targets:
            workload = await self._workload(targets, *self._cells()[0])
            rate = (await self._pace(targets, workload)).rate
            probes: list[Probe] = []
            while len(probes) < 10 and not self.stopping():
                fine = any(probe.kept for probe in probes) and any(not probe.kept for probe in probes)
                count = (settings.requests or PROBE_REQUESTS) * (FINE_FACTOR if fine else 1)
                count = max(count, math.ceil(rate * self._probe_seconds()))
                probe = await self._probe(targets[0], workload, rate, count)
                if probe is None:
                    break
                probes.append(probe)
                if self._client_bound():
                    break
                following = next_rate(probes)
                if following is None:
                    break
                rate = following
            if probes:
                self._extra["saturation"] = reporting.capacity_report(
                    self.variants[0].name, concluded(probes), [f"{name} ≤ {_told(self.slo[name])}" for name in self.slo]
                )

    # The steps

    async def _one(self, target: ModelSpec, workload: Workload, level: int | None) -> None:
        settings = self.settings
        plan, told = self._plan(target, workload, level)
        self.tell(" ".join(f"{name} {value}" for name, value in told.items() if not isinstance(value, list)))
        recorded = await self._record(replace(plan, keep_text=not settings.sized))
        self._add(recorded, self.variants[0], told, workload)

    def _plan(self, target: ModelSpec, workload: Workload, level: int | None) -> tuple[Plan, dict[str, Any]]:
        settings = self.settings
        if level is not None:
            count = settings.requests or (1_000_000 if settings.duration else max(RUN_REQUESTS, 8 * level))
            schedule = Closed(level)
            plan = Plan(
                (target,),
                workload,
                np.zeros(count, dtype=np.int64),
                np.arange(count),
                concurrency=level,
                duration=math.inf if settings.duration is None else settings.duration,
                timeout_s=settings.timeout_s,
                warmup=max(settings.warmup, level),
            )
            return plan, schedule.describe()
        assert settings.schedule is not None
        count = settings.requests or (
            None if settings.duration or isinstance(settings.schedule, Trace) else RUN_REQUESTS
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

    async def _probe(self, target: ModelSpec, workload: Workload, rate: float, count: int) -> Probe | None:
        settings = self.settings
        schedule = poisson(rate)
        due = schedule.times(requests=count, seed=settings.seed + len(self._runs))
        plan = Plan(
            (target,),
            workload,
            np.zeros(count, dtype=np.int64),
            np.arange(count),
            due=due,
            counted=np.arange(count) >= SETTLING * count,
            timeout_s=settings.timeout_s,
            warmup=settings.warmup,
        )
        self.tell(f"probing {rate:.3g} requests/s with {count:,} requests")
        recorded = await self._record(plan)
        self._add(recorded, self.variants[0], schedule.describe(), workload)
        if recorded.ended and self.stopping():
            return None
        records = recorded.records.where(recorded.records.counted)
        tests = [slo_test(records, name, limit) for name, limit in self.slo.items()]
        states = {test.state for test in tests}
        state = "broken" if "broken" in states else "unresolved" if "unresolved" in states else "kept"
        return Probe(rate, state, max(_share(records, test.metric, test.limit) for test in tests), len(records))

    def _probe_seconds(self) -> float:
        """Too short a burst would be over before it could break any limit."""
        return max(SHORTEST_PROBE_S, LIMITS_LONG * max(self.slo.values()))

    def _client_bound(self) -> bool:
        """Whether the client is at its own end, so that a higher rate would say nothing about the endpoint."""
        return (self._runs[-1].client["cpu_fraction"] or 0.0) > MOST_CPU

    async def _pace(self, targets: Sequence[ModelSpec], workload: Workload) -> Pace:
        found, calls = await measured_pace(targets, workload, timeout_s=self.settings.timeout_s)
        self._made += calls
        return found

    async def _record(self, plan: Plan) -> Recorded:
        limit = self.settings.max_calls
        if limit is not None and self._made + len(plan) > limit and plan.duration == math.inf:
            raise CannotLoad(
                f"--max-calls {limit} does not allow {len(plan):,} more requests after {self._made:,}; raise it, or "
                "send fewer with --requests"
            )
        recorded = await run_plan(plan, workers=self.settings.workers, stopping=self.stopping)
        self._made += len(recorded.records)
        return recorded

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
        self.tell("learning how the endpoint counts tokens")
        countings = tuple(
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
            countings,
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


def _share(records: Any, metric: Metric, limit: float) -> float:
    values, _ = measured(records, metric.latency)
    value = clustered_quantile(values, metric.probability).value if len(values) else math.inf
    if math.isnan(value):
        value = float(np.max(values))
    return value / limit


def _told(seconds: float) -> str:
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:g} ms"
