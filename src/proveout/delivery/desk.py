"""Where decisions are written down: people's and the controller's. Each is one transaction: the rollout's new state,
the release that gateways follow, the entry in the audit trail, and what is to be done outside because of it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec

from proveout.delivery import state as states
from proveout.delivery.approvals import APPROVE, REJECT, agreed
from proveout.delivery.evidence import Agreed
from proveout.delivery.state import Approval, Arm, Refused, Rollout, steps_of
from proveout.project.records import Change, Environment, Service
from proveout.storage.deliveries import Decision
from proveout.storage.records import Errand, Failure, Incident, Release, RolloutRow
from proveout.storage.store import Store

CONTROLLER = "controller"

DEFAULT_STEPS: Mapping[str, Any] = {
    "unit": "user",
    "steps": (
        {"kind": "canary", "weight": 0.05, "requests": 500},
        {"kind": "canary", "weight": 0.25, "requests": 2000},
    ),
}
"""Where neither the change nor the service declares a rollout."""

_DECIDED = (APPROVE, REJECT)


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be delivered where."""

    environment: str
    service: str
    change: str
    champion: Arm
    challenger: Arm
    approvals: int
    declared: str
    rollout: Mapping[str, Any]
    fallback: tuple[str, ...] = ()


def proposal(service: Service, change: Change, environment: Environment, champion: str) -> Proposal:
    """A declared change, for the variant that now serves (a fingerprint)."""
    challenger = service.variants[change.challenger]
    return Proposal(
        environment=environment.name,
        service=service.name,
        change=change.name,
        champion=arm_of(service, champion),
        challenger=Arm(challenger.name, challenger.fingerprint),
        approvals=environment.approvals,
        declared=declared_champion(service, environment).fingerprint,
        rollout=change.rollout or service.rollout or DEFAULT_STEPS,
        fallback=_fallback(service, environment, change),
    )


def declared_champion(service: Service, environment: Environment) -> Arm:
    """The variant that an environment's file names."""
    named = environment.releases.get(service.name, {}).get("champion", service.champion)
    return Arm(str(named), service.variants[str(named)].fingerprint)


def arm_of(service: Service, fingerprint: str) -> Arm:
    """The variant of a fingerprint, by the name that it has now (or none, if its files have changed since)."""
    for variant in service.variants.values():
        if variant.fingerprint == fingerprint:
            return Arm(variant.name, fingerprint)
    return Arm(fingerprint, fingerprint)


def _fallback(service: Service, environment: Environment, change: Change) -> tuple[str, ...]:
    names = (change.fallback, environment.releases.get(service.name, {}).get("fallback"))
    return tuple(service.variants[str(name)].fingerprint for name in names if name is not None)


