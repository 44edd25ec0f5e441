"""`promote`, `approve`, `reject`, `rollout`, `plan`, `comment`, `audit` and `controller`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.cli.exits import BadInput, leave, quietly_closed
from proveout.cli.running import load, run_async, service_named, store_of, write

if TYPE_CHECKING:
    from proveout.delivery.desk import Desk
    from proveout.delivery.state import Rollout
    from proveout.project import Change, Environment, Project, Service

MIN_TOKEN = 16
REFUSED = 1
"""What is asked for is understood, and not allowed as things stand."""


def promote(directory: Path, name: str, *, to: str, base: str | None, push: bool, json: Path | None) -> None:
    """`proveout promote CHANGE --to staging|production`."""
    from proveout.delivery import promotion
    from proveout.delivery.desk import declared_champion
    from proveout.delivery.git import GitError, Repository
    from proveout.delivery.state import Refused
    from proveout.reports import render

    if to not in promotion.STAGE_BEFORE:
        raise BadInput(f"--to {to}: write staging or production")
    project = load(directory)
    service, change = _change(project, name)
    environment = project.environments.get(to)
    champion = service.variants[service.champion].fingerprint
    if to == "production" and environment is not None:
        champion = declared_champion(service, environment).fingerprint
    try:
        served = environment is not None and service.name in environment.releases
        if environment is not None and served and declared_champion(service, environment).variant == change.challenger:
            raise Refused(f"{to} declares {change.challenger} for {service.name} already")
        with store_of(project) as store:
            scorecard = promotion.passed_scorecard(store, service, change, champion, to)
        promotion.check_committed(Repository(project.root), service)
        page = render(scorecard, "markdown")
        folder = f"environments/scorecards/{to}"
        proposed = run_async(
            promotion.propose(
                project,
                service,
                change.challenger,
                to,
                branch=promotion.branch_name("promote", to, service.name, change.name),
                title=f"Promote {service.name}/{change.name} to {to}",
                body=page,
                files={
                    f"{folder}/{service.name}-{change.name}.md": page.encode(),
                    f"{folder}/{service.name}-{change.name}.json": scorecard.to_json(),
                },
                base=base,
                push=push,
            )
        )
    except Refused as error:
        leave(f"Refused: {error}", REFUSED)
    except GitError as error:
        raise BadInput(str(error)) from None
    words = [f"Branch {proposed.branch}, commit {proposed.commit[:12]}" + (", pushed." if proposed.pushed else ".")]
    words.append(f"Pull request: {proposed.url}" if proposed.url else f"Next: {proposed.next}")
    _show("\n".join(words), json)
    if json is not None:
        _write_json(
            json,
            {
                "branch": proposed.branch,
                "base": proposed.base,
                "commit": proposed.commit,
                "pushed": proposed.pushed,
                "url": proposed.url,
                "next": proposed.next,
            },
        )


def say(directory: Path, name: str, action: str, *, environment: str, who: str | None, why: str) -> None:
    """`proveout approve CHANGE` and `proveout reject CHANGE`."""
    from proveout.delivery.approvals import proved_run
    from proveout.delivery.desk import declared_champion
    from proveout.delivery.state import Arm, Refused

    project = load(directory)
    service, change = _change(project, name)
    declared = _environment(project, environment)
    variant = service.variants[change.challenger]
    arm = Arm(variant.name, variant.fingerprint)
    actor = _actor(project, who)
    with store_of(project) as store:
        desk = _desk(store)
        try:
            if action == "approve":
                run = proved_run(store, service.name, change.name, arm.fingerprint)
                people = desk.approve(environment, service.name, arm, actor, change=change.name, why=why, scorecard=run)
            else:
                declares = declared_champion(service, declared)
                people = desk.reject(
                    environment, service.name, arm, actor, change=change.name, why=why, declared=declares
                )
        except Refused as error:
            leave(f"Refused: {error}", REFUSED)
    word = "approves" if action == "approve" else "rejects"
    missing = max(declared.approvals - len(people), 0)
    more = f"{missing} more needed" if missing else "that is enough" if declared.approvals else "none is needed here"
    print(f"{actor} {word} {variant.name} ({variant.fingerprint}) for {environment}: {len(people)} standing, {more}.")


def rollout_start(directory: Path, name: str, *, environment: str, who: str | None) -> None:
    """`proveout rollout start CHANGE`."""
    from proveout.delivery.desk import proposal
    from proveout.delivery.promotion import passed_scorecard
    from proveout.delivery.state import Refused

    project = load(directory)
    service, change = _change(project, name)
    declared = _environment(project, environment)
    if service.name not in declared.releases:
        raise BadInput(
            f"{environment} serves no {service.name}: add `releases: {{{service.name}: {{champion: "
            f"{service.champion}}}}}` to {declared.path.name}"
        )
    with store_of(project) as store:
        desk = _desk(store)
        try:
            serving = desk.adopt(declared, service).serving.fingerprint
            note: dict[str, Any] = {}
            try:
                stage = environment if environment in ("staging", "production") else "staging"
                note["scorecard"] = passed_scorecard(store, service, change, serving, stage).run
            except Refused as missing:
                note["scorecard"] = None
                print(f"Note: {missing}", file=sys.stderr)
            started = desk.start(proposal(service, change, declared, serving), _actor(project, who), note=note)
        except Refused as error:
            leave(f"Refused: {error}", REFUSED)
    print(f"Rollout {started.id} of {change.name} in {environment}: {_state_in_words(started)}.")
    if declared.approvals:
        people = "one person" if declared.approvals == 1 else f"{declared.approvals} people"
        print(f"It begins once {people} agreed: proveout approve {change.name} --environment {environment}")


def rollout_status(directory: Path, service_name: str, *, environment: str, json: Path | None) -> None:
    """`proveout rollout status SERVICE`."""
    from proveout.delivery.desk import declared_champion
    from proveout.delivery.status import in_words, status_of

    project = load(directory)
    service = service_named(project, service_name)
    declared = declared_champion(service, _environment(project, environment)).variant
    with store_of(project) as store:
        status = status_of(store, service, environment, _now(), declared)
    _show(in_words(status), json)
    if json is not None:
        write(json, status.to_json().decode())


def rollout_act(
    directory: Path, service_name: str, action: str, *, environment: str, who: str | None, why: str
) -> None:
    """`proveout rollout pause|resume|abort|promote SERVICE`."""
    from proveout.delivery.desk import declared_champion
    from proveout.delivery.state import Refused

    project = load(directory)
    service = service_named(project, service_name)
    declared = declared_champion(service, _environment(project, environment))
    with store_of(project) as store:
        desk = _desk(store)
        acts = {
            "pause": desk.pause,
            "resume": desk.resume,
            "abort": partial(desk.abort, declared=declared),
            "promote": desk.promote,
        }
        try:
            after = acts[action](environment, service.name, _actor(project, who), why)
        except Refused as error:
            leave(f"Refused: {error}", REFUSED)
    weights = ", ".join(
        f"{name} {after.weights[fingerprint]:.0%}"
        for name, fingerprint in (
            (after.champion.variant, after.champion.fingerprint),
            (after.challenger.variant, after.challenger.fingerprint),
        )
        if fingerprint in after.weights
    )
    print(f"{service.name} in {environment}: {_state_in_words(after)}; serves {weights}.")


def _state_in_words(rollout: Rollout) -> str:
    """The state as a person says it: an approval is waited for, which `rollout status --json` calls paused."""
    from proveout.delivery.state import Approval

    if rollout.status == "running" and isinstance(rollout.current, Approval):
        return "waits for approval"
    return rollout.shown.replace("_", " ")


def plan(
    directory: Path,
    name: str,
    *,
    base_rate: float,
    scored: float,
    runs: int,
    seed: int,
    json: Path | None,
) -> None:
    """`proveout plan CHANGE`."""
    import msgspec

    from proveout.delivery.desk import DEFAULT_STEPS
    from proveout.delivery.planning import in_words, plan_delivery
    from proveout.delivery.signals import Watch
    from proveout.delivery.state import steps_of

    project = load(directory)
    service, change = _change(project, name)
    production = project.environments.get("production")
    found = plan_delivery(
        steps_of(change.rollout or service.rollout or DEFAULT_STEPS, production.approvals if production else 0),
        service=service.name,
        change=change.name,
        requests_per_month=service.traffic.get("requests_per_month"),
        margin=Watch.of(service).quality_margin,
        base_rate=base_rate,
        scored=scored,
        pairs=_scored_pairs(service),
        runs=runs,
        seed=seed,
    )
    _show(in_words(found), json)
    if json is not None:
        write(json, msgspec.json.format(msgspec.json.encode(found), indent=1).decode())


def _scored_pairs(service: Service) -> float:
    """The share of a shadow's pairs whose answers will be scored by something that can tell which one is better."""
    from proveout.delivery.online import CannotScore, LiveScoring

    try:
        scoring = LiveScoring.of(service)
    except CannotScore as error:
        raise BadInput(str(error)) from None
    return scoring.online.pairs if scoring.each or scoring.pairwise else 0.0


