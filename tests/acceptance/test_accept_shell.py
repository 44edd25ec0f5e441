"""Odd terminals and pipes: they change no verdict, and what is wrong is said."""

import json
import os
import subprocess
import sys

import pytest
from acceptance_projects import SERVICE, answers, examples


@pytest.fixture
def project(declared):
    rows = examples(40)
    return declared(rows, {"a": answers(rows), "b": answers(rows)})


def in_shell(folder, line, **environment):
    shell = {**os.environ, "P": f"{sys.executable} -m proveout", **environment}
    return subprocess.run(["bash", "-c", line], cwd=folder, env=shell, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("$P run c >&-", 0),
        ("$P run c <&- >&- 2>&-", 0),
        ("$P check | true; exit ${PIPESTATUS[0]}", 0),
        ("$P schema | head -1; exit ${PIPESTATUS[0]}", 0),
        ("cd services/s/datasets && $P check", 0),
        ("env -i $P run c", 0),
        pytest.param("$P run c >/dev/full", 2, marks=pytest.mark.skipif(not os.path.exists("/dev/full"), reason="")),
    ],
)
def test_pipes_change_no_exit_code(project, line, code):
    ended = in_shell(project, line)
    assert (ended.returncode, "Traceback" in ended.stderr) == (code, False), ended.stderr


def test_json_is_utf8_and_words_are_readable_whatever_the_terminal_speaks(project):
    said = in_shell(project, "$P run c --json -", LC_ALL="C", PYTHONIOENCODING="latin1")
    assert json.loads(said.stdout)["decision"] == "pass"
    said = in_shell(project, "$P report --markdown - --junit -", PYTHONIOENCODING="latin1")
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("<!-- proveout"), "a report on standard output has it to itself"


def test_check_names_all_that_is_wrong_with_scorers_rows_and_recordings_at_once(proveout, declared):
    rows = examples(3)
    wrong = SERVICE.replace("[exact_match]", "[{numeric: {tolerance: lots}}, {regex: {}}, exact_match]")
    wrong = wrong.replace("margin: 0.1", "margin: 0.1, metric: exact_match")
    project = declared([*rows, {"id": "x"}], {"a": answers(rows), "b": [{"id": "e0"}]}, service=wrong)
    ended = proveout(project, "check")
    assert ended.code == 2
    scorers = ("service.yaml:4: scorers[0]", "service.yaml:4: scorers[1]")
    for said in (*scorers, "golden.jsonl:4: input.q", "b.jsonl:1: output"):
        assert said in ended.err
    assert "The project has 5 problems:" in ended.err
    assert "valid" not in ended.out
