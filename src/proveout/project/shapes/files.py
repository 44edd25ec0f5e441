"""`proveout.yaml` and `changes/*.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from proveout.project.sensitive import looks_like_a_secret
from proveout.project.shapes._base import (
    Amount,
    Count,
    Name,
    Shape,
    Text,
    checked_by,
    refuse,
    repeated,
)
from proveout.project.shapes.model import Address, Headers
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
