"""The controller: what git declares, what the store says is served, and one step from the latter to the former.

It keeps nothing that it could not read again. Killed at any place, it (or another one) goes on from the store; what has
to be done outside of the store is given as an errand in the transaction of the decision that it follows from.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from proveout.delivery import state as states
from proveout.delivery.alerts import Heard, alert
from proveout.delivery.decide import decide
from proveout.delivery.degradation import ChampionWatch
from proveout.delivery.desk import Desk, Proposal, declared_champion, git_errand, proposal
from proveout.delivery.evidence import Agreed, Evidence, Gathering
from proveout.delivery.reading import Reader
from proveout.delivery.signals import Watch
from proveout.delivery.state import Advance, Arm, Hold, Reweigh, RollBack, Rollout, Stop
from proveout.project.records import Change, Environment, Project, Service
from proveout.storage.errors import StoreError
from proveout.storage.records import Errand, Failure, Incident
from proveout.storage.store import Store

log = logging.getLogger("proveout.controller")

LEASE_S = 5.0
"""How long a killed controller keeps others from taking over."""

ALARM_AGAIN_S = 3600.0
"""A degraded champion that nobody can take over from is told of once in this time."""

_ACTIONS: Mapping[type[Any], str] = {
    Advance: "advance",
    Reweigh: "reweigh",
    RollBack: "roll_back",
    Stop: "stop",
}


class _Watched:
    """What the controller has in memory about one service: all of it comes from the store."""

    def __init__(self, store: Store, rollout: Rollout, watch: Watch) -> None:
        self.id = rollout.id
        self.status = rollout.status
        since = (rollout.trace_position, rollout.feedback_position) if rollout.active else rollout.watched_from
        self.reader = Reader(store, rollout.environment, rollout.service, since)
        serving = rollout.serving.fingerprint
        self.gathering = Gathering(rollout, watch) if rollout.active else None
        self.champion = None if rollout.active else ChampionWatch(serving, watch, rollout.baseline)

    def read(self) -> None:
        into = self.gathering or self.champion
        assert into is not None
        self.reader.read(into.observe, into.observe_feedback)

    def fits(self, rollout: Rollout) -> bool:
        """Whether this is about the rollout's present half: its steps, or what came of them."""
        return (self.id == rollout.id and self.status == rollout.status) or (
            self.id == rollout.id and self.gathering is not None and rollout.active
        )


