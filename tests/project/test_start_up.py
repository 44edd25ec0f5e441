"""What a command pays before it reads anything."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "pydantic",
    "ruamel",
    "jinja2",
    "jsonschema",
    "regex",
    "numpy",
    "proveout.project.load",
    "proveout.project.shapes",
)


def loaded_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    return set(
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    )


def test_records_cost_no_parser() -> None:
    assert loaded_after("from proveout.project import Project, Variant, Answer, OBJECTIVES, Secret") == set()


def test_processing_costs_no_parser() -> None:
    code = (
        "from proveout.project import OutputContract, postprocess, preprocess\n"
        "assert postprocess(({'json_field': 'a'},), OutputContract(choices=('x',)), '{\"a\": \"X\"}').value == 'x'"
    )
    assert loaded_after(code) == set()


def test_the_json_schema_library_is_loaded_only_for_schemas() -> None:
    assert "jsonschema" not in loaded_after("import proveout.project.load, jinja2")


def test_every_public_name_can_be_had() -> None:
    code = "import proveout.project as project\nfor name in project.__all__: getattr(project, name)"
    assert "pydantic" in loaded_after(code)
