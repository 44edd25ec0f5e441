"""The cost gate through `proveout run` on replayed usage: verdicts, unknown prices, cached calls, the month."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from proveout.cli import main
from proveout.testing.projects import RecordedRow, replay_project

EXAMPLES = 120
BASE = {"provider": "replay", "model": "base", "since": "2026-01-01", "input": 1.0, "output": 5.0}
CHEAP = {"provider": "replay", "model": "cheap", "since": "2026-01-01", "input": 0.5, "output": 2.0}
SAME = {**BASE, "model": "cheap"}


def recorded(seed: int, *, right: float = 0.9, longer: float = 1.0, usage: bool = True) -> dict[str, RecordedRow]:
    draw = random.Random(seed)
    rows: dict[str, RecordedRow] = {}
    for index in range(EXAMPLES):
        row = RecordedRow(output=str(index) if draw.random() < right else "no")
        tokens = {"input_tokens": 200 + index % 7, "output_tokens": round(longer * draw.lognormvariate(3, 0.5)) + 1}
        if usage:
            row["usage"] = tokens
        rows[f"q{index}"] = row
    return rows


def run(
    folder: Path,
    challenger: Mapping[str, RecordedRow],
    prices: Sequence[Mapping[str, Any]],
    *,
    improves: Sequence[str] = (),
    cost: Mapping[str, Any] | None = None,
    service: Mapping[str, Any] | None = None,
    again: bool = False,
) -> tuple[int, dict[str, Any]]:
    """`proveout run`, in this process: exit code and scorecard."""
    if not again:
        golden = [
            {"id": f"q{index}", "input": {"question": f"What is {index}?"}, "expected": str(index)}
            for index in range(EXAMPLES)
        ]
        replay_project(
            folder,
            golden,
            {"base": recorded(1), "cheap": challenger},
            changes={"cheap": {"challenger": "cheap", "improves": list(improves)}},
            service={"objectives": {"accuracy": {"margin": "50%"}, "cost": {"margin": "10%", **(cost or {})}}}
            | dict(service or {}),
            prices=prices,
        )
    out = folder / "card.json"
    arguments = ["proveout", "run", "cheap", "-C", str(folder), "--gates", "cost", "--yes", "--json", str(out)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as stopped:
            main()
    return int(stopped.value.code or 0), json.loads(out.read_text())


def notice(card: Mapping[str, Any], kind: str) -> dict[str, Any] | None:
    return next((one for one in card["notices"] if one["kind"] == kind), None)


def invoice(rows: Mapping[str, RecordedRow], input: float, output: float) -> float:
    """Dollars per request, added up by hand."""
    spent = [row["usage"]["input_tokens"] * input + row["usage"]["output_tokens"] * output for row in rows.values()]
    return sum(spent) / 1e6 / len(spent)


def test_a_cheaper_challenger_passes_its_claim_and_the_month_is_told(tmp_path: Path) -> None:
    challenger = recorded(2)
    traffic = {"traffic": {"requests_per_month": 3_000_000, "uncertainty": "15%"}}
    code, card = run(tmp_path, challenger, [BASE, CHEAP], improves=["cost"], service=traffic)
    gate = card["gates"][0]
    old, new = invoice(recorded(1), 1, 5), invoice(challenger, 0.5, 2)
    assert (code, gate["verdict"], gate["metric"], gate["unit"]) == (0, "pass", "usd_per_request", "usd")
    assert gate["champion"]["value"] == pytest.approx(old)
    assert gate["challenger"]["value"] == pytest.approx(new)
    assert gate["difference"]["value"] == pytest.approx(new / old - 1)
    assert gate["higher_is_better"] is False
    assert {one["metric"] for one in card["measures"]} == {"input_tokens", "output_tokens", "usd_per_success"}
    month = card["impact"]
    assert month["p5"] < month["p50"] < month["p95"] < 0
    assert month["champion_usd"] == pytest.approx(3_000_000 * old)
    assert (month["saves"], month["drivers"][0]["name"]) == (1.0, "traffic")
    assert month["score"] > 90
    prices = notice(card, "prices")
    assert prices is not None
    assert "newest from 2026-01-01, content" in prices["message"]


def test_a_dearer_challenger_fails_to_hold(tmp_path: Path) -> None:
    code, card = run(tmp_path, recorded(2, longer=3), [BASE, SAME])
    assert (code, card["gates"][0]["verdict"]) == (1, "fail")
    assert card["impact"] is None


def test_equal_cost_holds_the_margin_but_claims_nothing(tmp_path: Path) -> None:
    assert run(tmp_path / "holds", recorded(1), [BASE, SAME])[0] == 0
    code, card = run(tmp_path / "claims", recorded(3), [BASE, SAME], improves=["cost"])
    assert (code, card["gates"][0]["verdict"]) == (3, "inconclusive")


def test_cheap_wrong_answers_cost_more_per_success(tmp_path: Path) -> None:
    slightly = {**BASE, "model": "cheap", "input": 0.9, "output": 4.5}
    code, card = run(tmp_path, recorded(2, right=0.4), [BASE, slightly], cost={"metric": "usd_per_success"})
    gate = card["gates"][0]
    assert (code, gate["verdict"], gate["metric"]) == (1, "fail", "usd_per_success")
    assert gate["difference"]["value"] > 0.5
    assert {one["metric"] for one in card["measures"]} == {"input_tokens", "output_tokens", "usd_per_request"}


def test_an_unknown_price_is_no_price_of_nothing(tmp_path: Path) -> None:
    code, card = run(tmp_path, recorded(2), [BASE], improves=["cost"])
    gate = card["gates"][0]
    assert (code, gate["verdict"]) == (4, "error")
    assert "the price of replay cheap (variant cheap)" in gate["reason"]
    assert "- {provider: replay, model: cheap, since: " in gate["reason"]


def test_a_price_that_has_not_begun_is_unknown(tmp_path: Path) -> None:
    code, card = run(tmp_path, recorded(2), [BASE, {**CHEAP, "since": "2999-01-01"}])
    assert (code, card["gates"][0]["verdict"]) == (4, "error")


def test_answers_without_usage_are_not_priced(tmp_path: Path) -> None:
    code, card = run(tmp_path, recorded(2, usage=False), [BASE, CHEAP])
    assert code == 4
    assert "120 of 120 answers of cheap came without token counts" in card["gates"][0]["reason"]


def test_a_second_run_from_the_cache_costs_the_same(tmp_path: Path) -> None:
    first = run(tmp_path, recorded(2), [BASE, CHEAP])[1]
    second = run(tmp_path, recorded(2), [BASE, CHEAP], again=True)[1]
    assert first["gates"][0]["champion"] == second["gates"][0]["champion"]
    assert first["gates"][0]["difference"] == second["gates"][0]["difference"]


def test_a_runaway_answer_is_pointed_out(tmp_path: Path) -> None:
    challenger = recorded(2)
    challenger["q5"]["usage"] = {"input_tokens": 205, "output_tokens": 60_000}
    challenger["q5"]["finish_reason"] = "length"
    card = run(tmp_path, challenger, [BASE, CHEAP])[1]
    odd, tail = notice(card, "odd_tokens"), notice(card, "cost_tail")
    assert odd is not None
    assert odd["count"] == 1
    assert tail is not None
    assert tail["variant"] == "cheap"


def test_what_of_the_bill_could_be_saved_is_told(tmp_path: Path) -> None:
    challenger = recorded(2)
    for row in challenger.values():
        row["output"] = f"The answer to this is, as far as I can tell, {row['output']}"
        row["usage"] = {"input_tokens": 20, "output_tokens": 60}
    card = run(tmp_path, challenger, [BASE, CHEAP], service={"output": {"choices": [str(n) for n in range(EXAMPLES)]}})[
        1
    ]
    shares = {one["kind"]: one for one in card["waste"]}
    assert round(sum(one["challenger"] for one in shares.values()), 6) == 100
    assert shares["talk"]["challenger"] > 50 > shares["talk"]["champion"]
    told = notice(card, "waste")
    assert told is not None
    assert told["variant"] == "cheap"
    assert "text beside the answer" in told["message"]
