"""Shadow: both answer the same request, and only the champion's answer is used."""

from __future__ import annotations

from proveout.delivery.evidence import Evidence
from proveout.delivery.state import Action, Rollout, Shadow
from proveout.delivery.strategies._base import advance_when


def decide(state: Rollout, evidence: Evidence, /) -> Action:
    step = state.current
    assert isinstance(step, Shadow)
    pairs = min(evidence.step_requests)
    return advance_when(state, evidence, requests=step.requests, seen=pairs, duration=step.duration)
