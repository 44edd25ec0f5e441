"""`check` and `schema`: what is declared, without calling anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from proveout.cli.exits import BadInput, print_as_utf8, quietly_closed

if TYPE_CHECKING:
    from proveout.project import Problem, ProjectError, Service


def check(directory: Path) -> None:
    """Validate every file and every row of data and recordings, offline, and count what there is."""
    from proveout.evaluation import known_scorers
    from proveout.gateway import read_settings
    from proveout.project import ProjectError, count_examples, find_leaks, survey_project, unset_secrets
    from proveout.reports.text import counted

    survey = survey_project(directory, known_scorers=known_scorers())
    project, problems = survey.project, survey.problems
    others: list[str] = []
    lines: list[str] = []
    for folder in survey.folders:
        counts = count_examples(folder, problems)
        service = folder.service
        seen = service or folder.partial
        if seen is not None:
            _look_at_recordings(seen, problems)
            if service is not None or seen.scorers:
                _look_at_scorers(seen, others)
        if service is None:
            continue
        data = ", ".join(f"{count:,} {kind}" for kind, count in counts.items()) or "no"
        variants, changes = counted(len(service.variants), "variant"), counted(len(service.changes), "change")
        lines.append(f"  {service.name}: {variants}, {changes}, {data} examples")
        if project is not None and not problems and not others:
            lines += [f"    leak: {leak}" for leak in find_leaks(service)]
            unset = unset_secrets(project, list(service.variants.values()))
            lines += [f"    note: {problem} (needed only to call it)" for problem in unset]
    if project is not None:
        try:
            read_settings(project)
        except ProjectError as error:
            problems += error.problems
    if problems or others or project is None:
        raise BadInput(_listed(ProjectError(problems), others))
    quietly_closed(lambda: print("\n".join([f"{project.name}: every file is valid.", *lines])))


def _listed(error: ProjectError, others: list[str]) -> str:
    """All that is wrong, counted together."""
    lines = [*map(str, error.problems), *(line for other in others for line in other.splitlines())]
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    return "\n".join([f"The project has {count}:", *(f"  {line}" for line in lines)])


def _look_at_scorers(service: Service, problems: list[str]) -> None:
    """What is wrong with a service's scorers and with the labels that its judges are calibrated by."""
    from proveout.delivery.online import CannotScore, LiveScoring
    from proveout.evaluation import Scoring
    from proveout.evaluation.judges import LabelsError
    from proveout.evaluation.scorers import ScorerError

    try:
        Scoring.of(service)
    except (ScorerError, LabelsError) as error:
        problems.append(str(error))
    try:
        LiveScoring.of(service)
    except CannotScore as error:
        problems.append(str(error))
    except ScorerError:
        pass  # Said above.


def _look_at_recordings(service: Service, problems: list[Problem]) -> None:
    """What is wrong with the rows of recorded answers."""
    from proveout.models.replay import Recording
    from proveout.project import DatasetError

    models = [variant.model for variant in service.variants.values()]
    for path in dict.fromkeys(model.options["path"] for model in models if model.provider == "replay"):
        try:
            Recording.open(path)
        except DatasetError as error:
            problems += error.listed()


def schema(directory: Path | None) -> None:
    """Write the JSON Schemas to a folder, or show them all."""
    from proveout.project import export_schemas

    schemas = export_schemas()
    if directory is None:
        quietly_closed(lambda: print_as_utf8(json.dumps(schemas, indent=2)))
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in schemas.items():
            path = directory / f"{name}.schema.json"
            path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{directory} can't be written: {error.strerror}") from None
    quietly_closed(lambda: print("\n".join(f"Wrote {directory / name}.schema.json" for name in schemas)))
