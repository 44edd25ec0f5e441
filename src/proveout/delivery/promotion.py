"""Promotion through git: a branch and a commit that change what an environment serves, with the scorecard that says
why; merging it is what releases.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from proveout.delivery.forges import ForgeError, forge_of, how_to_propose
from proveout.delivery.git import Repository
from proveout.delivery.state import Refused
from proveout.gates.registry import stage_objectives
from proveout.gates.scorecard import Scorecard
from proveout.project import Change, Project, Service, load_project
from proveout.project.problems import ProjectError
from proveout.storage.store import Store

STAGE_BEFORE = {"staging": "dev", "production": "staging"}
"""Which stage's scorecard an environment asks for."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """What was pushed. `url` is the pull request's, where one could be opened; `next` what a person does now."""

    branch: str
    base: str
    commit: str
    pushed: bool
    url: str | None
    next: str


def passed_scorecard(store: Store, service: Service, change: Change, champion: str, environment: str) -> Scorecard:
    """The newest scorecard of the stage before, which passed, for exactly these fingerprints.

    Raises:
        Refused: there is none; says what is there instead and what to run.
    """
    stage = STAGE_BEFORE[environment]
    challenger = service.variants[change.challenger].fingerprint
    run = f"proveout run {service.name}/{change.name} --stage {stage}"
    newest: Scorecard | None = None
    for one in store.runs.latest(500, service=service.name, change=change.name):
        if one.stage != stage or one.state != "finished":
            continue
        kept = store.runs.scorecard(one.id)
        if kept is None:
            continue
        scorecard = Scorecard.from_json(kept)
        fits = (scorecard.champion.fingerprint, scorecard.challenger.fingerprint) == (champion, challenger)
        if fits and scorecard.decision == "pass":
            asked = stage_objectives(stage, service.objectives, change.improves)
            missing = {*asked} - {gate.objective for gate in scorecard.gates}
            if not missing:
                return scorecard
            raise Refused(f"the {stage} scorecard of {change.name} lacks {', '.join(sorted(missing))}: {run}")
        if fits:
            raise Refused(f"the newest {stage} scorecard of {change.name} is {scorecard.decision}, not pass: {run}")
        newest = newest or scorecard
    if newest is None:
        raise Refused(f"{change.name} has no {stage} scorecard; {environment} asks for one that passed: {run}")
    arms: list[str] = []
    for name, found, wanted in (
        ("champion", newest.champion.fingerprint, champion),
        ("challenger", newest.challenger.fingerprint, challenger),
    ):
        if found != wanted:
            arms.append(f"{name} {found}, now {wanted}")
    raise Refused(f"the {stage} scorecard of {change.name} is of other variants ({'; '.join(arms)}): {run}")


def check_committed(repository: Repository, service: Service) -> None:
    """
    Raises:
        Refused: files of the service are not committed: others would release something else than was proved.
    """
    changed = repository.changed([service.folder])
    if changed:
        shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        raise Refused(
            f"these files are not committed: {shown}. Commit them, so that what was proved is what is released"
        )


async def propose(
    project: Project,
    service: Service,
    variant: str,
    environment: str,
    *,
    branch: str,
    title: str,
    body: str,
    files: dict[str, bytes],
    base: str | None = None,
    start: str = "HEAD",
    push: bool = True,
) -> Proposed:
    """Make a commit that has an environment serve a variant, push it, and open or update its pull request.

    Args:
        files: what else the commit holds, by path in the project's folder.
        base: the branch to merge into; the remote's default unless set.
        start: the commit that the branch begins at.

    Raises:
        Refused, GitError: it can't be done; says why.
    """
    repository = Repository(project.root)
    remote = repository.remote()
    target = base or repository.default_branch(remote)
    wanted = service.variants[variant].fingerprint
    with repository.work_tree(start) as folder:
        path = folder / "environments" / f"{environment}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        declare(path, environment, service.name, variant)
        _check_fingerprint(folder, service.name, variant, wanted)
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        repository("add", "--all", "--", ".", folder=folder)
        if files:
            repository("add", "--force", "--", *files, folder=folder)  # Whatever `.gitignore` says.
        if repository("status", "--porcelain", folder=folder):
            repository(*_identity(repository), "commit", "--quiet", "-m", f"{title}\n\n{_plain(body)}", folder=folder)
        commit = repository("rev-parse", "HEAD", folder=folder)
    repository("branch", "--force", branch, commit)
    if remote is None or not push:
        return Proposed(branch, target, commit, False, None, f"git merge --no-ff {branch} (into {target})")
    repository("push", "--quiet", "--force", remote, f"{branch}:{branch}")
    url = repository.remote_url(remote)
    forge = forge_of(url)
    if forge is None:
        return Proposed(branch, target, commit, True, None, how_to_propose(url, branch, target))
    try:
        request = await forge.propose(branch, target, title, body)
    except ForgeError as error:
        then = how_to_propose(url, branch, target)
        return Proposed(branch, target, commit, True, None, f"{forge.name} could not be asked ({error}); {then}")
    return Proposed(branch, target, commit, True, request.url, f"merge {request.url}")


def declare(path: Path, environment: str, service: str, variant: str) -> None:
    """Have an environment's file name a champion, and leave all else in it (comments too) as it stands."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    content: Any = yaml.load(path.read_text("utf-8")) if path.exists() else None  # pyright: ignore[reportUnknownMemberType]
    if content is None:
        content = {"environment": environment}
    releases = content.setdefault("releases", {})
    releases.setdefault(service, {})["champion"] = variant
    written = StringIO()
    yaml.dump(content, written)  # pyright: ignore[reportUnknownMemberType]
    path.write_text(written.getvalue(), "utf-8")


