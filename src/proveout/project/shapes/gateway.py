"""The shape of gateway.yaml."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from proveout.project.shapes._base import (
    Amount,
    Count,
    Duration,
    Name,
    SecretReference,
    Shape,
    Text,
    Weight,
    refuse,
    written_as,
)
from proveout.project.shapes.model import Address

Rate = Annotated[float, Field(gt=0)]
Hash = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class ContentShape(Shape):
    """What traces keep of what users and models say, without what looks like a secret."""

    capture: Literal["off", "sampled", "all"] = Field(
        default="off", description="Nothing, a share of requests, or all of them.", examples=["sampled"]
    )
    share: Weight = Field(default=0.01, description="Which share of requests, where sampled.", examples=["1%"])


class CacheShape(Shape):
    """Answers that are given again to the same request for the same variant."""

    ttl: Duration = Field(description="How long an answer is given again.", examples=["10m"])
    entries: Count = Field(default=10_000, description="How many answers a process keeps.", examples=[10000])


def _redis_address(value: str) -> str:
    if value.startswith(("env:", "file:")):
        return value
    parts = urlsplit(value)
    if parts.scheme not in ("redis", "rediss", "unix") or parts.password is not None or parts.query:
        raise refuse(
            "this is no address of a Redis server, or holds a password",
            "Write env:REDIS_URL, or an address without a password, such as redis://127.0.0.1:6379/0.",
        )
    return value


class RedisShape(Shape):
    """Redis, through which several gateways share limits, budgets and cached answers."""

    url: Annotated[
        str, AfterValidator(_redis_address), written_as("address or secret reference", {"type": "string"})
    ] = Field(
        description="Its address: `redis://`, `rediss://` (TLS) or `unix://`; as a secret reference where it holds a "
        "user and a password.",
        examples=["env:REDIS_URL"],
    )
    ca: SecretReference | None = Field(
        default=None,
        description="With TLS: the PEM certificates of the authority that signed Redis's own, if it is none that this "
        "machine trusts already.",
        examples=["file:/etc/redis/ca.pem"],
    )
    patience: Annotated[Duration, Field(gt=0)] = Field(
        default=0.25,
        description="How long its answer is waited for before a gateway decides alone; 250ms unless set.",
        examples=["250ms"],
    )


class AdminShape(Shape):
    """Endpoints for operators, on a port of their own."""

    token: SecretReference = Field(
        description="What operators send as a bearer token: 16 characters at least.",
        examples=["env:PROVEOUT_ADMIN_TOKEN"],
    )
    port: Annotated[int, Field(ge=1, le=65535)] = Field(description="The port.", examples=[9090])
    host: Text = Field(default="127.0.0.1", description="The address to listen on.", examples=["0.0.0.0"])  # noqa: S104


class ShadowBudgetShape(Shape):
    """What copies to shadow variants may use, in each process."""

    concurrency: Count = Field(default=16, description="Copies in flight at once.", examples=[16])
    requests_per_minute: Rate | None = Field(default=None, description="Copies a minute.", examples=[60.0])
    usd_per_day: Amount | None = Field(default=None, description="US dollars a day.", examples=[5.0])


class KeyShape(Shape):
    """One client key; `proveout gateway --new-key NAME` prints one with its hash."""

    hash: Hash = Field(
        description="The key's SHA-256, as `sha256:` and 64 hexadecimal digits.", examples=[f"sha256:{'0' * 64}"]
    )
    services: list[Name] = Field(
        default_factory=list, description="Services that it may ask; without any, all.", examples=[["triage"]]
    )
    requests_per_minute: Rate | None = Field(default=None, description="Requests a minute.", examples=[600.0])
    usd_per_day: Amount | None = Field(default=None, description="US dollars a day.", examples=[20.0])


class ServiceShape(Shape):
    """How the gateway serves one service."""

    max_concurrency: Count | None = Field(
        default=None, description="Requests in flight at once, in each process.", examples=[64]
    )
    requests_per_minute: Rate | None = Field(default=None, description="Requests a minute.", examples=[6000.0])
    usd_per_day: Amount | None = Field(default=None, description="US dollars a day.", examples=[100.0])
    cache: CacheShape | None = Field(
        default=None, description="Give the same answer to the same request again.", examples=[{"ttl": "10m"}]
    )
    content: ContentShape | None = Field(
        default=None,
        description="What traces keep of messages and answers, other than `content` of the file says.",
        examples=[{"capture": "all"}],
    )
    retries: Annotated[int, Field(ge=0, le=5)] = Field(
        default=1, description="Further tries at a variant before the fallback.", examples=[1]
    )
    endpoints: dict[Name, list[Address]] = Field(
        default_factory=dict,
        description="Further addresses of a variant, which share its load.",
        examples=[{"base": ["http://10.0.0.2:8000/v1"]}],
    )
    shadow: ShadowBudgetShape = Field(
        default_factory=ShadowBudgetShape,
        description="What copies to shadow variants may use.",
        examples=[{"concurrency": 16, "usd_per_day": 5.0}],
    )


class GatewayFile(Shape):
    """How a project's gateway behaves. The file may be left out, and so may all that is in it."""

    anonymous: bool = Field(
        default=False, description="Answer beyond this machine without keys being declared.", examples=[True]
    )
    keys: dict[Name, KeyShape] = Field(
        default_factory=dict,
        description="Client keys by name. Without any, everybody on this machine may ask.",
        examples=[{"web": {"hash": f"sha256:{'0' * 64}", "services": ["triage"]}}],
    )
    max_concurrency: Count = Field(default=1024, description="Requests in flight in one process.", examples=[1024])
    spool_megabytes: Count = Field(
        default=256, description="Most megabytes of traces on disk while the store is away.", examples=[256]
    )
    content: ContentShape | None = Field(
        default=None,
        description="What traces keep of messages and answers; nothing, unless `message_content` of proveout.yaml says "
        "so.",
        examples=[{"capture": "sampled", "share": "1%"}],
    )
    redis: RedisShape | None = Field(
        default=None,
        description="Share limits, budgets and cached answers with other gateways.",
        examples=[{"url": "env:REDIS_URL"}],
    )
    admin: AdminShape | None = Field(
        default=None,
        description="Listen to operators; without it, nobody is listened to.",
        examples=[{"token": "env:PROVEOUT_ADMIN_TOKEN", "port": 9090}],
    )
    services: dict[Name, ServiceShape] = Field(
        default_factory=dict, description="Services by name.", examples=[{"triage": {"max_concurrency": 64}}]
    )
