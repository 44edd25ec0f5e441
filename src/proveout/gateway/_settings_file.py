"""The shape of `gateway.yaml`, and its way into records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from proveout.gateway.settings import (
    AdminSettings,
    CacheSettings,
    Content,
    GatewaySettings,
    KeySettings,
    Quota,
    RedisSettings,
    ServiceSettings,
    ShadowBudget,
)
from proveout.project.problems import Problem, ProjectError, suggestion
from proveout.project.reading import Reader
from proveout.project.records import Project, Secret
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
    """What traces keep of what users and models say."""

    capture: Literal["off", "sampled", "all"] = Field(default="off", description="off, sampled or all.")
    share: Weight = Field(default=0.01, description="Which share of requests, where sampled.", examples=["1%"])


class CacheShape(Shape):
    """Answers kept by the exact request."""

    ttl: Duration = Field(description="How long an answer is given again.", examples=["10m"])
    entries: Count = Field(default=10_000, description="How many answers are kept.", examples=[10000])


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
    ] = Field(description="Its address, as a secret reference where it holds a password.", examples=["env:REDIS_URL"])
    patience: Duration = Field(
        default=0.25,
        gt=0,
        description="How long its answer is waited for before a gateway decides alone.",
        examples=["250ms"],
    )


class AdminShape(Shape):
    """Endpoints for operators, on a port of their own."""

    token: SecretReference = Field(
        description="What operators send as a bearer token.", examples=["env:PROVEOUT_ADMIN_TOKEN"]
    )
    port: int = Field(ge=1, le=65535, description="The port.", examples=[9090])
    host: Text = Field(default="127.0.0.1", description="The address to listen on.", examples=["0.0.0.0"])  # noqa: S104


class ShadowShape(Shape):
    """What copies beside the answers may use."""

    concurrency: Count = Field(default=16, description="Copies in flight at once.", examples=[16])
    requests_per_minute: Rate | None = Field(default=None, description="Copies a minute.", examples=[60.0])
    usd_per_day: Amount | None = Field(default=None, description="US dollars a day.", examples=[5.0])


class KeyShape(Shape):
    """One client key; `proveout gateway --new-key NAME` prints one with its hash."""

    hash: Hash = Field(description="The key's SHA-256, as `sha256:` and 64 hexadecimal digits.")
    services: list[Name] = Field(default_factory=list, description="Services that it may ask; none: all.")
    requests_per_minute: Rate | None = Field(default=None, description="Requests a minute.", examples=[600.0])
    usd_per_day: Amount | None = Field(default=None, description="US dollars a day.", examples=[20.0])


class ServiceShape(Shape):
    """One service at the gateway."""

    max_concurrency: Count | None = Field(default=None, description="Requests in flight at once.", examples=[64])
    requests_per_minute: Rate | None = Field(default=None, description="Requests a minute.", examples=[6000.0])
    usd_per_day: Amount | None = Field(default=None, description="US dollars a day.", examples=[100.0])
    cache: CacheShape | None = Field(default=None, description="Give the same answer to the same request again.")
    content: ContentShape | None = Field(default=None, description="What traces keep of messages and answers.")
    retries: int = Field(default=1, ge=0, le=5, description="Further tries at a variant before the fallback.")
    endpoints: dict[Name, list[Address]] = Field(
        default_factory=dict, description="Further addresses of a variant, which share its load."
    )
    shadow: ShadowShape = Field(default_factory=ShadowShape, description="What shadow copies may use.")


class GatewayFile(Shape):
    """The gateway of a project."""

    anonymous: bool = Field(default=False, description="Answer without keys beyond this machine.")
    keys: dict[Name, KeyShape] = Field(default_factory=dict, description="Client keys by name.")
    max_concurrency: Count = Field(default=1024, description="Requests in flight in one process.")
    spool_megabytes: Count = Field(default=256, description="Most megabytes of traces kept while the store is away.")
    content: ContentShape | None = Field(default=None, description="What traces keep of messages and answers.")
    redis: RedisShape | None = Field(default=None, description="Share limits and cache with other gateways.")
    admin: AdminShape | None = Field(default=None, description="Listen to operators; without it, nobody is.")
    services: dict[Name, ServiceShape] = Field(default_factory=dict, description="Services by name.")


def read(project: Project, path: Path, content: Content) -> GatewaySettings:
    """The settings in a file.

    Raises:
        ProjectError: it has problems.
    """
    reader = Reader(project.root)
    found = reader.document(path, GatewayFile)
    if found is None or reader.problems:
        raise ProjectError(reader.problems)
    document, shape = found
    for name, service in shape.services.items():
        known = project.services.get(name)
        if known is None:
            what = f"there is no service `{name}`"
            reader.problems.append(
                document.problem(("services", name), what, suggestion(name, project.services), key=True)
            )
            continue
        reader.problems += [
            document.problem(
                ("services", name, "endpoints", variant),
                f"{name} has no variant `{variant}`",
                suggestion(variant, known.variants),
                key=True,
            )
            for variant in service.endpoints
            if variant not in known.variants
        ]
    for name, key in shape.keys.items():
        reader.problems += _unknown_services(project, document, name, key)
    if reader.problems:
        raise ProjectError(reader.problems)
    own = _content(shape.content, content)
    return GatewaySettings(
        anonymous=shape.anonymous,
        keys=tuple(
            KeySettings(name, key.hash.removeprefix("sha256:"), tuple(key.services), _quota(key))
            for name, key in shape.keys.items()
        ),
        max_concurrency=shape.max_concurrency,
        spool_bytes=shape.spool_megabytes * 2**20,
        services={name: _service(service, own) for name, service in shape.services.items()},
        content=own,
        redis=None if shape.redis is None else _redis(shape.redis),
        admin=None
        if shape.admin is None
        else AdminSettings(Secret(shape.admin.token), shape.admin.port, shape.admin.host),
    )


def _unknown_services(project: Project, document: object, name: str, key: KeyShape) -> list[Problem]:
    from proveout.project.documents import Document

    assert isinstance(document, Document)
    return [
        document.problem(
            ("keys", name, "services", index), f"there is no service `{wanted}`", suggestion(wanted, project.services)
        )
        for index, wanted in enumerate(key.services)
        if wanted not in project.services
    ]


def _service(shape: ServiceShape, content: Content) -> ServiceSettings:
    return ServiceSettings(
        max_concurrency=shape.max_concurrency,
        quota=_quota(shape),
        cache=None if shape.cache is None else CacheSettings(shape.cache.ttl, shape.cache.entries),
        content=_content(shape.content, content),
        retries=shape.retries,
        endpoints={name: tuple(addresses) for name, addresses in shape.endpoints.items()},
        shadow=ShadowBudget(shape.shadow.concurrency, shape.shadow.requests_per_minute, shape.shadow.usd_per_day),
    )


def _redis(shape: RedisShape) -> RedisSettings:
    url = shape.url
    return RedisSettings(Secret(url) if url.startswith(("env:", "file:")) else url, shape.patience)


def _content(shape: ContentShape | None, otherwise: Content) -> Content:
    return otherwise if shape is None else Content(shape.capture, shape.share)


def _quota(shape: KeyShape | ServiceShape) -> Quota:
    return Quota(shape.requests_per_minute, shape.usd_per_day)
