"""`prices.yaml`: what models and machines cost, from which day on."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field

from proveout.project.problems import suggestion
from proveout.project.shapes._base import (
    Amount,
    Count,
    Margin,
    Name,
    Shape,
    Text,
    refuse,
    written_as,
)
from proveout.project.shapes.model import FAMILY_OF_PROVIDER


def _date(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise refuse("this is no date", "Write the year, month and day: 2026-01-31.") from None


def _provider(value: str) -> str:
    if value not in FAMILY_OF_PROVIDER:
        raise refuse("unknown provider", suggestion(value, FAMILY_OF_PROVIDER))
    return value


Day = Annotated[str, AfterValidator(_date), written_as("date", {"type": "string", "format": "date"})]


class LongContextShape(Shape):
    """What every token of a request with a long input costs."""

    above: Count = Field(description="Input tokens above which these prices hold.", examples=[200000])
    input: Amount = Field(description="US dollars for a million input tokens.", examples=[2.0])
    output: Amount = Field(description="US dollars for a million output tokens.", examples=[7.5])
    cached_input: Amount | None = Field(
        default=None, description="US dollars for a million input tokens read from a cache.", examples=[0.2]
    )
    cache_write: Amount | None = Field(
        default=None, description="US dollars for a million input tokens written to a cache.", examples=[2.5]
    )
    reasoning: Amount | None = Field(
        default=None, description="US dollars for a million reasoning tokens, where not as output.", examples=[7.5]
    )


class PriceShape(Shape):
    """What one model costs from a date on."""

    provider: Annotated[Text, AfterValidator(_provider)] = Field(description="The provider.", examples=["anthropic"])
    model: Text = Field(
        description="The model's name, as in `model.name`; without one, the build of a `tiny` model or the name of a "
        "`replay` recording's file.",
        examples=["claude-haiku-4-5"],
    )
    since: Day = Field(description="First day of this price.", examples=["2026-01-31"])
    input: Amount = Field(description="US dollars for a million input tokens.", examples=[1.0])
    output: Amount = Field(description="US dollars for a million output tokens.", examples=[5.0])
    cached_input: Amount | None = Field(
        default=None, description="US dollars for a million input tokens read from a cache.", examples=[0.1]
    )
    per_request: Amount = Field(default=0.0, description="US dollars for each request.", examples=[0.002])
    cache_write: Amount | None = Field(
        default=None,
        description="US dollars for a million input tokens written to a cache; a quarter more than input unless set.",
        examples=[1.25],
    )
    reasoning: Amount | None = Field(
        default=None, description="US dollars for a million reasoning tokens, where not as output.", examples=[5.0]
    )
    tiers: dict[str, Annotated[Amount, Field(gt=0)]] = Field(
        default_factory=dict,
        description="Factors of the batch interface and of service tiers. A tier that is not here has no known price.",
        examples=[{"batch": 0.5, "flex": 0.5, "priority": 2.0}],
    )
    long_context: LongContextShape | None = Field(
        default=None,
        description="The prices of requests with a long input.",
        examples=[{"above": 200000, "input": 2.0, "output": 7.5}],
    )
    uncertainty: Margin = Field(
        default=0.0,
        description="By how much the price may turn out otherwise, where an offer isn't signed: one standard "
        "deviation, as a share. The month reckons with it.",
        examples=["10%"],
    )


class HostShape(Shape):
    """What one machine that serves a model of your own costs from a date on."""

    name: Name = Field(description="The machine's name.", examples=["h100-x1"])
    since: Day = Field(description="First day of this price.", examples=["2026-01-31"])
    usd_per_hour: Amount = Field(
        description="US dollars for an hour of it: rent, or what its purchase costs an hour.", examples=[2.5]
    )
    kilowatts: Amount = Field(
        default=0.0, description="What it draws under load, where power is paid apart.", examples=[0.9]
    )
    usd_per_kwh: Amount = Field(default=0.0, description="US dollars for a kilowatt hour.", examples=[0.15])
    pue: Annotated[Amount, Field(ge=1)] = Field(
        default=1.0, description="The data centre's power usage effectiveness.", examples=[1.3]
    )
    people_usd_per_month: Amount = Field(
        default=0.0, description="US dollars a month for the people who run it.", examples=[4000]
    )


class PricesFile(Shape):
    """A dated price book. A model without a price costs an unknown amount, never nothing."""

    prices: list[PriceShape] = Field(
        default_factory=list,
        description="The prices of models that are paid by the token.",
        examples=[
            [{"provider": "anthropic", "model": "claude-haiku-4-5", "since": "2026-01-31", "input": 1.0, "output": 5.0}]
        ],
    )
    hosts: list[HostShape] = Field(
        default_factory=list,
        description="The prices of machines that serve models of your own.",
        examples=[[{"name": "h100-x1", "since": "2026-01-31", "usd_per_hour": 2.5}]],
    )
