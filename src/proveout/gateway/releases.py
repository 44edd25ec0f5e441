"""What to serve: the environment's files, and the store's releases over them for as long as they agree.

Pure. A release in the store is delivery's decision (a canary's weights, a rollback); it holds while the environment's
file still names the champion from which it was decided, so that a merge in git always wins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from proveout.project.records import Project, Service
from proveout.storage.records import Release

DEV = "dev"
"""The environment that needs no file: every service's champion, and every variant may be asked for."""


class UnknownEnvironment(LookupError):
    """The project declares no such environment."""


class Effective(NamedTuple):
    """The releases to serve by service, and why some of the store's are not among them."""

    releases: Mapping[str, Release]
    problems: tuple[str, ...]


def declared_releases(project: Project, environment: str) -> dict[str, Release]:
    """What the files say, by service: epoch 0. Services that the environment does not name are not served there.

    Raises:
        UnknownEnvironment: there is no file for this environment, and it is not `dev`.
    """
    declared = project.environments.get(environment)
    if declared is None and environment != DEV:
        known = ", ".join(sorted({DEV, *project.environments}))
        raise UnknownEnvironment(f"there is no environment {environment!r}; there is {known}")
    releases: dict[str, Release] = {}
    for name, service in project.services.items():
        said = (declared.releases if declared is not None else {}).get(name)
        if said is None:
            if environment != DEV:
                continue
            said = {"champion": service.champion}
        champion = service.variants[said["champion"]].fingerprint
        fallback = said.get("fallback")
        releases[name] = Release(
            environment=environment,
            service=name,
            champion=champion,
            weights={champion: 1.0},
            fallback=() if fallback is None else (service.variants[fallback].fingerprint,),
        )
    return releases


def effective_releases(project: Project, declared: Mapping[str, Release], stored: Mapping[str, Release]) -> Effective:
    """The files' releases with the store's over them."""
    releases = dict(declared)
    problems: list[str] = []
    for name, release in stored.items():
        file = declared.get(name)
        if file is None or release.champion not in ("", file.champion):
            continue
        problem = _unfit(release, project.services[name])
        if problem is None:
            releases[name] = release
        else:
            problems.append(f"release {release.epoch} of {name} in {release.environment} can't be served: {problem}")
    return Effective(releases, tuple(problems))


def _unfit(release: Release, service: Service) -> str | None:
    known = {variant.fingerprint for variant in service.variants.values()}
    named = {*release.weights, *release.shadow, *release.fallback}
    if missing := sorted(named - known):
        return f"no variant here has the fingerprint {missing[0]}; bring the gateway's files up to date"
    weights = [*release.weights.values(), *release.shadow.values()]
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not any(release.weights.values()):
        return "its weights are no weights"
    return None
