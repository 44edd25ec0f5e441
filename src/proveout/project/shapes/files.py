"""The other files of a project: `proveout.yaml`, `changes/*.yaml`, `environments/*.yaml` and `prices.yaml`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from proveout.project.problems import suggestion
from proveout.project.sensitive import looks_like_a_secret
from proveout.project.shapes._base import (
    Amount,
    Count,
    Margin,
    Name,
    Refusal,
    Shape,
    Text,
    checked_by,
    refuse,
    repeated,
    written_as,
)
from proveout.project.shapes.model import FAMILY_OF_PROVIDER, Address, Headers
from proveout.project.shapes.money import Migration
from proveout.project.shapes.rollout import RolloutShape


def _store(value: str) -> str:
    if looks_like_a_secret(value):
        raise refuse(
            "a password must not stand in a file", "Write `store: env:NAME` and put the address into that variable."
        )
    if not value.startswith(("sqlite:///", "postgresql://", "postgresql+", "env:", "file:")):
        raise refuse(
            "this is no address of a store", "Write sqlite:///store.db, postgresql://host/database, or env:NAME."
        )
    return value


class DefaultsShape(Shape):
    """What commands use where a flag is left out."""

    concurrency: Count | None = Field(default=None, description="Calls in flight at once.", examples=[32])
    repeats: Count | None = Field(default=None, description="Calls for every example.", examples=[1])
    limit: Count | None = Field(default=None, description="About how many examples to use.", examples=[500])
    seed: int | None = Field(default=None, ge=0, description="Seed of every random choice.", examples=[0])
    max_cost: Amount | None = Field(
        default=None, description="Most US dollars that one command may spend.", examples=[5.0]
    )
    max_calls: int | None = Field(
        default=None, ge=0, description="Most calls that one command may make.", examples=[10000]
    )


class TelemetryShape(Shape):
    """Where traces and metrics go."""

    endpoint: Address | None = Field(default=None, description="OTLP over HTTP.", examples=["http://127.0.0.1:4318"])
    headers: Headers = Field(
        default_factory=dict,
        description="Headers for it. A secret one is a reference.",
        examples=[{"authorization": "env:OTLP_TOKEN"}],
    )
    message_content: bool = Field(default=False, description="Record what users and models say.", examples=[False])


class ProjectFile(Shape):
    """A team's project."""

    project: Name = Field(description="The project's name.", examples=["support"])
    store: Annotated[Text, AfterValidator(_store)] | None = Field(
        default=None,
        description="Where results are kept: an address, or `env:NAME` of a variable that holds it. "
        "By default SQLite in `.proveout/store.db` beside this file.",
        examples=["env:PROVEOUT_STORE"],
    )
    telemetry: TelemetryShape = Field(
        default_factory=TelemetryShape,
        description="Where traces and metrics go.",
        examples=[{"endpoint": "http://127.0.0.1:4318"}],
    )
    defaults: DefaultsShape = Field(
        default_factory=DefaultsShape,
        description="What commands use where a flag is left out.",
        examples=[{"concurrency": 32, "max_cost": 5.0}],
    )


ObjectiveName = Literal["accuracy", "stability", "latency", "cost", "security"]


class ChangeFile(Shape):
    """A proposal to replace a service's champion."""

    change: Name = Field(description="The change's name, the same as the file's.", examples=["haiku"])
    service: Name = Field(description="The service that it changes.", examples=["triage"])
    challenger: Name = Field(description="The variant that wants to serve.", examples=["haiku"])
    improves: Annotated[list[ObjectiveName], checked_by(repeated)] = Field(
        description="The objectives that get better; all others must hold. Empty for a forced migration.",
        examples=[["cost"]],
    )
    hypothesis: str = Field(
        default="", description="Why it should work, for readers.", examples=["Same answers at a third of the price."]
    )
    fallback: Name | None = Field(
        default=None, description="The variant to return to; by default the champion.", examples=["base"]
    )
    rollout: RolloutShape | None = Field(
        default=None,
        description="Another rollout than the service's.",
        examples=[{"steps": [{"canary": {"weight": "10%", "requests": 500}}]}],
    )
    migration: Migration | None = Field(
        default=None,
        description="What making the change takes, for its payback.",
        examples=[{"hours": 40, "usd_per_hour": 90}],
    )


class ReleaseShape(Shape):
    """What an environment serves for one service."""

    champion: Name = Field(description="The variant that serves.", examples=["base"])
    fallback: Name | None = Field(
        default=None, description="The variant that takes over when the champion fails.", examples=["old"]
    )


_TARGETS = {
    "alerts": ("http://", "https://", "env:", "file:"),
    "apprise": ("",),
    "gateway": ("http://", "https://"),
}
"""Kinds of targets, and how their addresses begin."""


def _unfit_targets(targets: list[dict[str, Any]]) -> Iterator[Refusal]:
    for index, target in enumerate(targets):
        if len(target) != 1:
            yield Refusal("a target has one kind", "Write `- gateway: http://127.0.0.1:8080`.", (index,))
            continue
        ((kind, address),) = target.items()
        if kind not in _TARGETS:
            yield Refusal(f"there is no kind of target `{kind}`", suggestion(kind, _TARGETS), (index, kind))
        elif not isinstance(address, str) or not address.startswith(_TARGETS[kind]):
            begins = " or ".join(f"`{word}`" for word in _TARGETS[kind] if word)
            instead = f"Write an address that begins with {begins}." if begins else "Write apprise's address as text."
            yield Refusal("no address", instead, (index, kind))


class EnvironmentFile(Shape):
    """What one environment is told to serve."""

    environment: Name = Field(description="The environment's name, the same as the file's.", examples=["production"])
    approvals: int = Field(default=0, ge=0, le=20, description="How many people must approve a release.", examples=[1])
    releases: dict[str, ReleaseShape] = Field(
        default_factory=dict,
        description="What it serves, for each service.",
        examples=[{"triage": {"champion": "base"}}],
    )
    targets: Annotated[list[dict[str, Any]], checked_by(_unfit_targets)] = Field(
        default_factory=list,
        description="The systems that must be told of a release.",
        examples=[[{"gateway": "http://127.0.0.1:8080"}]],
    )


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
