"""An example of the repository, copied, prepared from the shared data, and run as its README says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
DATA = Path("../shared/data")
GENERATED = shutil.ignore_patterns("datasets", "recordings", ".proveout", "__pycache__")


@dataclass(frozen=True)
class Prepared:
    """An example's folder with its data in place."""

    folder: Path

    def run(self, change: str) -> tuple[int, dict[str, Any]]:
        """The exit code and the scorecard of `proveout run`."""
        scorecard = self.folder / f"{change}.json"
        command = [sys.executable, "-m", "proveout", "run", change, "-C", str(self.folder), "--json", str(scorecard)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert scorecard.exists(), done.stdout + done.stderr
        return done.returncode, json.loads(scorecard.read_text())

    def rows(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]


def prepared(name: str, data: str, into: Path) -> Prepared:
    if not (DATA / data).exists():
        pytest.skip("needs ../shared/data")
    folder = into / name
    shutil.copytree(EXAMPLES / name, folder, ignore=GENERATED)
    subprocess.run([sys.executable, str(folder / "prepare.py"), str(DATA / data)], check=True, capture_output=True)
    return Prepared(folder)


@pytest.fixture(scope="session")
def gsm8k(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared("gsm8k", "gsm8k-solutions/175b.jsonl", tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="session")
def banking77(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared("banking77", "banking77", tmp_path_factory.mktemp("examples"))
