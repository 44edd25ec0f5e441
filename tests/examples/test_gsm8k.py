"""Real outputs of two real models: the figures that their authors recorded, and the right verdicts."""

from __future__ import annotations

from typing import Any

import pytest

from proveout.project import load_project, read_examples

pytestmark = pytest.mark.xdist_group("examples")


def test_the_prepared_project_loads(gsm8k: Any) -> None:
    service = load_project(gsm8k.folder).services["arithmetic"]
    assert len(list(read_examples(service.datasets["golden"], service.inputs))) == 1319


def test_the_better_model_passes_with_the_recorded_figures(gsm8k: Any) -> None:
    code, scorecard = gsm8k.run("better")
    (gate,) = scorecard["gates"]
    assert (code, scorecard["decision"]) == (0, "pass")
    assert (gate["objective"], gate["claim"], gate["verdict"]) == ("accuracy", "improves", "pass")
    assert gate["champion"]["value"] == pytest.approx(458 / 1319)
    assert gate["challenger"]["value"] == pytest.approx(742 / 1319)
    assert (gate["champion"]["n"], gate["challenger"]["n"]) == (1319, 1319)
    difference = gate["difference"]
    assert difference["low"] < (742 - 458) / 1319 < difference["high"]


def test_the_worse_model_fails(gsm8k: Any) -> None:
    code, scorecard = gsm8k.run("swapped")
    assert (code, scorecard["decision"]) == (1, "fail")
    assert scorecard["gates"][0]["challenger"]["value"] == pytest.approx(458 / 1319)


def test_a_model_against_itself_does_not_pass_a_claim(gsm8k: Any) -> None:
    code, scorecard = gsm8k.run("same")
    assert code in (1, 3)
    assert scorecard["decision"] in ("fail", "inconclusive")
