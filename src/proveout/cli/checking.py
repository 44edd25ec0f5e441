"""`check` and `schema`: what is declared, without calling anything."""

from __future__ import annotations

import json
from pathlib import Path

from proveout.cli.exits import BadInput


def check(directory: Path) -> None:
    """Validate every file and every dataset row, offline, and count what there is."""
    from proveout.cli.running import load
    from proveout.evaluation import Scoring
    from proveout.project import find_leaks, read_examples, unset_secrets

    project = load(directory)
    print(f"{project.name}: every file is valid.")
    for service in project.services.values():
        Scoring.of(service)
        counts = {kind: sum(1 for _ in read_examples(ref, service.inputs)) for kind, ref in service.datasets.items()}
        data = ", ".join(f"{count:,} {kind}" for kind, count in counts.items()) or "no"
        print(f"  {service.name}: {len(service.variants)} variants, {len(service.changes)} changes, {data} examples")
        for leak in find_leaks(service):
            print(f"    leak: {leak}")
        for problem in unset_secrets(project, list(service.variants.values())):
            print(f"    note: {problem} (needed only to call it)")


def schema(directory: Path | None) -> None:
    """Write the JSON Schemas to a folder, or show them all."""
    from proveout.project import export_schemas

    schemas = export_schemas()
    if directory is None:
        print(json.dumps(schemas, indent=2))
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in schemas.items():
            path = directory / f"{name}.schema.json"
            path.write_text(json.dumps(content, indent=2) + "\n")
            print(f"Wrote {path}")
    except OSError as error:
        raise BadInput(f"{directory} can't be written: {error.strerror}") from None
