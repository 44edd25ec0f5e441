"""Fingerprints: the same meaning has the same one, another meaning another."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proveout.project import Limits, ModelSpec, OutputContract, Prompt, Secret
from proveout.project import fingerprint as module
from proveout.project.fingerprint import canonical, fingerprint

HAIKU = "services/triage/variants/haiku.yaml"
PROMPT = "services/triage/prompts/triage.md"


def test_it_is_short_and_hexadecimal(repository: Any) -> None:
    value = repository.variant().fingerprint
    assert len(value) == 16
    assert int(value, 16) >= 0


@pytest.mark.parametrize(
    "same",
    [
        "variant: haiku\nmodel: {key: env:ANTHROPIC_API_KEY, name: claude-haiku-4-5, provider: anthropic}\n"
        "parameters: {max_tokens: 64, temperature: 0}\nprompt: prompts/triage.md\n"
        "postprocess: [{json_field: intent}]\n",
        "# another spelling\nvariant: 'haiku'\nprompt: \"prompts/triage.md\"\nmodel:\n  provider: anthropic  # who\n"
        "  name: 'claude-haiku-4-5'\n  key: env:OTHER_KEY\n  limits: {concurrency: 3, timeout: 5s}\n"
        "parameters:\n  temperature: 0.0\n  max_tokens: 64.0\npostprocess:\n- json_field: intent\n"
        "lineage: {kind: engine, parents: [x], method: {a: 1}}\n",
        "variant: haiku\nmodel: {provider: anthropic, name: claude-haiku-4-5, key: file:/run/key}\n"
        "prompt: prompts/../prompts/triage.md\n"
        "parameters: {temperature: -0.0, max_tokens: 6.4e1}\npostprocess: [{json_field: intent}]\npreprocess: []\n",
    ],
)
def test_the_same_meaning_has_the_same_fingerprint(repository: Any, same: str) -> None:
    before = repository.variant().fingerprint
    repository.write(HAIKU, same)
    assert repository.variant().fingerprint == before


def test_name_and_place_of_files_do_not_matter(repository: Any) -> None:
    before = repository.variant().fingerprint
    text = (repository.root / HAIKU).read_text()
    repository.write("services/triage/variants/copy.yaml", text.replace("variant: haiku", "variant: copy"))
    assert repository.variant("copy").fingerprint == before
    repository.write(
        "services/triage/elsewhere/p.md", (repository.root / PROMPT).read_text().replace("---\n", "--- \n", 1) + "\n\n"
    )
    repository.replace("services/triage/variants/copy.yaml", "prompts/triage.md", "elsewhere/p.md")
    assert repository.variant("copy").fingerprint == before
    moved = repository.root.with_name("moved")
    os.rename(repository.root, moved)
    repository.root = moved
    assert repository.variant().fingerprint == before


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (HAIKU, "claude-haiku-4-5", "claude-haiku-4-6"),
        (HAIKU, "provider: anthropic", "provider: openrouter"),
        (HAIKU, "key:", "url: https://eu.example, key:"),
        (HAIKU, "key:", "headers: {anthropic-beta: x}, key:"),
        (HAIKU, "temperature: 0", "temperature: 0.1"),
        (HAIKU, "temperature: 0", "top_p: 0"),
        (HAIKU, "max_tokens: 64", "max_tokens: 65"),
        (HAIKU, "json_field: intent", "json_field: intents"),
        (HAIKU, "[{json_field: intent}]", "[{json_field: intent}, lower]"),
        (HAIKU, "lineage:", "preprocess: [strip]\nlineage:"),
        (HAIKU, "lineage:", "examples: [{input: a, output: b}]\nlineage:"),
        (HAIKU, "prompt: prompts/triage.md\n", ""),
        (PROMPT, "Which intent", "What intent"),
        (PROMPT, "{{ message }}", "{{ message|upper }}"),
        (PROMPT, "You sort", "You file"),
        (PROMPT, "---\nsystem: You sort messages of a bank's customers.\n---\n", ""),
        (PROMPT, "system: You sort messages of a bank's customers.", "role: system"),
        ("services/triage/service.yaml", "pin_blocked", "pin_forgotten"),
        ("services/triage/service.yaml", "{choices: [card_arrival, lost_card, pin_blocked]}", "text"),
        (
            "services/triage/service.yaml",
            "{choices: [card_arrival, lost_card, pin_blocked]}",
            "{schema: {type: string}}",
        ),
    ],
)
def test_another_meaning_has_another_fingerprint(repository: Any, path: str, old: str, new: str) -> None:
    before = repository.variant().fingerprint
    repository.replace(path, old, new)
    assert repository.variant().fingerprint != before


def test_order_of_examples_and_steps_matters(repository: Any) -> None:
    def with_parts(examples: str, steps: str) -> str:
        repository.write(
            HAIKU, f"variant: haiku\nmodel: {{provider: tiny}}\nexamples: {examples}\npostprocess: {steps}\n"
        )
        return repository.variant().fingerprint

    a, b = "{input: a, output: x}", "{input: b, output: x}"
    prints = {
        with_parts(f"[{first}, {second}]", steps)
        for first, second in ((a, b), (b, a))
        for steps in ("[lower, json]", "[json, lower]")
    }
    assert len(prints) == 4


def test_bytes_of_recordings_and_functions_count(repository: Any) -> None:
    recording, code = "services/triage/r.jsonl", "services/triage/clean.py"
    repository.write(recording, '{"id": "1", "output": "a"}\n')
    repository.write(code, "def clean(text): return text\n")
    repository.write(
        HAIKU, "variant: haiku\nmodel: {provider: replay, path: r.jsonl}\npostprocess: [{python: clean.py:clean}]\n"
    )
    first = repository.variant().fingerprint
    repository.write(recording, '{"id": "1", "output": "b"}\n')
    second = repository.variant().fingerprint
    repository.write(code, "def clean(text): return text.strip()\n")
    third = repository.variant().fingerprint
    assert len({first, second, third}) == 3
    os.makedirs(repository.root / "services/triage/recorded")
    os.rename(repository.root / recording, repository.root / "services/triage/recorded/r.jsonl")
    repository.replace(HAIKU, "r.jsonl", "recorded/r.jsonl")
    assert repository.variant().fingerprint == third


def test_the_weights_of_the_built_in_model_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def of(build: str) -> str:
        model = ModelSpec("tiny", options={"build": build})
        return fingerprint(model, {}, Prompt("", (("user", "{{ q }}"),)), (), (), OutputContract())

    before = {build: of(build) for build in ("f16", "int8", "lora")}
    assert len(set(before.values())) == 3
    told = json.loads(module._TINY.read_text())
    told["files"]["lora.safetensors"]["sha256"] = "0" * 64
    (tmp_path / "manifest.json").write_text(json.dumps(told))
    monkeypatch.setattr(module, "_TINY", tmp_path / "manifest.json")
    assert {build for build in before if of(build) != before[build]} == {"lora"}


def test_the_name_that_a_recording_is_priced_by_counts(repository: Any) -> None:
    """The same answers, at the price of another model."""

    def recorded(file: str, more: str = "") -> str:
        repository.write(f"services/triage/{file}", '{"id": "1", "output": "a"}\n')
        repository.write(HAIKU, f"variant: haiku\nmodel: {{provider: replay, path: {file}{more}}}\n")
        return repository.variant().fingerprint

    assert recorded("gpt-x.jsonl") == recorded("gpt-x.jsonl", ", name: gpt-x")
    assert len({recorded("gpt-x.jsonl"), recorded("haiku.jsonl"), recorded("gpt-x.jsonl", ", name: haiku-2")}) == 3


# --- properties

plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)
settings_of_a_request = st.dictionaries(st.text(min_size=1, max_size=5), plain_values, max_size=4)


def of(parameters: Mapping[str, Any], template: str = "{{ a }}", **options: Any) -> str:
    model = ModelSpec("openai", "m", options=options)
    return fingerprint(model, parameters, Prompt("", (("user", template),)), (), (), OutputContract())


def shuffled(value: Any, chance: random.Random) -> Any:
    """The same meaning in another spelling: other order of keys, whole numbers as floats."""
    if isinstance(value, dict):
        items = list(value.items())
        chance.shuffle(items)
        return {key: shuffled(item, chance) for key, item in items}
    if isinstance(value, list):
        return [shuffled(item, chance) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return chance.choice([value, float(value)])
    return value


@given(settings_of_a_request, st.randoms())
def test_spelling_does_not_matter(parameters: dict[str, Any], chance: random.Random) -> None:
    assert of(shuffled(parameters, chance)) == of(parameters)


def same_meaning(one: Any, other: Any) -> bool:
    """An independent judgement of what canonical spellings should decide."""
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_meaning(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_meaning, one, other))
    return (type(one) in (int, float) and type(other) in (int, float) and one == other) or (
        type(one) is type(other) is str and one == other
    )


@given(plain_values, plain_values)
def test_canonical_spelling_tells_meanings_apart(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) == same_meaning(one, other)


@given(settings_of_a_request, st.text(min_size=1, max_size=5), plain_values)
def test_any_other_parameter_changes_it(parameters: dict[str, Any], name: str, value: Any) -> None:
    changed = {**parameters, name: value}
    unchanged = name in parameters and same_meaning(parameters[name], value)
    assert (of(changed) == of(parameters)) == unchanged


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_other_prompt_text_changes_it(one: str, other: str) -> None:
    assert (of({}, one) == of({}, other)) == (one == other)


def test_keys_limits_and_secret_headers_do_not_count() -> None:
    bare = ModelSpec("openai", "m", options={"headers": {"x-a": "1"}})
    dressed = ModelSpec(
        "openai",
        "m",
        key=Secret("env:A"),
        limits=Limits(concurrency=1),
        options={"headers": {"X-A": "1", "x-key": Secret("env:B")}},
    )
    arguments = ({}, Prompt(""), (), (), OutputContract())
    assert fingerprint(bare, *arguments) == fingerprint(dressed, *arguments)
