"""Judges behind a real endpoint: what they may decide, and what they may not."""

import json
import zlib

import pytest
from acceptance_projects import examples

from proveout.testing.endpoints import ScriptedEndpoint, question

ASKED = 120
LABELLED = 60

SERVICE = """\
service: s
input: [q]
datasets: {{golden: datasets/golden.jsonl}}
scorers:
  - {kind}:
      model: {{provider: openai-compatible, url: "{url}", name: judge}}
      rubric: Says what is good.
      {more}
champion: a
objectives: {{accuracy: {{margin: 0.1}}}}
"""


def text(variant: str, number: int) -> str:
    """Half of the champion's answers are good, and four in five of the challenger's."""
    good = number % 2 == 0 if variant == "a" else number % 5 != 0
    return f"{'GOOD' if good else 'BAD'} {variant}{number}"


def judgement(**verdict) -> str:
    """A judge's JSON."""
    return json.dumps({"reason": "as told", **verdict})


def judge(received):
    """Reads the answer, and errs on one in ten."""
    answer = question(received).split("--- answer ")[1].split("--- end of answer")[0]
    return judgement(**{"pass": ("GOOD" in answer) != (zlib.crc32(answer.split()[-2].encode()) % 10 == 0)})


@pytest.fixture
def run(proveout, declared):
    """Run the claim that the challenger is better, judged by a script."""

    def run(script, *, kind: str = "llm_judge", more: str = "tries: 1", improves: str = "accuracy"):
        rows = [{**row, "expected": None} for row in examples(ASKED)]
        said = {v: [{"id": row["id"], "output": text(v, n)} for n, row in enumerate(rows)] for v in "ab"}
        labels = [
            {**row, "label": row["output"].startswith("GOOD"), "variant": v} for v in "ab" for row in said[v][:LABELLED]
        ]
        files = {"services/s/datasets/judged.jsonl": "".join(json.dumps(label) + "\n" for label in labels)}
        with ScriptedEndpoint(script) as endpoint:
            service = SERVICE.format(kind=kind, url=endpoint.url, more=more)
            ended = proveout(declared(rows, said, service=service, improves=improves, files=files), "run", "c")
        return ended, endpoint.received

    return run


@pytest.mark.parametrize("improves", ["accuracy", ""])
def test_a_judge_that_nobody_calibrated_cannot_pass(run, improves):
    ended, _ = run(judge, improves=improves)
    gate = ended.gate("llm_judge")
    assert (ended.code, gate["verdict"]) == (3, "inconclusive")
    assert gate["difference"]["low"] > 0
    assert "not calibrated" in gate["reason"]


def test_a_calibrated_judge_stretches_peoples_labels(run):
    ended, _ = run(judge, more="calibration: datasets/judged.jsonl")
    gate = ended.gate("llm_judge")
    assert (ended.code, gate["verdict"]) == (0, "pass")
    assert "prediction-powered" in gate["method"]
    assert gate["difference"]["low"] < 0.3 < gate["difference"]["high"]


def test_a_judge_that_says_anything_is_not_calibrated_by_having_a_file(run):
    def guess(received):
        return judgement(**{"pass": zlib.crc32(question(received).encode()) % 2 == 0})

    ended, _ = run(guess, more="calibration: datasets/judged.jsonl")
    assert ended.code != 0
    assert "not calibrated" in ended.gate("llm_judge")["reason"] or ended.gate("llm_judge")["verdict"] != "pass"


def test_a_judge_that_always_likes_the_first_finds_ties_only(run):
    ended, received = run(lambda _: judgement(winner="1"), kind="pairwise_judge")
    gate = ended.gate("pairwise_judge")
    assert ended.code == 3
    assert (gate["champion"]["value"], gate["challenger"]["value"], gate["difference"]["value"]) == (0.5, 0.5, 0)
    assert len(received) == 2 * ASKED


def test_a_judge_that_talks_in_riddles_is_no_score_and_the_reason_is_told(run):
    ended, _ = run(lambda _: judgement(verdict="perhaps"))
    assert (ended.code, ended.gate("llm_judge")["verdict"]) == (4, "error")
    assert any("llm_judge: " in notice["message"] for notice in ended.card["notices"])


def test_both_figures_of_a_stretched_gate_agree_with_their_difference(run):
    ended, _ = run(judge, more="calibration: datasets/judged.jsonl")
    gate = ended.gate("llm_judge")
    assert gate["challenger"]["value"] - gate["champion"]["value"] == pytest.approx(
        gate["difference"]["value"], abs=0.03
    )
    assert 0 <= gate["champion"]["low"] < 0.5 < gate["champion"]["high"] <= 1
    assert 0 <= gate["challenger"]["low"] < 0.8 < gate["challenger"]["high"] <= 1
