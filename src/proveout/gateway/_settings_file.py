"""From `gateway.yaml` to settings."""

from __future__ import annotations

from pathlib import Path

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
from proveout.project.shapes.gateway import ContentShape, GatewayFile, KeyShape, RedisShape, ServiceShape


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
    url = Secret(shape.url) if shape.url.startswith(("env:", "file:")) else shape.url
    return RedisSettings(url, shape.patience, None if shape.ca is None else Secret(shape.ca))


def _content(shape: ContentShape | None, otherwise: Content) -> Content:
    return otherwise if shape is None else Content(shape.capture, shape.share)


def _quota(shape: KeyShape | ServiceShape) -> Quota:
    return Quota(shape.requests_per_minute, shape.usd_per_day)
