"""Rows are read with their lines; whatever can't be read is named by line, and reading goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proveout.project import rows
from proveout.project.row_problems import Problems
from proveout.project.rows import csv_rows, json_rows

GOOD = '{"a": 1}'


class Read:
    """What was read from a file, and what was said about it."""

    def __init__(self, path: Path, content: str | bytes) -> None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        problems = Problems(path)
        read: Callable[..., Any] = json_rows if path.suffix == ".jsonl" else csv_rows
        more = () if path.suffix == ".jsonl" else (lambda header: True,)
        self.rows = list(read(path, problems, *more))
        self.problems = [(problem.line, problem.what) for problem in problems.kept]

    @property
    def lines(self) -> list[int]:
        return [line for line, _ in self.rows]


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[[str | bytes], Read]:
    return lambda content: Read(tmp_path / "rows.jsonl", content)


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str | bytes], Read]:
    return lambda content: Read(tmp_path / "rows.csv", content)


# --- JSONL


def test_each_object_has_its_line_and_blank_lines_count(jsonl: Any) -> None:
    read = jsonl('{"a": 1}\n\n   \n{"a": 2}')
    assert read.rows == [(1, {"a": 1}), (4, {"a": 2})]
    assert read.problems == []


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_windows_line_ends_and_a_byte_order_mark_are_fine(jsonl: Any, ending: str, mark: str) -> None:
    read = jsonl(f"{mark}{GOOD}{ending}{GOOD}{ending}")
    assert (read.lines, read.problems) == ([1, 2], [])


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c"])
def test_only_line_feeds_end_a_line(jsonl: Any, separator: str) -> None:
    text = json.dumps({"a": f"x{separator}y"}, ensure_ascii=separator in "\x0b\x0c\x1c")
    assert jsonl(f"{text}\n{GOOD}").rows == [(1, {"a": f"x{separator}y"}), (2, {"a": 1})]


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ("[1, 2]", "the line is no JSON object"),
        ("null", "the line is no JSON object"),
        ('{"a": NaN}', "it is no JSON"),
        ('{"a": Infinity}', "it is no JSON"),
        ('{"a": 1e999}', "it is no JSON (number out of range"),
        ("{'a': 1}", "it is no JSON"),
        ('{"a": 1', "it is no JSON (input data was truncated)"),
        ('{"a": 1} {"a": 2}', "it is no JSON"),
        ('{"a": "\\ud800"}', "it holds half of a surrogate pair"),
        ('{"a": "\\udc00"}', "it holds half of a surrogate pair"),
        (b'{"a": "\xff"}', "it is not UTF-8"),
        (b'{"a": "x\x00y"}', "there is a NUL byte"),
        ('{"a": 1, "b": 2, "a": 3}', "the object has this key twice"),
        ("[" * 5000, "it is no JSON"),
        ('{"a": ' + "[" * 5000, "it is no JSON"),
    ],
)
def test_a_bad_line_is_named_and_reading_goes_on(jsonl: Any, bad: str | bytes, what: str) -> None:
    content = bad.encode() if isinstance(bad, str) else bad
    read = jsonl(b"%b\n%b\n%b\n" % (GOOD.encode(), content, GOOD.encode()))
    assert read.lines == [1, 3]
    ((line, said),) = read.problems
    assert line == 2
    assert said.startswith(what)


def test_a_broken_line_says_at_which_column(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"é": x}\n')
    problems = Problems(path)
    assert list(json_rows(path, problems)) == []
    assert problems.kept[0].column == 7


def test_a_word_that_equals_a_key_is_no_second_key(jsonl: Any) -> None:
    read = jsonl('{"input": {"input": "x"}, "expected": "input", "note": "\\"input\\":"}')
    assert (read.lines, read.problems) == ([1], [])


def test_a_json_list_over_the_whole_file_is_said_once(jsonl: Any) -> None:
    for content in ('[\n{"a": 1},\n{"a": 2}\n]\n', '[{"a": 1},\n{"a": 2}]'):
        assert jsonl(content).problems == [(1, "the file is one JSON list")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_no_silence(jsonl: Any, encoding: str) -> None:
    read = jsonl((GOOD + "\n").encode(encoding))
    assert read.rows == []
    assert read.problems


def test_a_line_too_long_is_passed_over(jsonl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "LONGEST_LINE", 100)
    read = jsonl(GOOD + "\n" + json.dumps({"a": "x" * 1000}) + "\n" + GOOD + "\n")
    assert read.lines == [1, 3]
    assert read.problems == [(2, "the line is longer than 32 MB")]
    assert jsonl("x" * 100).problems == [(1, "the line is longer than 32 MB")]


def test_any_bytes_are_read_or_reported(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("bytes") / "rows.jsonl"

    @given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line), max_size=5))
    def check(lines: list[bytes]) -> None:
        read = Read(path, b"\n".join(lines))
        accounted = set(read.lines) | {line for line, _ in read.problems}
        first_blank = {number for number, line in enumerate(lines, 1) if not line.strip()}
        listed = any("JSON list" in what or "UTF-16" in what for _, what in read.problems)
        assert listed or accounted | first_blank >= set(range(1, len(lines) + 1)) - {1}

    check()


# --- CSV


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_header_shows_what_stands_between_values(table: Any, separator: str) -> None:
    read = table(f'\ufefftext{separator}label\r\n"a, b; c\td"{separator}x\r\nplain{separator}\r\n')
    assert read.rows == [(2, {"text": "a, b; c\td", "label": "x"}), (3, {"text": "plain", "label": ""})]
    assert table(f"text{separator}label\na\n").problems == [(2, "the row has 1 columns, the header 2")]


def test_one_column_whose_name_holds_no_separator_is_one_column(table: Any) -> None:
    assert table("text\nplain\n").rows == [(2, {"text": "plain"})]


def test_utf_16_in_csv_is_said_once(table: Any) -> None:
    assert table("text,label\na,b\nc,d\n".encode("utf-16")).problems == [(1, "it is UTF-16")]


def test_records_have_the_line_that_they_begin_on(table: Any) -> None:
    read = table('text,label\n"two\nlines",a\n\nplain,b\n')
    assert read.rows == [(2, {"text": "two\nlines", "label": "a"}), (5, {"text": "plain", "label": "b"})]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_line_end_and_a_byte_order_mark_in_csv(table: Any, ending: str) -> None:
    read = table(f"\ufefftext,label{ending}x,a{ending}y,b{ending}")
    assert read.rows == [(2, {"text": "x", "label": "a"}), (3, {"text": "y", "label": "b"})]


def test_quoted_line_ends_and_separators_are_kept(table: Any) -> None:
    read = table('text,label\n"a\r\nb",x\n"c\u2028d, ""e""",y\n')
    assert [row["text"] for _, row in read.rows] == ["a\r\nb", 'c\u2028d, "e"']


