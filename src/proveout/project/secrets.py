"""Keeping secrets out of files and messages: what looks like one, and which references are unset."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from proveout.project.problems import FieldPath, Problem, dotted
from proveout.project.records import ModelSpec, Project, Secret, Service, Variant

_SHAPES_OF_SECRETS = re.compile(
    r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}"
    r"|\bgithub_pat_[A-Za-z0-9_]{20,}"
    r"|\bglpat-[A-Za-z0-9_-]{16,}"
    r"|\bxox[abeprs]-[A-Za-z0-9-]{10,}"
    r"|\bAIza[0-9A-Za-z_-]{30,}"
    r"|\bhf_[A-Za-z0-9]{20,}"
    r"|\bgsk_[A-Za-z0-9]{20,}"
    r"|\bBearer\s+[A-Za-z0-9._~+/-]{16,}"
    r"|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\."
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_NAMES_OF_SECRETS = re.compile(
    r"(?:^|[^a-z])(?:auth|authorization|api[-_]?key|apikey|key|secret|token|password|passwd|credential|credentials|cookie)(?:$|[^a-z])",
    re.IGNORECASE,
)
_PASSWORD_IN_ADDRESS = re.compile(r"://[^/\s:@]*:[^/\s@]+@")


def looks_like_a_secret(text: str) -> bool:
    """Whether text holds something in the form of a known kind of key, or an address with a password."""
    return bool(_SHAPES_OF_SECRETS.search(text) or _PASSWORD_IN_ADDRESS.search(text))


def names_a_secret(name: str) -> bool:
    """Whether a header or field of this name usually holds a secret."""
    return bool(_NAMES_OF_SECRETS.search(name))


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
        service for service in project.services.values() if any(variant.path in paths for variant in service.variants.values())
    ]
    return [
        *(problem for variant in chosen for problem in _unset(project, variant.path, variant.model, ("model",))),
        *(problem for service in services for problem in _unset_of_judges(project, service)),
    ]


def _unset_of_judges(project: Project, service: Service) -> Iterator[Problem]:
    for index, scorer in enumerate(service.scorers):
        for name, value in scorer.parameters.items():
            if isinstance(value, ModelSpec):
                yield from _unset(project, service.path, value, ("scorers", index, name))


def _unset(project: Project, path: Any, model: ModelSpec, at: FieldPath) -> Iterator[Problem]:
    headers = model.options.get("headers", {})
    references = [((*at, "key"), model.key), *(((*at, "headers", name), value) for name, value in headers.items())]
    for field, secret in references:
        if not isinstance(secret, Secret):
            continue
        try:
            secret.resolve()
        except LookupError as error:
            kind, _, name = secret.reference.partition(":")
            instead = f"Set it: export {name}=..." if kind == "env" else "Write the secret into that file."
            line, column = _where(project, path, field)
            yield Problem(_shown(project, path), line, column, dotted(field), str(error), instead)


def _where(project: Project, path: Any, field: FieldPath) -> tuple[int | None, int | None]:
    """The place of a field in its file, which is read again only now that there is something to say about it."""
    from proveout.project.documents import read_document

    document = read_document(path, _shown(project, path), [])
    return (None, None) if document is None else document.position(field)


def _shown(project: Project, path: Any) -> str:
    return path.relative_to(project.root).as_posix()
