"""Latency: both variants under the same load, in turns, and every quantile that the service has an SLO on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from proveout.gates._base import Collected, Demand, Evidence, Finding, Findings, Occasion, not_measured
from proveout.gates.scorecard import Claim, Measure, Notice
from proveout.gates.verdicts import figure
from proveout.project.records import Objective, ObjectiveSpec
from proveout.statistics import Estimate, PairedTest

if TYPE_CHECKING:
    from proveout.loadtest.compare import Compared
    from proveout.loadtest.pacing import Pace
    from proveout.loadtest.plan import Workload
    from proveout.loadtest.records import Records
    from proveout.project.records import ModelSpec

DEFAULT_METRICS = ("ttft_p95", "e2e_p95")
"""What decides where the service has no SLO."""
REQUESTS = 120
"""Requests of each variant, where the metrics do not ask for more."""
MOST_EXAMPLES = 2000
TIMEOUT_S = 60.0
MOST_FAILED = 0.05
"""The share of a variant's requests that may fail before nothing is decided."""


@dataclass(frozen=True, slots=True)
class LoadEvidence:
    """What the load phase recorded. `problem` says why it can't decide anything; `surge` holds the requests at a higher
    rate than expected, which decide nothing."""

    records: Records | None = None
    problem: str | None = None
    how: str = ""
    per_pair: float = 1.0
    rate: float | None = None
    surge: Records | None = None


@dataclass(frozen=True, slots=True)
class LatencyGate:
    """The ratio of both variants' latency quantiles under the same load, and the challenger's against the SLOs.

    A gate for each SLO of the service: superiority of the quantile where the change claims it, else non-inferiority to
    the margin; and in both cases the SLO must be shown to hold (both must be rejected, so the larger p-value counts:
    intersection-union test, Berger 1982). Recordings are compared by their recorded timings. What becomes of the same
    figures at 1.5 times the rate is measured with fewer requests, and shown beside the gates.
    """

    objective: ClassVar[Objective] = "latency"

    def demand(self, spec: ObjectiveSpec) -> Demand:
        return Demand(base=0, sampled=0, load=_requests(spec) + _overhead() + _surge_calls(spec))

    async def collect(self, occasion: Occasion, spec: ObjectiveSpec) -> Collected:
        recorded = [variant.model.provider == "replay" for variant in occasion.variants]
        if all(recorded):
            return Collected(await _from_recordings(occasion))
        if any(recorded):
            problem = "one variant is a recording and the other is not, and their timings can't be compared"
            return Collected(LoadEvidence(problem=problem))
        wanted = _requests(spec)
        each, left, problem = _affordable(occasion, wanted)
        if problem is not None:
            return Collected(LoadEvidence(problem=problem))
        return await _under_load(occasion, spec, each, surge=left >= _surge_calls(spec))

    def measure(self, evidence: Evidence, spec: ObjectiveSpec, claim: Claim) -> Findings:
        from proveout.loadtest.compare import compared
        from proveout.loadtest.slo import LATENCIES

        metrics = _metrics(spec)
        load = evidence.collected.get("latency")
        if not isinstance(load, LoadEvidence) or load.records is None:
            problem = load.problem if isinstance(load, LoadEvidence) else None
            why = problem or "no load phase was run"
            return Findings(tuple(not_measured("latency", metric, spec, claim, why) for metric in metrics))
        slo: dict[str, float] = dict(spec.settings.get("slo", {}))
        margin = 0.0 if claim == "improves" else spec.margin
        problem = load.problem or _too_many_failed(load.records)
        rows = compared(load.records, metrics, slo, margin=margin, seed=evidence.seed)
        findings = tuple(_finding(row, load, spec, claim, margin, problem) for row in rows)
        beside = [f"{latency}_p50" for latency in LATENCIES if f"{latency}_p50" not in metrics]
        shown = compared(load.records, beside, {}, margin=0.0, seed=evidence.seed, draws=0)
        measures = [
            Measure(
                objective="latency",
                metric=row.metric,
                champion=figure(row.champion),
                challenger=figure(row.challenger),
            )
            for row in shown
            if not math.isnan(row.champion.value) or not math.isnan(row.challenger.value)
        ]
        if slo:
            measures.append(_goodput(load, slo))
        if load.surge is not None:
            measures += _surge_measures(load.surge, metrics, evidence.seed)
        return Findings(findings, tuple(measures), (Notice(kind="load", message=load.how),) if load.how else ())


