"""Reading YAML: plain data with positions, and nothing else whatever the bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from proveout.project.documents import Document, parse_document, read_document
from proveout.project.problems import Problem, as_yaml, suggestion
from proveout.project.quantities import seconds, share


def parsed(text: str) -> tuple[Document | None, list[Problem]]:
    problems: list[Problem] = []
    return parse_document(text, Path("x.yaml"), "x.yaml", problems), problems


def test_values_by_the_core_schema_of_yaml_1_2() -> None:
    document, problems = parsed(
        "a: [1, -2, +3, 007, 1.5, .5, 1e3, -0.0, true, False, null, ~, yes, on, 0x1F, 1_000, 2026-01-31, .inf, 12:30]\n"
        "b: ['1', \"true\", !!str 5, '']\nc:\nd: |\n  two\n  lines\n"
    )
    assert problems == []
    assert document is not None
    numbers = [1, -2, 3, 7, 1.5, 0.5, 1000.0, 0.0, True, False, None, None]
    texts = ["yes", "on", "0x1F", "1_000", "2026-01-31", ".inf", "12:30"]
    assert document.data == {"a": [*numbers, *texts], "b": ["1", "true", "5", ""], "c": None, "d": "two\nlines\n"}


def test_every_value_and_key_has_its_place() -> None:
    document, _ = parsed("a: 1\nb:\n  - x\n  - {c: 2,\n     d: [3]}\n")
    assert document is not None
    assert document.position(("b", 1, "d", 0)) == (5, 10)
    assert document.position(("b", 1, "d"), key=True) == (5, 6)
    assert document.position(("b", 1, "gone", "deeper")) == (4, 5)
    assert document.position(("gone",)) == (1, 1)


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@,?~ \n\t\\0123.<é\x00\ud7ff", max_size=120))
def test_any_text_is_data_or_problems(text: str) -> None:
    document, problems = parsed(text)
    assert document is not None or problems
    if document is not None:
        json.dumps(document.data)
    assert all(problem.line is None or problem.line >= 1 for problem in problems)


@given(st.binary(max_size=200))
def test_any_bytes_are_data_or_problems(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.yaml"
        path.write_bytes(content)
        problems: list[Problem] = []
        assert read_document(path, "x.yaml", problems) is not None or problems


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abcdefgh", min_size=1, max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abcdefgh", min_size=1, max_size=4), plain, min_size=1, max_size=4))
def test_what_is_written_is_read(data: dict[str, Any]) -> None:
    document, problems = parsed(json.dumps(data))
    assert problems == []
    assert document is not None
    assert document.data == data


@given(plain)
def test_one_line_spellings_read_as_their_value(value: Any) -> None:
    document, problems = parsed(f"key: {as_yaml(value)}")
    assert problems == []
    assert document is not None
    assert document.data == {"key": value}
    assert YAML(typ="safe", pure=True).load(f"key: {as_yaml([value])}") is not None


def test_a_folder_or_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    problems: list[Problem] = []
    assert read_document(tmp_path, "folder", problems) is None
    assert read_document(tmp_path / "gone", "gone", problems) is None
    assert [problem.file for problem in problems] == ["folder", "gone"]


@pytest.mark.parametrize(
    ("text", "expected"), [("800ms", 0.8), ("2s", 2.0), ("1.5 s", 1.5), ("5m", 300.0), ("1h", 3600.0), ("7d", 604800.0)]
)
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["800", 800, "-1s", "1 second", "", None, "1e3s", "٣s", True])
def test_what_is_no_duration(text: Any) -> None:
    with pytest.raises(ValueError):
        seconds(text)


@pytest.mark.parametrize(("value", "expected"), [("10%", 0.1), ("0 %", 0.0), ("2.5%", 0.025), (0.02, 0.02), (1, 1.0)])
def test_shares(value: Any, expected: float) -> None:
    assert share(value) == expected


@pytest.mark.parametrize("value", ["0.02", "%", "-1%", None, True, [0.1]])
def test_what_is_no_share(value: Any) -> None:
    with pytest.raises(ValueError):
        share(value)


def test_suggestions() -> None:
    assert suggestion("Anthropc", ["anthropic", "openai"]) == "Did you mean `anthropic`?"
    assert suggestion("int3", ["int4", "int8"]) == "Write `int4` or `int8`."
    assert suggestion("x", []) == "There are none yet."
    assert suggestion("x", [f"name{i:02}" for i in range(15)]).endswith("and 3 more.")
