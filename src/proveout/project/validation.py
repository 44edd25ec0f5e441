"""From a document and its shape to a checked value, with every error as a problem that names line, field, and what
to write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Tag, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from proveout.project.documents import Document
from proveout.project.problems import FieldPath, Problem, as_yaml, suggestion
from proveout.project.sensitive import looks_like_a_secret, names_a_secret
from proveout.project.shapes import Shape
from proveout.project.shapes._base import ALTERNATIVES, Alternatives, is_tag

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
}
_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}

ShapeType = TypeVar("ShapeType", bound=Shape)


def validated(shape: type[ShapeType], document: Document, problems: list[Problem]) -> ShapeType:
    """A document as its shape. Where it has problems, they are added, and the parts that are sound come back for
    further checks.

    In such a value, missing or unsound fields are None or their default.
    """
    try:
        return shape.model_validate(document.data)
    except ValidationError as error:
        details = error.errors(include_url=False)
    problems.extend(_problems(shape, document, details))
    return _sound_parts(shape, document.data)


def validated_part(annotation: Any, document: Document, at: FieldPath, data: Any, problems: list[Problem]) -> Any:
    """One value inside a document as its own shape, or None and its problems."""
    try:
        return TypeAdapter(annotation).validate_python(data)
    except ValidationError as error:
        details = error.errors(include_url=False)
    problems.extend(_problems(annotation, document, details, at))
    return None


def _sound_parts(shape: type[ShapeType], data: dict[str, Any]) -> ShapeType:
    sound = shape.model_construct()
    for name, field in shape.model_fields.items():
        if field.is_required():
            setattr(sound, name, None)
        key = field.alias or name
        if key not in data:
            continue
        try:
            shape.__pydantic_validator__.validate_assignment(sound, name, data[key])
        except ValidationError:
            part = _plain(field.annotation)
            if isinstance(part, type) and issubclass(part, Shape) and isinstance(data[key], dict):
                setattr(sound, name, _sound_parts(part, data[key]))
    return sound


def _problems(root: Any, document: Document, details: Iterable[Any], prefix: FieldPath = ()) -> Iterator[Problem]:
    for detail in details:
        location = tuple(detail["loc"])
        at = (*prefix, *(part for part in location if not is_tag(part)))
        for inner, what, instead, on_key in _sentences(root, location, detail):
            yield document.problem((*at, *inner), what, instead, key=on_key)


def _sentences(root: Any, location: FieldPath, detail: Any) -> Iterator[tuple[FieldPath, str, str, bool]]:
    """What is wrong and what to write instead, for one of pydantic's errors; with a further path, and whether the
    key is meant.
    """
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "refused":
        for refusal in context["refusals"]:
            yield refusal.at, refusal.what, refusal.instead, False
    elif kind in ALTERNATIVES:
        yield _no_branch(value, ALTERNATIVES[kind])
    elif kind == "missing":
        yield (), f"`{location[-1]}` is missing", _for_example(root, location), False
    elif kind == "extra_forbidden":
        yield (), f"unknown key `{_shortened(str(location[-1]))}`", _known_key(root, location), True
    elif kind == "literal_error":
        yield (), f"unknown value: {describe(value, location)}", _known_value(value, context, root, location), False
    elif kind in _EXPECTED:
        yield (
            (),
            f"expected {_EXPECTED[kind]}, found {describe(value, location)}",
            _right_type(kind, value, root, location),
            False,
        )
    else:
        yield (), _bounds(kind, context) or str(detail["msg"]), _for_example(root, location), False


def _no_branch(value: Any, union: Alternatives) -> tuple[FieldPath, str, str, bool]:
    field, name = (), None
    if union.noun == "provider" and isinstance(value, dict) and isinstance(value.get("provider"), str):
        field, name = ("provider",), value["provider"]
    elif union.noun and isinstance(value, str):
        name = value
    elif union.noun and isinstance(value, dict) and len(value) == 1:
        field, name = (next(iter(value)),), next(iter(value))
    if name is None:
        return (), f"{union.what}, found {describe(value, ())}", union.instead, False
    if name in union.known:
        return (), union.what, union.instead, False
    return field, f"unknown {union.noun} `{_shortened(name)}`", suggestion(name, union.known), False


def _bounds(kind: str, context: dict[str, Any]) -> str | None:
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"must be {words} {context[bound]:g}"
    return {
        "string_too_short": "must not be empty",
        "too_short": "must not be empty",
        "string_too_long": "is too long",
        "string_pattern_mismatch": "a name holds letters, digits, dots, dashes and underscores, "
        "and starts with a letter or digit",
    }.get(kind)


def _right_type(kind: str, value: Any, root: Any, location: FieldPath) -> str:
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f'Put it in quotes: "{as_yaml(value)}".'
    return _for_example(root, location)


def _known_value(value: Any, context: dict[str, Any], root: Any, location: FieldPath) -> str:
    known = [part.strip("'") for part in context["expected"].replace(" or ", ", ").split(", ")]
    return suggestion(value, known) if isinstance(value, str) else _for_example(root, location)


def _known_key(root: Any, location: FieldPath) -> str:
    parent, _ = _walk(root, location[:-1])
    known = [field.alias or name for name, field in parent.model_fields.items()] if _is_model(parent) else []
    name = str(location[-1])
    if "key" in known and names_a_secret(name):
        return "A secret goes under `key: env:NAME`."
    return suggestion(name, known) if known else "This takes no settings; leave it out."


def _for_example(root: Any, location: FieldPath) -> str:
    _, field = _walk(root, location)
    if field is None or not field.examples:
        return "Mend it."
    name = next((part for part in reversed(location) if isinstance(part, str) and not is_tag(part)), "")
    return f"Write for example `{name}: {as_yaml(field.examples[0])}`."


def _walk(root: Any, location: FieldPath) -> tuple[Any, FieldInfo | None]:
    """The annotation that stands at a location, and the nearest field above it."""
    here, field = root, None
    for part in location:
        if is_tag(part):
            here = _branch(here, str(part))
            continue
        here = _plain(here)
        if _is_model(here):
            fields = {info.alias or name: info for name, info in here.model_fields.items()}
            field = fields.get(str(part))
            here = None if field is None else field.annotation
        else:
            here = get_args(here)[-1] if get_args(here) else None
    return _plain(here), field


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _plain(annotation: Any) -> Any:
    """An annotation without its metadata, and without `None` where that is the only alternative."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        others = [part for part in get_args(annotation) if part is not NoneType]
        return _plain(others[0]) if len(others) == 1 else annotation
    return annotation


def _branch(annotation: Any, tag: str) -> Any:
    """The member of a union that bears a tag."""
    for part in get_args(_plain(annotation)):
        if get_origin(part) is Annotated and any(
            isinstance(data, Tag) and data.tag == tag for data in get_args(part)[1:]
        ):
            return get_args(part)[0]
    return None


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def describe(value: Any, location: FieldPath) -> str:
    """A found value in words. What may be a secret is never shown."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "keys with values"
    if isinstance(value, list):
        return "a list"
    hidden = any(isinstance(part, str) and (part in ("headers", "store") or names_a_secret(part)) for part in location)
    if isinstance(value, str):
        return "text" if hidden or looks_like_a_secret(value) else f"the text `{_shortened(value)}`"
    return f"`{as_yaml(value)}`" if not hidden else "a number"
