"""Simulated traffic through the real evidence and the real decisions, in simulated time: for tests and benchmarks of
rollouts.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from proveout.delivery.decide import decide
from proveout.delivery.evidence import Agreed, Evidence, Gathering
from proveout.delivery.signals import Signal, Watch
from proveout.delivery.state import Action, Arm, Hold, Rollout, Step, begun, changed
from proveout.storage.records import Feedback, Trace

CHAMPION, CHALLENGER = Arm("base", "c0ffee"), Arm("haiku", "f00d")
START = 1_000_000.0

WATCH = Watch(
    {
        name: Signal(name=name, share=0.03)
        for name in ("errors", "timeouts", "invalid", "refusals", "empty", "guard_hits")
    }
    | {name: Signal(name=name, kind="rank", margin=0.1, share=0.03) for name in ("latency", "cost")},
    {},
    0.02,
)


def new_rollout(*steps: Step, **fields: Any) -> Rollout:
    """A rollout at its first step, under epoch 1."""
    rollout = Rollout(
        id="r1",
        environment="production",
        service="triage",
        change="haiku",
        champion=CHAMPION,
        challenger=CHALLENGER,
        declared=CHALLENGER.fingerprint,
        steps=steps,
        epoch=1,
        **fields,
    )
    return begun(rollout, START, 1)


Answer = Callable[[int, bool, random.Random], dict[str, Any]]
"""By number of the request and whether the challenger answers: fields of the trace; `ok` is feedback's value."""


def rates(champion: float, challenger: float, **fields: Any) -> Answer:
    """Users say that an answer is bad with these probabilities."""

    def answer(number: int, is_challenger: bool, random_: random.Random) -> dict[str, Any]:
        bad = random_.random() < (challenger if is_challenger else champion)
        return {"ok": not bad, **fields}

    return answer


@dataclass
class World:
    """Requests one by one to whomever the rollout's weights say, and a decision after every so many."""

    rollout: Rollout
    answer: Answer
    seed: int = 0
    every: int = 10
    seconds_each: float = 1.0
    unit_of: Callable[[int, random.Random], str | None] = lambda number, random_: None
    share_served: float | None = None
    """The challenger's real share, where a fault makes it differ from the intended one."""
    delay: int = 0
    """Feedback comes so many requests later."""
    watch: Watch = WATCH
    gathering: Gathering = field(init=False)
    number: int = 0
    exposed: int = 0
    evidence: Evidence | None = None
    approvals: tuple[Agreed, ...] = ()

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.gathering = Gathering(self.rollout, self.watch)
        self._late: list[tuple[int, Feedback]] = []
        self._units: dict[str, float] = {}

    @property
    def now(self) -> float:
        return START + self.number * self.seconds_each

    def request(self) -> None:
        self.number += 1
        weights = self.rollout.weights
        share = weights.get(CHALLENGER.fingerprint, 0.0)
        real = share if self.share_served is None or not 0 < share < 1 else self.share_served
        unit = self.unit_of(self.number, self.random)
        draw = self.random.random() if unit is None else self._units.setdefault(unit, self.random.random())
        challenger = draw < real
        self.serve(challenger, share if challenger else 1 - share, unit, None)
        if self.rollout.shadow:
            self.serve(True, 1.0, unit, f"t{self.number}")
        while self._late and self._late[0][0] <= self.number:
            self.gathering.observe_feedback(self._late.pop(0)[1])

    def serve(
        self, challenger: bool, propensity: float | None = None, unit: str | None = None, shadow_of: str | None = None
    ) -> None:
        """One answer of one variant; drawn by its weight unless said otherwise."""
        if propensity is None:
            propensity = self.rollout.share if challenger else 1 - self.rollout.share
        fields = dict(self.answer(self.number, challenger, self.random))
        ok = fields.pop("ok", None)
        arm = CHALLENGER if challenger else CHAMPION
        id = f"t{self.number}" if shadow_of is None else f"s{self.number}"
        usual = {"status": 200, "e2e": self.random.lognormvariate(-1, 0.6), "cost_usd": 0.001, "output_tokens": 5}
        trace = Trace(
            id=id,
            service="triage",
            environment="production",
            started=self.now,
            epoch=self.rollout.epoch,
            chosen=arm.fingerprint,
            variant=arm.fingerprint,
            propensity=propensity,
            unit=unit,
            shadow_of=shadow_of,
            **{**usual, **fields},
        )
        self.exposed += challenger and shadow_of is None
        self.gathering.observe(trace)
        if ok is not None:
            feedback = Feedback(id=f"f{id}", trace=id, name="ok", value=ok, score=float(ok))
            self._late.append((self.number + self.delay, feedback))

    def decide(self) -> Action:
        self.evidence = self.gathering.evidence(self.rollout, self.now, self.approvals, intervals=False)
        action = decide(self.rollout, self.evidence)
        if not isinstance(action, Hold):
            self.rollout = changed(self.rollout, action, self.now, self.rollout.epoch + 1)
        return action

    def run(self, requests: int) -> Rollout:
        """Serve until the rollout is over or held by a person, or requests run out."""
        for _ in range(requests):
            self.request()
            if self.number % self.every == 0:
                self.decide()
                if self.rollout.status != "running":
                    break
        return self.rollout
