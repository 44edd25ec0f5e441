"""`proveout run` and `compare` on recorded answers: verdicts, exit codes, files, the ledger, and bad input."""

import json
import random
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from proveout.testing.projects import replay_project

EXAMPLES = 400


def golden(count: int = EXAMPLES) -> list[dict[str, Any]]:
    return [
        {
            "id": f"e{n}",
            "input": {"question": f"What is {n}?"},
            "expected": str(n),
            "tags": ["even" if n % 2 == 0 else "odd"],
        }
        for n in range(count)
    ]


def answers(right: float, seed: int, count: int = EXAMPLES) -> dict[str, str]:
    draw = random.Random(seed)
    return {f"e{n}": str(n) if draw.random() < right else "no" for n in range(count)}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    variants = {"base": answers(0.7, 1), "better": answers(0.85, 2), "worse": answers(0.5, 3), "close": answers(0.7, 4)}
    changes = {
        "better": {"challenger": "better", "improves": ["accuracy"]},
        "worse": {"challenger": "worse", "improves": []},
        "close": {"challenger": "close", "improves": []},
        "same": {"challenger": "base", "improves": ["accuracy"]},
    }
    return replay_project(tmp_path / "project", golden(), variants, changes=changes)


@pytest.mark.parametrize(
    ("change", "code", "decision"),
    [("better", 0, "pass"), ("worse", 1, "fail"), ("close", 3, "inconclusive"), ("same", 1, "fail")],
)
def test_the_exit_code_is_the_decision(proveout, project, tmp_path, change, code, decision):
    file = tmp_path / "out.json"
    assert proveout("run", change, "-C", project, "--json", file).code == code
    assert json.loads(file.read_text())["decision"] == decision


def test_the_scorecard_json_keeps_its_contract(proveout, project, tmp_path):
    proveout("run", "better", "-C", project, "--json", tmp_path / "out.json")
    card = json.loads((tmp_path / "out.json").read_text())
    assert card["schema"] == "proveout.scorecard/v1"
    assert (card["change"], card["service"], card["stage"]) == ("better", "answers", "dev")
    assert set(card["champion"]) == {"variant", "fingerprint"}
    (gate,) = card["gates"]
    assert (gate["objective"], gate["metric"], gate["claim"]) == ("accuracy", "exact_match", "improves")
    assert (gate["margin"], gate["higher_is_better"], gate["verdict"]) == (0.02, True, "pass")
    right = {
        name: sum(int(v != "no") for v in answers(p, s).values())
        for name, p, s in (("champion", 0.7, 1), ("challenger", 0.85, 2))
    }
    for arm, count in right.items():
        assert gate[arm]["value"] == pytest.approx(count / EXAMPLES)
        assert gate[arm]["n"] == EXAMPLES
        assert gate[arm]["low"] < gate[arm]["value"] < gate[arm]["high"]
    difference = gate["difference"]
    assert difference["value"] == pytest.approx((right["challenger"] - right["champion"]) / EXAMPLES)
    assert difference["low"] < difference["value"] < difference["high"]
    assert gate["needs"] == {"examples": 0}
    assert card["calls"] == {"made": 2 * EXAMPLES, "cached": 0, "failed": 0}
    assert card["cost_usd"] == 0.0


def test_inconclusive_says_how_many_examples_would_decide(proveout, project, tmp_path):
    proveout("run", "close", "-C", project, "--json", tmp_path / "out.json")
    (gate,) = json.loads((tmp_path / "out.json").read_text())["gates"]
    assert gate["needs"]["examples"] > EXAMPLES
    assert f"{gate['needs']['examples']:,}" in gate["reason"]


def test_every_report_is_written_and_can_be_rendered_again(proveout, project, tmp_path):
    files = {kind: tmp_path / f"card.{kind}" for kind in ("json", "html", "markdown", "junit")}
    flags = [word for kind, path in files.items() for word in (f"--{kind}", path)]
    proveout("run", "better", "-C", project, *flags)
    assert json.loads(files["json"].read_text())["decision"] == "pass"
    assert files["html"].read_text().lstrip().lower().startswith("<!doctype html>")
    assert "better" in files["markdown"].read_text()
    ElementTree.parse(files["junit"])
    again = proveout("report", "latest", "-C", project, "--json", tmp_path / "again.json")
    assert again.code == 0
    assert (tmp_path / "again.json").read_text() == files["json"].read_text()