class Desk:
    """Takes decisions about rollouts. `clock` gives seconds since 1970."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def rollout(self, environment: str, service: str) -> Rollout | None:
        """The newest rollout of a service, whatever its state."""
        row = self._store.deliveries.latest(environment, service)
        return None if row is None else read(row)

    def approvals(self, environment: str, service: str, fingerprint: str) -> tuple[Agreed, ...]:
        """Who approves of a fingerprint by now."""
        entries = self._store.audit.after(subject=_subject(environment, service), actions=_DECIDED, limit=10_000)
        return agreed(entries, fingerprint)

    def adopt(self, environment: Environment, service: Service) -> Rollout:
        """Take over what an environment serves, where nothing was ever delivered: its file's champion, alone."""
        with self._deciding(environment.name, service.name) as writing:
            if writing.rollout is not None:
                return writing.rollout
            champion = declared_champion(service, environment)
            positions = writing.decision.positions()
            rollout = Rollout(
                id=_id(self._clock()),
                environment=environment.name,
                service=service.name,
                change="",
                champion=champion,
                challenger=champion,
                declared=champion.fingerprint,
                trace_position=positions[0],
                feedback_position=positions[1],
            )
            return writing.write(states.adopted(rollout, self._clock(), writing.epoch), CONTROLLER, "adopt")

    def start(self, proposed: Proposal, actor: str, *, note: Mapping[str, Any] | None = None) -> Rollout:
        """Begin a rollout.

        Raises:
            Refused: one is going on, or the challenger already serves.
        """
        with self._deciding(proposed.environment, proposed.service) as writing:
            latest = writing.rollout
            if latest is not None and latest.active:
                raise Refused(
                    f"the rollout of {latest.change} goes on ({latest.shown}); end it first: "
                    f"proveout rollout abort {latest.service} --environment {latest.environment}"
                )
            if proposed.challenger.fingerprint == proposed.champion.fingerprint:
                raise Refused(
                    f"{proposed.challenger.variant} already serves {proposed.service} in {proposed.environment}"
                )
            positions = writing.decision.positions()
            fallback = proposed.fallback
            if proposed.approvals:  # Who was never agreed to does not even answer in another's stead.
                known = writing.decision.served()
                fallback = tuple(fingerprint for fingerprint in fallback if fingerprint in known)
            rollout = Rollout(
                id=_id(self._clock(), latest),
                environment=proposed.environment,
                service=proposed.service,
                change=proposed.change,
                champion=proposed.champion,
                challenger=proposed.challenger,
                declared=proposed.declared,
                steps=steps_of(proposed.rollout, proposed.approvals),
                fallback=fallback,
                unit=str(proposed.rollout.get("unit", "user")),
                trace_position=positions[0],
                feedback_position=positions[1],
                reason=f"started by {actor}",
            )
            began = states.begun(rollout, self._clock(), writing.epoch)
            return writing.write(began, actor, "start", dict(note or {}))

    def pause(self, environment: str, service: str, actor: str, why: str = "") -> Rollout:
        """Nothing advances until it is resumed. Idempotent."""
        return self._by_hand(
            environment,
            service,
            actor,
            "pause",
            why,
            lambda rollout, now, epoch, _: states.paused(rollout, now, _why("paused", actor, why)),
        )

    def resume(self, environment: str, service: str, actor: str, why: str = "") -> Rollout:
        return self._by_hand(
            environment,
            service,
            actor,
            "resume",
            why,
            lambda rollout, now, epoch, _: states.resumed(rollout, now, epoch),
        )

    def abort(
        self, environment: str, service: str, actor: str, why: str = "", *, declared: Arm | None = None
    ) -> Rollout:
        """The champion serves alone again, at once: also the one before a challenger that was promoted. Of a rollout
        that is over otherwise nothing is left to abort, and it stays as it is. `declared` is what git says is served: a
        pull request has it say so too.
        """

        def change(rollout: Rollout, now: float, epoch: int, agreed: tuple[Agreed, ...]) -> Rollout:
            reason = _why("aborted", actor, why)
            if rollout.active:
                return states.ended(rollout, "aborted", now, epoch, reason)
            if rollout.status == "promoted":
                return states.taken_back(rollout, rollout.champion, now, epoch, reason, "aborted")
            return rollout

        return self._by_hand(environment, service, actor, "abort", why, change, declared)

    def promote(self, environment: str, service: str, actor: str, why: str = "") -> Rollout:
        """The challenger becomes champion whatever the evidence: a person's decision, and recorded as one."""

        def change(rollout: Rollout, now: float, epoch: int, agreed: tuple[Agreed, ...]) -> Rollout:
            if len(agreed) >= approvals_needed(rollout):  # The controller may not have looked since.
                rollout = msgspec.structs.replace(rollout, cleared=True)
            return states.promoted(rollout, now, epoch, _why("promoted", actor, why))

        return self._by_hand(environment, service, actor, "promote", why, change)

    def approve(
        self,
        environment: str,
        service: str,
        variant: Arm,
        actor: str,
        *,
        change: str,
        why: str = "",
        scorecard: str = "",
    ) -> tuple[Agreed, ...]:
        """Record that somebody agrees to serve this fingerprint; returns all who do by now."""
        return self._say(APPROVE, environment, service, variant, actor, change, why, scorecard)

    def reject(
        self,
        environment: str,
        service: str,
        variant: Arm,
        actor: str,
        *,
        change: str,
        why: str = "",
        declared: Arm | None = None,
    ) -> tuple[Agreed, ...]:
        """Record that somebody disagrees: all approvals so far end, and so does a rollout of it. `declared` as for
        `abort`.
        """
        return self._say(REJECT, environment, service, variant, actor, change, why, "", declared)

    def apply(
        self,
        seen: Rollout,
        change: Callable[[Rollout, float, int, tuple[Agreed, ...]], Rollout],
        action: str,
        *,
        body: Mapping[str, Any] | None = None,
        incident: Incident | None = None,
        failures: Iterable[Failure] = (),
        errands: Callable[[Rollout], Iterable[Errand]] = lambda rollout: (),
    ) -> Rollout:
        """The controller's decision about a state that it saw; nothing happens if somebody changed it meanwhile."""
        with self._deciding(seen.environment, seen.service) as writing:
            latest = writing.rollout
            if latest is None or (latest.id, latest.version) != (seen.id, seen.version):
                return latest or seen
            entries = writing.decision.entries(_subject(seen.environment, seen.service), _DECIDED)
            after = change(latest, self._clock(), writing.epoch, agreed(entries, latest.challenger.fingerprint))
            if after.version == latest.version:
                return latest
            after = writing.write(after, CONTROLLER, action, dict(body or {}))
            if incident is not None:
                writing.decision.open(incident)
            writing.decision.keep(failures)
            for errand in errands(after):
                writing.decision.give(errand)
            return after

    def _by_hand(
        self,
        environment: str,
        service: str,
        actor: str,
        action: str,
        why: str,
        change: Callable[[Rollout, float, int, tuple[Agreed, ...]], Rollout],
        declared: Arm | None = None,
    ) -> Rollout:
        with self._deciding(environment, service) as writing:
            rollout = writing.rollout
            if rollout is None or not rollout.change:
                raise Refused(f"no change was ever rolled out for {service} in {environment}")
            entries = writing.decision.entries(_subject(environment, service), _DECIDED)
            after = change(rollout, self._clock(), writing.epoch, agreed(entries, rollout.challenger.fingerprint))
            if after.version == rollout.version:
                return rollout
            after = writing.write(after, actor, action, {"why": why})
            if declared is not None:
                writing.have_git_follow(after, declared)
            return after

    def _say(
        self,
        action: str,
        environment: str,
        service: str,
        variant: Arm,
        actor: str,
        change: str,
        why: str,
        scorecard: str,
        declared: Arm | None = None,
    ) -> tuple[Agreed, ...]:
        if not actor.strip():
            raise Refused("nobody can't approve: say who with --as NAME, or set git's user.email")
        with self._deciding(environment, service) as writing:
            subject = _subject(environment, service)
            body = {"fingerprint": variant.fingerprint, "variant": variant.variant, "change": change, "why": why}
            if scorecard:
                body["scorecard"] = scorecard
            writing.decision.record(time=self._clock(), actor=actor, action=action, subject=subject, body=body)
            rollout = writing.rollout
            ends = rollout is not None and rollout.active and rollout.challenger.fingerprint == variant.fingerprint
            if rollout is not None and action == REJECT and ends:
                reason = _why("rejected", actor, why)
                after = states.ended(rollout, "aborted", self._clock(), writing.epoch, reason)
                after = writing.write(after, actor, "abort", {"why": why})
                if declared is not None:
                    writing.have_git_follow(after, declared)
            return agreed(writing.decision.entries(subject, _DECIDED), variant.fingerprint)

    @contextmanager
    def _deciding(self, environment: str, service: str) -> Generator[_Writing, None, None]:
        with self._store.deliveries.deciding(environment, service) as decision:
            yield _Writing(decision, self._clock)