def _metrics(spec: ObjectiveSpec) -> tuple[str, ...]:
    if spec.metric:
        return (spec.metric,)
    return tuple(spec.settings.get("slo", {})) or DEFAULT_METRICS


def _requests(spec: ObjectiveSpec) -> int:
    """Enough to bound every quantile that decides."""
    from proveout.loadtest.slo import Metric
    from proveout.statistics.clustered_quantiles import fewest_for_quantile

    return max(REQUESTS, *(fewest_for_quantile(Metric.named(name).probability) + 21 for name in _metrics(spec)))


def _surge_requests(spec: ObjectiveSpec) -> int:
    """Enough to show every quantile that decides with an interval."""
    from proveout.loadtest.slo import Metric
    from proveout.statistics.clustered_quantiles import fewest_for_quantile

    return max(fewest_for_quantile(Metric.named(name).probability) + 1 for name in _metrics(spec))


def _surge_calls(spec: ObjectiveSpec) -> int:
    """Calls of each variant that the surge takes."""
    return _surge_requests(spec) + _overhead()


def _overhead() -> int:
    """Calls of each variant beside those that count: warm-up, pace, and at least one before every block."""
    from proveout.loadtest.compare import BLOCK_PAIRS
    from proveout.loadtest.pacing import PACE_REQUESTS
    from proveout.loadtest.plan import WARMUP

    return WARMUP + PACE_REQUESTS + BLOCK_PAIRS


