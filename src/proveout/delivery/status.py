"""Where a rollout stands: the JSON contract `proveout.rollout/v1`, and the same in words."""

from __future__ import annotations

from typing import Any

import msgspec

from proveout.delivery.approvals import agreed
from proveout.delivery.decide import decide
from proveout.delivery.desk import Desk
from proveout.delivery.evidence import Evidence, Gathering
from proveout.delivery.online import HOW_TO_KEEP
from proveout.delivery.reading import Reader
from proveout.delivery.scoring import EVENT
from proveout.delivery.signals import Reading, Verdict, Watch
from proveout.delivery.state import Approval, Hold, Rollout, ShownState
from proveout.project.records import Service
from proveout.storage.store import Store

SCHEMA = "proveout.rollout/v1"


class SignalStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One signal: both variants' values, the difference's interval, and how sure it is by now.

    `e_worse` and `e_not_worse` are the evidence won so far; `needs` about how many more requests of the challenger
    would decide it.
    """

    signal: str
    champion: float | None
    challenger: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    n: dict[str, int] = {}
    e_worse: float = 1.0
    e_not_worse: float = 1.0
    margin: float = 0.0
    needs: int | None = None
    decides: bool = True


class RolloutStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`proveout.rollout/v1`. `step` counts the declared steps from 0; names are those of variants. `scoring` is what
    was scored of live answers today: how many, how many could not be, and the dollars for judges.
    """

    schema: str = SCHEMA
    service: str
    change: str | None
    state: ShownState
    step: int
    weights: dict[str, float]
    requests: dict[str, int]
    signals: tuple[SignalStatus, ...]
    reason: str
    environment: str
    steps: tuple[Any, ...] = ()
    champion: dict[str, str] = {}
    challenger: dict[str, str] = {}
    approvals: tuple[str, ...] = ()
    incident: str | None = None
    started: float | None = None
    updated: float | None = None
    scoring: dict[str, Any] = {}

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


def status_of(store: Store, service: Service, environment: str, now: float, declared: str = "") -> RolloutStatus:
    """The newest rollout of a service, with its evidence as of now, or as of when it ended. `declared` is the variant
    that the environment's file names: it serves where nothing was ever delivered.
    """
    desk = Desk(store, lambda: now)
    rollout = desk.rollout(environment, service.name)
    if rollout is None:
        return RolloutStatus(
            service=service.name,
            change=None,
            state="none",
            step=0,
            weights={declared: 1.0} if declared else {},
            requests={},
            signals=(),
            reason="nothing was ever delivered here; the environment's file says what is served",
            environment=environment,
        )
    people = agreed(
        store.audit.after(subject=f"{environment}/{service.name}", limit=10_000), rollout.challenger.fingerprint
    )
    requests, signals, reason = (0, 0), (), rollout.reason
    if rollout.change:
        evidence = gathered(store, service, rollout, now)
        evidence = msgspec.structs.replace(evidence, approvals=people)
        kept = None if rollout.active else _kept(store, rollout)
        requests, signals = (evidence.requests, evidence.signals) if kept is None else kept
        action = decide(rollout, evidence)
        reason = action.reason if isinstance(action, Hold) and action.reason else reason
    names = {rollout.champion.fingerprint: rollout.champion.variant}
    names[rollout.challenger.fingerprint] = rollout.challenger.variant
    incidents = [one for one in store.deliveries.incidents(environment, service.name) if one.id.startswith(rollout.id)]
    arms = (rollout.champion, rollout.challenger) if rollout.change else (rollout.champion,)
    return RolloutStatus(
        service=service.name,
        change=rollout.change or None,
        state=rollout.shown,
        step=shown_step(rollout),
        weights={names[fingerprint]: weight for fingerprint, weight in rollout.weights.items()},
        requests=dict(zip((arm.variant for arm in arms), requests, strict=False)) if rollout.change else {},
        signals=tuple(_signal(reading, rollout) for reading in signals),
        reason=reason,
        environment=environment,
        steps=tuple(msgspec.to_builtins(step) for step in rollout.steps if not _implied(step)),
        champion=msgspec.to_builtins(rollout.champion),
        challenger=msgspec.to_builtins(rollout.challenger) if rollout.change else {},
        approvals=tuple(sorted(one.who for one in people)) if rollout.change else (),
        incident=incidents[0].id if incidents else None,
        started=rollout.started,
        updated=rollout.updated,
        scoring=_scoring(store, rollout),
    )


