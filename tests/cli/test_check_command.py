"""`proveout check`: all that is wrong is told at once, each with its file and line."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from proveout.testing.projects import replay_project

CHOICES = ["refund", "order"]


def row(number: int, expected: Any = "refund") -> dict[str, Any]:
    return {"id": f"e{number}", "input": {"question": f"What is {number}?"}, "expected": expected}


@pytest.fixture
def make(tmp_path: Path):
    def write(*expected: Any, **service: Any) -> Path:
        rows = [row(number, value) for number, value in enumerate(expected)]
        answers = {one["id"]: "refund" for one in rows}
        return replay_project(
            tmp_path, rows, {"base": answers, "new": answers}, service={"output": {"choices": CHOICES}, **service}
        )

    return write


def lines(ended) -> list[str]:
    return [line.strip() for line in ended.err.splitlines()]


def test_a_label_that_no_answer_can_be_is_an_error_in_the_data(proveout, make):
    project = make("refund", "refnd", " Order.", ["order", "refund"], ["cancel", "bug"], None, 7)
    ended = proveout("check", "-C", project)
    assert ended.code == 2
    assert "golden.jsonl:2: expected: no answer can be 'refnd'" in ended.err
    assert "Did you mean `refund`?" in ended.err
    assert "golden.jsonl:5: expected: no answer can be a list" in ended.err
    assert len([line for line in lines(ended) if "golden.jsonl" in line]) == 2


def test_a_run_refuses_such_a_label_too(proveout, make):
    (make("refund", "refnd") / "services/answers/changes/c.yaml").write_text(
        "change: c\nservice: answers\nchallenger: new\nimproves: []\nhypothesis: As good.\n"
    )
    ended = proveout("run", "c", "-C", make("refund", "refnd"))
    assert ended.code == 2
    assert "golden.jsonl:2: expected" in ended.err


def test_without_choices_any_label_will_do(proveout, make):
    assert proveout("check", "-C", make("refund", "anything at all", output="text")).code == 0


@pytest.mark.parametrize("command", [["check"], ["run", "any"]])
def test_files_and_rows_are_told_in_one_go(proveout, make, command):
    project = make("refund", "refnd")
    (project / "services/answers/variants/broken.yaml").write_text("variant: broken\nmodel: {provider: nobody}\n")
    with (project / "services/answers/datasets/golden.jsonl").open("a") as file:
        file.write("{broken\n")
    ended = proveout(*command, "-C", project)
    assert ended.code == 2
    assert "The project has 4 problems:" in ended.err or "The project has 3 problems:" in ended.err
    assert "broken.yaml:2" in ended.err
    assert "golden.jsonl:2: expected" in ended.err
    assert "golden.jsonl:3" in ended.err


def test_scorers_and_recordings_are_told_beside_them(proveout, make):
    project = make("refund", "refnd", scorers=["exact_match", {"scorer": "numeric", "tolerance": "much"}],
                   objectives={"accuracy": {"metric": "exact_match", "margin": 0.1}})  # fmt: skip
    with next((project / "services/answers/recorded").glob("base*")).open("a") as file:
        file.write('{"id": "e9"}\n')
    ended = proveout("check", "-C", project)
    assert ended.code == 2
    told = re.search(r"service\.yaml:(\d+): scorers\[1\]: scorer numeric: tolerance", ended.err)
    assert told is not None
    service = (project / "services/answers/service.yaml").read_text().splitlines()
    assert "numeric" in "".join(service[int(told[1]) - 1 : int(told[1]) + 1])
    assert "golden.jsonl:2: expected" in ended.err
    assert "base.jsonl:3: output: it is missing" in ended.err


def test_a_bad_service_file_hides_no_bad_scorer_and_no_bad_recording(proveout, make):
    scorers = [
        "exakt_match",
        {"regex": {"pattern": "("}},
        {"numeric": {"tolerence": 1}},
        {"llm_judge": {"rubric": "x"}},
    ]
    project = make("refund", scorers=scorers, champion="nobody")
    with next((project / "services/answers/recorded").glob("base*")).open("a") as file:
        file.write('{"id": "e9"}\n')
    ended = proveout("check", "-C", project)
    assert ended.code == 2
    wanted = ["champion: the service has no variant", "scorers[0]: there is no scorer", "scorers[1]: scorer regex"]
    wanted += [
        "scorers[2].numeric.tolerence",
        "scorers[3]: scorer llm_judge: `model` is missing",
        "output: it is missing",
    ]
    for what in wanted:
        assert sum(what in line for line in lines(ended)) == 1, what


def test_of_very_many_bad_rows_the_first_are_told_and_the_rest_counted(proveout, make):
    ended = proveout("check", "-C", make("refund", *["refnd"] * 80))
    assert "30 more problems are in this file" in ended.err
    assert len(lines(ended)) < 60


def test_a_sound_project_is_counted(proveout, make):
    ended = proveout("check", "-C", make(*CHOICES))
    assert (ended.code, ended.err) == (0, "")
    assert json.dumps(ended.out).count("every file is valid") == 1
