"""A project in a real git repository with a real remote, and forges that check what they are asked."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from delivery_house import write_project

from proveout.testing.faults import Answer, FaultServer, Received


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, text=True).stdout.strip()


def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings or tokens of whoever runs the tests."""
    (tmp_path / "gitconfig").write_text(
        "[user]\n name = Ada\n email = ada@example.com\n[init]\n defaultBranch = main\n"
        f'[url "{tmp_path}/remotes/"]\n insteadOf = https://github.com/\n insteadOf = https://gitlab.example.com/\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("GITHUB_TOKEN", "GH_TOKEN", "GITLAB_TOKEN", "GITHUB_API_URL", "CI_API_V4_URL", "GITHUB_EVENT_PATH"):
        monkeypatch.delenv(name, raising=False)


def new_team(tmp_path: Path) -> Path:
    """A project whose remote is a bare repository at `remotes/acme/support.git`."""
    bare = tmp_path / "remotes" / "acme" / "support.git"
    bare.mkdir(parents=True)
    git(bare, "init", "--quiet", "--bare")
    folder = write_project(tmp_path / "project")
    (folder / "environments" / "production.yaml").write_text(
        "# What production serves.\nenvironment: production\nreleases:\n  answers: {champion: base}  # since spring\n"
    )
    (folder / "proveout.yaml").write_text(
        (folder / "proveout.yaml").read_text().replace("{", '{\n "store": "sqlite:///../store.db",', 1)
    )
    git(folder, "init", "--quiet")
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", "begin")
    git(folder, "remote", "add", "origin", str(bare))
    git(folder, "push", "--quiet", "origin", "main")
    return folder


class GitHubApi:
    """Checks what it is asked, and keeps pull requests and comments as GitHub does."""

    def __init__(self) -> None:
        self.pulls: list[dict[str, Any]] = []
        self.comments: list[dict[str, Any]] = []

    def __call__(self, request: Received) -> Answer:
        assert request.headers.get("authorization") == "Bearer secret-token"
        assert request.headers.get("x-github-api-version") == "2022-11-28"
        assert request.headers.get("user-agent")
        parts = urlsplit(request.target)
        query = parse_qs(parts.query)
        match request.method, parts.path:
            case "GET", "/repos/acme/support/pulls":
                head = query["head"][0]
                assert head.startswith("acme:")
                return Answer.json([pull for pull in self.pulls if f"acme:{pull['head']}" == head])
            case "POST", "/repos/acme/support/pulls":
                asked = request.json()
                assert set(asked) == {"title", "head", "base", "body"}
                url = "https://github.com/acme/support/pull/7"
                self.pulls.append({**asked, "number": 7, "html_url": url})
                return Answer.json(self.pulls[-1], status=201)
            case "PATCH", "/repos/acme/support/pulls/7":
                self.pulls[0] |= request.json()
                return Answer.json(self.pulls[0])
            case "GET", "/repos/acme/support/issues/7/comments":
                return Answer.json(self.comments)
            case "POST", "/repos/acme/support/issues/7/comments":
                self.comments.append({"id": 30 + len(self.comments), **request.json()})
                return Answer.json(self.comments[-1], status=201)
            case "PATCH", path if path.startswith("/repos/acme/support/issues/comments/"):
                found = next(one for one in self.comments if str(one["id"]) == path.rpartition("/")[2])
                found |= request.json()
                return Answer.json(found)
        return Answer.json({"message": f"Not Found: {request.method} {parts.path}"}, status=404)


def served(api: Any, variable: str, suffix: str, monkeypatch: pytest.MonkeyPatch, work: Callable[[], None]) -> None:
    """Do something in a thread while a forge answers."""

    async def run() -> None:
        async with FaultServer(api) as server:
            monkeypatch.setenv(variable, server.url.rstrip("/") + suffix)
            await asyncio.to_thread(work)

    asyncio.run(run())


class GitLabApi:
    """The same, as GitLab does."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.notes: list[dict[str, Any]] = []

    def __call__(self, request: Received) -> Answer:
        assert request.headers.get("private-token") == "secret-token"
        parts = urlsplit(request.target)
        assert parts.path.startswith("/api/v4/projects/acme%2Fsupport/merge_requests")
        if "/3/notes" in parts.path:
            return self._noted(request, parts.path)
        match request.method:
            case "GET":
                branch = parse_qs(parts.query)["source_branch"][0]
                return Answer.json([one for one in self.requests if one["source_branch"] == branch])
            case "POST":
                self.requests.append({**request.json(), "iid": 3, "web_url": "https://gitlab.example.com/mr/3"})
                return Answer.json(self.requests[-1], status=201)
            case "PUT":
                assert parts.path.endswith("/3")
                self.requests[0] |= request.json()
                return Answer.json(self.requests[0])
        return Answer.json({"error": "no"}, status=404)

    def _noted(self, request: Received, path: str) -> Answer:
        match request.method:
            case "GET":
                return Answer.json(self.notes)
            case "POST":
                self.notes.append({"id": 50 + len(self.notes), **request.json()})
                return Answer.json(self.notes[-1], status=201)
            case "PUT":
                found = next(one for one in self.notes if str(one["id"]) == path.rpartition("/")[2])
                found |= request.json()
                return Answer.json(found)
        return Answer.json({"error": "no"}, status=404)