def gathered(store: Store, service: Service, rollout: Rollout, now: float) -> Evidence:
    """The evidence of a rollout, read from the store."""
    gathering = Gathering(rollout, Watch.of(service))
    since = (rollout.trace_position, rollout.feedback_position)
    Reader(store, rollout.environment, rollout.service, since).read(gathering.observe, gathering.observe_feedback)
    return gathering.evidence(rollout, now)


def shown_step(rollout: Rollout) -> int:
    """The number of the declared step, from 0."""
    before = 1 if rollout.steps and _implied(rollout.steps[0]) else 0
    return max(0, min(rollout.step, len(rollout.steps) - 1) - before)


def _implied(step: Any) -> bool:
    return isinstance(step, Approval) and step.before


def _kept(store: Store, rollout: Rollout) -> tuple[tuple[int, int], tuple[Reading, ...]] | None:
    """The evidence that the last decision was made on."""
    entries = store.audit.after(subject=f"{rollout.environment}/{rollout.service}", limit=10_000)
    for entry in reversed(entries):
        body = entry.body
        if body.get("rollout") == rollout.id and "evidence" in body:
            readings = msgspec.convert(body["evidence"]["signals"], tuple[Reading, ...])
            champion, challenger = body["evidence"]["requests"]
            return (champion, challenger), readings
    return None


def _scoring(store: Store, rollout: Rollout) -> dict[str, Any]:
    event = store.events.latest(EVENT, f"{rollout.environment}/{rollout.service}")
    if event is None:
        return {}
    found = {name: value for name, value in event.body.items() if name not in ("position", "aside_usd")}
    return {**found, "spent_usd": found["spent_usd"] + event.body.get("aside_usd", 0.0)}


def _signal(reading: Reading, rollout: Rollout) -> SignalStatus:
    return SignalStatus(
        signal=reading.signal,
        champion=reading.champion,
        challenger=reading.challenger,
        low=reading.low,
        high=reading.high,
        verdict=reading.verdict,
        n={rollout.champion.variant: reading.n_champion, rollout.challenger.variant: reading.n_challenger},
        e_worse=reading.e_worse,
        e_not_worse=reading.e_not_worse,
        margin=reading.margin,
        needs=reading.needs,
        decides=reading.decides,
    )


def in_words(status: RolloutStatus) -> str:
    """A few lines for a terminal."""
    if status.state == "none":
        serving = next(iter(status.weights), None)
        return f"{status.service} in {status.environment}: no rollout" + (f"; {serving} serves" if serving else "")
    weights = ", ".join(f"{name} {weight:.0%}" for name, weight in status.weights.items())
    requests = ", ".join(f"{name} {count:,}" for name, count in status.requests.items())
    lines = [
        f"{status.service} in {status.environment}: {status.change} {status.state.replace('_', ' ')}",
        f"  step      {status.step + 1} of {max(len(status.steps), 1)}" + _step_in_words(status),
        f"  serves    {weights}",
        f"  requests  {requests}",
        f"  reason    {status.reason}",
    ]
    if status.approvals:
        lines.append(f"  approved  {', '.join(status.approvals)}")
    if status.incident:
        lines.append(f"  incident  {status.incident}")
    if status.scoring:
        lines.append(f"  scores    {_scoring_in_words(status.scoring)}")
    if status.signals:
        lines.append(f"  {'signal':<18}{'champion':>10}{'challenger':>12}  {'difference':<20}{'n':>7}  verdict")
    for signal in status.signals:
        interval = "" if signal.low is None or signal.high is None else f"{signal.low:+.3f} to {signal.high:+.3f}"
        count = list(signal.n.values())[-1] if signal.n else 0
        more = f", about {signal.needs:,} more" if signal.needs else ""
        lines.append(
            f"  {signal.signal:<18}{_number(signal.champion):>10}{_number(signal.challenger):>12}  {interval:<20}"
            f"{count:>7,}  " + (f"{signal.verdict.replace('_', ' ')}{more}" if signal.decides else "only shown")
        )
    return "\n".join(lines)


def _scoring_in_words(scoring: dict[str, Any]) -> str:
    words = f"{scoring['scored']:,} kept on {scoring['day']}, {scoring['unscored']:,} could not be had"
    if scoring["without_content"]:
        words += f"; {scoring['without_content']:,} answers are not kept: {HOW_TO_KEEP}"
    return words + (f"; judges cost ${scoring['spent_usd']:.4f}" if scoring["spent_usd"] else "")


def _step_in_words(status: RolloutStatus) -> str:
    if not status.steps or status.step >= len(status.steps):
        return ""
    step = dict(status.steps[status.step])
    kind = step.pop("kind")
    settings = ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in step.items() if value
    )
    return f": {kind}" + (f" ({settings})" if settings else "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
