"""Checks a parameter's value from YAML against its declared type, in words that tell a person what to write."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from proveout.project.records import ModelSpec, Service

_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    type(None): "null",
    Any: "any value",
    Path: "the path of a file in the project",
    ModelSpec: "a model, as in a variant's `model:`",
}


class Unfit(ValueError):
    """A value does not fit its parameter; the message says why."""


def meta_of(hint: Any) -> msgspec.Meta | None:
    """The description and bounds of an annotated type."""
    if get_origin(hint) is Annotated:
        return next((extra for extra in hint.__metadata__ if isinstance(extra, msgspec.Meta)), None)
    return None


def described(hint: Any) -> str:
    """A type and its bounds in words: `a number of at least 0`."""
    meta = meta_of(hint)
    return _type_in_words(_bare(hint)) + (_bounds(meta) if meta else "")


def fit(value: Any, hint: Any, service: Service) -> Any:
    """The value as the scorer wants it: numbers and lists converted, paths made absolute.

    Raises:
        Unfit: it has another type or is out of bounds, or names a file that is missing or outside the project.
    """
    bare = _bare(hint)
    if value is not None and Path in (bare, *get_args(bare)):
        return _file(value, service)
    if ModelSpec in (bare, *get_args(bare)) and isinstance(value, ModelSpec):
        return value
    try:
        return msgspec.convert(value, hint, strict=True)
    except msgspec.ValidationError:
        raise Unfit(f"{_shown(value)} is not {described(hint)}") from None


def _file(value: Any, service: Service) -> Path:
    if not isinstance(value, str) or not value.strip():
        raise Unfit(f"{_shown(value)} is not {_WORDS[Path]}")
    path = (service.folder / value).resolve()
    root = _project_root(service.folder)
    if Path(value).is_absolute() or not path.is_relative_to(root):
        raise Unfit(f"`{value}` is outside the project")
    if not path.is_file():
        raise Unfit(f"there is no file `{value}` in {service.folder.name or 'the project'}/")
    return path


def _project_root(folder: Path) -> Path:
    """The nearest folder upwards that holds a proveout.yaml; the service's own where none does."""
    folder = folder.resolve()
    return next((parent for parent in (folder, *folder.parents) if (parent / "proveout.yaml").is_file()), folder)


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _type_in_words(hint: Any) -> str:
    if hint in _WORDS:
        return _WORDS[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return described(hint)
    if origin is Literal:
        return "one of " + ", ".join(f"`{_literal(value)}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_type_in_words(part) for part in arguments if part is not type(None))
    if origin is tuple:
        return "a list of " + {str: "texts"}.get(arguments[0], "values")
    return "a mapping"


def _literal(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bounds(meta: msgspec.Meta) -> str:
    bounds = [
        (meta.ge, "of at least {}"),
        (meta.gt, "above {}"),
        (meta.le, "of at most {}"),
        (meta.lt, "below {}"),
    ]
    words = [phrase.format(bound) for bound, phrase in bounds if bound is not None]
    if meta.min_length:
        words.append("that is not empty")
    return " " + " and ".join(words) if words else ""


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"the text {value[:60]!r}"
    return f"`{_literal(value)[:60]}`"
