"""Shadow: both answer the same request, and only the champion's answer is used."""

from __future__ import annotations

import msgspec

from proveout.delivery.evidence import Evidence
from proveout.delivery.online import HOW_TO_KEEP
from proveout.delivery.signals import is_score
from proveout.delivery.state import Action, Rollout, Shadow
from proveout.delivery.strategies._base import advance_when


def decide(state: Rollout, evidence: Evidence, /) -> Action:
    step = state.current
    assert isinstance(step, Shadow)
    pairs = min(evidence.step_requests)
    action = advance_when(state, evidence, requests=step.requests, seen=pairs, duration=step.duration)
    if any(is_score(reading.signal) for reading in evidence.signals):
        return action
    return msgspec.structs.replace(action, reason=f"{action.reason}; what answers say was not compared: {HOW_TO_KEEP}")
