"""Promotion through git: a real repository with a real remote, real merges, and forges whose requests are checked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from delivery_forges import GitHubApi, GitLabApi, alone, git, new_team, served
from delivery_house import House, write_environment

from proveout.delivery.errands import Runner
from proveout.delivery.forges import how_to_propose, place_of
from proveout.gates.scorecard import Arm, Calls, Difference, Figure, GateResult, Scorecard
from proveout.project import load_project
from proveout.storage import Store, open_store
from proveout.storage.records import Errand
from proveout.testing.faults import Answer, FaultServer, Received


@pytest.fixture(autouse=True)
def without_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    alone(monkeypatch, tmp_path)


@pytest.fixture
def team(tmp_path: Path) -> Path:
    return new_team(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    """SQLite alone: nothing here depends on the database."""
    with open_store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


def prove(
    store: Store, folder: Path, stage: str, decision: str = "pass", *, challenger: str | None = None, gates: int = 1
) -> None:
    """Keep a scorecard of change `new`, as a run does."""
    service = load_project(folder).services["answers"]
    base, new = (service.variants[name].fingerprint for name in ("base", "new"))
    new = challenger or new
    figure = Figure(value=0.9, low=0.8, high=0.95, n=100)
    gate: Any = GateResult(
        objective="accuracy", metric="exact_match", claim="holds", margin=0.02, higher_is_better=True, champion=figure,
        challenger=figure, difference=Difference(value=0.0, low=-0.01, high=0.01), p_value=0.01, alpha=0.05,
        method="paired", verdict=decision, reason="",
    )  # fmt: skip
    scorecard: Any = Scorecard(
        change="new", service="answers", stage=stage, decision=decision, champion=Arm(variant="base", fingerprint=base),
        challenger=Arm(variant="new", fingerprint=new), gates=(gate,) * gates, calls=Calls(made=1, cached=0, failed=0),
        cost_usd=0.0, seconds=1.0,
    )  # fmt: skip
    run = store.runs.start(change="new", service="answers", stage=stage, champion=base, challenger=new)
    store.runs.finish(run.id, scorecard=scorecard.to_json())


def merged(folder: Path, branch: str) -> None:
    """Somebody else merges the branch, on a clone of their own."""
    clone = folder.parent / "clone"
    git(folder.parent, "clone", "--quiet", git(folder, "remote", "get-url", "origin"), str(clone))
    git(clone, "merge", "--quiet", "--no-ff", "-m", "merge", f"origin/{branch}")
    git(clone, "push", "--quiet", "origin", "main")
    git(folder, "pull", "--quiet", "--ff-only", "origin", "main")


def test_promotion_pushes_a_branch_whose_merge_releases(team: Path, store: Store, proveout: Any) -> None:
    prove(store, team, "staging")
    done = proveout("promote", "new", "--to", "production", "-C", team)
    assert done.code == 0, done.err
    branch = "proveout/production/answers-new"
    assert "git merge --no-ff" in done.out
    assert git(team, "status", "--porcelain") == ""
    house = House(store, team)
    house.tick()
    assert house.release.weights == {house.fingerprint("base"): 1.0}
    merged(team, branch)
    text = (team / "environments" / "production.yaml").read_text()
    assert text.startswith("# What production serves.\n")
    assert "champion: new" in text
    assert "since spring" in text
    kept = json.loads((team / "environments/scorecards/production/answers-new.json").read_text())
    assert kept["decision"] == "pass"
    assert house.tick().shown == "canary"


def test_a_controller_that_pulls_hears_of_a_merge_by_itself(team: Path, store: Store, proveout: Any) -> None:
    git(team, "branch", "--set-upstream-to=origin/main", "main")
    prove(store, team, "staging")
    assert proveout("promote", "new", "--to", "production", "-C", team).code == 0
    assert proveout("controller", "--once", "--git-pull", "1", "-C", team).code == 0
    assert set(store.releases.current("production")["answers"].weights.values()) == {1.0}
    clone = team.parent / "clone"
    git(team.parent, "clone", "--quiet", git(team, "remote", "get-url", "origin"), str(clone))
    git(clone, "merge", "--quiet", "--no-ff", "-m", "merge", "origin/proveout/production/answers-new")
    git(clone, "push", "--quiet", "origin", "main")
    assert proveout("controller", "--once", "--git-pull", "1", "-C", team).code == 0
    assert sorted(store.releases.current("production")["answers"].weights.values()) == [0.2, 0.8]


@pytest.mark.parametrize(
    ("stage", "decision", "challenger", "gates", "reason"),
    [
        (None, "pass", None, 1, "has no staging scorecard"),
        ("dev", "pass", None, 1, "has no staging scorecard"),
        ("staging", "fail", None, 1, "is fail, not pass"),
        ("staging", "inconclusive", None, 1, "is inconclusive, not pass"),
        ("staging", "pass", "0123456789abcdef", 1, "is of other variants"),
        ("staging", "pass", None, 0, "lacks accuracy"),
    ],
)
def test_promotion_without_the_passed_scorecard_of_these_very_variants_is_refused(
    team: Path, store: Store, proveout: Any, stage: str, decision: str, challenger: str, gates: int, reason: str
) -> None:
    if stage:
        prove(store, team, stage, decision, challenger=challenger, gates=gates)
    done = proveout("promote", "new", "--to", "production", "-C", team)
    assert done.code == 1
    assert reason in done.err
    assert "proveout/production" not in git(team, "branch", "--all")


def test_what_is_not_committed_is_not_promoted(team: Path, store: Store, proveout: Any) -> None:
    prove(store, team, "staging")
    (team / "services/answers/prompts/note.md").write_text("draft")
    done = proveout("promote", "new", "--to", "production", "-C", team)
    assert done.code == 1
    assert "not committed" in done.err


def test_a_variant_that_changed_after_its_scorecard_is_refused(team: Path, store: Store, proveout: Any) -> None:
    prove(store, team, "staging")
    variant = team / "services/answers/variants/new.yaml"
    variant.write_text(json.dumps({**json.loads(variant.read_text()), "parameters": {"temperature": 0.5}}))
    git(team, "commit", "--quiet", "-am", "warmer")
    done = proveout("promote", "new", "--to", "production", "-C", team)
    assert done.code == 1
    assert "of other variants" in done.err


def test_on_github_a_pull_request_is_opened_once_and_then_updated(
    team: Path, store: Store, proveout: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prove(store, team, "staging")
    git(team, "remote", "set-url", "origin", "https://github.com/acme/support.git")
    monkeypatch.setenv("GITHUB_TOKEN", "secret-token")
    api = GitHubApi()

    def promote_twice() -> None:
        for _ in range(2):
            done = proveout("promote", "new", "--to", "production", "-C", team)
            assert done.code == 0, done.err
            assert "https://github.com/acme/support/pull/7" in done.out
            assert "secret-token" not in done.out + done.err

    served(api, "GITHUB_API_URL", "", monkeypatch, promote_twice)
    (pull,) = api.pulls
    assert (pull["head"], pull["base"]) == ("proveout/production/answers-new", "main")
    assert "exact_match" in pull["body"]
    assert git(team, "ls-remote", "origin", pull["head"])


def test_a_forge_that_refuses_leaves_the_branch_and_says_how_to_go_on(
    team: Path, store: Store, proveout: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prove(store, team, "staging")
    git(team, "remote", "set-url", "origin", "https://github.com/acme/support.git")
    monkeypatch.setenv("GITHUB_TOKEN", "secret-token")

    def promote() -> None:
        done = proveout("promote", "new", "--to", "production", "-C", team)
        assert done.code == 0
        assert "could not be asked" in done.out
        assert "compare/main...proveout/production/answers-new" in done.out
        assert "secret-token" not in done.out + done.err

    served(
        lambda _: Answer.json({"message": "Bad credentials"}, status=401), "GITHUB_API_URL", "", monkeypatch, promote
    )


def test_a_report_is_one_comment_updated_in_place(
    team: Path, proveout: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    git(team, "remote", "set-url", "origin", "https://github.com/acme/support.git")
    monkeypatch.setenv("GITHUB_TOKEN", "secret-token")
    (tmp_path / "event.json").write_text('{"pull_request": {"number": 7}}')
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "event.json"))
    page, api = tmp_path / "page.md", GitHubApi()
    api.comments.append({"id": 1, "body": "looks good"})

    def comment_twice() -> None:
        for text in ("first", "second"):
            page.write_text(f"<!-- proveout:answers/new/dev -->\n{text}\n")
            assert proveout("comment", page, "-C", team).code == 0

    served(api, "GITHUB_API_URL", "", monkeypatch, comment_twice)
    assert [one["body"].strip().splitlines()[-1] for one in api.comments] == ["looks good", "second"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer.json({"message": "Bad credentials"}, status=401), "401 Bad credentials"),
        (
            Answer.json({"message": "Validation Failed", "errors": [{"message": "No commits between"}]}, status=422),
            "422 Validation Failed; No commits between",
        ),
        (Answer.json({"message": "API rate limit exceeded"}, status=403), "403 API rate limit exceeded"),
        (Answer(status=502, body=b"<html>oops</html>"), "502 <html>oops"),
        (Answer(status=200, body=b"<html>login</html>"), "no JSON"),
        (Answer.json({"unexpected": 1}), "no list"),
        (Answer.json(["unexpected"]), "no list"),
    ],
)
def test_a_forge_that_refuses_or_says_something_else_leaves_the_branch_and_says_why(
    team: Path, store: Store, proveout: Any, monkeypatch: pytest.MonkeyPatch, answer: Answer, said: str
) -> None:
    prove(store, team, "staging")
    git(team, "remote", "set-url", "origin", "https://github.com/acme/support.git")
    monkeypatch.setenv("GITHUB_TOKEN", "secret-token")
    page = team.parent / "page.md"
    page.write_text("<!-- proveout:answers/new/dev -->\n")

    def work() -> None:
        done = proveout("promote", "new", "--to", "production", "-C", team)
        assert done.code == 0, done.err
        assert said in done.out
        assert "/compare/main...proveout/production/answers-new" in done.out
        written = proveout("comment", page, "--number", "7", "-C", team)
        assert (written.code, said in written.err) == (4, True)
        assert "secret-token" not in done.out + done.err + written.err

    served(lambda request: answer, "GITHUB_API_URL", "", monkeypatch, work)


def test_an_errand_that_cannot_be_done_keeps_no_other_one_waiting(team: Path, store: Store) -> None:
    heard: list[Any] = []

    async def run() -> None:
        async with FaultServer(lambda request: heard.append(request) or Answer()) as server:
            house = House(store, team)
            bodies = ({"verb": "revert", "service": "gone"}, {"url": server.url, "alert": {}})
            with store.deliveries.deciding("production", "answers") as decision:
                for number, (kind, body) in enumerate(zip(("git", "alert"), bodies, strict=True)):
                    decision.give(Errand(id=f"e{number}", kind=kind, body=body, created=number, due=0.0))
            assert await Runner(store, lambda: house.project, house.clock).run_due() == 1

    asyncio.run(run())
    assert len(heard) == 1
    assert [errand.attempts for errand in store.deliveries.errands() if errand.done is None] == [1]


def test_on_gitlab_a_merge_request_is_opened_once_and_then_updated(
    team: Path, store: Store, proveout: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prove(store, team, "staging")
    git(team, "remote", "set-url", "origin", "https://gitlab.example.com/acme/support.git")
    monkeypatch.setenv("GITLAB_TOKEN", "secret-token")
    api = GitLabApi()

    def promote_twice() -> None:
        for _ in range(2):
            done = proveout("promote", "new", "--to", "production", "-C", team)
            assert "https://gitlab.example.com/mr/3" in done.out, done.err

    served(api, "CI_API_V4_URL", "/api/v4", monkeypatch, promote_twice)
    (made,) = api.requests
    assert made["target_branch"] == "main"


def test_a_degraded_champion_is_reverted_in_git_and_alerted(
    team: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []

    def alertmanager(request: Received) -> Answer:
        heard.append(request.json())
        return Answer(status=500 if len(heard) == 1 else 200)

    async def run() -> None:
        async with FaultServer(alertmanager) as server:
            house = House(store, team)
            house.tick()
            write_environment(team, "new", targets=[{"alerts": f"{server.url}/hook"}])
            git(team, "commit", "--quiet", "-am", "release new")
            git(team, "push", "--quiet", "origin", "main")
            house.tick()
            assert house.run(20, 60, {"new": 1.0}).status == "rolled_back"
            runner = Runner(store, lambda: house.project, house.clock)
            await runner.run_due()
            house.clock.now += 60
            await runner.run_due()
            house.clock.now += 60
            assert await runner.run_due() == 0

    asyncio.run(run())
    assert [one["version"] for one in heard] == ["4", "4"]
    assert heard[1]["alerts"][0]["labels"]["service"] == "answers"
    assert "kill switch" in heard[1]["commonAnnotations"]["description"]
    (branch,) = [line.strip() for line in git(team, "branch", "--list", "proveout/*").splitlines()]
    assert "revert" in branch
    assert '"champion": "base"' in git(team, "show", f"{branch}:environments/production.yaml") or (
        "champion: base" in git(team, "show", f"{branch}:environments/production.yaml")
    )
    assert git(team, "ls-remote", "origin", branch)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("git@github.com:acme/support.git", ("github.com", "acme/support")),
        ("https://user:pw@GitHub.com/acme/support", ("github.com", "acme/support")),
        ("ssh://git@gitlab.example.com:2222/a/b/c.git", ("gitlab.example.com", "a/b/c")),
        ("/srv/git/support.git", None),
        ("file:///srv/git/support.git", None),
        ("../support", None),
    ],
)
def test_a_remote_says_where_it_is_hosted(url: str, place: tuple[str, str] | None) -> None:
    found = place_of(url)
    assert (None if found is None else (found.host, found.path)) == place
    assert "pw" not in how_to_propose(url, "b", "main")
