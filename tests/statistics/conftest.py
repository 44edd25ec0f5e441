"""The made-up experiments that the benchmark simulates at large are simulated here at small."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks" / "statistics"


@pytest.fixture(scope="session")
def paired_scenarios():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import paired_scenarios  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(BENCHMARKS))
    return paired_scenarios