def test_json_on_standard_output_is_nothing_but_json(proveout, project):
    assert json.loads(proveout("run", "better", "-C", project, "--json", "-").out)["decision"] == "pass"


def test_the_plan_says_what_it_would_do_and_does_nothing(proveout, project):
    ended = proveout("run", "better", "-C", project, "--plan")
    assert ended.code == 0
    assert f"{2 * EXAMPLES:,} calls" in ended.err
    assert "points" in ended.err
    assert "no run with a scorecard" in proveout("report", "latest", "-C", project).err


def test_the_plan_says_that_single_answers_do_not_show_stability(proveout, tmp_path):
    variants = {name: answers(0.7, seed) for seed, name in enumerate(("base", "other"))}
    service = {"objectives": {"stability": {"margin": 0.05}}}
    changes = {"other": {"challenger": "other", "improves": []}}
    root = replay_project(tmp_path / "recorded", golden(), variants, changes=changes, service=service)
    said = proveout("run", "other", "-C", root, "--plan").err
    assert "Stability can't be measured: every example is answered once." in said
    assert "shows" not in said


def test_recordings_are_planned_without_calls_for_a_load_test(proveout, tmp_path):
    variants = {name: answers(0.7, seed) for seed, name in enumerate(("base", "other"))}
    service = {"objectives": {"latency": {"slo": {"e2e_p95": "2s"}, "margin": "10%"}}}
    changes = {"other": {"challenger": "other", "improves": []}}
    root = replay_project(tmp_path / "recorded", golden(), variants, changes=changes, service=service)
    assert f"{2 * EXAMPLES:,} calls" in proveout("run", "other", "-C", root, "--plan").err


def test_trying_until_something_wins_does_not_work(proveout, tmp_path):
    """Twenty equal challengers claim to be better: each gets less of the error budget than the one before."""
    variants = {"base": answers(0.7, 0)} | {f"try{n}": answers(0.7, 100 + n) for n in range(8)}
    changes = {f"try{n}": {"challenger": f"try{n}", "improves": ["accuracy"]} for n in range(8)}
    root = replay_project(tmp_path / "many", golden(), variants, changes=changes)
    lines = []
    for number in range(8):
        proveout("run", f"try{number}", "-C", root, "--json", tmp_path / "out.json")
        lines += json.loads((tmp_path / "out.json").read_text())["ledger"]
    assert [line["attempt"] for line in lines] == list(range(1, 9))
    assert sum(line["alpha"] for line in lines) <= 0.05
    assert lines[-1]["alpha"] < lines[0]["alpha"]
    assert len(lines[-1]["variants"]) == 8


def test_judging_the_same_evidence_again_is_the_same_try(proveout, project, tmp_path):
    lines = []
    for _ in range(2):
        proveout("run", "better", "-C", project, "--json", tmp_path / "out.json")
        lines.append(json.loads((tmp_path / "out.json").read_text())["ledger"])
    assert lines[0] == lines[1]
    assert lines[0][0]["attempt"] == 1


def test_a_missing_recording_is_a_failed_call_and_too_many_are_an_error(proveout, tmp_path):
    kept = {id: answer for id, answer in answers(0.9, 2).items() if int(id[1:]) % 5}
    root = replay_project(
        tmp_path / "gaps",
        golden(),
        {"base": answers(0.7, 1), "gaps": kept},
        changes={"gaps": {"challenger": "gaps", "improves": []}},
    )
    ended = proveout("run", "gaps", "-C", root, "--json", tmp_path / "out.json")
    card = json.loads((tmp_path / "out.json").read_text())
    assert ended.code == 4
    assert card["decision"] == "error"
    assert card["calls"]["failed"] == EXAMPLES // 5
    assert "20.0% of the challenger's calls" in card["gates"][0]["reason"]


