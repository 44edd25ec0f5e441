"""The samples of docs/scorers.md, taken as files: each loads, and is built."""

import re
from pathlib import Path

import pytest
from scorer_cases import attempt

from proveout.evaluation.sandbox import Sandbox
from proveout.evaluation.scorers import PairwiseScorer, create_scorer, known_scorers
from proveout.project import load_project

PAGE = (Path(__file__).parents[3] / "docs/scorers.md").read_text()
SAMPLES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

SERVICE = """\
service: triage
input: [message]
output: text
allow_code_execution: true
datasets: {golden: datasets/golden.jsonl}
champion: base
"""


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "services" / "triage"
    files = {
        tmp_path / "proveout.yaml": "project: demo\n",
        folder / "datasets/golden.jsonl": '{"id": "1", "input": {"message": "hi"}, "expected": "refund"}\n',
        folder / "datasets/judged.jsonl": '{"output": "x", "label": true}\n',
        folder / "scorers/mine.py": PROGRAMS[0],
        folder / "prompts/triage.md": "{{ message }}\n",
        folder / "variants/base.yaml": "variant: base\nmodel: {provider: tiny}\nprompt: prompts/triage.md\n",
    }

    def load(scorers: str):
        objectives = "" if "objectives:" in scorers else "objectives:\n  stability: {margin: 0.02}\n"
        for path, text in {**files, folder / "service.yaml": SERVICE + scorers + objectives}.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        names = {name: tuple(parameters) for name, parameters in known_scorers().items()}
        return load_project(tmp_path, known_scorers=names).services["triage"]

    return load


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.split("\n")[1].strip(" -:")[:30])
def test_every_sample_is_read_and_built(project, sample, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setattr(Sandbox, "problem", lambda self: None)
    service = project(sample)
    assert service.scorers
    for spec in service.scorers:
        assert create_scorer(spec, service).name == spec.name


def test_every_scorer_has_a_sample_and_a_line_in_the_table():
    shown = set(re.findall(r"^## (\w+)$", PAGE, re.MULTILINE))
    assert shown == set(known_scorers())
    for name in known_scorers():
        assert f"| [`{name}`](#{name}) |" in PAGE
        section = PAGE.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert re.search(rf"^  - {name}\b", section, re.MULTILINE), name


def test_the_function_of_the_page_scores(project):
    service = project("scorers:\n  - python: {path: scorers/mine.py}\n")
    scorer = create_scorer(service.scorers[0], service)
    assert not isinstance(scorer, PairwiseScorer)
    assert scorer.score(attempt("Refund", "refund")).value == 1
    assert scorer.score(attempt("card", "refund")).reason == "not refund"


def test_the_scorer_of_the_page_scores(monkeypatch):
    from proveout.evaluation.scorers import _registry as registry

    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
    program: dict = {"__name__": "page"}
    monkeypatch.setitem(__import__("sys").modules, "page", __import__("types").ModuleType("page"))
    exec(PROGRAMS[1], program)
    assert program["ShortEnough"](most=3).score(attempt("four")).value == 0
