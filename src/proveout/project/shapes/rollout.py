"""How a change reaches users: the rollout of a service, which a change may override."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from proveout.project.shapes._base import (
    Count,
    Duration,
    Refusal,
    Shape,
    Weight,
    checked_by,
    only_key,
    tag,
    told_apart_by,
)

_REQUESTS = Field(description="Requests to see before the next step.", examples=[500])
_DURATION = Field(default=None, gt=0, description="Shortest time of the step.", examples=["2h"])


class Shadow(Shape):
    """The challenger answers beside the champion; nobody sees its answers."""

    requests: Count = _REQUESTS
    duration: Duration | None = _DURATION


class Canary(Shape):
    """The challenger serves a fixed share."""

    weight: Weight = Field(description="The challenger's share of the traffic.", examples=["5%"])
    requests: Count = _REQUESTS
    duration: Duration | None = _DURATION


class Approval(Shape):
    """A person must agree."""


class Pause(Shape):
    """Nothing moves for a while."""

    duration: Duration | None = Field(
        default=None, gt=0, description="How long; without it, until somebody resumes.", examples=["1h"]
    )


class Bandit(Shape):
    """The shares follow the results."""

    floor: Weight = Field(description="The smallest share that any variant keeps.", examples=["5%"])
    mode: Literal["serve", "identify"] | None = Field(
        default=None,
        description="`serve`, unless set, sends more to what does better; `identify` splits evenly to name a winner "
        "soon.",
        examples=["serve"],
    )
    requests: Count = _REQUESTS
    duration: Duration | None = _DURATION


class ShadowStep(Shape):
    """A shadow step."""

    shadow: Shadow = Field(description="The challenger answers too; nobody sees it.", examples=[{"requests": 500}])


class CanaryStep(Shape):
    """A canary step."""

    canary: Canary = Field(
        description="The challenger serves a fixed share.", examples=[{"weight": "5%", "requests": 500}]
    )


class ApprovalStep(Shape):
    """An approval step."""

    approval: Approval = Field(description="Waits until a person agrees.", examples=[{}])


class PauseStep(Shape):
    """A pause step."""

    pause: Pause = Field(description="Waits a while, or until somebody resumes.", examples=[{"duration": "1h"}])


class BanditStep(Shape):
    """A bandit step."""

    bandit: Bandit = Field(description="Shares follow the results.", examples=[{"floor": "5%", "requests": 10000}])


ROLLOUT_STEPS = ("shadow", "canary", "approval", "pause", "bandit")


def _rollout_step(value: Any) -> str | None:
    key = None if isinstance(value, str) else only_key(value)
    return key if key in ROLLOUT_STEPS else None


RolloutStep = Annotated[
    Annotated[ShadowStep, Tag(tag("shadow"))]
    | Annotated[CanaryStep, Tag(tag("canary"))]
    | Annotated[ApprovalStep, Tag(tag("approval"))]
    | Annotated[PauseStep, Tag(tag("pause"))]
    | Annotated[BanditStep, Tag(tag("bandit"))],
    told_apart_by(
        _rollout_step,
        "expected a rollout step",
        "Write `- canary: {weight: 5%, requests: 500}`.",
        noun="rollout step",
        known=ROLLOUT_STEPS,
    ),
]


def _out_of_order(steps: list[Any]) -> Iterator[Refusal]:
    served = 0.0
    for index, step in enumerate(steps):
        if isinstance(step, CanaryStep):
            if step.canary.weight <= served:
                what = f"a canary at {step.canary.weight:.3g} after one at {served:.3g}"
                yield Refusal(what, "Let the weights rise from step to step.", (index,))
            served = max(served, step.canary.weight)
        elif isinstance(step, ShadowStep) and served:
            yield Refusal("a shadow step after the challenger has served", "Put shadow steps first.", (index,))
        elif isinstance(step, BanditStep) and step.bandit.floor > 0.5:
            yield Refusal("two variants can't both keep more than a half", "Write for example `floor: 5%`.", (index,))


class RolloutShape(Shape):
    """How a change reaches users, step by step."""

    unit: Literal["user", "request"] = Field(
        default="user", description="Who keeps one variant during a step.", examples=["user"]
    )
    steps: Annotated[list[RolloutStep], Field(min_length=1), checked_by(_out_of_order)] = Field(
        description="The steps, in order.",
        examples=[[{"shadow": {"requests": 500}}, {"canary": {"weight": "5%", "requests": 500}}]],
    )