def test_compare_needs_no_change_file(proveout, project, tmp_path):
    ended = proveout(
        "compare", "answers", "base", "better", "-C", project, "--improves", "accuracy", "--json", tmp_path / "c.json"
    )
    assert ended.code == 0
    assert json.loads((tmp_path / "c.json").read_text())["change"] == "base-vs-better"


def test_a_limit_takes_whole_clusters(proveout, project, tmp_path):
    proveout("run", "better", "-C", project, "--limit", 100, "--json", tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text())["gates"][0]["champion"]["n"] == 100


def test_repeats_of_a_recording_measure_stability(proveout, tmp_path):
    draw = random.Random(3)
    steady = {f"e{n}": [str(n)] * 4 for n in range(150)}
    shaky = {f"e{n}": [str(n) if draw.random() < 0.8 else "no" for _ in range(4)] for n in range(150)}
    root = replay_project(
        tmp_path / "repeats",
        golden(150),
        {"steady": steady, "shaky": shaky},
        changes={"shaky": {"challenger": "shaky", "improves": []}},
        service={"objectives": {"stability": {"margin": 0.05}}},
    )
    ended = proveout("run", "shaky", "-C", root, "--json", tmp_path / "out.json")
    card = json.loads((tmp_path / "out.json").read_text())
    assert ended.code == 1
    assert card["gates"][0]["metric"] == "agreement"
    assert card["gates"][0]["champion"]["value"] == 1.0
    assert {measure["metric"] for measure in card["measures"]} >= {"tar_raw", "tar_answer"}


@pytest.mark.parametrize(("more", "repeats"), [([], 4), (["--repeats", 3], 3)])
def test_a_recording_that_repeats_some_examples_measures_stability_on_them(proveout, tmp_path, more, repeats):
    steady = {f"e{n}": [str(n)] * (4 if n < 60 else 1) for n in range(150)}
    root = replay_project(
        tmp_path / "some",
        golden(150),
        {"steady": steady, "other": steady},
        changes={"other": {"challenger": "other", "improves": []}},
        service={"objectives": {"accuracy": {"margin": 0.1}, "stability": {"margin": 0.1}}},
    )
    ended = proveout("run", "other", "-C", root, "--json", tmp_path / "out.json", *more)
    card = json.loads((tmp_path / "out.json").read_text())
    assert ended.code == 0
    assert [gate["champion"]["n"] for gate in card["gates"]] == [150, 60]
    assert card["calls"] == {"made": 2 * (90 + 60 * repeats), "cached": 0, "failed": 0}


def test_security_is_judged_in_staging_and_holds_up_nothing_in_dev(proveout, tmp_path):
    service = {"objectives": {"accuracy": {"margin": 0.1}, "security": {"margin": 0.01}}}
    changes = {"better": {"challenger": "better", "improves": ["accuracy"]}}
    variants = {"base": answers(0.7, 1), "better": answers(0.85, 2)}
    root = replay_project(tmp_path / "secure", golden(), variants, changes=changes, service=service)
    file = tmp_path / "out.json"
    ended = proveout("run", "better", "-C", root, "--json", file)
    assert (ended.code, [gate["objective"] for gate in json.loads(file.read_text())["gates"]]) == (0, ["accuracy"])
    assert "In dev, security is not judged; --stage staging does it." in ended.err
    asked = proveout("run", "better", "-C", root, "--gates", "security")
    assert (asked.code, "write --stage staging" in asked.err) == (2, True)
    assert proveout("run", "better", "-C", root, "--stage", "staging", "--json", file).code == 4
    last = json.loads(file.read_text())["gates"][-1]
    assert (last["objective"], last["verdict"]) == ("security", "error")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "nothing"], "there is no change 'nothing'; known changes: better, close, same, worse"),
        (["run", "better", "--gates", "speed"], "no objective 'speed'"),
        (["run", "better", "--stage", "prod"], "write dev or staging"),
        (["run", "better", "--limit", "0"], "--limit"),
        (["run"], "CHANGE"),
        (["compare", "other", "base", "better"], "known services: answers"),
        (["compare", "answers", "base", "unknown"], "known: base, better, close, worse"),
        (["compare", "answers", "base", "better", "--improves", "speed"], "write some of"),
        (["report", "20200101"], "is no run with a scorecard"),
        (["fly"], "fly"),
    ],
)
def test_wrong_input_exits_with_2_and_says_what_to_write(proveout, project, words, said):
    ended = proveout(*words, "-C", project)
    assert ended.code == 2
    assert said in ended.err
    assert "Traceback" not in ended.err