class _Writing:
    """One transaction's view of a service's rollout."""

    def __init__(self, decision: Decision, clock: Callable[[], float]) -> None:
        self.decision = decision
        self.epoch = decision.next_epoch()
        self._clock = clock
        row = decision.latest()
        self.rollout = None if row is None else read(row)

    def write(self, after: Rollout, actor: str, action: str, body: dict[str, Any] | None = None) -> Rollout:
        """Keep a state, tell gateways if they must serve otherwise, and write both down in the audit trail."""
        before = self.rollout
        same = before is not None and before.id == after.id
        if not after.active and (
            before is None or before.active or before.champion != after.champion or before.alarmed != after.alarmed
        ):
            # From here on, the champion is watched.
            after = msgspec.structs.replace(after, watched_from=self.decision.positions())
        if after.epoch == self.epoch:  # What is served changes, or a step begins.
            self._guard(after)
            self.decision.publish(_release(after, self._clock()))
        entry = self.decision.record(
            time=self._clock(),
            actor=actor,
            action=action,
            subject=_subject(after.environment, after.service),
            body={
                "rollout": after.id,
                "change": after.change,
                "state": after.shown,
                "step": after.step,
                "weights": after.weights,
                "epoch": after.epoch,
                "reason": after.reason,
                **(body or {}),
            },
        )
        row = RolloutRow(
            id=after.id,
            environment=after.environment,
            service=after.service,
            change=after.change,
            status=after.status,
            version=after.version,
            started=after.started,
            updated=after.updated,
            body=msgspec.json.encode(after).decode(),
            entry=entry,
        )
        self.decision.save(row, replaces=before.version if before is not None and same else None)
        self.rollout = after
        return after

    def have_git_follow(self, after: Rollout, declared: Arm) -> None:
        """A pull request, where git declares what is not served any more."""
        if declared.fingerprint != after.serving.fingerprint:
            self.decision.give(git_errand(after, "revert", after.reason, f"{after.id}.{after.version}.revert"))

    def _guard(self, after: Rollout) -> None:
        """Whatever went wrong before: a challenger that people have yet to agree to is not served."""
        needed = approvals_needed(after)
        named = after.challenger.fingerprint
        if not needed or named == after.champion.fingerprint or named not in {*after.weights, *after.shadow}:
            return
        entries = self.decision.entries(_subject(after.environment, after.service), _DECIDED)
        if len(agreed(entries, named)) < needed:
            raise Refused(f"{after.challenger.variant} ({named}) has fewer than {needed} approvals; it can't be served")


