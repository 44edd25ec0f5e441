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
from proveout.economics.capacity import Goodput, keep_goodput
from proveout.project import load_project
from proveout.storage import open_store
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
    change: Mapping[str, Any] | None = None,
    cost: Mapping[str, Any] | None = None,
    service: Mapping[str, Any] | None = None,
    again: bool = False,
    champion: Mapping[str, RecordedRow] | None = None,
    hosts: Sequence[Mapping[str, Any]] = (),
    machines: Mapping[str, Mapping[str, Any]] | None = None,
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
            {"base": champion or recorded(1), "cheap": challenger},
            changes={"cheap": {"challenger": "cheap", "improves": list(improves), **(change or {})}},
            service={"objectives": {"accuracy": {"margin": "50%"}, "cost": {"margin": "10%", **(cost or {})}}}
            | dict(service or {}),
            prices=prices,
            hosts=hosts,
            machines=machines,
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
    assert month["value"] == pytest.approx({"p5": -month["p95"], "p50": -month["p50"], "p95": -month["p5"]})
    assert month["payback"] is None
    assert sum(month["counts"]) == month["draws"]
    prices = card["prices"]
    assert (prices["newest"], len(prices["content"]), prices["published"]) == ("2026-01-01", 12, [])


def test_a_price_that_is_not_settled_widens_the_month(tmp_path: Path) -> None:
    offered = {**CHEAP, "uncertainty": "20%"}
    service = {"traffic": {"requests_per_month": 3_000_000}}
    month = run(tmp_path, recorded(2), [BASE, offered], service=service)[1]["impact"]
    assert month["drivers"][0]["name"] == "challenger's prices"
    spread = month["p95"] - month["p5"]
    assert spread == pytest.approx(2 * 1.645 * 0.2 * month["challenger_usd"], rel=0.1)


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
    assert card["prices"]["newest"] == "2026-01-01", "what was known is named all the same"


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
    assert sum(one["challenger_tokens"] for one in shares.values()) == EXAMPLES * 80
    assert sum(one["challenger_usd"] for one in shares.values()) == pytest.approx(
        invoice(challenger, 0.5, 2) * EXAMPLES
    )
    assert shares["talk"]["challenger_n"] == EXAMPLES


def right_in(tenths: int) -> dict[str, RecordedRow]:
    """The recording of the champion with so many right answers in every ten."""
    rows = recorded(1)
    return {
        f"q{index}": RecordedRow({**rows[f"q{index}"], "output": str(index) if index % 10 < tenths else "no"})
        for index in range(EXAMPLES)
    }


def test_better_answers_and_the_effort_of_the_change_count_in_the_month(tmp_path: Path) -> None:
    """10 points more right answers at 0.02 + 0.03 dollars each earn 0.005 a request, 5,000 a month."""
    service = {
        "traffic": {"requests_per_month": 1_000_000},
        "worth": {"usd_per_success": 0.02, "usd_per_failure": 0.03},
    }
    better, champion = right_in(9), right_in(8)
    month = run(
        tmp_path,
        better,
        [BASE, SAME],
        champion=champion,
        change={"migration": {"hours": 100, "usd_per_hour": 90, "usd_per_month": 500}},
        service=service,
    )[1]["impact"]
    assert (month["p50"], month["usd_per_success"]) == (500, 0.05)
    assert month["value"]["p50"] == pytest.approx(4_500, rel=0.05)
    payback = month["payback"]
    assert (payback["usd"], payback["within"]) == (9_000, 12)
    assert payback["months"] == pytest.approx(2, rel=0.05)
    assert payback["soonest"] < payback["months"] < payback["latest"]
    assert payback["in_time"] > 0.99
    assert month["score"] > 60
    assert [driver["name"] for driver in month["drivers"]] == ["successes"]


def test_an_effort_that_nothing_pays_for(tmp_path: Path) -> None:
    month = run(
        tmp_path,
        recorded(1),
        [BASE, SAME],
        change={"migration": {"usd": 1_000}},
        service={"traffic": {"requests_per_month": 1_000_000}},
    )[1]["impact"]
    assert (month["payback"]["months"], month["payback"]["in_time"]) == (None, 0)
    assert month["score"] < 50


HOST = {"name": "h100-x1", "since": "2026-01-01", "usd_per_hour": 2.5}
OWN = {"host": "h100-x1", "goodput": 1, "spare": 1}


def test_machines_of_ones_own_cost_their_share_of_the_month(tmp_path: Path) -> None:
    """3 million requests are 1.14 a second, 2.28 at peak: three replicas of 0.8 and a spare, 4 x $2.50 x 730 h."""
    code, card = run(
        tmp_path,
        recorded(2),
        [BASE],
        service={"traffic": {"requests_per_month": 3_000_000, "uncertainty": "10%"}},
        hosts=[HOST],
        machines={"cheap": OWN},
    )
    gate, (own,) = card["gates"][0], card["hosting"]
    assert (own["variant"], own["replicas"], own["usd_per_month"]) == ("cheap", 4, 7_300)
    assert own["utilisation"] == pytest.approx(3_000_000 / 730 / 3600 / 4)
    assert own["usd_per_million_tokens"] == pytest.approx(7.3 / 3 / 1e3 / mean_tokens(recorded(2)) * 1e6)
    assert gate["challenger"]["value"] == pytest.approx(7_300 / 3_000_000)
    assert (code, gate["verdict"]) == (1, "fail")
    stairs = card["break_even"]
    assert (stairs["own"], stairs["api"]) == ("cheap", "base")
    assert stairs["api_usd_per_request"] == pytest.approx(invoice(recorded(1), 1, 5))
    assert stairs["steps"][0]["replicas"] == 2
    names = {driver["name"] for driver in card["impact"]["drivers"]}
    assert names == {"traffic", "tokens"}
    assert {one["challenger"] for one in card["waste"]} == {None}
    assert sum(one["champion"] for one in card["waste"]) == pytest.approx(100)


