"""A variant's fingerprint: the hash of all that its answers depend on, and of nothing else.

What is hashed is the meaning, not the spelling: mappings have no order, 0 and 0.0 are one number, files are their
bytes, wherever they lie.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import file_digest, sha256
from pathlib import Path, PurePath
from typing import Any

from proveout.project.prompts import Prompt
from proveout.project.records import ModelSpec, OutputContract, Secret

LENGTH = 16
"""Hexadecimal digits: 64 bits, enough that no two of a team's variants share one."""

_VERSION = 1

_TINY = Path(__file__).parents[1] / "models" / "tiny" / "files" / "manifest.json"
"""What ships with the package about the built-in model's files."""


def fingerprint(
    model: ModelSpec,
    parameters: Mapping[str, Any],
    prompt: Prompt,
    preprocess: Sequence[Mapping[str, Any]],
    postprocess: Sequence[Mapping[str, Any]],
    output: OutputContract,
) -> str:
    """The fingerprint of a variant of these parts. Its name, key, limits and lineage are not among them."""
    meaning = {
        "version": _VERSION,
        "model": _model(model),
        "parameters": parameters,
        "prompt": _prompt(prompt),
        "preprocess": _steps(preprocess),
        "postprocess": _steps(postprocess),
        "choices": None if output.choices is None else sorted(output.choices),
        "schema": output.schema,
    }
    return sha256(canonical(meaning)).hexdigest()[:LENGTH]


def canonical(value: Any) -> bytes:
    """Plain data in the one spelling that is hashed."""
    return json.dumps(
        _normal(value), sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False
    ).encode()


def _normal(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _normal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_normal(item) for item in value]
    return value


def _model(model: ModelSpec) -> dict[str, Any]:
    """A recording without a name is priced by that of its file, so the file's name counts, wherever it lies."""
    options = dict(model.options)
    name = model.name
    if "path" in options:
        name = name or PurePath(options["path"]).name.partition(".")[0]
        options["path"] = _digest(options["path"])
    if model.provider == "tiny":
        options["weights"] = _tiny_weights(_TINY, options.get("build", "f16"))
    headers = {
        name.lower(): value for name, value in options.pop("headers", {}).items() if not isinstance(value, Secret)
    }
    url = None if model.url is None else model.url.rstrip("/")
    return {"provider": model.provider, "name": name, "url": url, "options": options, "headers": headers}


@lru_cache
def _tiny_weights(manifest: Path, build: str) -> tuple[str, ...]:
    """The digests of the files that a build of the built-in model is made of. Its engine takes no others."""
    told = json.loads(manifest.read_text("utf-8"))
    return tuple(told["files"][name]["sha256"] for name in (*told["builds"][build]["files"], "tokenizer.json"))


def _prompt(prompt: Prompt) -> dict[str, Any]:
    return {
        "sections": prompt.sections,
        "includes": prompt.includes,
        "examples": prompt.examples,
        "inputs": prompt.inputs if not any(role == "user" for role, _ in prompt.sections) else None,
    }


def _steps(steps: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [_team_code(step["python"]) if "python" in step else step for step in steps]


def _team_code(reference: str) -> dict[str, str]:
    path, _, function = reference.rpartition(":")
    return {"python": _digest(path), "function": function}


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()
