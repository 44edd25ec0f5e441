"""The decision: a rollout's state and the evidence in, one action out. Pure."""

from __future__ import annotations

from proveout.delivery.evidence import MISMATCH_ALPHA, Evidence
from proveout.delivery.signals import Reading
from proveout.delivery.state import Action, Hold, RollBack, Rollout, Stop
from proveout.delivery.strategies import strategy_of


def decide(state: Rollout, evidence: Evidence) -> Action:
    """What to do now. What threatens users comes first, also while a rollout is paused: an outage, then a signal that
    is worse; then a split of the traffic that is not as intended, after which no comparison is believed; then the step.
    """
    if not state.active:
        return Hold(state.reason)
    if evidence.killed is not None:
        return RollBack(f"kill switch: {evidence.killed} of {state.challenger.variant}", ("errors",))
    worse = [reading for reading in evidence.signals if reading.verdict == "worse" and reading.decides]
    if worse:
        return RollBack(
            "; ".join(_worse_in_words(reading) for reading in worse), tuple(reading.signal for reading in worse)
        )
    if state.status == "paused":
        return Hold(state.reason)
    if evidence.mismatch >= 1 / MISMATCH_ALPHA:
        champion, challenger = evidence.requests
        return Stop(
            f"the traffic is not split as intended ({champion:,} and {challenger:,} requests, e-value "
            f"{evidence.mismatch:.3g}), so no comparison can be believed; find out why, then abort or promote"
        )
    step = state.current
    return Hold(state.reason) if step is None else strategy_of(step)(state, evidence)


def _worse_in_words(reading: Reading) -> str:
    bounds = (
        ""
        if reading.low is None or reading.high is None
        else f" (difference {reading.low:+.3f} to {reading.high:+.3f})"
    )
    return (
        f"{reading.signal} is worse: {_number(reading.champion)} to {_number(reading.challenger)}{bounds} after "
        f"{reading.n_challenger:,} requests of the challenger"
    )


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"