def test_a_row_with_other_columns_is_named(table: Any) -> None:
    read = table("text,label\na,b,c\nx\ny,z\n")
    assert read.rows == [(4, {"text": "y", "label": "z"})]
    assert read.problems == [
        (2, "the row has 3 columns, the header 2"),
        (3, "the row has 1 columns, the header 2"),
    ]


def test_a_quote_that_is_never_closed_is_named_where_it_opens(table: Any) -> None:
    read = table('text,label\na,b\n"open,b\nc,d\ne,f\n')
    assert read.lines == [2]
    assert read.problems == [(3, "a quote opened in this row is never closed")]


def test_a_quote_closed_too_early_is_named(table: Any) -> None:
    read = table('text,label\n"a"b,c\nd,e\n')
    assert read.lines == [3]
    ((line, what),) = read.problems
    assert line == 2
    assert what.startswith("the quotes are wrong")


@pytest.mark.parametrize(("bad", "what"), [(b"\xff", "it is not UTF-8"), (b"\0", "there is a NUL byte")])
def test_bad_bytes_in_csv_are_named(table: Any, bad: bytes, what: str) -> None:
    read = table(b"text,label\na,b\nx%b,y\nc,d\n" % bad)
    assert read.lines == [2, 4]
    assert read.problems == [(3, what)]


def test_two_columns_of_one_name_are_refused(table: Any) -> None:
    assert table("text,text\na,b\n").problems == [(1, "two columns have this name")]


def test_a_csv_line_too_long_ends_the_reading_with_a_word(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "LONGEST_LINE", 100)
    read = table("text,label\na,b\n" + "x" * 1000 + ",c\nd,e\n")
    assert read.lines == [2]
    assert read.problems == [(3, "the line is longer than 32 MB")]


def test_an_empty_csv_has_no_rows(table: Any) -> None:
    assert (table("").rows, table("text,label\n").rows) == ([], [])
