"""`run`, `compare`, `selftest` and `report`: from flags to a run, from a run to what is shown and written."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from proveout.cli.exits import INTERRUPTED, BadInput, leave, print_as_utf8, quietly_closed

if TYPE_CHECKING:
    from proveout.evaluation import Tally
    from proveout.gates import Comparison, Prepared, RunOptions, Scorecard
    from proveout.project import Project, Service, Variant
    from proveout.storage import Store

Result = TypeVar("Result")

ASK_ABOVE_USD = 1.0
"""On a terminal, a run that may cost more than this (or an unknown sum) asks first."""


class Flags(msgspec.Struct, frozen=True):
    """The shared flags as typed; None where not given."""

    gates: str | None = None
    concurrency: int | None = None
    repeats: int | None = None
    limit: int | None = None
    seed: int | None = None
    max_cost: float | None = None
    max_calls: int | None = None
    cache: bool = True
    yes: bool = False


class Outputs(msgspec.Struct, frozen=True):
    """Which report files to write."""

    json: Path | None = None
    html: Path | None = None
    markdown: Path | None = None
    junit: Path | None = None

    def require_writable(self) -> None:
        """Before anything is paid for."""
        require_writable(self.json, self.html, self.markdown, self.junit)


def run_change(directory: Path, name: str, *, stage: str, plan_only: bool, flags: Flags, outputs: Outputs) -> None:
    """`proveout run CHANGE`."""
    _prove(declared(directory, name, stage), plan_only, flags, outputs)


def declared(directory: Path, name: str, stage: str) -> Comparison:
    """The comparison that a change file declares."""
    from proveout.gates import Comparison

    if stage not in ("dev", "staging"):
        raise BadInput(f"--stage {stage}: write dev or staging")
    project = load(directory)
    try:
        service, change = project.change(name)
    except LookupError as error:
        raise BadInput(str(error)) from None
    return Comparison(
        project=project,
        service=service,
        champion=_champion(project, service, stage, change.challenger),
        challenger=service.variants[change.challenger],
        improves=change.improves,
        change=change.name,
        hypothesis=change.hypothesis,
        stage=stage,
        migration=change.migration,
    )


def compare(
    directory: Path,
    service_name: str,
    champion: str,
    challenger: str,
    *,
    improves: str,
    plan_only: bool,
    flags: Flags,
    outputs: Outputs,
) -> None:
    """`proveout compare SERVICE A B`."""
    from proveout.gates import Comparison
    from proveout.project import OBJECTIVES

    project = load(directory)
    service = service_named(project, service_name)
    claimed = _names(improves)
    for name in claimed:
        if name not in OBJECTIVES:
            raise BadInput(f"--improves {name}: no such objective; write some of {', '.join(OBJECTIVES)}")
    comparison = Comparison(
        project=project,
        service=service,
        champion=variant_named(service, champion),
        challenger=variant_named(service, challenger),
        improves=tuple(name for name in OBJECTIVES if name in claimed),
        change=f"{champion}-vs-{challenger}",
    )
    _prove(comparison, plan_only, flags, outputs)


def selftest(directory: Path, service_name: str, *, comparisons: int, flags: Flags, json: Path | None) -> None:
    """`proveout selftest SERVICE`."""
    import msgspec

    from proveout.gates import run_self_test
    from proveout.reports import selftest_in_words

    require_writable(json)
    project = load(directory)
    service = service_named(project, service_name)
    with store_of(project) as store:
        options = options_of(project, flags)
        _require_secrets(project, [service.variants[service.champion]])
        result = run_async(run_self_test(project, service, options, store, comparisons))
    quietly_closed(lambda: print(selftest_in_words(result)))
    if json is not None:
        write(json, msgspec.json.format(msgspec.json.encode(result), indent=1).decode())
    sys.exit(0 if result.holds else 1)


def report(directory: Path, run_id: str, outputs: Outputs) -> None:
    """`proveout report RUN`."""
    from proveout.gates import Scorecard

    project = load(directory)
    with store_of(project) as store:
        runs = [run for run in store.runs.latest(1000) if run.state == "finished"]
        found = runs[:1] if run_id == "latest" else [run for run in runs if run.id.startswith(run_id)]
        if len(found) != 1:
            known = "\n".join(f"  {run.id}  {run.service}/{run.change}" for run in runs[:10]) or "  none yet"
            problem = "matches several runs" if found else "is no run with a scorecard"
            raise BadInput(f"{run_id!r} {problem}; the newest are:\n{known}")
        kept = store.runs.scorecard(found[0].id)
    show(Scorecard.from_json(kept or b""), outputs)


def _prove(comparison: Comparison, plan_only: bool, flags: Flags, outputs: Outputs) -> None:
    outputs.require_writable()
    scorecard = proved(comparison, flags, plan_only=plan_only)
    show(scorecard, outputs)
    sys.exit(scorecard.exit_code)


def proved(comparison: Comparison, flags: Flags, *, plan_only: bool = False, show_plan: bool = True) -> Scorecard:
    """Show the plan, run it with progress, and hand back the scorecard."""
    from proveout.gates import prepare, prove
    from proveout.reports import plan_in_words, progress_display

    project = comparison.project
    with store_of(project) as store:
        prepared = prepare(comparison, options_of(project, flags), store)
        if show_plan or plan_only:
            print(plan_in_words(prepared.plan), file=sys.stderr)
        if plan_only:
            sys.exit(0)
        _require_secrets(project, [comparison.champion, comparison.challenger])
        _ask(prepared, flags)
        with progress_display(prepared.plan) as progress:

            def on_progress(tally: Tally) -> None:
                progress.update(done=tally.done, cached=tally.cached, failed=tally.failed, cost_usd=tally.known_cost)

            return run_async(prove(prepared, store, on_progress))


def _ask(prepared: Prepared, flags: Flags) -> None:
    """On a terminal, ask before a run that costs more than a dollar or an unknown sum."""
    cost = prepared.plan.cost_usd
    cheap = cost is not None and cost <= ASK_ABOVE_USD
    limited = flags.max_cost is not None or flags.max_calls is not None
    if flags.yes or cheap or limited or not sys.stdin.isatty() or not sys.stderr.isatty():
        return
    print("Go on? [Y/n] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("", "y", "yes"):
        leave("Nothing was called.", INTERRUPTED)


def show(scorecard: Scorecard, outputs: Outputs) -> None:
    """Every report file that was asked for, and the scorecard on the terminal, unless one of them is `-`: then standard
    output is that report and nothing else."""
    from proveout.reports import render, write_report

    wanted = {kind: getattr(outputs, kind) for kind in ("json", "html", "markdown", "junit")}
    if "-" not in map(str, wanted.values()):
        quietly_closed(lambda: print(render(scorecard, "terminal"), end=""))
    for kind, path in wanted.items():
        if path is None:
            continue
        if str(path) == "-":
            quietly_closed(lambda kind=kind: print_as_utf8(render(scorecard, kind)))
        else:
            write_report(scorecard, kind, path)
            print(f"Wrote {path}", file=sys.stderr)


def run_async(work: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end on uvloop where there is one. Ctrl-C cancels it cleanly: finished calls are kept."""
    import asyncio

    try:
        import uvloop

        loop_factory = uvloop.new_event_loop
    except ImportError:
        loop_factory = None
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(work)
    except KeyboardInterrupt:
        leave(
            "\nStopped. Finished calls are kept: the same command goes on from here without paying for them again.",
            INTERRUPTED,
        )


