"""A service of real size: 77 intents, 3,080 questions, two classifiers that were really trained and really err."""

from __future__ import annotations

from typing import Any

import pytest

from proveout.project import find_leaks, load_project, read_examples

pytestmark = pytest.mark.xdist_group("examples")
SERVICE = "services/triage"


def right(banking77: Any, variant: str) -> int:
    expected = {row["id"]: row["expected"] for row in banking77.rows(f"{SERVICE}/datasets/golden.jsonl")}
    answers = banking77.rows(f"{SERVICE}/recordings/{variant}.jsonl")
    assert len(answers) == len(expected) == 3080
    return sum(expected[row["id"]] == row["output"] for row in answers)


def test_the_prepared_project_loads(banking77: Any) -> None:
    service = load_project(banking77.folder).services["triage"]
    choices = service.output.choices
    assert choices is not None
    assert len(choices) == 77
    assert {example.expected for example in read_examples(service.datasets["golden"], service.inputs)} == set(choices)
    assert find_leaks(service) == ()


def test_the_readme_tells_the_measured_figures(banking77: Any) -> None:
    readme = (banking77.folder / "README.md").read_text()
    for variant in ("centroid", "bayes", "bayes-tenth"):
        assert f"{right(banking77, variant):,}" in readme


def test_the_better_classifier_passes(banking77: Any) -> None:
    code, scorecard = banking77.run("bayes")
    (gate,) = scorecard["gates"]
    assert (code, scorecard["decision"], gate["verdict"]) == (0, "pass", "pass")
    measured = (right(banking77, "bayes") - right(banking77, "centroid")) / 3080
    assert gate["difference"]["low"] < measured < gate["difference"]["high"]
    assert 2900 < gate["champion"]["n"] < 3000


def test_fewer_labels_do_not_do(banking77: Any) -> None:
    code, scorecard = banking77.run("fewer-labels")
    assert (code, scorecard["decision"]) == (1, "fail")
    assert right(banking77, "bayes-tenth") < right(banking77, "centroid") - 0.1 * 3080