def branch_name(verb: str, environment: str, service: str, what: str) -> str:
    """`proveout/production/triage-haiku`."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{service}-{what}").strip(".-")
    return f"proveout/{environment}/{name}" if verb == "promote" else f"proveout/{environment}/{verb}-{name}"


def _check_fingerprint(folder: Path, service: str, variant: str, wanted: str) -> None:
    """The commit must hold the very variant that was proved."""
    try:
        committed = load_project(folder).services[service].variants[variant].fingerprint
    except (ProjectError, KeyError) as error:
        raise Refused(f"the commit would not hold a valid {service}/{variant}: {error}") from None
    if committed != wanted:
        raise Refused(f"{service}/{variant} is {wanted} here, but {committed} as committed: commit what was proved")


def _identity(repository: Repository) -> tuple[str, ...]:
    """Who commits, where git knows nobody (a controller's machine)."""
    return () if repository.user else ("-c", "user.name=Proveout", "-c", "user.email=proveout@localhost")


def _plain(body: str) -> str:
    """A pull request's text for a commit message."""
    return "\n".join(line for line in body.splitlines() if not line.startswith(("<!--", "|", "<")))[:4_000]


async def write_back(project: Project, errand: dict[str, str]) -> Proposed:
    """The pull request of a rollout that ended otherwise than git says: a revert, or a release made by hand.

    Raises:
        Refused, GitError: it can't be done; says why.
    """
    service = project.services[errand["service"]]
    environment, variant, verb = errand["environment"], errand["variant"], errand["verb"]
    if variant not in service.variants:
        raise Refused(f"{service.name} has no variant {variant} any more")
    word = "Revert" if verb == "revert" else "Release"
    title = f"{word} {service.name} in {environment} to {variant}"
    told = f"The gateways serve {variant} already; merging this has git say so too (rollout {errand['rollout']})."
    body = f"{errand['reason']}\n\n{told}"
    repository = Repository(project.root)
    remote = repository.remote()
    base = repository.default_branch(remote)
    start = "HEAD"
    if remote is not None:
        repository("fetch", "--quiet", remote, base)
        start = "FETCH_HEAD"
    branch = branch_name(verb, environment, service.name, errand["rollout"])
    return await propose(
        project, service, variant, environment, branch=branch, title=title, body=body, files={}, base=base, start=start
    )
