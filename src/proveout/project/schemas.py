"""JSON Schemas of the declared files for editors, and the file reference that is written from them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from proveout.project.problems import as_yaml

FILES = {
    "project": ("proveout.yaml", "ProjectFile"),
    "service": ("services/NAME/service.yaml", "ServiceFile"),
    "variant": ("services/NAME/variants/NAME.yaml", "VariantFile"),
    "prompt": ("services/NAME/prompts/NAME.md, its front matter", "PromptFrontMatter"),
    "change": ("services/NAME/changes/NAME.yaml", "ChangeFile"),
    "environment": ("environments/NAME.yaml", "EnvironmentFile"),
    "prices": ("prices.yaml", "PricesFile"),
    "gateway": ("gateway.yaml", "GatewayFile"),
}
"""Each kind of file, where it lies, and its shape."""

_KINDS_OF_VALUES = """\
| kind | written as |
|---|---|
| name | letters, digits, dots, dashes and underscores, starting with a letter or digit |
| text | any text; in quotes where YAML would read a number, `true` or `null` |
| duration | a number and a unit: `800ms`, `2s`, `5m`, `1h`, `7d` |
| share | a number from 0 to 1 such as `0.02`, or a percentage such as `2%` |
| path | relative to the service's folder (in `proveout.yaml`: to the project), and inside the project |
| web address | `http://...` or `https://...`, without a password |
| secret reference | `env:NAME` for an environment variable, or `file:PATH`; never the secret itself |
| function | `file.py:function`, the file's path like any other |
| date | `2026-01-31` |
"""


def export_schemas() -> dict[str, dict[str, Any]]:
    """A JSON Schema (draft 2020-12) for each kind of file: project, service, variant, prompt, change, environment,
    prices, gateway.
    """
    from pydantic.json_schema import GenerateJsonSchema

    from proveout.project import shapes

    class Untitled(GenerateJsonSchema):
        """Without the titles that would be made up from field names, and with keys in the order of the shapes."""

        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

        def sort(self, value: Any, parent_key: str | None = None) -> Any:
            return value

    schemas = {}
    for kind, (place, shape) in FILES.items():
        schema = getattr(shapes, shape).model_json_schema(by_alias=True, schema_generator=Untitled)
        for definition in schema.get("$defs", {}).values():
            definition.pop("title", None)
        schemas[kind] = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": place}
    return schemas


def render_reference() -> dict[str, str]:
    """The file reference as Markdown pages, by file name."""
    schemas = export_schemas()
    pages = {f"{kind}.md": _page(kind, FILES[kind][0], schema) for kind, schema in schemas.items()}
    pages["README.md"] = _index(schemas)
    return pages


def write_reference(folder: Path) -> None:
    """Write the reference's pages into a folder, and take away pages of what is no more."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = render_reference()
    for stale in {path.name for path in folder.glob("*.md")} - pages.keys():
        (folder / stale).unlink()
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")


_NOTE = "<!-- Written by `make docs` from the shapes in src/proveout/project/shapes; change it there. -->"


def _index(schemas: Mapping[str, Any]) -> str:
    rows = [
        f"| [`{FILES[kind][0]}`]({kind}.md) | {schema['description'].partition(chr(10))[0]} |"
        for kind, schema in schemas.items()
    ]
    return "\n".join(
        [
            _NOTE,
            "# The files of a project",
            "",
            "Files are YAML 1.2 in UTF-8, each with one mapping. Unknown keys are refused. `proveout check` names",
            "every problem of all files at once; `proveout schema` exports these pages as JSON Schemas for editors.",
            "",
            "| file | what it declares |",
            "|---|---|",
            *rows,
            "",
            "## Kinds of values",
            "",
            _KINDS_OF_VALUES,
        ]
    )


def _page(kind: str, place: str, schema: Mapping[str, Any]) -> str:
    definitions = schema.get("$defs", {})
    names = list(dict.fromkeys(_blocks(schema, definitions)))
    parts = [_NOTE, f"# {place}", "", schema["description"], "", *_table(schema, definitions)]
    for name in names:
        block = definitions[name]
        parts += ["", f"## {_heading(name)}", "", block.get("description", ""), "", *_table(block, definitions)]
    return "\n".join(parts).rstrip() + "\n"


def _blocks(schema: Any, definitions: Mapping[str, Any]) -> Iterator[str]:
    """Names of the blocks that a schema refers to, outer ones first."""
    waiting = [schema]
    seen: set[str] = set()
    while waiting:
        for name in _references({key: value for key, value in waiting.pop(0).items() if key != "$defs"}):
            if name not in seen:
                seen.add(name)
                waiting.append(definitions[name])
                yield name


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].rpartition("/")[2]
        for key, item in schema.items():
            if not (key == "examples" and isinstance(item, list)):
                yield from _references(item)
    elif isinstance(schema, list):
        for item in schema:
            yield from _references(item)


def _heading(name: str) -> str:
    """A block's name in words: `LimitsShape` is `limits`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removesuffix("Shape"))
    return words.lower()


def _table(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> list[str]:
    properties = schema.get("properties")
    if not properties:
        return []
    required = schema.get("required", [])
    rows = ["| key | value | meaning | example |", "|---|---|---|---|"]
    for name, field in sorted(properties.items(), key=lambda item: item[0] not in required):
        needed = "**required**. " if name in required else ""
        example = f"`{name}: {as_yaml(field['examples'][0])}`" if field.get("examples") else ""
        cells = [f"`{name}`", _kind(field), f"{needed}{_meaning(field, definitions)}{_default(field)}", example]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows


def _meaning(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """A field's description; the schema leaves it out where it is that of the block referred to."""
    block = definitions.get(field.get("$ref", "").rpartition("/")[2], {})
    return field.get("description", block.get("description", ""))


def _default(field: Mapping[str, Any]) -> str:
    default = field.get("default")
    hidden = default in (None, "", [], 0.0) and not isinstance(default, bool)
    return (
        ""
        if hidden or isinstance(default, dict) or field.get("x-kind") == "duration"
        else f" Default: `{as_yaml(default)}`."
    )


def _kind(schema: Mapping[str, Any]) -> str:
    """What stands there, in words."""
    if "x-kind" in schema:
        return schema["x-kind"]
    if "$ref" in schema:
        heading = _heading(schema["$ref"].rpartition("/")[2])
        return f"[{heading}](#{heading.replace(' ', '-')})"
    for key in ("anyOf", "oneOf"):
        if key in schema:
            kinds = [_kind(part) for part in schema[key] if part.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties", next(iter(schema.get("patternProperties", {}).values()), None))
        return f"keys with {_kind(inner)}" if isinstance(inner, dict) and inner else "keys with values"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
    return words.get(str(schema.get("type")), "anything")
