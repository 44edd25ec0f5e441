"""Secrets: refused in files, never shown, and named when they are unset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proveout.project import ProjectError, unset_secrets
from proveout.project.sensitive import looks_like_a_secret, names_a_secret

HAIKU = "services/triage/variants/haiku.yaml"
LOOKS = "sk-ant-" + "a1B2c3D4" * 4
PLAIN = "hunter2-hunter2"

PLACES = {
    "key": (HAIKU, "key: env:ANTHROPIC_API_KEY", "key: {}"),
    "key of another name": (HAIKU, "key: env:ANTHROPIC_API_KEY", "key: env:A, api_key: {}"),
    "key in an address": (HAIKU, "key: env:ANTHROPIC_API_KEY", "key: env:A, url: 'https://host/v1?api_key={}'"),
    "password in an address": (HAIKU, "key: env:ANTHROPIC_API_KEY", "key: env:A, url: 'https://user:{}@host/v1'"),
    "header named for it": (HAIKU, "key: env:ANTHROPIC_API_KEY", "key: env:A, headers: {{x-api-key: {}}}"),
    "bearer header": (HAIKU, "key: env:ANTHROPIC_API_KEY", "key: env:A, headers: {{Authorization: Bearer {}}}"),
    "wrong kind of value": (HAIKU, "key: env:ANTHROPIC_API_KEY", "key: [{}]"),
    "telemetry header": ("proveout.yaml", "authorization: env:OTLP_TOKEN", "authorization: {}"),
    "store": ("proveout.yaml", "project: support", "project: support\nstore: postgresql://user:{}@host/db"),
    "reference with the value": (HAIKU, "env:ANTHROPIC_API_KEY", "env:{}"),
}


@pytest.mark.parametrize("secret", [LOOKS, PLAIN])
@pytest.mark.parametrize("place", PLACES)
def test_a_secret_in_a_file_is_refused_and_not_shown(repository: Any, place: str, secret: str) -> None:
    path, old, new = PLACES[place]
    repository.replace(path, old, new.format(secret))
    with pytest.raises(ProjectError) as caught:
        repository.load()
    assert [problem.file for problem in caught.value.problems] == [path]
    assert secret not in str(caught.value)
    assert secret not in repr(caught.value)
    assert caught.value.__cause__ is None
    context = caught.value.__context__
    assert context is None or secret not in str(context)


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (HAIKU, "temperature: 0", f"extra: {LOOKS}"),
        (HAIKU, "name: claude-haiku-4-5", f"name: {LOOKS}"),
        (HAIKU, "provider: anthropic", f"provider: {LOOKS}"),
        (HAIKU, "variant: haiku", f"variant: {LOOKS}"),
        (HAIKU, "parameters:", f"{LOOKS}: 1\nparameters:"),
        ("services/triage/service.yaml", "scorers: [exact_match]", f"scorers: [{{exact_match: {{token: {LOOKS}}}}}]"),
        ("services/triage/changes/haiku.yaml", "Same answers", f"Same {LOOKS} answers"),
        ("environments/staging.yaml", "http://127.0.0.1:8080", f"http://u:{PLAIN}@127.0.0.1:8080"),
        (HAIKU, "variant: haiku", f"variant: haiku\nvariant: {LOOKS}"),
        (HAIKU, "variant: haiku", f"variant: {LOOKS}: {PLAIN}"),
        (HAIKU, "variant: haiku", f"variant: '{LOOKS}"),
        (HAIKU, "variant: haiku", f"variant: *{LOOKS}"),
    ],
)
def test_what_looks_like_a_secret_is_found_anywhere_and_not_shown(
    repository: Any, path: str, old: str, new: str
) -> None:
    repository.replace(path, old, new)
    with pytest.raises(ProjectError) as caught:
        repository.load()
    assert path in {problem.file for problem in caught.value.problems}
    assert LOOKS not in str(caught.value)
    assert PLAIN not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        LOOKS,
        "AKIA" + "ABCD" * 4,
        "ghp_" + "a1" * 18,
        "xoxb-1234567890-abc",
        "AIza" + "a" * 35,
        "Bearer " + "a1" * 12,
        "postgresql://u:p@h/d",
    ],
)
def test_known_kinds_of_keys_are_told(text: str) -> None:
    assert looks_like_a_secret(f"before {text} after")


@pytest.mark.parametrize(
    "text",
    [
        "claude-haiku-4-5",
        "sk-learn",
        "a task-oriented-description-of-things",
        "https://host:443/path",
        "Which intent: lost_card?",
    ],
)
def test_plain_texts_are_no_keys(text: str) -> None:
    assert not looks_like_a_secret(text)


def test_names_of_secrets() -> None:
    assert all(names_a_secret(name) for name in ("api_key", "X-API-Key", "Authorization", "x-auth-token", "password"))
    assert not any(names_a_secret(name) for name in ("max_tokens", "tokens", "keyboard", "x-team", "author"))


def test_unset_secrets_are_no_problem_of_the_files_but_can_be_listed(
    repository: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "JUDGE_KEY", "TEAM_KEY"):
        monkeypatch.delenv(name, raising=False)
    repository.replace(
        HAIKU, "key: env:ANTHROPIC_API_KEY", "key: env:ANTHROPIC_API_KEY, headers: {x-team-key: env:TEAM_KEY}"
    )
    repository.replace(
        "services/triage/service.yaml",
        "scorers: [exact_match]",
        "scorers: [exact_match, {llm_judge: {model: {provider: openai, name: m, key: "
        f"'file:{tmp_path}/judge'}}}}}}]",
    )
    project = repository.load()
    variants = project.services["triage"].variants
    problems = unset_secrets(project, [variants["haiku"]])
    assert [(problem.file, problem.line, problem.field) for problem in problems] == [
        (HAIKU, 2, "model.key"),
        (HAIKU, 2, "model.headers.x-team-key"),
        ("services/triage/service.yaml", 5, "scorers[1].llm_judge.model.key"),
    ]
    assert "ANTHROPIC_API_KEY is not set" in problems[0].what
    assert problems[0].instead == "Set it: export ANTHROPIC_API_KEY=..."
    monkeypatch.setenv("ANTHROPIC_API_KEY", LOOKS)
    monkeypatch.setenv("TEAM_KEY", LOOKS)
    (tmp_path / "judge").write_text(LOOKS)
    assert unset_secrets(project, [variants["haiku"]]) == []
    assert len(unset_secrets(project, variants.values())) == 1
    assert LOOKS not in repr(project)
