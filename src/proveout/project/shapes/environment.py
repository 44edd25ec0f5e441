"""`environments/*.yaml`: what an environment is told to serve."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from proveout.project.problems import suggestion
from proveout.project.shapes._base import (
    Name,
    Refusal,
    Shape,
    checked_by,
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
