"""What is declared about money beside prices: what an answer is worth, what a change takes to make, and the machines
that serve a variant.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from proveout.project.shapes._base import Amount, Count, Name, Refusal, Shape, Weight, checked_by
from proveout.project.shapes.model import Address


class WorthShape(Shape):
    """What answers are worth, so that better ones may cost more. Both are 0 unless set."""

    usd_per_success: Amount = Field(
        default=0.0,
        description="US dollars that one more right answer earns or saves. An answer is right when the accuracy metric "
        "reaches `success_at` of the cost objective.",
        examples=[0.02],
    )
    usd_per_failure: Amount = Field(
        default=0.0,
        description="US dollars that a wrong answer costs: a call to support, a refund, a case to work on by hand.",
        examples=[0.5],
    )


def _worth_nothing(worth: WorthShape) -> Iterator[Refusal]:
    if not worth.usd_per_success and not worth.usd_per_failure:
        yield Refusal(
            "this says nothing about what answers are worth", "Write for example `usd_per_success: 0.02`, or leave it."
        )


Worth = Annotated[WorthShape, checked_by(_worth_nothing)]


class MigrationShape(Shape):
    """What making a change takes, beside the bill of its calls."""

    usd: Amount = Field(default=0.0, description="US dollars, once.", examples=[3600])
    hours: Amount = Field(default=0.0, description="Hours of people's work, once.", examples=[40])
    usd_per_hour: Amount | None = Field(default=None, description="US dollars for one of these hours.", examples=[90])
    usd_per_month: Amount = Field(
        default=0.0, description="US dollars a month that running the challenger takes more.", examples=[200]
    )
    payback_months: Annotated[Amount, Field(gt=0)] = Field(
        default=12.0, description="Months within which the effort must pay, for the economic score.", examples=[12]
    )


def _unpriced_hours(migration: MigrationShape) -> Iterator[Refusal]:
    if migration.hours and migration.usd_per_hour is None:
        yield Refusal("hours without what one costs", "Write `usd_per_hour: 90` beside them.", ("hours",))
    if migration.usd_per_hour is not None and not migration.hours:
        yield Refusal("a price of hours, but no hours", "Write `hours: 40` beside it.", ("usd_per_hour",))


Migration = Annotated[MigrationShape, checked_by(_unpriced_hours)]


class MachineShape(Shape):
    """The machines that one replica of a model of your own runs on."""

    host: Name = Field(description="The machine's name among `hosts` of prices.yaml.", examples=["h100-x1"])
    count: Count = Field(default=1, description="Machines of one replica.", examples=[1])
    goodput: Annotated[Amount, Field(gt=0)] | None = Field(
        default=None,
        description="Requests a second at which one replica keeps all SLOs. By default what "
        "`proveout loadtest SERVICE VARIANT --saturation` last measured.",
        examples=[6.0],
    )
    metrics: Address | None = Field(
        default=None,
        description="The engine's metrics page, in the names of vLLM, SGLang or TGI. By default `/metrics` beside the "
        "API of these providers.",
        examples=["http://10.0.0.7:8000/metrics"],
    )
    headroom: Weight = Field(
        default=0.8, description="The share of the goodput that is planned with.", examples=["80%"]
    )
    spare: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Replicas kept beside those that the peak needs.", examples=[1]
    )
