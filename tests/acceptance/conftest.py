"""A user's view: files go in, a command runs, files and an exit code come out."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from acceptance_projects import CHANGE, SERVICE, Ended

Command = Callable[..., Ended]


@pytest.fixture
def proveout(proveout: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `proveout WORD ...` in a folder and hand back its exit code, its words and its scorecard."""

    def run(folder: Path, *words: object) -> Ended:
        card = folder / "scorecard.json"
        card.unlink(missing_ok=True)
        asked = [*map(str, words), *(("--json", str(card)) if words[0] in ("run", "compare") else ())]
        monkeypatch.chdir(folder)
        ended = proveout(*asked)
        read = json.loads(card.read_text()) if card.exists() else None
        return Ended(*ended, read)

    return run


@pytest.fixture
def declared(tmp_path: Path) -> Callable[..., Path]:
    """Write a project of one service: its examples, its variants (a recording, or the file's text), more files."""

    def write(
        rows: Sequence[Mapping[str, Any]],
        variants: Mapping[str, Sequence[Mapping[str, Any]] | str],
        *,
        service: str = SERVICE,
        improves: str = "",
        files: Mapping[str, str | bytes] | None = None,
    ) -> Path:
        texts: dict[str, str | bytes] = {
            "proveout.yaml": "project: p\n",
            "services/s/service.yaml": service,
            "services/s/changes/c.yaml": CHANGE % improves,
            "services/s/datasets/golden.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        }
        for name, given in variants.items():
            if isinstance(given, str):
                texts[f"services/s/variants/{name}.yaml"] = given
                continue
            replay = f"variant: {name}\nmodel: {{provider: replay, path: recorded/{name}.jsonl}}\n"
            texts[f"services/s/variants/{name}.yaml"] = replay
            texts[f"services/s/recorded/{name}.jsonl"] = "".join(json.dumps(row) + "\n" for row in given)
        for name, text in {**texts, **(files or {})}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return write