def mean_tokens(rows: Mapping[str, RecordedRow]) -> float:
    return sum(row["usage"]["input_tokens"] + row["usage"]["output_tokens"] for row in rows.values()) / len(rows)


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"machines": {"cheap": {"host": "h100-x1"}}, "hosts": [HOST]}, "loadtest answers cheap --saturation"),
        ({"machines": {"cheap": OWN}, "hosts": [{**HOST, "since": "2999-01-01"}]}, "the price of a h100-x1"),
        ({"machines": {"cheap": OWN}, "hosts": [HOST], "service": {}}, "declare traffic"),
    ],
)
def test_what_is_unknown_of_machines_is_said(tmp_path: Path, declared: dict[str, Any], told: str) -> None:
    service = {"traffic": {"requests_per_month": 3_000_000}}
    code, card = run(tmp_path, recorded(2), [BASE], **{"service": service, **declared})
    assert (code, card["gates"][0]["verdict"]) == (4, "error")
    assert told in card["gates"][0]["reason"]


def test_a_measured_goodput_is_found_again_and_its_doubt_counts(tmp_path: Path) -> None:
    """At 20 requests a second one replica serves it all for 1,825 dollars, and the API takes 2,400: cheaper. But 0.4
    are all that is surely shown, and then it takes more than one."""
    arguments = {
        "service": {"traffic": {"requests_per_month": 7_000_000}},
        "hosts": [HOST],
        "machines": {"cheap": {"host": "h100-x1"}},
        "improves": ["cost"],
    }
    run(tmp_path, recorded(2), [BASE], **arguments)
    project = load_project(tmp_path)
    fingerprint = project.services["answers"].variants["cheap"].fingerprint
    for rate, low, high, verdict in ((20.0, 19.0, 21.0, "pass"), (20.0, 0.4, 39.6, "inconclusive")):
        with open_store(project.store_url) as store:
            keep_goodput(store, fingerprint, Goodput(rate, low, high, {}, "2026-11-01T10:00"))
        card = run(tmp_path, recorded(2), [BASE], again=True, **arguments)[1]
        assert card["gates"][0]["verdict"] == verdict, card["gates"][0]["reason"]
        assert card["hosting"][0]["source"] == "load test of 2026-11-01"
    assert "the load test has surely shown" in card["gates"][0]["reason"]
    assert "challenger's goodput" in {driver["name"] for driver in card["impact"]["drivers"]}


NOTHING_MORE = {"margin": "0%"}


def test_at_a_margin_of_nothing_equal_costs_hold(tmp_path: Path) -> None:
    """The design's own sample service declares it."""
    code, card = run(tmp_path, recorded(1), [BASE, SAME], cost=NOTHING_MORE)
    gate = card["gates"][0]
    assert (code, gate["verdict"], gate["difference"]) == (0, "pass", {"value": 0.0, "low": 0.0, "high": 0.0})
    assert "no dearer than the champion: every request costs the same" in gate["reason"]
    assert gate["method"] == "exact sign test: equal cost in all of 120 clusters"


def longer_prompts(tokens: int) -> dict[str, RecordedRow]:
    rows = recorded(1)
    for row in rows.values():
        row["usage"]["input_tokens"] += tokens
    return rows


@pytest.mark.parametrize(
    ("tokens", "verdict", "told"),
    [
        (3, "fail", "dearer than the champion by 0.95% (+3 input and +0 output tokens a request), and a margin of 0%"),
        (-3, "pass", "cheaper than the champion, which a margin of 0% asks where costs differ at all"),
    ],
)
def test_at_a_margin_of_nothing_a_few_tokens_decide(tmp_path: Path, tokens: int, verdict: str, told: str) -> None:
    gate = run(tmp_path, longer_prompts(tokens), [BASE, SAME], cost=NOTHING_MORE)[1]["gates"][0]
    assert (gate["verdict"], told in gate["reason"]) == (verdict, True), gate["reason"]


def test_at_a_margin_of_nothing_costs_that_differ_by_chance_are_not_decided(tmp_path: Path) -> None:
    code, card = run(tmp_path, recorded(3), [BASE, SAME], cost=NOTHING_MORE)
    assert (code, card["gates"][0]["verdict"]) == (3, "inconclusive")
    assert "where costs differ at all" in card["gates"][0]["reason"]


def test_at_a_margin_of_nothing_equal_successes_hold_too(tmp_path: Path) -> None:
    cost = {**NOTHING_MORE, "metric": "usd_per_success"}
    assert run(tmp_path / "equal", recorded(1), [BASE, SAME], cost=cost)[0] == 0
    assert run(tmp_path / "fewer", right_in(8), [BASE, SAME], cost=cost, champion=right_in(9))[0] == 1