def comment(directory: Path, page: Path, *, number: int | None) -> None:
    """`proveout comment FILE`: a Markdown report as the one comment of its pull request."""
    from proveout.delivery.forges import ForgeError, forge_of
    from proveout.delivery.git import GitError, Repository

    try:
        body = page.read_text("utf-8")
    except OSError as error:
        raise BadInput(f"{page} can't be read: {error.strerror}") from None
    marker = body.partition("\n")[0]
    if not marker.startswith("<!-- proveout:"):
        raise BadInput(f"{page} is no report of ours: write it with `proveout run CHANGE --markdown {page}`")
    found = number or _pull_request()
    if found is None:
        raise BadInput("this is no pull request's pipeline; say which one with --number N")
    try:
        repository = Repository(directory.resolve())
        url = repository.remote_url(repository.remote() or "origin")
        forge = forge_of(url)
        if forge is None:
            raise BadInput("set GITHUB_TOKEN or GITLAB_TOKEN: without one no comment can be written")
        run_async(forge.comment(found, marker, body))
    except GitError as error:
        raise BadInput(str(error)) from None
    except ForgeError as error:
        leave(f"The comment was not written: {error}", 4)
    print(f"{forge.name}: the comment on {found} is up to date.")


def audit(directory: Path, *, service: str | None, json: Path | None) -> None:
    """`proveout audit`: the trail, and whether it stands as it was written."""
    import msgspec

    project = load(directory)
    with store_of(project) as store:
        entries = store.audit.after(limit=100_000)
        problems = store.audit.problems()
    shown = [entry for entry in entries if service is None or entry.subject.endswith(f"/{service}")]
    if json is not None:
        _write_json(json, {"entries": msgspec.to_builtins(shown), "problems": problems})
    else:
        quietly_closed(lambda: print("\n".join(_entry(entry) for entry in shown) or "Nothing was decided yet."))
    for problem in problems:
        print(f"The trail was tampered with: {problem}", file=sys.stderr)
    if problems:
        sys.exit(1)