def _affordable(occasion: Occasion, wanted: int) -> tuple[int, float, str | None]:
    """How many counted requests of each variant the limits leave, and how many calls beyond those; or why there are too
    few."""
    extra = _overhead()
    most = math.inf
    if occasion.calls_left is not None:
        most = min(most, occasion.calls_left // 2 - extra)
    if occasion.usd_left is not None:
        prices = occasion.usd_per_call
        if any(price is None for price in prices):
            return 0, 0, "--max-cost can't be kept, as the cost of a call is not known; limit the run by --max-calls"
        both = sum(price or 0.0 for price in prices)
        if both > 0:
            most = min(most, int(occasion.usd_left / both) - extra)
    if most < wanted / 4:
        left = occasion.calls_left if occasion.calls_left is not None else 0
        limit = (
            f"--max-calls leaves {left:,} calls" if occasion.calls_left is not None else "--max-cost leaves too little"
        )
        return 0, 0, f"{limit}, and a load test takes about {2 * (wanted + extra):,}"
    each = min(wanted, int(min(most, wanted)))
    return each, most - each, None


async def _under_load(occasion: Occasion, spec: ObjectiveSpec, each: int, *, surge: bool) -> Collected:
    """The load phase: in turns, at the service's own rate where that is practical, then at a higher one."""
    from proveout.loadtest.pacing import SURGE, expected_rate, measured_pace, practical_rate
    from proveout.loadtest.recorder import CannotLoad
    from proveout.loadtest.targets import is_local, serving
    from proveout.loadtest.workloads import service_requests

    calls = failed = 0
    higher: Records | None = None
    try:
        workload = service_requests(
            occasion.variants, list(islice(occasion.examples(), MOST_EXAMPLES)), seed=occasion.seed
        ).workload
        async with serving(occasion.variants) as targets:
            pace, calls = await measured_pace(targets, workload, timeout_s=TIMEOUT_S)
            local = any(is_local(target) for target in targets)
            load = practical_rate(expected_rate(occasion.service.traffic), pace, each, local=local)
            phase = await _phase(occasion, targets, workload, pace, load.rate, each)
            calls, failed = calls + phase.calls, phase.failed
            how = f"Latency under a load of {load.rate:.3g} requests/s ({load.words}), {phase.how}, stamped when due."
            if surge and phase.problem is None:
                rate = load.rate * SURGE
                beside = await _phase(occasion, targets, workload, pace, rate, _surge_requests(spec))
                calls, failed = calls + beside.calls, failed + beside.failed
                higher = None if beside.problem else beside.records
                what = f"not measured: {beside.problem}" if beside.problem else "shown beside, and decides nothing"
                how += f" At {SURGE:g} times that rate: {what}."
    except CannotLoad as error:
        return Collected(LoadEvidence(problem=str(error)), calls, calls)
    evidence = LoadEvidence(phase.records, phase.problem, how, phase.per_pair, load.rate, higher)
    return Collected(evidence, calls, failed, _cost(occasion, calls))


@dataclass(frozen=True, slots=True)
class _Phase:
    """One stretch at one rate."""

    records: Records
    problem: str | None
    how: str
    per_pair: int
    calls: int
    failed: int


async def _phase(
    occasion: Occasion, targets: Sequence[ModelSpec], workload: Workload, pace: Pace, rate: float, each: int
) -> _Phase:
    from proveout.loadtest.compare import comparison_plan, turns
    from proveout.loadtest.figures import client_figures
    from proveout.loadtest.plan import WARMUP
    from proveout.loadtest.schedules import poisson
    from proveout.loadtest.targets import share_a_machine
    from proveout.loadtest.workers import run_plan

    shared = share_a_machine(occasion.variants)
    taking = turns(
        each,
        "blocks" if shared else "requests",
        in_flight=min(rate * pace.answer_s, 1.0),
        answer_s=pace.answer_s,
    )
    plan = comparison_plan(
        targets, workload, poisson(rate), taking, seed=occasion.seed, timeout_s=TIMEOUT_S, warmup=WARMUP
    )
    recorded = await run_plan(plan)
    counted = recorded.records.where(recorded.records.counted)
    reasons, _ = client_figures(recorded.client, recorded.records, counted)
    return _Phase(
        records=recorded.records,
        problem=f"the client was the bottleneck: {'; '.join(reasons)}" if reasons else recorded.ended or None,
        how=(
            f"{taking.pairs * taking.requests:,} requests of each variant "
            + (f"in turns of {taking.requests}" if shared else "at the same times")
        ),
        per_pair=taking.requests,
        calls=len(recorded.records) + 2 * WARMUP,
        failed=int((~recorded.records.ok).sum()),
    )


def _cost(occasion: Occasion, calls: int) -> float | None:
    prices = occasion.usd_per_call
    return None if None in prices else calls / 2 * sum(price or 0.0 for price in prices)


async def _from_recordings(occasion: Occasion) -> LoadEvidence:
    """Recorded timings as if each request had been sent alone; clusters of examples stand for pairs of blocks."""
    from proveout.evaluation import request_of
    from proveout.models import Generation, ModelError
    from proveout.models.replay import Recording, ReplayModel

    models = [ReplayModel(Recording.open(variant.model.options["path"])) for variant in occasion.variants]
    rows: list[tuple[int, int, Generation]] = []
    clusters: dict[str, int] = {}
    for example in occasion.examples():
        pair = clusters.setdefault(example.cluster, len(clusters))
        for arm, (variant, model) in enumerate(zip(occasion.variants, models, strict=True)):
            try:
                rows.append((arm, pair, await model.generate(request_of(variant, example, stream=True))))
            except ModelError:
                continue
    timed = [row for row in rows if row[2].timings is not None]
    for arm, variant in enumerate(occasion.variants):
        if not any(row[0] == arm for row in timed):
            return LoadEvidence(problem=f"the recording of {variant.name} holds no timings; record `timings` with it")
    how = "Latency from recorded timings, paired by example; they were not taken in turns."
    return LoadEvidence(_recorded_rows(timed), None, how, len(timed) / 2 / max(len(clusters), 1))


def _recorded_rows(rows: Sequence[tuple[int, int, object]]) -> Records:
    from proveout.loadtest.records import Records
    from proveout.models import Generation

    stamps: list[float] = []
    starts = [0]
    ends: list[float] = []
    tokens: list[float] = []
    for _, _, generation in rows:
        assert isinstance(generation, Generation)
        timings = generation.timings
        assert timings is not None
        if timings.ttft is not None:
            stamps.extend(np.cumsum([timings.ttft, *timings.gaps]).tolist())
        starts.append(len(stamps))
        ends.append(timings.e2e)
        tokens.append(generation.usage.output_tokens if generation.usage else math.nan)
    size = len(rows)
    unknown = np.full(size, math.nan)
    return Records(
        index=np.arange(size),
        arm=np.array([row[0] for row in rows], dtype=np.int64),
        block=np.array([row[1] for row in rows], dtype=np.int64),
        counted=np.ones(size, dtype=bool),
        due=np.zeros(size),
        ready=np.zeros(size),
        asked=np.zeros(size),
        sent=np.zeros(size),
        done=np.array(ends),
        input_tokens=unknown,
        output_tokens=np.array(tokens),
        cached_tokens=unknown,
        reasoning_tokens=unknown,
        wanted_input=unknown,
        wanted_output=unknown,
        finish=("",) * size,
        error=("",) * size,
        text=("",) * size,
        starts=np.array(starts, dtype=np.int64),
        stamps=np.array(stamps, dtype=float),
    )


def _too_many_failed(records: Records) -> str | None:
    for arm, name in enumerate(("champion", "challenger")):
        mine = records.where((records.arm == arm) & records.counted)
        failed = int((~mine.ok).sum())
        if failed > MOST_FAILED * len(mine):
            return f"{failed:,} of {len(mine):,} requests of the {name} failed under load"
    return None


def _finding(
    row: Compared, load: LoadEvidence, spec: ObjectiveSpec, claim: Claim, margin: float, problem: str | None
) -> Finding:
    test = row.test
    target = "faster than the champion" if claim == "improves" else f"no slower than the champion by {margin:.0%}"
    opposite = "slower than the champion" + (f" by more than {margin:.0%}" if margin else "")
    if row.slo is not None:
        limit = f"{row.slo.limit * 1000:g} ms"
        if row.slo.state == "broken":
            opposite = f"to break the SLO of {limit}"
        target += f" and within the SLO of {limit} ({row.slo.state})"
        if test is not None:
            test = PairedTest(
                test.difference,
                test.margin,
                max(test.p_value, row.slo.test.p_value),
                min(1.0, 2 * min(test.p_worse, row.slo.test.p_worse)),
                test.sd,
                f"{test.method}, and the SLO by an exact binomial test",
            )
    missing = 0 if test is not None else row.too_few
    if missing and not _values(row):
        problem = problem or f"nothing was measured for {row.metric}: were the answers streamed?"
    return Finding(
        objective="latency",
        metric=row.metric,
        claim=claim,
        margin=spec.margin,
        higher_is_better=False,
        champion=row.champion,
        challenger=row.challenger,
        test=test,
        problem=problem,
        per_cluster=load.per_pair,
        unit="s",
        target=target,
        opposite=opposite,
        needs=missing,
    )


def _values(row: Compared) -> bool:
    return row.champion.n > 0 and row.challenger.n > 0


def _surge_measures(records: Records, metrics: Sequence[str], seed: int) -> list[Measure]:
    """The figures that decide, at the higher rate."""
    from proveout.loadtest.compare import compared
    from proveout.loadtest.pacing import SURGE

    return [
        Measure(
            objective="latency",
            metric=f"{row.metric}_at_{SURGE:g}x",
            champion=figure(row.champion),
            challenger=figure(row.challenger),
        )
        for row in compared(records, metrics, {}, margin=0.0, seed=seed, draws=0)
    ]


def _goodput(load: LoadEvidence, slo: dict[str, float]) -> Measure:
    """Requests per second that meet every limit, at the rate that was offered (a share where nothing was)."""
    from proveout.loadtest.slo import attained
    from proveout.statistics import proportion_interval

    records = load.records
    assert records is not None
    figures: list[Estimate] = []
    for arm in (0, 1):
        mine = records.where((records.arm == arm) & records.counted)
        share = proportion_interval(int(attained(mine, slo).sum()), len(mine))
        scale = load.rate or 1.0
        figures.append(Estimate(share.value * scale, share.low * scale, share.high * scale, share.n))
    return Measure(objective="latency", metric="goodput", champion=figure(figures[0]), challenger=figure(figures[1]))
