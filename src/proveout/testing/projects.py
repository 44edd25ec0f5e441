"""Writes a small project of replayed variants, for tests of everything that runs one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Outputs = Mapping[str, Any]
"""By example id: one output, or a list of successive repeats. A `RecordedRow` says more than the output."""


class RecordedRow(dict[str, Any]):
    """A row of a recording but for its id: `output`, and what else is known (`usage`, `timings`, `finish_reason`)."""


def replay_project(
    folder: Path,
    golden: Iterable[Mapping[str, Any]],
    variants: Mapping[str, Outputs],
    *,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    service: Mapping[str, Any] | None = None,
    datasets: Mapping[str, Iterable[Mapping[str, Any]]] | None = None,
    defaults: Mapping[str, Any] | None = None,
    prices: Iterable[Mapping[str, Any]] | None = None,
    hosts: Iterable[Mapping[str, Any]] = (),
    machines: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Write a project with one service `answers`, and return its folder.

    Args:
        folder: where to.
        golden: the golden examples as rows of the dataset file.
        variants: each variant's recorded outputs; the first one is the champion.
        changes: by name, what a change file says beside its name and service.
        service: what the service file says beside or instead of the defaults here.
        datasets: other datasets by kind.
        defaults: `defaults:` of proveout.yaml.
        prices: `prices:` of prices.yaml; a recording is priced as `{provider: replay, model: <its variant>}`.
        hosts: `hosts:` of prices.yaml, written with `prices`.
        machines: by variant, its `machine:`.
    """
    root = folder / "services" / "answers"
    for name in ("datasets", "variants", "changes", "prompts", "recorded"):
        (root / name).mkdir(parents=True, exist_ok=True)
    _write(folder / "proveout.yaml", {"project": "tested", "defaults": dict(defaults or {"seed": 1})})
    if prices is not None:
        _write(folder / "prices.yaml", {"prices": list(prices), "hosts": list(hosts)})
    (root / "prompts" / "ask.md").write_text("{{ question }}\n")
    data = {"golden": golden, **(datasets or {})}
    for kind, rows in data.items():
        _write_lines(root / "datasets" / f"{kind}.jsonl", rows)
    declared: dict[str, Any] = {
        "service": "answers",
        "input": ["question"],
        "datasets": {kind: f"datasets/{kind}.jsonl" for kind in data},
        "scorers": ["exact_match"],
        "champion": next(iter(variants)),
        "objectives": {"accuracy": {"metric": "exact_match", "margin": 0.02}},
    }
    _write(root / "service.yaml", declared | dict(service or {}))
    for name, outputs in variants.items():
        _write_lines(root / "recorded" / f"{name}.jsonl", _recorded(outputs))
        _write(
            root / "variants" / f"{name}.yaml",
            {
                "variant": name,
                "model": {"provider": "replay", "path": f"recorded/{name}.jsonl"},
                "prompt": "prompts/ask.md",
                **({"machine": dict(machines[name])} if machines and name in machines else {}),
            },
        )
    for name, change in (changes or {}).items():
        _write(
            root / "changes" / f"{name}.yaml",
            {"change": name, "service": "answers", "hypothesis": "It is as good."} | dict(change),
        )
    return folder


def _recorded(outputs: Outputs) -> Iterable[Mapping[str, Any]]:
    for example, output in outputs.items():
        repeats: Sequence[Any] = output if isinstance(output, list) else [output]
        for repeat in repeats:
            yield {"id": example, **repeat} if isinstance(repeat, RecordedRow) else {"id": example, "output": repeat}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """JSON is YAML."""
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