def controller(
    directory: Path,
    *,
    environments: list[str] | None,
    interval: float,
    pull: float | None,
    host: str,
    port: int | None,
    approvers: list[str] | None,
    once: bool,
) -> None:
    """`proveout controller`: until it is interrupted."""
    import logging

    from proveout.delivery.process import Options, run_controller

    project = load(directory)
    for name in environments or ():
        _environment(project, name)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    options = Options(
        environments=tuple(environments) if environments else None,
        interval_s=interval,
        pull_s=pull,
        host=host,
        port=port,
        token=os.environ.get("PROVEOUT_ALERT_TOKEN") or None,
        approvers=_approvers(approvers or ()),
        once=once,
    )
    with store_of(project) as store:
        try:
            run_async(_until_told(run_controller(store, lambda: load(directory), options, announce=_announce)))
        except OSError as error:
            raise BadInput(f"{host}:{port} can't be listened on: {error.strerror}") from None


def _approvers(declared: Iterable[str]) -> dict[str, str]:
    """Names with their tokens, from `NAME=env:VARIABLE`."""
    from proveout.project import Secret

    found: dict[str, str] = {}
    for one in declared:
        name, _, reference = one.partition("=")
        if not name.strip() or not reference.startswith(("env:", "file:")):
            raise BadInput(
                f"--approver {name}=...: write NAME=env:VARIABLE or NAME=file:PATH; tokens stay out of flags"
            )
        try:
            token = Secret(reference).resolve()
        except LookupError as error:
            raise BadInput(f"--approver {name}: {error}") from None
        if name in found or token in found.values():
            raise BadInput(f"--approver {name}: every approver has one name and a token of their own")
        if len(token) < MIN_TOKEN:
            raise BadInput(f"--approver {name}: a token has at least {MIN_TOKEN} characters")
        found[name] = token
    return found


