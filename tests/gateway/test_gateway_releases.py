"""Which release holds: the files', or the store's for as long as it was decided from the same champion."""

from __future__ import annotations

from pathlib import Path

import pytest

from proveout.gateway.releases import UnknownEnvironment, declared_releases, effective_releases
from proveout.project import Project, load_project
from proveout.storage import Release
from proveout.testing.projects import replay_project

GOLDEN = [{"id": "1", "input": {"question": "a"}, "expected": "A"}]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    outputs = {"1": "A"}
    root = replay_project(
        tmp_path, GOLDEN, {"base": outputs, "next": outputs | {"2": "B"}, "old": outputs | {"3": "C"}}
    )
    (root / "environments").mkdir()
    (root / "environments" / "production.yaml").write_text(
        "environment: production\nreleases: {answers: {champion: next, fallback: old}}\n"
    )
    return load_project(root)


def fingerprint(project: Project, name: str) -> str:
    return project.services["answers"].variants[name].fingerprint


def stored(project: Project, **others: object) -> dict[str, Release]:
    values = {
        "environment": "production",
        "service": "answers",
        "epoch": 3,
        "weights": {fingerprint(project, "next"): 0.9, fingerprint(project, "base"): 0.1},
        "champion": fingerprint(project, "next"),
        **others,
    }
    return {"answers": Release(**values)}  # pyright: ignore[reportArgumentType]


def test_dev_serves_every_champion(project: Project) -> None:
    assert declared_releases(project, "dev")["answers"].weights == {fingerprint(project, "base"): 1.0}


def test_an_environment_serves_what_its_file_names(project: Project) -> None:
    release = declared_releases(project, "production")["answers"]
    assert release.weights == {fingerprint(project, "next"): 1.0}
    assert release.fallback == (fingerprint(project, "old"),)


def test_an_unknown_environment_is_named_with_the_known_ones(project: Project) -> None:
    with pytest.raises(UnknownEnvironment, match="'prod'; there is dev, production"):
        declared_releases(project, "prod")


def test_the_stores_release_holds_over_the_file(project: Project) -> None:
    declared = declared_releases(project, "production")
    release = stored(project)
    assert effective_releases(project, declared, release) == (release, ())


def test_a_new_champion_in_the_file_ends_the_stores_release(project: Project) -> None:
    declared = declared_releases(project, "production")
    release = stored(project, champion=fingerprint(project, "old"))
    assert effective_releases(project, declared, release) == (declared, ())


@pytest.mark.parametrize(
    ("others", "why"),
    [
        ({"weights": {"feedfacefeedface": 1.0}}, "no variant here has the fingerprint feedfacefeedface"),
        ({"shadow": {"feedfacefeedface": 1.0}}, "no variant here has the fingerprint"),
        ({"weights": {}}, "no weights"),
    ],
)
def test_a_release_that_can_not_be_served_is_left_out_and_told(
    project: Project, others: dict[str, object], why: str
) -> None:
    declared = declared_releases(project, "production")
    effective = effective_releases(project, declared, stored(project, **others))
    assert effective.releases == declared
    assert why in effective.problems[0]


def test_services_that_the_environment_does_not_name_are_not_served(project: Project) -> None:
    assert "other" not in declared_releases(project, "production")
    assert effective_releases(project, {}, stored(project)).releases == {}
