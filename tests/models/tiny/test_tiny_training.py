"""The training script, in a few steps, where PyTorch is installed: it writes where it is told to, and nowhere else."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from proveout.models.tiny.weights import BUILDS, FILES, load_weights, manifest

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "examples" / "tiny" / "train.py"
REFERENCE = Path(__file__).parent / "reference.npz"


def digests() -> dict[str, str]:
    """Of all that a training run could overwrite."""
    files = [REFERENCE, *FILES.iterdir(), *SCRIPT.parent.glob("*.*"), *REFERENCE.parent.glob("*.*")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.timeout(600)
def test_a_run_elsewhere_touches_nothing_else(tmp_path: Path):
    pytest.importorskip("torch", reason="training needs PyTorch")
    pytest.importorskip("tokenizers", reason="training needs tokenizers")
    before = digests()
    out = tmp_path / "trained"
    command = [sys.executable, SCRIPT, "--out", out, "--steps", 2, "--lora-steps", 1, "--tickets", 2]
    settings = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(
        [*map(str, command)], cwd=tmp_path, env=os.environ | settings, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert digests() == before
    assert {path.name for path in tmp_path.iterdir()} == {"trained"}
    assert {path.name for path in out.iterdir()} == {*manifest(out)["files"], "manifest.json"}
    for build in BUILDS:
        assert load_weights(build, out).config == load_weights(build).config
        assert f"{build:<5} all" in ended.stdout
    assert re.search(r"\d+ s of processor time; files in .*trained$", ended.stdout.rstrip())
