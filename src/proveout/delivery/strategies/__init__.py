"""How each kind of step decides. One file per kind; `strategy_of(step)` finds it."""

from __future__ import annotations

from typing import Any, cast

from proveout.delivery.state import Approval, Bandit, Canary, Pause, Shadow, Step
from proveout.delivery.strategies import approval, bandit, canary, pause, shadow
from proveout.delivery.strategies._base import Strategy

__all__ = ["Strategy", "strategy_of"]

_STRATEGIES: dict[type[Any], Strategy] = {
    Approval: approval.decide,
    Bandit: bandit.decide,
    Canary: canary.decide,
    Pause: pause.decide,
    Shadow: shadow.decide,
}


def strategy_of(step: Step) -> Strategy:
    """The strategy of a step's kind."""
    return _STRATEGIES[cast("type[Any]", type(step))]
