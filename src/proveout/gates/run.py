"""A run, from a declared comparison to its scorecard: prepare, evaluate, measure, share the error budget, decide,
keep."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from proveout import __version__
from proveout.economics.capacity import kept_goodput
from proveout.evaluation import (
    Arm,
    FailureCollector,
    FlipCollector,
    OpenModels,
    OutcomeRecorder,
    ReadingCollector,
    ScoreTable,
    Scoring,
    SpendingCollector,
    Tally,
    evaluate,
)
from proveout.gates._base import (
    CONFIDENCE_ALPHA,
    Evidence,
    Finding,
    Findings,
    Gate,
    Money,
    Pricing,
    claim_of,
    not_measured,
)
from proveout.gates.budget import Subject, claim_share, ledger_lines, planned_level, settle
from proveout.gates.forecast import forecast
from proveout.gates.look import flips, histograms, slices
from proveout.gates.notices import failure_notices, judge_notices, leak_notices, reading_notices
from proveout.gates.phases import Phases, added, calls_of, cost_of, failed_of, own_phases
from proveout.gates.plan import Detectable, RunPlan, detectable, estimated_cost
from proveout.gates.preparation import Comparison, RunOptions, Work, gather
from proveout.gates.pricing import prices_used
from proveout.gates.registry import GATES, stage_objectives, wanted_objectives
from proveout.gates.scorecard import Arm as ArmLabel
from proveout.gates.scorecard import Calls, GateResult, LedgerLine, Scorecard, decide
from proveout.gates.verdicts import judge
from proveout.models import PriceBook
from proveout.project import ObjectiveSpec
from proveout.storage import Store

if TYPE_CHECKING:
    from proveout.evaluation.judges import JudgeCalibration

IMPLIED_MARGIN = 0.02
"""The margin of an objective that a change claims to improve but the service does not declare."""


class Prepared(msgspec.Struct, frozen=True):
    """A run that is ready to go: what it compares, by which gates, on what data, and the plan to show before
    spending."""

    comparison: Comparison
    options: RunOptions
    gates: tuple[tuple[Gate, ObjectiveSpec], ...]
    unmeasured: tuple[ObjectiveSpec, ...]
    work: Work
    scoring: Scoring
    plan: RunPlan


def prepare(comparison: Comparison, options: RunOptions, store: Store) -> Prepared:
    """Check all that a run needs, read its data once, and say what it will do. Calls no model.

    Raises:
        DatasetError, ScorerError, UnknownGate: the input can't be used; the message says why.
    """
    service = comparison.service
    objectives = wanted_objectives(comparison.stage, service.objectives, comparison.improves, options.gates)
    specs = [service.objectives.get(objective) or ObjectiveSpec(objective, IMPLIED_MARGIN) for objective in objectives]
    scoring = Scoring.of(service)
    gates = tuple((GATES[spec.objective](), spec) for spec in specs if spec.objective in GATES)
    unmeasured = tuple(spec for spec in specs if spec.objective not in GATES)
    arms = (comparison.champion, comparison.challenger)
    recorded = OpenModels.recorded_repeats(arms)
    work = gather(service, gates, options, recorded, OpenModels.recorded_counts(arms) if recorded else None)
    return Prepared(
        comparison, options, gates, unmeasured, work, scoring, _plan(comparison, options, gates, work, scoring, store)
    )


def _plan(
    comparison: Comparison,
    options: RunOptions,
    gates: Sequence[tuple[Gate, ObjectiveSpec]],
    work: Work,
    scoring: Scoring,
    store: Store,
) -> RunPlan:
    earlier = latest_scorecard(store, comparison.service.name)
    main = work.data[0]
    level = planned_level(store, main.version) if comparison.improves else CONFIDENCE_ALPHA
    can_show: list[Detectable] = []
    notes: list[str] = []
    declared = comparison.service.objectives
    later = [name for name in declared if name not in stage_objectives(comparison.stage, declared)]
    if later:
        notes.append(f"In dev, {' and '.join(later)} is not judged; --stage staging does it.")
    for gate, spec in gates:
        if gate.demand(spec).load:
            continue  # What a phase of its own can show does not hang on the dataset.
        if spec.objective == "stability" and max(work.repeats.base, work.repeats.sampled) < 2:
            notes.append("Stability can't be measured: every example is answered once.")
            continue
        metric = spec.metric or _usual_metric(spec.objective, scoring.metrics[0].name)
        clusters = len(work.repeats.clusters or main.clusters) if spec.objective == "stability" else len(main.clusters)
        claim = claim_of(spec.objective, comparison.improves)
        can_show.append(detectable(spec.objective, metric, claim, spec.margin, clusters, level, earlier))
    arms = (comparison.champion, comparison.challenger)
    measured = earlier.settings if earlier is not None else {}
    prices = PriceBook(comparison.project.prices)
    ahead = [
        forecast(
            arm,
            main.sample,
            store,
            prices,
            reuse=options.cache,
            measured=measured.get("usd_per_call", {}).get(arm.fingerprint),
        )
        for arm in arms
    ]
    prices_ahead = [arm.usd_per_call for arm in ahead]
    replayed = any(arm.model.provider == "replay" for arm in arms)  # Recordings bring their own timings.
    load = 0 if replayed else sum(gate.demand(spec).load for gate, spec in gates)
    calls = 2 * (work.generations + load)
    cached = sum(round(arm.finished * work.generations) for arm in ahead)
    seconds = measured.get("seconds_per_call")
    if any(arm.guessed for arm in ahead):
        notes.append("The cost is worked out from prompts and max_tokens, as nothing was measured yet.")
    return RunPlan(
        calls=calls,
        cached=cached,
        cost_usd=added(
            estimated_cost(prices_ahead, [1 - arm.finished for arm in ahead], work.generations),
            estimated_cost(prices_ahead, [1.0, 1.0], load) if load else 0.0,
        ),
        seconds=None if seconds is None else seconds * (calls - cached) / options.concurrency,
        examples=sum(data.examples for data in work.data),
        clusters=len(main.clusters),
        repeats=_repeats_in_words(work),
        detectable=tuple(can_show),
        notes=tuple(notes),
    )


def _repeats_in_words(work: Work) -> str:
    repeats = work.repeats
    if repeats.clusters:
        return f"{repeats.base} each, {repeats.sampled} on {len(repeats.clusters):,} clusters to measure stability"
    return f"{repeats.base} each"


class _Collected(msgspec.Struct, frozen=True):
    """What the evaluation of one run brought in."""

    table: ScoreTable
    calibrations: Mapping[str, JudgeCalibration]
    scorer_cost: float | None
    tally: Tally
    failures: FailureCollector
    seen: ReadingCollector
    flipped: FlipCollector
    spending: SpendingCollector


async def prove(prepared: Prepared, store: Store, on_progress: Callable[[Tally], None] | None = None) -> Scorecard:
    """Run it and decide. The scorecard is in the store when this returns; a cancelled run keeps every finished call.

    Raises:
        CannotOpen: a model can't be called as declared.
        StoreError: the store could not keep what was measured.
    """
    began, started = time.perf_counter(), datetime.now(UTC)
    comparison = prepared.comparison
    async with OpenModels(comparison.project, store, prepared.options) as models:
        arms = [Arm(variant, models.open(variant.model)) for variant in (comparison.champion, comparison.challenger)]
        run = store.runs.start(
            change=comparison.change,
            service=comparison.service.name,
            stage=comparison.stage,
            champion=comparison.champion.fingerprint,
            challenger=comparison.challenger.fingerprint,
        ).id
        try:
            collected = await _collect(prepared, store, run, models, arms, on_progress)
            own = await _own_phases(prepared, collected)
        except BaseException:
            store.runs.finish(run, state="failed")
            raise
    scorecard = _scorecard(prepared, store, run, collected, own, began, started)
    store.writer.flush()
    store.runs.finish(run, scorecard=scorecard.to_json())
    return scorecard


async def _collect(
    prepared: Prepared,
    store: Store,
    run: str,
    models: OpenModels,
    arms: Sequence[Arm],
    on_progress: Callable[[Tally], None] | None,
) -> _Collected:
    """Ask both variants about everything, with observers that count, keep and look."""
    scoring = prepared.scoring
    tally = Tally(tuple(OpenModels.is_free(arm.variant.model) for arm in arms), on_progress)
    optional = frozenset(place for place, metric in enumerate(scoring.metrics) if metric.optional)
    failures, seen = FailureCollector(optional), ReadingCollector()
    flipped = FlipCollector(scoring.index(_shown_metric(prepared)))
    spending = SpendingCollector(_right_answers(prepared))
    calibrations = await scoring.calibrate(models) if prepared.gates else {}
    recorder = OutcomeRecorder(store, run, scoring.names)
    table = await evaluate(
        prepared.work.tasks(),
        arms,
        scoring.metrics,
        concurrency=prepared.options.concurrency,
        observers=[tally, failures, seen, flipped, spending, recorder],
        models=models,
    )
    recorder.write()
    return _Collected(table, calibrations, models.spent_on_scorers, tally, failures, seen, flipped, spending)


async def _own_phases(prepared: Prepared, collected: _Collected) -> Phases:
    if collected.table.aborted is not None:
        return {}
    return await own_phases(
        prepared.gates,
        prepared.comparison,
        prepared.options,
        prepared.work,
        collected.tally,
        collected.scorer_cost,
    )


def _scorecard(
    prepared: Prepared, store: Store, run: str, collected: _Collected, own: Phases, began: float, started: datetime
) -> Scorecard:
    """Measure every gate, share the error budget, decide, and put all evidence in one record."""
    comparison, scoring, table, tally = prepared.comparison, prepared.scoring, collected.table, collected.tally
    pricing = _pricing(comparison, store, started)
    evidence = Evidence(
        service=comparison.service,
        table=table,
        seed=prepared.options.seed,
        judged=scoring.judged(collected.calibrations),
        lower_is_better=scoring.lower_is_better,
        pricing=pricing,
        spent=collected.spending.spent(),
        collected={objective: phase.evidence for objective, phase in own.items()},
        migration=comparison.migration,
    )
    measured = [_measure(gate, evidence, spec, comparison) for gate, spec in prepared.gates]
    measured += [Findings((_no_gate(spec, comparison),)) for spec in prepared.unmeasured]
    gates, ledger = _verdicts(measured, prepared, store, run, table.digest())
    shown = _shown_metric(prepared)
    money = next((findings.money for findings in measured if findings.money is not None), Money())
    return Scorecard(
        change=comparison.change,
        service=comparison.service.name,
        stage=comparison.stage,
        decision=decide(gates),
        champion=ArmLabel(variant=comparison.champion.name, fingerprint=comparison.champion.fingerprint),
        challenger=ArmLabel(variant=comparison.challenger.name, fingerprint=comparison.challenger.fingerprint),
        gates=gates,
        measures=tuple(measure for findings in measured for measure in findings.measures),
        slices=slices(table, shown),
        flips=flips(collected.flipped),
        flip_counts={"better": collected.flipped.counts["better"], "worse": collected.flipped.counts["worse"]},
        histograms=histograms(table, shown),
        notices=(
            *(notice for findings in measured for notice in findings.notices),
            *judge_notices(collected.calibrations),
            *failure_notices(collected.failures, comparison),
            *reading_notices(collected.seen, comparison),
            *leak_notices(comparison.service),
        ),
        datasets=tuple(data.use() for data in prepared.work.data),
        ledger=ledger,
        improves=comparison.improves,
        hypothesis=comparison.hypothesis,
        calls=Calls(made=tally.made + calls_of(own), cached=tally.cached, failed=tally.failed + failed_of(own)),
        cost_usd=added(tally.known_cost, collected.scorer_cost, cost_of(own)),
        seconds=round(time.perf_counter() - began, 3),
        run=run,
        started=started.isoformat(timespec="seconds"),
        version=__version__,
        settings=_settings(prepared, tally, table.column("seconds")),
        impact=money.impact,
        waste=money.waste,
        hosting=money.hosting,
        break_even=money.break_even,
        prices=prices_used(pricing),
    )


def _pricing(comparison: Comparison, store: Store, started: datetime) -> Pricing:
    """Prices on the day of the run, and what load tests have measured of variants that are paid by the hour."""
    arms = (comparison.champion, comparison.challenger)
    latency = comparison.service.objectives.get("latency")
    slo = dict(latency.settings.get("slo") or {}) if latency else {}
    measured = [None if arm.machine is None else kept_goodput(store, arm.fingerprint, slo) for arm in arms]
    return Pricing.of(comparison.project, started.date(), arms, (measured[0], measured[1]))


def latest_scorecard(store: Store, service: str) -> Scorecard | None:
    """The newest finished run's scorecard of a service, to plan from; None where there is none that this version can
    read."""
    for run in store.runs.latest(5, service=service):
        kept = store.runs.scorecard(run.id)
        if kept is not None:
            try:
                return Scorecard.from_json(kept)
            except ValueError:
                continue
    return None


def _measure(gate: Gate, evidence: Evidence, spec: ObjectiveSpec, comparison: Comparison) -> Findings:
    claim = claim_of(spec.objective, comparison.improves)
    if evidence.table.aborted is not None:
        metric = spec.metric or _usual_metric(spec.objective, evidence.table.metrics[0])
        problem = f"the run stopped early, as {evidence.table.aborted}"
        return Findings((not_measured(spec.objective, metric, spec, claim, problem),))
    return gate.measure(evidence, spec, claim)


def _usual_metric(objective: str, scorer: str) -> str:
    """The metric that decides an objective which names none."""
    return {"stability": "agreement", "cost": "usd_per_request", "latency": "ttft_p95"}.get(objective, scorer)


def _no_gate(spec: ObjectiveSpec, comparison: Comparison) -> Finding:
    claim = claim_of(spec.objective, comparison.improves)
    problem = f"this version has no {spec.objective} gate for this stage; choose others with --gates"
    return not_measured(spec.objective, spec.metric or spec.objective, spec, claim, problem)


def _verdicts(
    measured: Sequence[Findings], prepared: Prepared, store: Store, run: str, digest: str
) -> tuple[tuple[GateResult, ...], tuple[LedgerLine, ...]]:
    """Judge every finding: claims at their share of the error budget, all else at 5 %."""
    findings = [finding for group in measured for finding in group.findings]
    claims = [finding for finding in findings if finding.claim == "improves" and finding.problem is None]
    comparison = prepared.comparison
    same = comparison.champion.fingerprint == comparison.challenger.fingerprint
    if not claims or same:
        return tuple(_unchanged(judge(finding)) if same else judge(finding) for finding in findings), ()
    subject = Subject(
        service=comparison.service.name,
        champion=comparison.champion.fingerprint,
        challenger=comparison.challenger.fingerprint,
        dataset_version=prepared.work.data[0].version,
        evidence=digest,
        run=run,
    )
    share = claim_share(store, subject, claims)
    levels = dict(zip(map(id, claims), share.levels, strict=True))
    results = tuple(judge(finding, levels.get(id(finding), CONFIDENCE_ALPHA)) for finding in findings)
    shown = all(result.verdict == "pass" for result in results if result.claim == "improves")
    settle(store, share, passed=shown)
    names = {variant.fingerprint: variant.name for variant in comparison.service.variants.values()}
    return results, ledger_lines(share, claims, names)


def _unchanged(result: GateResult) -> GateResult:
    """A variant can't be better than itself."""
    if result.claim != "improves" or result.verdict == "error":
        return result
    reason = "Champion and challenger are the same variant (equal fingerprints), so nothing can have improved."
    return msgspec.structs.replace(result, verdict="fail", reason=reason)


def _shown_metric(prepared: Prepared) -> str:
    """The metric whose slices, flips and scores are shown: the accuracy objective's, else the first scorer's."""
    wanted = next((spec.metric for _, spec in prepared.gates if spec.objective == "accuracy"), None)
    names = prepared.scoring.names
    return wanted if wanted in names else names[0]


def _right_answers(prepared: Prepared) -> int | None:
    """The place of the metric that says which answers are right; None where less of it is better."""
    shown = _shown_metric(prepared)
    return None if shown in prepared.scoring.lower_is_better else prepared.scoring.index(shown)


def _settings(prepared: Prepared, tally: Tally, seconds: Any) -> dict[str, Any]:
    """What a later plan, or a reader, wants to know about how the run went about it."""
    options, comparison = prepared.options, prepared.comparison
    known = seconds[seconds == seconds]
    return {
        "repeats": prepared.plan.repeats,
        "limit": options.limit,
        "seed": options.seed,
        "concurrency": options.concurrency,
        "seconds_per_call": float(known.mean()) if len(known) else None,
        "usd_per_call": {
            arm.fingerprint: tally.usd_per_call(index)
            for index, arm in enumerate((comparison.champion, comparison.challenger))
        },
    }
