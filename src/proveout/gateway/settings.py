"""How a project's gateway behaves: `gateway.yaml` in the project's folder, which may be left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from proveout.project.records import Project, Secret

SETTINGS_FILE = "gateway.yaml"

Capture = Literal["off", "sampled", "all"]


@dataclass(frozen=True, slots=True)
class Quota:
    """What one client key or one service may use. `None` means no limit."""

    requests_per_minute: float | None = None
    usd_per_day: float | None = None


@dataclass(frozen=True, slots=True)
class KeySettings:
    """One client key, known by its hash. An empty `services` means all of them."""

    name: str
    hash: str
    services: tuple[str, ...] = ()
    quota: Quota = Quota()


@dataclass(frozen=True, slots=True)
class Content:
    """Whether traces keep what users and models say: never, for a share of requests, or always; secrets left out."""

    capture: Capture = "off"
    share: float = 0.01


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Answers kept in memory by the exact request."""

    ttl_s: float
    entries: int = 10_000


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where gateways share limits and answers. An answer that takes longer than `patience_s` is not waited for. `ca`
    are the certificates of the authority that vouches for it, where those of this machine don't."""

    url: str | Secret
    patience_s: float = 0.25
    ca: Secret | None = None


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """Where operators are listened to, and the token that they send."""

    token: Secret
    port: int
    host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class ShadowBudget:
    """What copies beside the answers may use, in each process."""

    concurrency: int = 16
    requests_per_minute: float | None = None
    usd_per_day: float | None = None


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """One service at the gateway. `endpoints` are further places of a variant, which share its load."""

    max_concurrency: int | None = None
    quota: Quota = Quota()
    cache: CacheSettings | None = None
    content: Content = Content()
    retries: int = 1
    endpoints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shadow: ShadowBudget = ShadowBudget()


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """All of a gateway's settings. `anonymous` lets a gateway that listens beyond this machine answer without keys."""

    anonymous: bool = False
    keys: tuple[KeySettings, ...] = ()
    max_concurrency: int = 1024
    spool_bytes: int = 256 * 2**20
    services: Mapping[str, ServiceSettings] = field(default_factory=dict)
    content: Content = Content()
    redis: RedisSettings | None = None
    admin: AdminSettings | None = None

    def service(self, name: str) -> ServiceSettings:
        return self.services.get(name) or ServiceSettings(content=self.content)


def read_settings(project: Project) -> GatewaySettings:
    """The settings of a project.

    Raises:
        ProjectError: the file has problems; it names them all.
    """
    path = project.root / SETTINGS_FILE
    if not path.exists():
        return GatewaySettings(content=_default_content(project))
    from proveout.gateway._settings_file import read

    return read(project, path, _default_content(project))


def _default_content(project: Project) -> Content:
    telemetry = project.settings.get("telemetry") or {}
    return Content("all") if telemetry.get("message_content") else Content()
