"""JSON Schemas for editors agree with what is loaded, and the committed reference with the shapes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from proveout.project import export_schemas, render_reference
from proveout.project.documents import parse_document
from proveout.project.problems import as_yaml
from proveout.project.schemas import FILES, write_reference

REFERENCE = Path(__file__).parents[2] / "docs/reference"
SAMPLE = Path(__file__).parent / "sample"

FILES_OF_SAMPLE = {
    "proveout.yaml": "project",
    "services/triage/service.yaml": "service",
    "services/triage/variants/base.yaml": "variant",
    "services/triage/variants/haiku.yaml": "variant",
    "services/triage/changes/haiku.yaml": "change",
    "environments/staging.yaml": "environment",
    "environments/production.yaml": "environment",
    "prices.yaml": "prices",
    "gateway.yaml": "gateway",
}


def as_plain(path: Path) -> Any:
    text = path.read_text().replace("2026-01-31", "'2026-01-31'").replace("2025-07-01", "'2025-07-01'")
    return YAML(typ="safe", pure=True).load(text)


def test_every_kind_of_file_has_a_valid_schema() -> None:
    schemas = export_schemas()
    kinds = {"project", "service", "variant", "prompt", "change", "environment", "prices", "gateway"}
    assert set(schemas) == set(FILES) == kinds
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is False


@pytest.mark.parametrize("path", FILES_OF_SAMPLE)
def test_the_sample_meets_the_schemas(path: str) -> None:
    schema = export_schemas()[FILES_OF_SAMPLE[path]]
    assert list(Draft202012Validator(schema).iter_errors(as_plain(SAMPLE / path))) == []


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("services/triage/variants/haiku.yaml", "provider: anthropic", "provider: antropic"),
        ("services/triage/variants/haiku.yaml", "parameters:", "params:"),
        ("services/triage/variants/haiku.yaml", "env:ANTHROPIC_API_KEY", "abc"),
        ("services/triage/service.yaml", "800ms", "800"),
        ("services/triage/service.yaml", "margin: 10%", "margin: ten"),
        ("services/triage/service.yaml", "unit: user", "unit: session"),
        (
            "services/triage/service.yaml",
            "golden: datasets/golden.jsonl",
            "golden: {path: datasets/golden.jsonl, find_clusters: maybe}",
        ),
        ("services/triage/changes/haiku.yaml", "[cost]", "[costs]"),
        ("gateway.yaml", "capture: sampled", "capture: some"),
        ("gateway.yaml", "file:/etc/redis/ca.pem", "/etc/redis/ca.pem"),
        ("gateway.yaml", "cache:", "caches:"),
    ],
)
def test_editors_see_the_same_mistakes(path: str, old: str, new: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text((SAMPLE / path).read_text().replace(old, new))
    schema = export_schemas()[FILES_OF_SAMPLE[path]]
    assert list(Draft202012Validator(schema).iter_errors(as_plain(broken)))


def fields_of(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    blocks = [schema, *schema.get("$defs", {}).values()]
    return [
        (name, field, schema.get("$defs", {}))
        for block in blocks
        for name, field in block.get("properties", {}).items()
    ]


def test_every_field_is_described_and_has_an_example() -> None:
    for kind, schema in export_schemas().items():
        assert schema["description"]
        for name, field, definitions in fields_of(schema):
            block = definitions.get(field.get("$ref", "").rpartition("/")[2], {})
            assert field.get("description", block.get("description")), f"{kind}: {name}"
            assert field.get("examples"), f"{kind}: {name}"


def test_every_example_can_be_written_as_shown() -> None:
    """The one-line spelling of an example in messages and in the reference reads as that example."""
    for schema in export_schemas().values():
        for name, field, _ in fields_of(schema):
            shown = f"{name}: {as_yaml(field['examples'][0])}"
            document = parse_document(shown, Path(), "", [])
            assert document is not None
            assert document.data == {name: field["examples"][0]}


def test_the_committed_reference_is_up_to_date() -> None:
    pages = render_reference()
    assert {path.name for path in REFERENCE.iterdir()} == set(pages), "run `make docs`"
    for name, text in pages.items():
        assert (REFERENCE / name).read_text() == text, f"docs/reference/{name} is stale: run `make docs`"


def test_make_docs_writes_the_reference() -> None:
    """The command of the Makefile, which leaves an up-to-date reference as it is."""
    before = {path.name: path.read_bytes() for path in REFERENCE.iterdir()}
    root = REFERENCE.parents[1]
    subprocess.run([sys.executable, "-m", "tools.render_reference"], cwd=root, check=True, capture_output=True)
    assert {path.name: path.read_bytes() for path in REFERENCE.iterdir()} == before


def test_pages_of_what_is_no_more_are_taken_away(tmp_path: Path) -> None:
    (tmp_path / "old.md").write_text("old")
    write_reference(tmp_path)
    assert not (tmp_path / "old.md").exists()


def test_links_of_the_reference_lead_somewhere(tmp_path: Path) -> None:
    write_reference(tmp_path)
    for path in tmp_path.iterdir():
        text = path.read_text()
        anchors = {
            line.removeprefix("## ").replace(" ", "-").lower() for line in text.splitlines() if line.startswith("## ")
        }
        for target in re.findall(r"\]\(([^)]+)\)", text):
            assert target[1:] in anchors if target.startswith("#") else (tmp_path / target).exists(), (
                f"{path.name}: {target}"
            )