def load(directory: Path) -> Project:
    """The project at or above a folder, with every scorer's name known to the check. Where its files have problems, the
    rows of its data are looked at as well, so that all is told at once.
    """
    from proveout.evaluation import known_scorers
    from proveout.project import ProjectError, count_examples, survey_project

    survey = survey_project(directory, known_scorers=known_scorers())
    if survey.project is None:
        for folder in survey.folders:
            count_examples(folder, survey.problems)
        raise ProjectError(survey.problems)
    return survey.project


def store_of(project: Project) -> Store:
    """The project's store, opened; its address may be a reference to a secret."""
    from proveout.project import Secret
    from proveout.storage import open_store

    url = project.store_url
    if url.startswith(("env:", "file:")):
        try:
            url = Secret(url).resolve()
        except LookupError as error:
            raise BadInput(f"proveout.yaml: store: {error}") from None
    return open_store(url)


def options_of(project: Project, flags: Flags) -> RunOptions:
    """Flags over the project's defaults over ours."""
    from proveout.gates import RunOptions

    declared = dict(project.settings.get("defaults") or {})
    typed = {
        name: getattr(flags, name)
        for name in ("concurrency", "repeats", "limit", "seed", "max_cost", "max_calls")
        if getattr(flags, name) is not None
    }
    chosen = {name: value for name, value in declared.items() if name in RunOptions.__struct_fields__} | typed
    gates = _names(flags.gates) if flags.gates is not None else None
    if gates == ():
        raise BadInput(f"--gates {flags.gates!r} names no gate; write for example --gates accuracy,stability")
    return RunOptions(**{**chosen, "gates": gates, "cache": flags.cache})


def service_named(project: Project, name: str) -> Service:
    """A service, or BadInput that tells which there are."""
    if name not in project.services:
        raise BadInput(f"there is no service {name!r}; known services: {', '.join(project.services) or 'none'}")
    return project.services[name]


def variant_named(service: Service, name: str) -> Variant:
    """A variant, or BadInput that tells which there are."""
    if name not in service.variants:
        raise BadInput(
            f"service {service.name} has no variant {name!r}; known: {', '.join(service.variants) or 'none'}"
        )
    return service.variants[name]


def _champion(project: Project, service: Service, stage: str, challenger: str) -> Variant:
    """In dev the service's declared champion; in staging the one that it releases, or, where the challenger was merged
    there already, the one that production does.
    """
    if stage == "dev":
        return variant_named(service, service.champion)
    declared = (project.environments.get(name) for name in (stage, "production"))
    releases = (environment.releases.get(service.name, {}) for environment in declared if environment is not None)
    named = (str(release["champion"]) for release in releases if "champion" in release)
    return variant_named(service, next((name for name in named if name != challenger), service.champion))


def _require_secrets(project: Project, variants: list[Variant]) -> None:
    from proveout.project import ProjectError, unset_secrets

    problems = unset_secrets(project, variants)
    if problems:
        raise ProjectError(problems)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def require_writable(*paths: Path | None) -> None:
    """See that these result files, as far as they were asked for, could be written now: before work is paid for."""
    from proveout.reports import require_writable

    for path in paths:
        if path is not None and str(path) != "-":
            require_writable(path)


def write(path: Path, text: str) -> None:
    """Write a result file, or show it where the path is `-`."""
    if str(path) == "-":
        quietly_closed(lambda: print_as_utf8(text))
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path} can't be written: {error.strerror}") from None
    print(f"Wrote {path}", file=sys.stderr)