def read(row: RolloutRow) -> Rollout:
    """The state in a row."""
    return msgspec.json.decode(row.body, type=Rollout)


def approvals_needed(rollout: Rollout) -> int:
    """How many people must agree before the challenger serves at all."""
    return next((step.people for step in rollout.steps if isinstance(step, Approval) and step.before), 0)


def git_errand(after: Rollout, verb: str, reason: str, id: str) -> Errand:
    """Have git say what is served: a `revert`, or a `release` that was made by hand."""
    body = {
        "verb": verb,
        "environment": after.environment,
        "service": after.service,
        "change": after.change,
        "variant": after.serving.variant,
        "reason": reason,
        "rollout": after.id,
    }
    return Errand(id=id, kind="git", body=body, created=after.updated, due=after.updated)


def _release(rollout: Rollout, now: float) -> Release:
    return Release(
        environment=rollout.environment,
        service=rollout.service,
        weights=rollout.weights,
        shadow=rollout.shadow,
        fallback=rollout.fallbacks,
        change=rollout.change,
        step=rollout.shown,
        epoch=rollout.epoch,
        created=now,
    )


def _subject(environment: str, service: str) -> str:
    return f"{environment}/{service}"


def _why(word: str, actor: str, why: str) -> str:
    return f"{word} by {actor}" + (f": {why}" if why else "")


def _id(now: float, latest: Rollout | None = None) -> str:
    """UTC time and random letters; sorts after the newest one, also when the clock went backwards."""
    moment = f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%S%f}"
    if latest is not None and moment <= latest.id.partition("-")[0]:
        moment = f"{int(latest.id.partition('-')[0].replace('T', '')) + 1:020d}"
        moment = f"{moment[:8]}T{moment[8:]}"
    return f"{moment}-{secrets.token_hex(3)}"
