"""Whether an answer meets a JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

from msgspec import Meta

from proveout.evaluation.records import Attempt, Score
from proveout.evaluation.scorers._base import RIGHT, Scorer, shown, unparsed, unreadable, wrong
from proveout.evaluation.scorers._registry import scorer
from proveout.evaluation.scorers.json_valid import read_json
from proveout.project.records import Service


@scorer("json_schema")
@dataclass(frozen=True)
class JsonSchema(Scorer):
    """1 when the answer is JSON that meets the schema (Draft 2020-12 unless `$schema` says otherwise). References
    stay inside the schema: nothing is fetched. By default it is the schema of the service's `output`."""

    needs_expected = False

    schema: Annotated[
        dict[str, Any] | None,
        Meta(
            description="The schema; by default the service's output schema.",
            examples=[{"type": "object", "required": ["intent"]}],
        ),
    ] = None
    schema_file: Annotated[
        Path | None, Meta(description="A file that holds the schema.", examples=["schemas/answer.json"])
    ] = None
    _validator: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_validator", _validator(self.schema or {}))

    @classmethod
    def build(cls, parameters: dict[str, Any], service: Service) -> Self:
        given, path = parameters.get("schema"), parameters.get("schema_file")
        if given is not None and path is not None:
            raise ValueError("`schema` and `schema_file` are both there. Write one of them")
        if path is not None:
            given = _read(path)
        if given is None:
            given = service.output.schema
        if given is None:
            raise ValueError("there is no schema. Write `schema: {...}`, or `output: {schema: {...}}` in the service")
        return cls(dict(given), path)

    def score(self, attempt: Attempt) -> Score:
        failed = unparsed(attempt)
        if failed is not None:
            return failed
        try:
            value = read_json(attempt.answer.value)
        except ValueError as error:
            return unreadable(str(error))
        from jsonschema.exceptions import best_match

        try:
            error = best_match(self._validator.iter_errors(value))
        except RecursionError:
            return unreadable("nested too deeply")
        return RIGHT if error is None else wrong(f"{error.json_path}: {shown(error.message)}")


def _read(path: Path) -> Any:
    import orjson

    try:
        schema = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ValueError(f"schema_file: {path.name} can't be read as JSON ({error}). Mend it") from None
    if not isinstance(schema, dict):
        raise ValueError(f"schema_file: {path.name} holds no JSON object. Write a JSON Schema")
    return schema


def _validator(schema: dict[str, Any]) -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"schema: {error.json_path}: {error.message}. Write a JSON Schema") from None
    for reference in _references(schema):
        if not _leads_somewhere(schema, reference):
            raise ValueError(f"schema: the reference `{reference}` leads nowhere. Write what it means under `$defs`")
    return kind(schema, registry=Registry())


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _references(inner)


def _leads_somewhere(schema: dict[str, Any], reference: str) -> bool:
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    base = schema.get("$id", "")
    registry = Registry().with_resource(base, DRAFT202012.create_resource(schema)).crawl()
    try:
        registry.resolver(base).lookup(reference)
    except Unresolvable:
        return False
    return True