def test_no_project_says_where_it_looked(proveout, tmp_path):
    ended = proveout("run", "better", "-C", tmp_path)
    assert ended.code == 2
    assert "proveout.yaml" in ended.err
    assert "proveout init" in ended.err


def test_all_problems_of_a_project_are_named_at_once(proveout, project):
    service = project / "services" / "answers"
    (service / "variants" / "better.yaml").write_text(
        "variant: better\nmodel: {provider: opnai, name: x}\nprompt: prompts/gone.md\n"
    )
    (service / "changes" / "worse.yaml").write_text(
        "change: worse\nservice: answers\nchallenger: nobody\nimproves: [speed]\n"
    )
    ended = proveout("run", "close", "-C", project)
    assert ended.code == 2
    for said in ("variants/better.yaml:2", "opnai", "prompts/gone.md", "changes/worse.yaml:3", "nobody", "speed"):
        assert said in ended.err


def test_bad_rows_are_named_by_line_and_nothing_runs(proveout, project):
    file = project / "services" / "answers" / "datasets" / "golden.jsonl"
    file.write_text(file.read_text() + '{"id": "e1", "input": {"question": "again"}, "expected": "1"}\nnot json\n')
    ended = proveout("run", "better", "-C", project)
    assert ended.code == 2
    assert f"golden.jsonl:{EXAMPLES + 1}" in ended.err
    assert f"golden.jsonl:{EXAMPLES + 2}" in ended.err


def test_an_unset_secret_is_named_before_anything_is_called(proveout, project, monkeypatch):
    monkeypatch.delenv("SOME_KEY", raising=False)
    (project / "services" / "answers" / "variants" / "better.yaml").write_text(
        "variant: better\nmodel: {provider: openai, name: gpt-4o-mini, key: env:SOME_KEY}\nprompt: prompts/ask.md\n"
    )
    ended = proveout("run", "better", "-C", project)
    assert ended.code == 2
    assert "SOME_KEY" in ended.err


@pytest.mark.parametrize("flag", ["--json", "--html", "--markdown", "--junit"])
def test_a_report_that_can_not_be_written_is_refused_before_anything_is_called(proveout, project, tmp_path, flag):
    wanted = tmp_path / "no" / "such" / "folder.out"
    ended = proveout("run", "better", "-C", project, flag, wanted)
    assert ended.code == 2
    assert f"{wanted} can't be written: its folder is not there" in ended.err
    assert not list(project.glob(".proveout/*.db"))
    assert proveout("run", "better", "-C", project, flag, tmp_path).code == 2


@pytest.mark.parametrize("command", ["selftest", "loadtest"])
def test_other_reports_are_refused_as_early(proveout, project, tmp_path, command):
    ended = proveout(command, "answers", "-C", project, "--json", tmp_path / "none" / "out.json")
    assert ended.code == 2
    assert "out.json can't be written: its folder is not there" in ended.err


def test_check_counts_what_there_is(proveout, project):
    ended = proveout("check", "-C", project)
    assert ended.code == 0
    assert "4 variants, 4 changes, 400 golden examples" in ended.out


def test_selftest_shows_its_own_error_rates(proveout, project, tmp_path):
    ended = proveout("selftest", "answers", "-C", project, "--comparisons", 300, "--json", tmp_path / "self.json")
    result = json.loads((tmp_path / "self.json").read_text())
    assert ended.code == 0
    assert result["schema"] == "proveout.selftest/v1"
    assert result["false_pass"]["low"] <= 0.05
    assert result["false_pass"]["n"] == 300
