"""A valid project, as the design shows it, becomes records."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from proveout.project import (
    DatasetRef,
    Limits,
    Message,
    ModelSpec,
    ObjectiveSpec,
    OutputContract,
    Price,
    ProjectError,
    ScorerSpec,
    Secret,
    find_root,
    load_project,
)


def test_the_designs_sample_is_read_whole(repository: Any) -> None:
    project = repository.load({"exact_match": ()})
    root = repository.root
    assert (project.name, project.root) == ("support", root)
    assert project.store_url == f"sqlite:///{root}/.proveout/store.db"
    assert project.settings["defaults"] == {"concurrency": 16, "seed": 7, "max_cost": 5.0}
    assert project.settings["telemetry"]["headers"] == {"authorization": Secret("env:OTLP_TOKEN")}
    service = project.services["triage"]
    assert service.folder == root / "services/triage"
    assert service.inputs == ("message",)
    assert service.output == OutputContract(choices=("card_arrival", "lost_card", "pin_blocked"))
    assert service.datasets["golden"] == DatasetRef(
        "golden", root / "services/triage/datasets/golden.jsonl", choices=("card_arrival", "lost_card", "pin_blocked")
    )
    assert set(service.datasets) == {"golden", "silver"}
    assert service.scorers == (ScorerSpec("exact_match", "exact_match"),)
    assert service.champion == "base"
    assert service.objectives == {
        "accuracy": ObjectiveSpec("accuracy", 0.02, "exact_match", {"trust_silver": False}),
        "stability": ObjectiveSpec("stability", 0.02),
        "latency": ObjectiveSpec("latency", 0.1, None, {"slo": {"ttft_p95": 0.8, "e2e_p95": 2.0}}),
        "cost": ObjectiveSpec("cost", 0.0),
        "security": ObjectiveSpec("security", 0.01),
    }
    assert service.traffic == {"requests_per_month": 3_000_000}
    assert service.rollout == {
        "unit": "user",
        "steps": (
            {"kind": "shadow", "requests": 500},
            {"kind": "canary", "weight": 0.05, "requests": 500},
            {"kind": "canary", "weight": 0.25, "requests": 2000},
            {"kind": "approval"},
            {"kind": "bandit", "floor": 0.05, "requests": 10000},
        ),
    }


def test_a_variant_is_complete(repository: Any) -> None:
    haiku = repository.variant("haiku")
    assert haiku.model == ModelSpec("anthropic", "claude-haiku-4-5", key=Secret("env:ANTHROPIC_API_KEY"))
    assert haiku.parameters == {"temperature": 0, "max_tokens": 64}
    assert haiku.render({"message": "Where is {{ my }} card?"}) == (
        Message("system", "You sort messages of a bank's customers."),
        Message(
            "user",
            "Which intent has this message? "
            'Answer with JSON such as {"intent": "lost_card"}.\n\nWhere is {{ my }} card?',
        ),
    )
    assert haiku.parse('Sure!\n```json\n{"intent": "Lost_card"}\n```').value == "lost_card"
    assert haiku.parse("I don't know").problem is not None
    base = repository.variant("base")
    assert base.model.limits == Limits(timeout_s=30, requests_per_minute=500)
    assert base.lineage.kind == "api"


def test_changes_environments_and_prices(repository: Any) -> None:
    project = repository.load()
    service, change = project.change("haiku")
    assert (service.name, change.challenger, change.improves) == ("triage", "haiku", ("cost",))
    assert change.hypothesis == "Same answers at a third of the price."
    production = project.environments["production"]
    assert production.approvals == 1
    assert production.releases == {"triage": {"champion": "base"}}
    assert production.targets == ({"gateway": "http://127.0.0.1:8080"},)
    assert set(project.environments) == {"production", "staging"}
    assert project.prices == (
        Price("anthropic", "claude-haiku-4-5", "2026-01-31", 1.0, 5.0, 0.1),
        Price("openai", "gpt-4o-mini", "2025-07-01", 0.15, 0.6),
    )


@pytest.mark.parametrize("inner", [".", "services", "services/triage/prompts", "proveout.yaml"])
def test_the_project_is_found_here_and_upward(repository: Any, inner: str) -> None:
    assert load_project(repository.root / inner).root == repository.root
    assert find_root(repository.root / inner) == repository.root


def test_no_project_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="proveout init") as caught:
        load_project(tmp_path)
    assert caught.value.problems[0].file == "proveout.yaml"
    with pytest.raises(ProjectError, match="no such folder"):
        load_project(tmp_path / "missing")


def test_records_are_frozen_and_travel_between_processes(repository: Any) -> None:
    project = repository.load()
    haiku = project.services["triage"].variants["haiku"]
    with pytest.raises(AttributeError):
        haiku.name = "other"
    before = haiku.render({"message": "hello"})
    copied = pickle.loads(pickle.dumps(project)).services["triage"].variants["haiku"]
    assert copied.render({"message": "hello"}) == before
    assert copied == haiku


def test_scorers_in_every_form(repository: Any) -> None:
    repository.replace(
        "services/triage/service.yaml",
        "scorers: [exact_match]",
        """scorers:
  - exact_match
  - numeric: {tolerance: 0.01}
  - {scorer: numeric, metric: amount, tolerance: 1}
  - llm_judge:
      metric: helpful
      model: {provider: openai, name: gpt-4o, key: env:JUDGE_KEY}""",
    )
    known = {"exact_match": [], "numeric": ["tolerance"], "llm_judge": ["model"]}
    scorers = repository.load(known).services["triage"].scorers
    assert scorers == (
        ScorerSpec("exact_match", "exact_match"),
        ScorerSpec("numeric", "numeric", {"tolerance": 0.01}),
        ScorerSpec("numeric", "amount", {"tolerance": 1}),
        ScorerSpec("llm_judge", "helpful", {"model": ModelSpec("openai", "gpt-4o", key=Secret("env:JUDGE_KEY"))}),
    )


def test_the_only_scorer_decides_about_accuracy_unless_said(repository: Any) -> None:
    repository.replace("services/triage/service.yaml", "{metric: exact_match, margin: 0.02}", "{margin: 2%}")
    assert repository.load().services["triage"].objectives["accuracy"].metric == "exact_match"


def test_dataset_settings(repository: Any) -> None:
    repository.write("services/triage/datasets/real.csv", "text,category\nhello,lost_card\n")
    repository.replace(
        "services/triage/service.yaml",
        "golden: datasets/golden.jsonl",
        "golden: {path: datasets/real.csv, columns: {input.message: text, expected: category}, find_clusters: true}",
    )
    reference = repository.load().services["triage"].datasets["golden"]
    assert reference.columns == {"input.message": "text", "expected": "category"}
    assert reference.find_clusters == 0.7
    assert reference.path.name == "real.csv"


@pytest.mark.parametrize(("declared", "likeness"), [("true", 0.7), ("false", 0.0), ("85%", 0.85), ("0.5", 0.5)])
def test_near_duplicates_are_found_from_a_declared_likeness_on(repository: Any, declared: str, likeness: float) -> None:
    repository.replace(
        "services/triage/service.yaml",
        "golden: datasets/golden.jsonl",
        f"golden: {{path: datasets/golden.jsonl, find_clusters: {declared}}}",
    )
    assert repository.load().services["triage"].datasets["golden"].find_clusters == likeness


@pytest.mark.parametrize("declared", ["0.2", "2", "yes", "[]"])
def test_a_wrong_likeness_is_a_problem(repository: Any, declared: str) -> None:
    repository.replace(
        "services/triage/service.yaml",
        "golden: datasets/golden.jsonl",
        f"golden: {{path: datasets/golden.jsonl, find_clusters: {declared}}}",
    )
    (problem,) = repository.problems()
    assert problem.field == "datasets.golden.find_clusters"
    assert "0.8 or 80%" in problem.instead


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("{provider: tiny, build: int2}", ModelSpec("tiny", options={"build": "int2"})),
        ("{provider: tiny}", ModelSpec("tiny", options={"build": "f16"})),
        ("{provider: vllm, name: m}", ModelSpec("vllm", "m")),
        (
            "{provider: openai-compatible, url: 'http://localhost:1/v1', headers: {X-Team: a, X-Key: env:A}}",
            ModelSpec(
                "openai-compatible",
                url="http://localhost:1/v1",
                options={"headers": {"X-Team": "a", "X-Key": Secret("env:A")}},
            ),
        ),
        (
            "{provider: azure, url: 'https://a.example', deployment: d, key: env:A, api_version: '2024-10-21'}",
            ModelSpec(
                "azure",
                url="https://a.example",
                key=Secret("env:A"),
                options={"deployment": "d", "api_version": "2024-10-21"},
            ),
        ),
        (
            "{provider: bedrock, name: m, region: eu-central-1}",
            ModelSpec("bedrock", "m", options={"region": "eu-central-1"}),
        ),
        (
            "{provider: vertex, name: m, project: p, location: l}",
            ModelSpec("vertex", "m", options={"project": "p", "location": "l"}),
        ),
    ],
)
def test_every_family_of_providers(repository: Any, model: str, expected: ModelSpec) -> None:
    repository.write("services/triage/variants/haiku.yaml", f"variant: haiku\nmodel: {model}\n")
    assert repository.variant().model == expected


@pytest.mark.parametrize(
    "provider", ["openai", "anthropic", "together", "anyscale", "fireworks", "groq", "mistral", "openrouter"]
)
def test_hosted_providers_need_a_key_unless_they_have_an_address(repository: Any, provider: str) -> None:
    path = "services/triage/variants/haiku.yaml"
    repository.write(path, f"variant: haiku\nmodel: {{provider: {provider}, name: m}}\n")
    (problem,) = repository.problems()
    assert problem.instead == f"Write `key: env:{provider.upper()}_API_KEY`."
    repository.write(path, f"variant: haiku\nmodel: {{provider: {provider}, name: m, url: 'http://127.0.0.1:1'}}\n")
    assert repository.variant().model.key is None


def test_a_recording_is_found_beside_the_service(repository: Any) -> None:
    recording = repository.write("services/triage/recordings/base.jsonl", '{"id": "1", "output": "lost_card"}\n')
    repository.write(
        "services/triage/variants/haiku.yaml",
        "variant: haiku\nmodel: {provider: replay, path: recordings/base.jsonl}\n",
    )
    assert repository.variant().model.options == {"path": str(recording)}


def test_a_secrets_file_is_meant_from_the_project(repository: Any) -> None:
    repository.replace("services/triage/variants/haiku.yaml", "env:ANTHROPIC_API_KEY", "file:keys/anthropic")
    assert repository.variant().model.key == Secret(f"file:{repository.root}/keys/anthropic")


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("sqlite:///results/mine.db", "sqlite:///{root}/results/mine.db"),
        ("sqlite:////var/lib/store.db", "sqlite:////var/lib/store.db"),
        ("postgresql://host/database", "postgresql://host/database"),
        ("env:STORE_OF_TEST", "postgresql://user:word@host/database"),
        ("env:NOT_SET_IN_TEST", "env:NOT_SET_IN_TEST"),
    ],
)
def test_the_stores_address(repository: Any, monkeypatch: pytest.MonkeyPatch, declared: str, expected: str) -> None:
    monkeypatch.setenv("STORE_OF_TEST", "postgresql://user:word@host/database")
    monkeypatch.delenv("NOT_SET_IN_TEST", raising=False)
    repository.write("proveout.yaml", f"project: support\nstore: {declared}\n")
    assert repository.load().store_url == expected.format(root=repository.root)


def test_a_change_may_override_the_rollout_and_be_a_forced_migration(repository: Any) -> None:
    repository.write(
        "services/triage/changes/forced.yaml",
        "change: forced\nservice: triage\nchallenger: haiku\nimproves: []\nfallback: base\n"
        "rollout: {steps: [{canary: {weight: 0.5, requests: 10, duration: 2h}}]}\n",
    )
    _, change = repository.load().change("triage/forced")
    assert change.improves == ()
    assert change.fallback == "base"
    assert change.rollout == {
        "unit": "user",
        "steps": ({"kind": "canary", "weight": 0.5, "requests": 10, "duration": 7200.0},),
    }


def test_a_file_with_a_byte_order_mark_and_windows_line_ends_is_read(repository: Any) -> None:
    path = "services/triage/variants/haiku.yaml"
    text = (repository.root / path).read_text()
    fingerprint = repository.variant().fingerprint
    repository.write(path, b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert repository.variant().fingerprint == fingerprint