class Controller:
    """Reconciles every service of some environments. `project` gives what is declared now, `clock` the time."""

    def __init__(
        self,
        store: Store,
        project: Callable[[], Project],
        clock: Callable[[], float],
        *,
        environments: Iterable[str] | None = None,
        owner: str | None = None,
        lease_s: float = LEASE_S,
    ) -> None:
        self._store = store
        self._project = project
        self._clock = clock
        self._environments = None if environments is None else tuple(environments)
        self._desk = Desk(store, clock)
        self._watched: dict[tuple[str, str], _Watched] = {}
        self._lease_s = lease_s
        self._until: dict[str, float] = {}
        self.owner = owner or secrets.token_hex(8)

    def tick(self) -> None:
        """One look at every service whose lease this controller has. What one service lacks keeps no other waiting.

        Raises:
            StoreError: the store can't be reached; try again.
        """
        project = self._project()
        for environment in project.environments.values():
            if self._environments is not None and environment.name not in self._environments:
                continue
            for name in environment.releases:
                if not self._may(f"delivery {environment.name} {name}"):
                    continue
                try:
                    self._reconcile(project.services[name], environment)
                except StoreError:
                    raise
                except Exception:
                    log.exception("%s/%s can't be looked after; others are", environment.name, name)

    def _may(self, lease: str) -> bool:
        """Whether this controller has a lease; one's own is renewed at half its time."""
        now = self._clock()
        if 0 < self._until.get(lease, 0.0) - now - self._lease_s / 2 <= self._lease_s / 2:
            return True
        taken = self._store.leases.take(lease, self.owner, now, self._lease_s)
        self._until[lease] = now + self._lease_s if taken else 0.0
        return taken

    def close(self) -> None:
        """Let others take over at once."""
        for environment, service in self._watched:
            with contextlib.suppress(Exception):
                self._store.leases.give_back(f"delivery {environment} {service}", self.owner)

    def evidence(self, environment: str, service: str) -> Evidence | None:
        """What it knows of a rollout that goes on."""
        watched = self._watched.get((environment, service))
        rollout = self._desk.rollout(environment, service)
        if watched is None or watched.gathering is None or rollout is None or not rollout.active:
            return None
        return watched.gathering.evidence(rollout, self._clock())

    def hear(self, heard: Heard) -> str:
        """An alert from outside: a rollout that goes on is rolled back, else the champion gives way to the fallback.
        Returns what was done.
        """
        project = self._project()
        environment, service = project.environments.get(heard.environment), project.services.get(heard.service)
        if environment is None or service is None or service.name not in environment.releases:
            return f"nothing: {heard.service} in {heard.environment} is not known"
        rollout = self._desk.rollout(environment.name, service.name)
        if rollout is None:
            return "nothing: it was never delivered"
        if not rollout.active:
            return self.degraded(service, environment, rollout, heard.reason, {}).reason
        now = self._clock()
        incident = _incident(rollout, rollout.challenger, heard.reason, {"signals": []}, now)
        return self._desk.apply(
            rollout,
            lambda state, now, epoch, _: states.ended(state, "rolled_back", now, epoch, heard.reason),
            "roll_back",
            body={"incident": incident.id},
            incident=incident,
            errands=lambda after: _after_incident(
                after, incident, environment, declared_champion(service, environment), []
            ),
        ).reason

    def _reconcile(self, service: Service, environment: Environment) -> None:
        rollout = self._desk.rollout(environment.name, service.name) or self._desk.adopt(environment, service)
        rollout = self._hear_git(service, environment, rollout)
        watched = self._watched.get((environment.name, service.name))
        if watched is None or not watched.fits(rollout):
            watched = _Watched(self._store, rollout, Watch.of(service))
            self._watched[(environment.name, service.name)] = watched
        watched.read()
        if rollout.active:
            self._step(service, environment, rollout, watched)
        else:
            self._guard(service, environment, rollout, watched)

    def _hear_git(self, service: Service, environment: Environment, rollout: Rollout) -> Rollout:
        """Another champion in the environment's file than the last one heard of is a release, or takes one back."""
        declared = declared_champion(service, environment)
        if declared.fingerprint == rollout.declared:
            return rollout
        if rollout.active:
            if declared.fingerprint == rollout.challenger.fingerprint:
                return self._note_git(rollout, declared)
            reason = f"git declares {declared.variant} now"
            return self._desk.apply(
                rollout,
                lambda state, now, epoch, _: states.ended(state, "aborted", now, epoch, reason),
                "abort",
            )
        if declared.fingerprint == rollout.serving.fingerprint:
            return self._note_git(rollout, declared)
        proposed = _declared_proposal(service, environment, rollout, declared)
        log.info("%s/%s: git declares %s", environment.name, service.name, declared.variant)
        return self._desk.start(proposed, "git")

    def _note_git(self, rollout: Rollout, declared: Arm) -> Rollout:
        return self._desk.apply(rollout, lambda state, now, epoch, _: _heard(state, declared), "declared")

    def _step(self, service: Service, environment: Environment, rollout: Rollout, watched: _Watched) -> None:
        """Decide about a rollout that goes on. The evidence is of before the transaction, the approvals of inside."""
        gathering = watched.gathering
        assert gathering is not None
        now = self._clock()
        seen = gathering.evidence(rollout, now, intervals=False)
        approvals = self._desk.approvals(environment.name, service.name, rollout.challenger.fingerprint)
        if isinstance(decide(rollout, msgspec.structs.replace(seen, approvals=approvals)), Hold):
            return
        evidence = gathering.evidence(rollout, now, approvals)
        action = decide(rollout, evidence)

        def change(state: Rollout, now: float, epoch: int, agreed: tuple[Agreed, ...]) -> Rollout:
            again = decide(state, msgspec.structs.replace(evidence, approvals=agreed))
            return states.changed(state, again, now, epoch)

        body = {"evidence": _kept_evidence(evidence)}
        if not isinstance(action, RollBack):
            after = self._desk.apply(
                rollout,
                change,
                _ACTIONS[type(action)],
                body=body,
                errands=lambda after: _after_change(after, environment, declared_champion(service, environment)),
            )
        else:
            incident = _incident(rollout, rollout.challenger, action.reason, body["evidence"], now)
            names = action.signals if action.signals else tuple(gathering.worst)
            kept = _failures(
                rollout, rollout.challenger, incident, {name: gathering.worst[name] for name in names}, now
            )
            after = self._desk.apply(
                rollout,
                change,
                "roll_back",
                body={**body, "incident": incident.id},
                incident=incident,
                failures=kept,
                errands=lambda after: _after_incident(
                    after, incident, environment, declared_champion(service, environment), kept
                ),
            )
        log.info("%s/%s: %s (%s)", environment.name, service.name, after.shown, after.reason)

    def _guard(self, service: Service, environment: Environment, rollout: Rollout, watched: _Watched) -> None:
        """Take a degraded champion back."""
        champion = watched.champion
        assert champion is not None
        alarm = champion.alarm
        if alarm is None:
            if len(champion.baseline) > len(rollout.baseline):
                found = dict(champion.baseline)
                self._desk.apply(rollout, lambda state, now, epoch, _: _with_baseline(state, found), "baseline")
            return
        self.degraded(service, environment, rollout, alarm, champion.offending)
        self._watched.pop((environment.name, service.name), None)

    def degraded(
        self,
        service: Service,
        environment: Environment,
        rollout: Rollout,
        reason: str,
        offending: Mapping[str, Iterable[str]],
    ) -> Rollout:
        """A champion's degradation is confirmed: by the watch over it, or by an alert from outside."""
        to = fallback_of(service, environment, rollout)
        now = self._clock()
        if to is None and now - rollout.alarmed < ALARM_AGAIN_S:
            return rollout
        incident = _incident(rollout, rollout.serving, reason, {"signals": sorted(offending)}, now)
        failures = _failures(rollout, rollout.serving, incident, offending, now)

        def change(state: Rollout, now: float, epoch: int, _: tuple[Agreed, ...]) -> Rollout:
            if to is None:
                return states.alarmed(state, now, f"{reason}; nobody can take over from {state.serving.variant}")
            return states.taken_back(state, to, now, epoch, f"{reason}; {to.variant} serves instead")

        return self._desk.apply(
            rollout,
            change,
            "degraded",
            body={"incident": incident.id, "offending": {name: list(ids) for name, ids in offending.items()}},
            incident=incident,
            failures=failures,
            errands=lambda after: _after_incident(
                after, incident, environment, declared_champion(service, environment), failures
            ),
        )


