"""The output contract: what an answer must be after post-processing, and how strictly it is compared."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from proveout.project.json_text import first_json
from proveout.project.patterns import search
from proveout.project.records import Answer, OutputContract

_EDGES = string.whitespace + string.punctuation + "“”‘’«»…–—。、！？"
_MAX_VALIDATORS = 64


def conform(output: OutputContract, value: Any) -> Answer:
    """A processed value as the service's answer, or why it is none. Never raises."""
    if output.choices is not None:
        return _one_of(output.choices, value)
    if output.schema is not None:
        return _of_schema(output.schema, value)
    return Answer(value)


def is_choice(choices: tuple[str, ...], text: str) -> bool:
    """Whether an answer with this text would be one of the choices."""
    return text in choices or _match(choices, text, (_plain, _trimmed)) is not None


def nearest_choice(choices: tuple[str, ...], text: str) -> str | None:
    """The choice that a text means when case, white space and punctuation are left out of account everywhere."""
    return _match(choices, text, (_plain, _trimmed, _letters_and_digits))


def _one_of(choices: tuple[str, ...], value: Any) -> Answer:
    if not isinstance(value, str):
        return Answer(None, "the answer is not text, so it is none of the choices")
    choice = _match(choices, value, (_plain, _trimmed))
    if choice is None:
        shown = value.strip()
        return Answer(None, f"none of the choices: {shown[:60]!r}{'...' if len(shown) > 60 else ''}")
    return Answer(choice)


def _of_schema(schema: Mapping[str, Any], value: Any) -> Answer:
    if isinstance(value, str):
        found, parsed = first_json(value)
        if found:
            value = parsed
        elif schema.get("type") != "string":
            return Answer(None, "there is no JSON in the text")
    try:
        error = next(iter(validator(schema).iter_errors(value)), None)
    except Exception as failure:
        return Answer(None, f"the JSON can't be checked against the schema ({type(failure).__name__})")
    if error is None:
        return Answer(value)
    place = ".".join(str(part) for part in error.absolute_path)
    message = error.message if len(error.message) <= 200 else f"{error.message[:197]}..."
    return Answer(None, f"the JSON does not meet the schema{f' at {place}' if place else ''}: {message}")


# --- comparing texts


def _plain(text: str) -> str:
    return text.strip().casefold()


def _trimmed(text: str) -> str:
    return text.strip(_EDGES).casefold()


def _letters_and_digits(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _match(choices: tuple[str, ...], text: str, forms: Iterable[Callable[[str], str]]) -> str | None:
    """The choice that equals the text in the strictest of the forms in which any does."""
    for form in forms:
        choice = _by_form(choices, form).get(form(text))
        if choice is not None:
            return choice
    return None


@lru_cache(maxsize=256)
def _by_form(choices: tuple[str, ...], form: Callable[[str], str]) -> Mapping[str, str]:
    """Choices by a form of theirs; a form that is empty or that several choices share decides nothing."""
    by_form: dict[str, str] = {}
    shared = {""}
    for choice in choices:
        key = form(choice)
        if key in by_form:
            shared.add(key)
        by_form[key] = choice
    return {key: choice for key, choice in by_form.items() if key not in shared}


# --- JSON Schema

_validators: dict[int, tuple[Mapping[str, Any], Any]] = {}


def validator(schema: Mapping[str, Any]) -> Any:
    """A JSON Schema's validator, kept for the life of the schema object.

    References to other addresses are never followed, and a `pattern` may not search for long.
    """
    kept = _validators.get(id(schema))
    if kept is not None and kept[0] is schema:
        return kept[1]
    from referencing import Registry

    made = _validator_class()(schema, registry=Registry())
    if len(_validators) >= _MAX_VALIDATORS:
        _validators.clear()
    _validators[id(schema)] = (schema, made)
    return made


@lru_cache(maxsize=1)
def _validator_class() -> Any:
    from jsonschema import Draft202012Validator, ValidationError
    from jsonschema.validators import extend

    def pattern(validator: Any, wanted: str, value: Any, schema: Any) -> Iterator[ValidationError]:
        if not isinstance(value, str):
            return
        try:
            if search(wanted, value) is None:
                yield ValidationError(f"the text does not match {wanted!r}")
        except TimeoutError:
            yield ValidationError(f"matching {wanted!r} took too long")

    return extend(Draft202012Validator, {"pattern": pattern})
