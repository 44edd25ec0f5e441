"""`check` and `schema`: what is declared, without calling anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from proveout.cli.exits import BadInput, print_as_utf8, quietly_closed

if TYPE_CHECKING:
    from proveout.project import Service


def check(directory: Path) -> None:
    """Validate every file and every row of data and recordings, offline, and count what there is."""
    from proveout.cli.running import load
    from proveout.gateway import read_settings
    from proveout.project import find_leaks, unset_secrets

    project = load(directory)
    read_settings(project)
    problems: list[str] = []
    lines = [f"{project.name}: every file is valid."]
    for service in project.services.values():
        counts = _read_all(service, problems)
        data = ", ".join(f"{count:,} {kind}" for kind, count in counts.items()) or "no"
        lines.append(
            f"  {service.name}: {len(service.variants)} variants, {len(service.changes)} changes, {data} examples"
        )
        if not problems:
            lines += [f"    leak: {leak}" for leak in find_leaks(service)]
            unset = unset_secrets(project, list(service.variants.values()))
            lines += [f"    note: {problem} (needed only to call it)" for problem in unset]
    if problems:
        raise BadInput("\n".join(problems))
    quietly_closed(lambda: print("\n".join(lines)))


def _read_all(service: Service, problems: list[str]) -> dict[str, int]:
    """How many examples each dataset holds. What is wrong with scorers, labels, rows and recordings is added to the
    problems."""
    from proveout.delivery.online import CannotScore, LiveScoring
    from proveout.evaluation import Scoring
    from proveout.evaluation.judges import LabelsError
    from proveout.evaluation.scorers import ScorerError
    from proveout.models.replay import Recording
    from proveout.project import DatasetError, read_examples

    counts: dict[str, int] = {}
    try:
        Scoring.of(service)
        LiveScoring.of(service)
    except CannotScore as error:
        problems.append(f"{service.path}: {error}")
    except (ScorerError, LabelsError) as error:
        problems.append(str(error))
    for kind, ref in service.datasets.items():
        try:
            counts[kind] = sum(1 for _ in read_examples(ref, service.inputs))
        except DatasetError as error:
            problems.append(str(error))
    models = [variant.model for variant in service.variants.values()]
    for path in dict.fromkeys(model.options["path"] for model in models if model.provider == "replay"):
        try:
            Recording.open(path)
        except DatasetError as error:
            problems.append(str(error))
    return counts


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
