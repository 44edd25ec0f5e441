"""Canary: a fixed share of the units, until there is enough evidence."""

from __future__ import annotations

from proveout.delivery.evidence import Evidence
from proveout.delivery.state import Action, Canary, Rollout
from proveout.delivery.strategies._base import advance_when


def decide(state: Rollout, evidence: Evidence, /) -> Action:
    step = state.current
    assert isinstance(step, Canary)
    served = evidence.step_requests[1]
    return advance_when(state, evidence, requests=step.requests, seen=served, duration=step.duration)