async def _until_told(work: Any) -> None:
    """Run until SIGTERM or SIGINT, then end in good order."""
    import asyncio
    import contextlib
    import signal

    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _announce(line: str) -> None:
    print(line, flush=True)


def _entry(entry: Any) -> str:
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(entry.time))
    body = entry.body
    said = [str(body.get(name) or "") for name in ("variant", "change", "state", "reason")]
    if body.get("why") and not said[-1].endswith(body["why"]):
        said.append(body["why"])
    what = " ".join(word for word in dict.fromkeys(said) if word not in ("", "none"))
    return f"{moment}  {entry.actor:<24} {entry.action:<10} {entry.subject}  {what}"


def _change(project: Project, name: str) -> tuple[Service, Change]:
    try:
        return project.change(name)
    except LookupError as error:
        raise BadInput(str(error)) from None


def _environment(project: Project, name: str) -> Environment:
    if name not in project.environments:
        known = ", ".join(project.environments) or "none"
        raise BadInput(f"there is no environment {name!r}; known: {known}. Write environments/{name}.yaml")
    return project.environments[name]


def _desk(store: Any) -> Desk:
    from proveout.delivery.desk import Desk

    return Desk(store, _now)


def _now() -> float:
    return time.time()


def _actor(project: Project, who: str | None) -> str:
    """Who decides: as said, by the environment, by git, or by the system."""
    named = who or os.environ.get("PROVEOUT_ACTOR", "").strip()
    if named:
        return named
    from proveout.delivery.git import GitError, Repository

    try:
        user = Repository(project.root).user
    except GitError:
        user = ""
    if user:
        return user
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise BadInput("who are you? Say so with --as NAME") from None


def _pull_request() -> int | None:
    """The pull request that this pipeline runs for, on GitHub or GitLab."""
    import json

    event = os.environ.get("GITHUB_EVENT_PATH")
    if event:
        try:
            number = json.loads(Path(event).read_text("utf-8")).get("pull_request", {}).get("number")
        except (OSError, ValueError):
            number = None
        if number:
            return int(number)
    merge_request = os.environ.get("CI_MERGE_REQUEST_IID", "")
    return int(merge_request) if merge_request.isdigit() else None


def _show(text: str, json: Path | None) -> None:
    if json is None or str(json) != "-":
        quietly_closed(lambda: print(text))


def _write_json(path: Path, content: Any) -> None:
    import msgspec

    write(path, msgspec.json.format(msgspec.json.encode(content), indent=1).decode())
