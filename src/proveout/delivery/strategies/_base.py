"""What strategies share: the protocol, and the conditions that every step with evidence has."""

from __future__ import annotations

from typing import Protocol

from proveout.delivery.evidence import Evidence
from proveout.delivery.online import HOW_TO_KEEP
from proveout.delivery.signals import Reading
from proveout.delivery.state import Action, Advance, Bandit, Canary, Hold, Rollout, Shadow

STALE_S = 900.0
"""Evidence older than this advances nothing."""

_WITH_EVIDENCE = (Shadow, Canary, Bandit)


class Strategy(Protocol):
    """Decides about a rollout that is running at a step of this kind.

    What threatens users (a signal that is worse, an outage, a wrong split) was looked at before: see `decide`.
    """

    def __call__(self, state: Rollout, evidence: Evidence, /) -> Action: ...


def advance_when(state: Rollout, evidence: Evidence, *, requests: int, seen: int, duration: float) -> Action:
    """On to the next step once there are enough fresh requests over enough time and no signal lacks data; out of the
    last step with evidence only once every signal is shown to be no worse than its margin.
    """
    waiting = missing_data(evidence)
    if waiting is not None:
        return Hold(waiting)
    if seen < requests:
        return Hold(f"{seen:,} of {requests:,} requests")
    left = state.step_started + duration - evidence.now
    if left > 0:
        return Hold(f"{seen:,} requests are enough; {left:,.0f} s are left of the step's time")
    if has_evidence_to_come(state):
        return Advance(f"{seen:,} requests, and no signal is worse")
    undecided = [reading for reading in evidence.signals if reading.verdict != "not_worse" and reading.decides]
    if undecided:
        return Hold(f"{seen:,} requests are enough, but {in_words(undecided)}")
    return Advance(f"every signal is no worse than its margin allows, after {seen:,} requests")


def missing_data(evidence: Evidence) -> str | None:
    """Why nothing can be said by now; None where something can."""
    if evidence.newest is None:
        return "the challenger has served no request in this step yet"
    age = evidence.now - evidence.newest
    if age > STALE_S:
        return f"no data: the challenger's newest request is {age:,.0f} s old"
    if evidence.late:
        return f"no data: scores are late or missing for {', '.join(evidence.late)}; {HOW_TO_KEEP}"
    without = [one.signal for one in evidence.signals if one.verdict == "no_data" and one.decides]
    if without:
        return f"no data of both variants for {', '.join(without)}"
    return None if evidence.signals else "no data: no signal was observed"


def has_evidence_to_come(state: Rollout) -> bool:
    """Whether a later step gathers evidence too."""
    return any(isinstance(step, _WITH_EVIDENCE) for step in state.steps[state.step + 1 :])


def in_words(undecided: list[Reading]) -> str:
    """What is undecided, and about how many more requests would decide it."""
    parts = [
        f"{reading.signal} is undecided" + (f" (about {reading.needs:,} more)" if reading.needs else "")
        for reading in undecided
    ]
    return ", ".join(parts)
