"""A rollout's state, frozen, and the only ways in which it changes. No clock, no input or output, no randomness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Status = Literal["running", "paused", "promoted", "rolled_back", "aborted"]
ShownState = Literal["shadow", "canary", "bandit", "paused", "promoted", "rolled_back", "aborted", "none"]


class Approval(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="approval"):
    """People must agree. `before`: at the start, where any earlier approval of this fingerprint counts; else only one
    given since the step began does.
    """

    people: int = 1
    before: bool = False


class Pause(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="pause"):
    """Waits this many seconds; without, until somebody resumes."""

    duration: float | None = None


class Shadow(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="shadow"):
    """The challenger answers copies of requests; nobody sees it. `requests` are pairs of answers."""

    requests: int
    duration: float = 0.0


class Canary(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="canary"):
    """The challenger serves a fixed share. `requests` are the challenger's own."""

    weight: float
    requests: int
    duration: float = 0.0


class Bandit(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="bandit"):
    """Shares follow the results, renewed after every `batch` requests. `requests` are those of both variants.

    `identify` shares traffic evenly, to name a winner soon, instead of serving the better one more.
    """

    floor: float = 0.05
    requests: int
    duration: float = 0.0
    mode: Literal["serve", "identify"] = "serve"
    batch: int = 100


Step = Approval | Pause | Shadow | Canary | Bandit


class Arm(msgspec.Struct, frozen=True):
    """A variant by name and fingerprint."""

    variant: str
    fingerprint: str


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery of a change to one environment.

    `declared` is the fingerprint that the environment's file named when it began: git has been heard up to there.
    `cleared`: everybody who must agree before the challenger serves at all has agreed. `share` is the challenger's
    share of the traffic, `shadowing` whether it answers copies. `first_epoch` and `step_epoch` are the first releases
    of the rollout and of the step: evidence before them is not looked at; the positions are where traces and feedback
    ended then, `watched_from` where they did when the watch over the champion began. `baseline` holds what the new
    champion's signals were like at first, `alarmed` when it last degraded with nobody to take over. `version` grows
    with every change.
    """

    id: str
    environment: str
    service: str
    change: str
    champion: Arm
    challenger: Arm
    declared: str
    steps: tuple[Step, ...] = ()
    step: int = 0
    status: Status = "running"
    cleared: bool = False
    share: float = 0.0
    shadowing: bool = False
    epoch: int = 0
    first_epoch: int = 0
    step_epoch: int = 0
    started: float = 0.0
    step_started: float = 0.0
    updated: float = 0.0
    reason: str = ""
    fallback: tuple[str, ...] = ()
    unit: str = "user"
    trace_position: int = 0
    feedback_position: int = 0
    baseline: dict[str, float] = {}
    alarmed: float = 0.0
    watched_from: tuple[int, int] = (0, 0)
    version: int = 0

    @property
    def active(self) -> bool:
        """Whether it still goes on."""
        return self.status in ("running", "paused")

    @property
    def current(self) -> Step | None:
        """The step that it is at; None past the last one."""
        return self.steps[self.step] if self.active and self.step < len(self.steps) else None

    @property
    def serving(self) -> Arm:
        """Who serves whatever the challenger does not."""
        return self.challenger if self.status == "promoted" else self.champion

    @property
    def shown(self) -> ShownState:
        """The state in the words of `proveout.rollout/v1`."""
        if not self.change:
            return "none"
        if self.status != "running":
            return self.status
        step = self.current
        if isinstance(step, Shadow):
            return "shadow"
        if isinstance(step, Bandit):
            return "bandit"
        return "canary" if isinstance(step, Canary) else "paused"

    @property
    def weights(self) -> dict[str, float]:
        """Shares of the traffic by fingerprint, adding up to one."""
        if self.status == "promoted":
            return {self.challenger.fingerprint: 1.0}
        if not self.active or not self.share:
            return {self.champion.fingerprint: 1.0}
        return {self.champion.fingerprint: 1 - self.share, self.challenger.fingerprint: self.share}

    @property
    def shadow(self) -> dict[str, float]:
        """Shares of requests that are copied, by fingerprint."""
        return {self.challenger.fingerprint: 1.0} if self.active and self.shadowing else {}

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """Who answers when the chosen one can't, in order: the champion for its challenger, and the old champion, kept
        warm, for the new one.
        """
        weights = self.weights
        alone = next(iter(weights)) if len(weights) == 1 else None
        known = dict.fromkeys((self.champion.fingerprint, *self.fallback))
        return tuple(fingerprint for fingerprint in known if fingerprint != alone)


class Hold(msgspec.Struct, frozen=True):
    """Nothing changes; `reason` says what is waited for."""

    reason: str


class Reweigh(msgspec.Struct, frozen=True):
    """The same step with other shares."""

    share: float
    reason: str


class Advance(msgspec.Struct, frozen=True):
    """On to the next step, or to promotion after the last one."""

    reason: str


class Stop(msgspec.Struct, frozen=True):
    """The comparison can't be believed: wait for a person, with the shares as they are."""

    reason: str


class RollBack(msgspec.Struct, frozen=True):
    """Back to the champion at once. `signals` are the ones that were worse."""

    reason: str
    signals: tuple[str, ...] = ()


Action = Hold | Reweigh | Advance | Stop | RollBack


class Refused(Exception):
    """Something is asked of a rollout that its state does not allow; the message says why, and what to do."""


