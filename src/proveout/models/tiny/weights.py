"""The builds of the built-in model: reading its files, undoing quantisation, merging the LoRA adapter, and checking
digests.

Files are safetensors (https://huggingface.co/docs/safetensors): eight bytes of header length, a JSON header, then raw
tensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from proveout.project.records import Lineage

Build = Literal["f16", "int8", "int4", "int2", "lora"]
BUILDS: tuple[Build, ...] = get_args(Build)

FILES = Path(__file__).parent / "files"
TOKENIZER = FILES / "tokenizer.json"
GROUP = 16
"""Neighbouring weights of one row that share a scale."""

Tensor = NDArray[np.float32]
Tensors = dict[str, NDArray[Any]]

_DTYPES = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "I8": np.dtype("i1")}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_BITS: dict[Build, int] = {"int8": 8, "int4": 4, "int2": 2}


class DamagedFile(Exception):
    """A file of the model is not the one that was published."""


@dataclass(frozen=True, slots=True)
class Config:
    """The shape of a Llama decoder with tied embeddings."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    ffn: int
    context: int
    rope_base: float = 10_000.0
    norm_epsilon: float = 1e-5

    @property
    def head_size(self) -> int:
        return self.hidden // self.heads


@dataclass(frozen=True, slots=True)
class Weights:
    """One build, ready to compute with: float32 tensors under the names of Hugging Face's Llama."""

    config: Config
    tensors: Mapping[str, Tensor]


def load_weights(build: Build, folder: Path | None = None) -> Weights:
    """The weights of a build, derived from the files that ship with the package, or from a folder of others.

    Raises:
        DamagedFile: a file's digest is not the one in the manifest.
    """
    folder = folder or FILES
    files = manifest(folder)["files"]
    file = "base.int8.safetensors" if build == "int8" else "base.f16.safetensors"
    stored, metadata = read_safetensors(folder / file, files[file]["sha256"])
    if build == "int8":
        tensors = dequantised(stored)
    elif build == "lora":
        adapter, recipe = read_safetensors(folder / "lora.safetensors", files["lora.safetensors"]["sha256"])
        tensors = merged(_as_float32(stored), adapter, float(recipe["alpha"]))
    else:
        tensors = _as_float32(stored)
        if build in _BITS:
            tensors = {name: _rounded(tensor, _BITS[build]) for name, tensor in tensors.items()}
    return Weights(Config(**json.loads(metadata["config"])), tensors)


@lru_cache(maxsize=4)
def manifest(folder: Path = FILES) -> dict[str, Any]:
    """What the training script wrote about the files: digests, bytes, and the lineage of every build."""
    return json.loads((folder / "manifest.json").read_text("utf-8"))


def weights_digest(build: Build) -> str:
    """Twelve digits of a hash over the build's name and the digests of its files and the tokenizer's."""
    files = [*manifest()["builds"][build]["files"], TOKENIZER.name]
    digests = [manifest()["files"][name]["sha256"] for name in files]
    return hashlib.sha256(" ".join([build, *digests]).encode()).hexdigest()[:12]


def lineage(build: Build) -> Lineage:
    """Where a build comes from: its parents, and the method with seed, recipe and the digest of the data."""
    record = manifest()["builds"][build]
    return Lineage(kind=record["kind"], parents=tuple(record["parents"]), method=record["method"])


def packed_bytes(build: Build) -> int:
    """What a build's weights take in a file: bits a weight, and a 16-bit scale a group, of each matrix; vectors in 16
    bits.
    """
    shapes = [tensor.shape for tensor in load_weights("f16").tensors.values()]
    bits = _BITS.get(build)
    total = 0
    for shape in shapes:
        count = int(np.prod(shape))
        total += 2 * count if bits is None or len(shape) == 1 else count * bits // 8 + 2 * (count // GROUP)
    return total


def quantised(tensor: NDArray[Any], bits: int) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """Symmetric integers of `bits` bits and their scales, one for each group of `GROUP` weights of a row.

    Returns:
        Integers of the tensor's own shape (rows, columns), and scales of shape (rows, columns / GROUP).
    """
    groups = np.asarray(tensor, dtype=np.float32).reshape(tensor.shape[0], -1, GROUP)
    largest = 2 ** (bits - 1) - 1
    scales = (np.abs(groups).max(axis=-1) / largest).astype(np.float16)
    divisors = np.where(scales == 0, np.float32(1), scales.astype(np.float32))[..., None]
    integers = np.clip(np.rint(groups / divisors), -largest - 1, largest)
    return integers.astype(np.int8).reshape(tensor.shape), scales


def restored(integers: NDArray[np.int8], scales: NDArray[np.float16]) -> Tensor:
    """The weights that quantised integers stand for."""
    groups = integers.reshape(*scales.shape, -1).astype(np.float32)
    return (groups * scales.astype(np.float32)[..., None]).reshape(integers.shape)


def quantised_file(tensors: Mapping[str, NDArray[Any]], bits: int) -> Tensors:
    """What a quantised file holds: for each matrix `name` integers and `name.scale`; vectors as they are."""
    stored: Tensors = {}
    for name, tensor in tensors.items():
        if tensor.ndim == 1:
            stored[name] = tensor
        else:
            stored[name], stored[f"{name}.scale"] = quantised(tensor, bits)
    return stored


def dequantised(stored: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """The inverse of `quantised_file`, up to the rounding."""
    return {
        name: restored(tensor, stored[f"{name}.scale"]) if tensor.dtype == np.int8 else tensor.astype(np.float32)
        for name, tensor in stored.items()
        if not name.endswith(".scale")
    }


def merged(base: Mapping[str, Tensor], adapter: Mapping[str, NDArray[Any]], alpha: float) -> dict[str, Tensor]:
    """The base with a LoRA adapter added (Hu et al., arXiv 2106.09685), rounded to 16 bits: W + alpha / rank * B A."""
    tensors = dict(base)
    for name, down in adapter.items():
        if not name.endswith(".lora_A"):
            continue
        target = name.removesuffix(".lora_A")
        up = adapter[f"{target}.lora_B"].astype(np.float32)
        change = up @ down.astype(np.float32) * np.float32(alpha / down.shape[0])
        tensors[target] = (base[target] + change).astype(np.float16).astype(np.float32)
    return tensors


def read_safetensors(path: Path, digest: str | None = None) -> tuple[Tensors, dict[str, str]]:
    """Tensors and metadata of a file, after its SHA-256 was found to be `digest`.

    Raises:
        DamagedFile: it is another.
    """
    data = path.read_bytes()
    if digest is not None and hashlib.sha256(data).hexdigest() != digest:
        raise DamagedFile(f"{path.name} is damaged: its digest is not the published one; install proveout again")
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    tensors: Tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        dtype = _DTYPES[entry["dtype"]]
        flat = np.frombuffer(data, dtype, (end - start) // dtype.itemsize, 8 + length + start)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors, metadata


def write_safetensors(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write tensors in the order of their names."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    chunks: list[bytes] = []
    offset = 0
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        chunk = tensor.tobytes()
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(chunk)],
        }
        chunks.append(chunk)
        offset += len(chunk)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(b"".join([len(head).to_bytes(8, "little"), head, *chunks]))


def _as_float32(tensors: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def _rounded(tensor: Tensor, bits: int) -> Tensor:
    return tensor if tensor.ndim == 1 else restored(*quantised(tensor, bits))
