"""Cost from recordings with token counts and a price book."""

import pytest
from acceptance_projects import answers, examples

SERVICE = """\
service: s
input: [q]
datasets: {golden: datasets/golden.jsonl}
scorers: [exact_match]
champion: a
objectives: {accuracy: {margin: 0.1}, cost: {margin: 0%}}
"""

PRICES = """\
prices:
  - {provider: replay, model: a, since: 2026-01-31, input: 1.0, output: 5.0}
  - {provider: replay, model: b, since: 2026-01-31, input: 0.3, output: 1.0}
"""


@pytest.fixture
def ended(proveout, declared):
    rows = examples(100)
    used, briefer = ({"usage": {"input_tokens": 20, "output_tokens": count}} for count in (5, 4))
    project = declared(
        rows,
        {"a": answers(rows, **used), "b": answers(rows, **briefer)},
        service=SERVICE,
        improves="cost",
        files={"prices.yaml": PRICES},
    )
    return proveout(project, "run", "c")


def test_a_third_of_the_price_is_a_shown_improvement(ended):
    gate = ended.gate("usd_per_request")
    assert (ended.code, gate["verdict"], gate["claim"], gate["higher_is_better"]) == (0, "pass", "improves", False)
    assert gate["champion"]["value"] == pytest.approx(20e-6 * 1 + 5e-6 * 5)
    assert gate["difference"]["value"] == pytest.approx((0.3 * 20 + 1 * 4) / (20 + 25) - 1)


def test_the_interval_of_a_price_is_of_the_order_of_the_price(ended):
    for arm in ("champion", "challenger"):
        figure = ended.gate("usd_per_request")[arm]
        assert 0.5 * figure["value"] < figure["low"] <= figure["value"] <= figure["high"] < 2 * figure["value"]


def test_without_a_price_cost_is_unknown_and_never_nothing(proveout, declared):
    rows = examples(40)
    ended = proveout(
        declared(rows, {"a": answers(rows), "b": answers(rows)}, service=SERVICE, improves="cost"), "run", "c"
    )
    assert (ended.code, ended.gate("usd_per_request")["verdict"]) == (4, "error")
    assert ended.gate("usd_per_request")["difference"]["value"] is None
