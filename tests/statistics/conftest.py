"""The made-up experiments that the benchmark simulates at large are simulated here at small."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks" / "statistics"


def _scenarios(name: str):
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return import_module(name)
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="session")
def paired_scenarios():
    return _scenarios("paired_scenarios")


@pytest.fixture(scope="session")
def agreement_scenarios():
    return _scenarios("agreement_scenarios")
