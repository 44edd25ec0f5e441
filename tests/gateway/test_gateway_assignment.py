"""Assignment: by weight, stable, and moving only those units that must move."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.gateway.assignment import Draw, unit_hash

UNITS = [f"user-{number}" for number in range(400)]
weight = st.floats(0.001, 100)
weight_sets = st.dictionaries(st.sampled_from("abcdef"), weight, min_size=2)


@given(weight_sets, st.text())
@settings(derandomize=True, deadline=None)
def test_a_unit_always_gets_the_same_variant(weights: dict[str, float], unit: str) -> None:
    reordered = dict(reversed(weights.items()))
    choice = Draw("triage", weights)(unit)
    assert choice == Draw("triage", reordered)(unit)
    assert choice.propensity == pytest.approx(weights[choice.variant] / sum(weights.values()))


@given(weight_sets, st.data())
@settings(derandomize=True, deadline=None, max_examples=40)
def test_where_one_weight_grows_units_move_to_it_only(weights: dict[str, float], data: st.DataObject) -> None:
    grown = data.draw(st.sampled_from(sorted(weights)))
    more = {**weights, grown: weights[grown] * data.draw(st.floats(1, 50))}
    before, after = Draw("triage", weights), Draw("triage", more)
    for unit in UNITS:
        assert after(unit).variant in (before(unit).variant, grown)


@given(weight_sets, st.data())
@settings(derandomize=True, deadline=None, max_examples=40)
def test_a_variant_taken_out_moves_its_own_units_only(weights: dict[str, float], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(sorted(weights)))
    before, after = Draw("triage", weights), Draw("triage", {**weights, gone: 0.0} if len(weights) > 1 else weights)
    for unit in UNITS:
        assert before(unit).variant in (after(unit).variant, gone)
        assert after(unit).variant != gone


def test_shares_are_those_of_the_weights() -> None:
    draw = Draw("triage", {"base": 0.9, "haiku": 0.07, "mini": 0.03})
    counts = Counter(draw(f"unit-{number}").variant for number in range(20_000))
    for variant, share in draw.propensities.items():
        spread = (20_000 * share * (1 - share)) ** 0.5
        assert abs(counts[variant] - 20_000 * share) < 4 * spread


def test_two_services_and_two_challengers_split_their_units_independently() -> None:
    first = {unit for unit in UNITS if Draw("a", {"x": 1, "y": 1})(unit).variant == "y"}
    second = {unit for unit in UNITS if Draw("b", {"x": 1, "y": 1})(unit).variant == "y"}
    third = {unit for unit in UNITS if Draw("a", {"x": 1, "z": 1})(unit).variant == "z"}
    assert abs(len(first & second) - 100) < 40
    assert abs(len(first & third) - 100) < 60


@pytest.mark.parametrize("weights", [{}, {"a": 0.0}, {"a": -1.0, "b": 2.0}, {"a": float("nan")}])
def test_weights_that_are_none_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="weight"):
        Draw("triage", weights)


def test_every_process_agrees() -> None:
    program = (
        "from proveout.gateway.assignment import Draw, unit_hash\n"
        "print([Draw('s', {'a': 1, 'b': 2})(str(n)).variant for n in range(20)], unit_hash('s', 'u'))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert told == f"{[Draw('s', {'a': 1, 'b': 2})(str(n)).variant for n in range(20)]} {unit_hash('s', 'u')}"


def test_a_trace_does_not_hold_the_unit() -> None:
    assert "alice" not in unit_hash("triage", "alice")
    assert unit_hash("triage", "alice") == unit_hash("triage", "alice") != unit_hash("chat", "alice")
