"""Approval: people must agree, each of them once, to exactly this fingerprint."""

from __future__ import annotations

from proveout.delivery.evidence import Evidence
from proveout.delivery.state import Action, Advance, Approval, Hold, Rollout


def decide(state: Rollout, evidence: Evidence, /) -> Action:
    step = state.current
    assert isinstance(step, Approval)
    since = 0.0 if step.before else state.step_started
    people = sorted({agreed.who for agreed in evidence.approvals if agreed.time >= since})
    missing = step.people - len(people)
    if missing <= 0:
        return Advance(f"approved by {', '.join(people)}")
    noun = "approval" if missing == 1 else "approvals"
    return Hold(
        f"waits for {missing} {noun} of {state.challenger.variant} ({state.challenger.fingerprint}): "
        f"proveout approve {state.change} --environment {state.environment}"
    )
