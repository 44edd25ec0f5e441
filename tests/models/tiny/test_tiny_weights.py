from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from proveout.models.tiny import weights as room
from proveout.models.tiny.weights import (
    BUILDS,
    FILES,
    GROUP,
    DamagedFile,
    lineage,
    load_weights,
    manifest,
    packed_bytes,
    quantised,
    quantised_file,
    read_safetensors,
    restored,
    weights_digest,
    write_safetensors,
)

MATRIX = arrays(np.float32, (4, 2 * GROUP), elements=st.floats(-4, 4, width=32))


def test_the_files_are_those_that_the_manifest_names():
    files = manifest()["files"]
    assert {path.name for path in FILES.iterdir()} == {*files, "manifest.json"}
    for name, record in files.items():
        data = (FILES / name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (record["sha256"], record["bytes"])


def test_the_files_stay_small():
    assert (FILES / "base.int8.safetensors").stat().st_size < 1_000_000
    assert sum(path.stat().st_size for path in FILES.iterdir()) < 2_200_000


def test_the_eight_bit_file_is_the_quantised_sixteen_bit_file():
    base, _ = read_safetensors(FILES / "base.f16.safetensors")
    stored, _ = read_safetensors(FILES / "base.int8.safetensors")
    derived = quantised_file(base, 8)
    assert stored.keys() == derived.keys()
    assert all(np.array_equal(stored[name], derived[name]) for name in stored)


def test_packed_sizes_are_those_of_files():
    header = 8_000
    assert 0 <= (FILES / "base.f16.safetensors").stat().st_size - packed_bytes("f16") < header
    assert 0 <= (FILES / "base.int8.safetensors").stat().st_size - packed_bytes("int8") < header
    assert packed_bytes("f16") > packed_bytes("int8") > packed_bytes("int4") > packed_bytes("int2")


@given(MATRIX, st.sampled_from([8, 4]))
def test_rounding_is_off_by_half_a_step_at_most(matrix: np.ndarray, bits: int):
    integers, scales = quantised(matrix, bits)
    errors = np.abs(restored(integers, scales) - matrix).reshape(4, 2, GROUP)
    steps = scales.astype(np.float32)[..., None]
    # Scales are rounded to 16 bits themselves, which may shift the largest integer by 2^-10 of itself.
    slack = steps * 2 ** (bits - 1) * 2.0**-10 + 2.0**-14
    assert (errors <= steps / 2 + slack).all()
    assert np.abs(integers).max() <= 2 ** (bits - 1)


@given(MATRIX)
def test_quantising_twice_changes_nothing_more(matrix: np.ndarray):
    once = restored(*quantised(matrix, 8))
    again = restored(*quantised(once, 8))
    assert np.allclose(once, again, atol=2.0**-9)


def test_every_build_has_its_lineage_down_to_the_data():
    for build in BUILDS:
        record = lineage(build)
        assert record.kind == {"f16": "engine", "lora": "finetuned"}.get(build, "quantised")
        assert record.parents == (() if build == "f16" else ("f16",))
    for build in ("f16", "lora"):
        assert re.fullmatch("[0-9a-f]{64}", lineage(build).method["data_sha256"])
        assert lineage(build).method["seed"] is not None
    assert lineage("int4").method["bits"] == 4


def test_every_build_has_a_digest_of_its_own():
    assert len({weights_digest(build) for build in BUILDS}) == len(BUILDS)


def test_the_adapter_changes_its_targets_and_nothing_else():
    base, tuned = load_weights("f16").tensors, load_weights("lora").tensors
    changed = {name.split(".")[-2] for name in base if not np.array_equal(base[name], tuned[name])}
    assert changed == set(lineage("lora").method["targets"])


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for path in FILES.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    damaged = bytearray((tmp_path / "base.f16.safetensors").read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "base.f16.safetensors").write_bytes(damaged)
    monkeypatch.setattr(room, "FILES", tmp_path)
    with pytest.raises(DamagedFile, match=r"base\.f16\.safetensors is damaged"):
        load_weights("f16")
    load_weights("int8")


def test_safetensors_are_read_as_they_were_written(tmp_path: Path):
    tensors = {
        "b": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a": np.array([-1, 2], dtype=np.int8),
        "c": np.zeros((0, 4), dtype=np.float16),
    }
    write_safetensors(tmp_path / "x.safetensors", tensors, {"key": "value"})
    found, metadata = read_safetensors(tmp_path / "x.safetensors")
    assert metadata == {"key": "value"}
    assert found.keys() == tensors.keys()
    assert all(np.array_equal(found[name], tensors[name]) for name in tensors)
    assert all(found[name].dtype == tensors[name].dtype for name in tensors)


@pytest.mark.parametrize("build", BUILDS)
def test_a_build_loads_within_fifty_milliseconds(build: str):
    program = (
        "import time; from proveout.models.tiny import engine, model, weights; weights.manifest();"
        "started = time.process_time();"
        f"engine.Engine(weights.load_weights({build!r})); model.load_tokenizer();"
        "print(time.process_time() - started)"
    )
    times = [
        float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(times) <= 0.05