def fallback_of(service: Service, environment: Environment, rollout: Rollout) -> Arm | None:
    """Who takes over from a degraded champion: the declared fallback, else the champion before it. One that is not
    known to be good in an environment that asks for approval is the one that served before.
    """
    serving = rollout.serving.fingerprint
    named = environment.releases.get(service.name, {}).get("fallback")
    if named is not None and not environment.approvals:
        fallback = service.variants[str(named)]
        if fallback.fingerprint != serving:
            return Arm(fallback.name, fallback.fingerprint)
    return rollout.champion if rollout.champion.fingerprint != serving else None


def _declared_proposal(service: Service, environment: Environment, rollout: Rollout, declared: Arm) -> Proposal:
    """What git declares, as a proposal: by the change whose challenger it is. Only production goes step by step."""
    change = next((one for one in service.changes.values() if one.challenger == declared.variant), None)
    named = change or Change(declared.variant, service.name, declared.variant, (), "", service.path)
    proposed = proposal(service, named, environment, rollout.serving.fingerprint)
    if environment.name != "production":
        return msgspec.structs.replace(proposed, rollout={"unit": "user", "steps": ()})
    return proposed


def _heard(rollout: Rollout, declared: Arm) -> Rollout:
    return msgspec.structs.replace(rollout, declared=declared.fingerprint, version=rollout.version + 1)


def _with_baseline(rollout: Rollout, baseline: dict[str, float]) -> Rollout:
    return msgspec.structs.replace(rollout, baseline=baseline, version=rollout.version + 1)


def _kept_evidence(evidence: Evidence) -> Any:
    """Evidence as the audit trail keeps it."""
    return msgspec.to_builtins(
        {
            "requests": evidence.requests,
            "mismatch": evidence.mismatch,
            "signals": list(evidence.signals),
            "killed": evidence.killed,
        }
    )


def _incident(rollout: Rollout, variant: Arm, reason: str, evidence: Any, now: float) -> Incident:
    """One incident for one version of a rollout, however often it is tried to be written."""
    return Incident(
        id=f"{rollout.id}.{rollout.version}",
        environment=rollout.environment,
        service=rollout.service,
        variant=variant.fingerprint,
        reason=reason,
        evidence=evidence,
        opened=now,
    )


def _failures(
    rollout: Rollout, variant: Arm, incident: Incident, offending: Mapping[str, Iterable[str]], now: float
) -> list[Failure]:
    return [
        Failure(
            trace=trace,
            signal=name,
            service=rollout.service,
            variant=variant.fingerprint,
            incident=incident.id,
            created=now,
        )
        for name, traces in offending.items()
        for trace in traces
    ]


def _after_incident(
    after: Rollout, incident: Incident, environment: Environment, declared: Arm, failures: list[Failure]
) -> list[Errand]:
    """The alert; and the revert, where git still declares what was taken back."""
    now = after.updated
    errands = [
        Errand(
            id=f"{incident.id}.alert.{place}",
            kind=kind,
            body={"url": url, "alert": alert(after, incident, len(failures))},
            created=now,
            due=now,
        )
        for place, (kind, url) in enumerate(_alert_targets(environment))
    ]
    if declared.fingerprint == incident.variant and after.serving.fingerprint != incident.variant:
        errands.append(git_errand(after, "revert", incident.reason, f"{incident.id}.revert"))
    return errands


def _after_change(after: Rollout, environment: Environment, declared: Arm) -> list[Errand]:
    """Git hears of a champion that it doesn't declare."""
    if after.status != "promoted" or declared.fingerprint == after.challenger.fingerprint:
        return []
    return [git_errand(after, "release", after.reason, f"{after.id}.release")]


def _alert_targets(environment: Environment) -> list[tuple[str, str]]:
    """Where alerts go: `targets: [{alerts: URL}, {apprise: URL}]`."""
    known = {"alerts": "alert", "apprise": "apprise"}
    return [(known[kind], str(url)) for target in environment.targets for kind, url in target.items() if kind in known]
