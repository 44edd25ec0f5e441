"""Secrets that stand in files where they must not, and references to secrets that are unset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from proveout.project.problems import FieldPath, Problem, dotted
from proveout.project.records import ModelSpec, Project, Secret, Service, Variant
from proveout.project.sensitive import looks_like_a_secret


def secrets_in(data: Any, at: FieldPath = ()) -> Iterator[FieldPath]:
    """The paths of all texts in plain data that look like secrets, and of all keys that do."""
    if isinstance(data, str):
        if looks_like_a_secret(data):
            yield at
    elif isinstance(data, Mapping):
        for key, item in data.items():
            if looks_like_a_secret(key):
                yield at
            else:
                yield from secrets_in(item, (*at, key))
    elif isinstance(data, list):
        for index, item in enumerate(data):
            yield from secrets_in(item, (*at, index))


def unset_secrets(project: Project, variants: Iterable[Variant]) -> list[Problem]:
    """The secrets that calling these variants, and the judges of their services, needs and that can't be had here."""
    chosen = list(variants)
    paths = {variant.path for variant in chosen}
    services = [
        service
        for service in project.services.values()
        if any(variant.path in paths for variant in service.variants.values())
    ]
    return [
        *(problem for variant in chosen for problem in _unset(project, variant.path, variant.model, [("model",)])),
        *(problem for service in services for problem in _unset_of_judges(project, service)),
    ]


def _unset_of_judges(project: Project, service: Service) -> Iterator[Problem]:
    for index, scorer in enumerate(service.scorers):
        for name, value in scorer.parameters.items():
            if isinstance(value, ModelSpec):
                places: list[FieldPath] = [("scorers", index, scorer.name, name), ("scorers", index, name)]
                yield from _unset(project, service.path, value, places)


def _unset(project: Project, path: Path, model: ModelSpec, places: list[FieldPath]) -> Iterator[Problem]:
    """The unset secrets of a model's block, which stands in one of these places of its file."""
    headers = model.options.get("headers", {})
    references = [(("key",), model.key), *((("headers", name), value) for name, value in headers.items())]
    for field, secret in references:
        if not isinstance(secret, Secret):
            continue
        try:
            secret.resolve()
        except LookupError as error:
            kind, _, name = secret.reference.partition(":")
            instead = f"Set it: export {name}=..." if kind == "env" else "Write the secret into that file."
            yield _located(project, path, [(*place, *field) for place in places], str(error), instead)


def _located(project: Project, path: Path, places: list[FieldPath], what: str, instead: str) -> Problem:
    """A problem at the first of these places that the file has; it is read again only now that there is something to
    say.
    """
    from proveout.project.documents import read_document

    shown = path.relative_to(project.root).as_posix()
    document = read_document(path, shown, [])
    if document is None:
        return Problem(shown, None, None, dotted(places[0]), what, instead)
    return document.problem(next((place for place in places if place in document.values), places[0]), what, instead)
