"""Bandit: discounted Thompson sampling serves, confidence sequences decide.

The posterior only shares traffic out. A winner is declared by the inverse-propensity confidence sequence alone, and
the champion stays an arm with its floor.
"""

from __future__ import annotations

from proveout.delivery.evidence import Evidence
from proveout.delivery.signals import ALPHA
from proveout.delivery.state import Action, Bandit, Hold, Reweigh, RollBack, Rollout
from proveout.delivery.strategies._base import advance_when, missing_data
from proveout.statistics.bandits import bandit_winner, thompson_shares

DISCOUNT = 0.95


def decide(state: Rollout, evidence: Evidence, /) -> Action:
    step = state.current
    assert isinstance(step, Bandit)
    served = sum(evidence.step_requests)
    winner = bandit_winner(evidence.batches, alpha=ALPHA) if evidence.batches else None
    if winner == 0:
        return RollBack(f"the champion is the better one, by inverse-propensity estimates of {served:,} requests")
    won = step.mode == "identify" and winner == 1
    needed = min(served, step.requests) if won else step.requests
    action = advance_when(state, evidence, requests=needed, seen=served, duration=step.duration)
    if not isinstance(action, Hold) or step.mode == "identify" or missing_data(evidence) is not None:
        return action
    if evidence.epoch_rewards < step.batch:
        return action
    _, share = thompson_shares(evidence.batches, 2, floor=step.floor, discount=DISCOUNT)
    share = round(float(share), 4)
    return Reweigh(share, f"{action.reason}; the challenger gets {share:.0%}")
