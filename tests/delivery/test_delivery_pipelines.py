"""The GitHub Action and the GitLab template: valid by the forges' own schemas, and their scripts run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from delivery_forges import GitHubApi, GitLabApi, alone, git, new_team, served
from ruamel.yaml import YAML

INTEGRATIONS = Path(__file__).parents[2] / "integrations"
ACTION = INTEGRATIONS / "github" / "action.yml"
WORKFLOW = INTEGRATIONS / "github" / "proveout.yml"
TEMPLATE = INTEGRATIONS / "gitlab" / "proveout.gitlab-ci.yml"
PROGRAMS = Path(sys.executable).parent


@pytest.fixture(autouse=True)
def without_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    alone(monkeypatch, tmp_path)
    for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_EVENT_NAME", "CI_MERGE_REQUEST_IID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def team(tmp_path: Path) -> Path:
    return new_team(tmp_path)


def documents(path: Path) -> list[Any]:
    return list(YAML(typ="safe").load_all(path.read_text()))


def bash(script: str, folder: Path, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """As a runner does: every line, stopping at the first that fails."""
    environment = {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1", **variables}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("schema", "path"), [("vendor.github-actions", ACTION), ("vendor.github-workflows", WORKFLOW)])
def test_the_files_for_github_are_valid_by_its_schemas(schema: str, path: Path) -> None:
    pytest.importorskip("check_jsonschema")
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout


def test_the_template_for_gitlab_is_valid_by_its_schema(tmp_path: Path) -> None:
    pytest.importorskip("check_jsonschema")
    parts = TEMPLATE.read_text().split("\n---\n")
    assert len(parts) == 2  # The inputs, and what uses them.
    paths = [tmp_path / f"part{number}.yml" for number in range(2)]
    for path, text in zip(paths, parts, strict=True):
        path.write_text(text)
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.gitlab-ci", *paths]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_whoever_opens_a_pull_request_writes_nothing_into_a_script() -> None:
    action, workflow = documents(ACTION)[0], documents(WORKFLOW)[0]
    steps = [*action["runs"]["steps"], *workflow["jobs"]["prove"]["steps"]]
    assert not [step["run"] for step in steps if "${{" in step.get("run", "")]


def test_the_actions_own_install_gives_the_program_that_it_calls(team: Path, tmp_path: Path) -> None:
    """From a wheel of this repository; what that depends on is there already."""
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", tmp_path / "wheels", INTEGRATIONS.parent], check=True, capture_output=True)
    fresh, others = tmp_path / "fresh", tmp_path / "others"
    venv.create(fresh, with_pip=False, symlinks=True)
    others.mkdir()
    for one in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "proveout" not in one.name:
            (others / one.name).symlink_to(one)
    (packages,) = fresh.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(f"{others}\n")
    variables = {
        "PATH": f"{fresh}/bin:/usr/bin:/bin", "HOME": str(tmp_path), "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path / "wheels"), "VERSION": documents(ACTION)[0]["inputs"]["version"]["default"],
        "PROJECT": str(team),
    }  # fmt: skip
    install, check = [step["run"] for step in documents(ACTION)[0]["runs"]["steps"] if "run" in step][:2]
    assert "pip install" in install
    for script in (install, check, "command -v proveout"):
        done = bash(script, team, variables)
        assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{fresh}/bin/proveout"
    assert (packages / "proveout" / "__init__.py").exists()


def in_the_action(folder: Path, name: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """The scripts of the Action, with its inputs as a workflow that names a change gives them."""
    action = documents(ACTION)[0]
    inputs = {key: one.get("default", "") for key, one in action["inputs"].items()} | {"change": name}
    inputs["token"] = "secret-token"
    done = None
    for step in action["runs"]["steps"]:
        if "run" not in step or "pip install" in step["run"]:
            continue
        env = {
            key: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: str(inputs[found[1]]), value)
            for key, value in step.get("env", {}).items()
        }
        done = bash(step["run"], folder, {**variables, **env})
        if step.get("id") != "run":
            assert done.returncode == 0, done.stderr
    assert done is not None
    return done


def test_the_action_proves_a_change_and_keeps_one_comment_up_to_date(
    team: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    git(team, "remote", "set-url", "origin", "https://github.com/acme/support.git")
    (tmp_path / "event.json").write_text('{"pull_request": {"number": 7}}')
    output, summary, api = tmp_path / "output", tmp_path / "summary", GitHubApi()
    api.comments.append({"id": 1, "body": "looks good"})
    variables = {
        "GITHUB_EVENT_NAME": "pull_request", "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
        "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary),
    }  # fmt: skip
    codes: list[int] = []

    def run_twice() -> None:
        codes.extend(in_the_action(team, "new", variables).returncode for _ in range(2))

    served(api, "GITHUB_API_URL", "", monkeypatch, run_twice)
    assert codes == [3, 3]  # Four examples can't show anything: inconclusive.
    assert output.read_text() == "decision=inconclusive\n" * 2
    assert "exact_match" in summary.read_text()
    assert [one["body"].partition("\n")[0] for one in api.comments] == [
        "looks good",
        "<!-- proveout:answers/new/dev -->",
    ]
    for name in ("scorecard.json", "scorecard.md", "scorecard.xml"):
        assert (team / name).stat().st_size


def test_the_action_fails_on_files_that_are_not_valid_and_on_other_events_writes_no_comment(
    team: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    variables = {
        "GITHUB_EVENT_NAME": "push", "GITHUB_OUTPUT": str(tmp_path / "o"), "GITHUB_STEP_SUMMARY": str(tmp_path / "s"),
    }  # fmt: skip
    api = GitHubApi()

    def work() -> None:
        assert in_the_action(team, "new", variables).returncode == 3
        (team / "services/answers/changes/new.yaml").write_text("{")
        with pytest.raises(AssertionError, match=r"new\.yaml"):
            in_the_action(team, "new", variables)

    served(api, "GITHUB_API_URL", "", monkeypatch, work)
    assert api.comments == []


def test_the_template_proves_a_change_and_keeps_one_note_up_to_date(
    team: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(team, "remote", "set-url", "origin", "https://gitlab.example.com/acme/support.git")
    head, body = documents(TEMPLATE)
    inputs = {key: one["default"] for key, one in head["spec"]["inputs"].items()}
    lines = [
        re.sub(r"\$\[\[ inputs\.(\w+) \]\]", lambda found: str(inputs[found[1]]), line)
        for line in body["proveout"]["script"]
    ]
    variables = {
        "GITLAB_TOKEN": "secret-token", "CI_MERGE_REQUEST_IID": "3", "CI_SERVER_HOST": "gitlab.example.com",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "change/new",
    }  # fmt: skip
    api = GitLabApi()
    codes: list[int] = []

    def run_twice() -> None:
        codes.extend(bash("\n".join(lines), team, variables).returncode for _ in range(2))

    served(api, "CI_API_V4_URL", "/api/v4", monkeypatch, run_twice)
    assert codes == [3, 3]
    (note,) = api.notes
    assert note["body"].startswith("<!-- proveout:answers/new/dev -->")