def steps_of(rollout: Mapping[str, Any], approvals: int) -> tuple[Step, ...]:
    """A declared rollout's steps, after the approval that the environment asks for."""
    first = (Approval(people=approvals, before=True),) if approvals else ()
    declared = [dict(step) for step in rollout.get("steps", ())]
    return (*first, *(msgspec.convert(step, Step) for step in declared))


def begun(rollout: Rollout, now: float, epoch: int) -> Rollout:
    """A new rollout at its first step, whose release is `epoch`."""
    cleared = not any(_clears(step) for step in rollout.steps)
    new = msgspec.structs.replace(rollout, started=now, first_epoch=epoch, cleared=cleared)
    return _at(new, 0, now, epoch, rollout.reason)


def changed(rollout: Rollout, action: Action, now: float, epoch: int) -> Rollout:
    """The state after an action, whose release (if it needs one) is `epoch`. A finished rollout never changes."""
    if not rollout.active or isinstance(action, Hold):
        return rollout
    if isinstance(action, Advance):
        if rollout.status == "paused":
            return rollout
        cleared = rollout.cleared or _clears(rollout.current)
        return _at(msgspec.structs.replace(rollout, cleared=cleared), rollout.step + 1, now, epoch, action.reason)
    if isinstance(action, Reweigh):
        if not rollout.cleared or not isinstance(rollout.current, Bandit):
            return rollout
        return _new(rollout, now, action.reason, share=action.share, epoch=epoch)
    if isinstance(action, Stop):
        return _new(rollout, now, action.reason, status="paused")
    return ended(rollout, "rolled_back", now, epoch, action.reason)


def ended(rollout: Rollout, status: Literal["rolled_back", "aborted"], now: float, epoch: int, reason: str) -> Rollout:
    """The champion serves alone again: legal from every state that goes on.

    Raises:
        Refused: it is over.
    """
    _must_be_active(rollout)
    return _new(rollout, now, reason, status=status, share=0.0, shadowing=False, epoch=epoch)


def paused(rollout: Rollout, now: float, reason: str) -> Rollout:
    """Nothing advances until it is resumed; shares stay, and so does the watch over them."""
    _must_be_active(rollout)
    return rollout if rollout.status == "paused" else _new(rollout, now, reason, status="paused")


def resumed(rollout: Rollout, now: float, epoch: int) -> Rollout:
    """Goes on; at a `pause` step without an end, with the next step."""
    _must_be_active(rollout)
    rollout = _new(rollout, now, "resumed", status="running")
    step = rollout.current
    return _at(rollout, rollout.step + 1, now, epoch, "resumed") if isinstance(step, Pause) else rollout


def promoted(rollout: Rollout, now: float, epoch: int, reason: str) -> Rollout:
    """The challenger is the champion.

    Raises:
        Refused: it is over, or people have yet to approve.
    """
    _must_be_active(rollout)
    if not rollout.cleared:
        raise Refused(
            f"{rollout.change} is not approved for {rollout.environment}: run `proveout approve {rollout.change} "
            f"--environment {rollout.environment}` first"
        )
    return _new(
        rollout, now, reason, status="promoted", share=0.0, shadowing=False, step=len(rollout.steps), epoch=epoch
    )


def taken_back(
    rollout: Rollout,
    to: Arm,
    now: float,
    epoch: int,
    reason: str,
    status: Literal["rolled_back", "aborted"] = "rolled_back",
) -> Rollout:
    """A champion gives way to `to`: the last good one, or the declared fallback.

    Raises:
        Refused: a rollout goes on; abort that instead.
    """
    if rollout.active:
        raise Refused(f"the rollout of {rollout.change} goes on: abort it")
    return _new(rollout, now, reason, status=status, champion=to, baseline={}, epoch=epoch, share=0.0, shadowing=False)


def alarmed(rollout: Rollout, now: float, reason: str) -> Rollout:
    """A champion degraded, and nobody can take over."""
    return _new(rollout, now, reason, alarmed=now, baseline={})


def adopted(rollout: Rollout, now: float, epoch: int) -> Rollout:
    """What an environment served before Proveout delivered anything to it."""
    return _new(
        rollout,
        now,
        "served as the environment's file says",
        status="promoted",
        cleared=True,
        epoch=epoch,
        started=now,
        first_epoch=epoch,
        step_epoch=epoch,
    )


def _must_be_active(rollout: Rollout) -> None:
    if not rollout.active:
        word = rollout.status.replace("_", " ")
        raise Refused(f"the rollout of {rollout.change or rollout.service} is over ({word}); start another one")


def _clears(step: Step | None) -> bool:
    return isinstance(step, Approval) and step.before


def _at(rollout: Rollout, place: int, now: float, epoch: int, reason: str) -> Rollout:
    """The rollout at the start of a step."""
    steps = rollout.steps
    if place >= len(steps):
        return promoted(rollout, now, epoch, reason or "every step passed")
    step = steps[place]
    share, shadowing = rollout.share, False
    if isinstance(step, Canary):
        share = step.weight
    elif isinstance(step, Bandit):
        share = 0.5 if step.mode == "identify" else min(max(share, step.floor), 1 - step.floor)
    elif isinstance(step, Shadow):
        shadowing = True
    if not rollout.cleared and not _clears(step):
        raise Refused("a step that serves can't come before approval")
    return _new(
        rollout,
        now,
        reason,
        step=place,
        share=share,
        shadowing=shadowing,
        epoch=epoch,
        step_epoch=epoch,
        step_started=now,
    )


def _new(rollout: Rollout, now: float, reason: str, **fields: Any) -> Rollout:
    return msgspec.structs.replace(rollout, updated=now, reason=reason, version=rollout.version + 1, **fields)
