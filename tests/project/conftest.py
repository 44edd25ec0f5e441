"""A team's repository on disk, to be changed file by file and loaded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from proveout.project import Problem, Project, ProjectError, Variant, load_project

# The same examples in every run, and no deadline that a busy machine misses.

SAMPLE = Path(__file__).parent / "sample"


class Repository:
    """A project's folder. Paths are relative to it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, text: str | bytes) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode() if isinstance(text, str) else text)
        return target

    def replace(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
        self.write(path, text.replace(old, new))

    def delete(self, path: str) -> None:
        (self.root / path).unlink()

    def load(self, known_scorers: Mapping[str, Collection[str]] | None = None) -> Project:
        return load_project(self.root, known_scorers=known_scorers)

    def variant(self, name: str = "haiku") -> Variant:
        return self.load().services["triage"].variants[name]

    def problems(self, known_scorers: Mapping[str, Collection[str]] | None = None) -> list[Problem]:
        try:
            self.load(known_scorers)
        except ProjectError as error:
            return list(error.problems)
        return []


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """The sample of the design: service triage, variants base and haiku, one change, two environments, a price book."""
    root = tmp_path / "repository"
    for source in sorted(SAMPLE.rglob("*")):
        if source.is_file():
            target = root / source.relative_to(SAMPLE)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    return Repository(root)
