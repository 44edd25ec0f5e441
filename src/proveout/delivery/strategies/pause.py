"""Pause: a while, or until somebody resumes."""

from __future__ import annotations

from proveout.delivery.evidence import Evidence
from proveout.delivery.state import Action, Advance, Hold, Pause, Rollout


def decide(state: Rollout, evidence: Evidence, /) -> Action:
    step = state.current
    assert isinstance(step, Pause)
    if step.duration is None:
        return Hold(f"paused: proveout rollout resume {state.service}")
    left = state.step_started + step.duration - evidence.now
    return Advance("the pause is over") if left <= 0 else Hold(f"paused for another {left:,.0f} s")
