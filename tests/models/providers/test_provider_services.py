"""Each compatible provider: its address, how the key goes out, and its own names."""

from __future__ import annotations

import pytest
from provider_peers import STREAM, completion, peer

from proveout import wire
from proveout.models.providers import PROVIDERS, open_endpoint
from proveout.models.providers.services import SERVICES, place
from proveout.project.records import ModelSpec, Secret
from proveout.project.shapes.model import FAMILY_OF_PROVIDER
from proveout.testing.faults import Answer

CHAT = "/chat/completions"


def test_every_provider_that_can_be_declared_can_be_opened() -> None:
    assert set(PROVIDERS) == set(FAMILY_OF_PROVIDER) - {"replay"}


@pytest.mark.parametrize(
    ("provider", "url"),
    [
        ("openai", "https://api.openai.com/v1/chat/completions"),
        ("together", "https://api.together.xyz/v1/chat/completions"),
        ("anyscale", "https://api.endpoints.anyscale.com/v1/chat/completions"),
        ("fireworks", "https://api.fireworks.ai/inference/v1/chat/completions"),
        ("groq", "https://api.groq.com/openai/v1/chat/completions"),
        ("mistral", "https://api.mistral.ai/v1/chat/completions"),
        ("openrouter", "https://openrouter.ai/api/v1/chat/completions"),
        ("vllm", "http://127.0.0.1:8000/v1/chat/completions"),
        ("sglang", "http://127.0.0.1:30000/v1/chat/completions"),
        ("tgi", "http://127.0.0.1:8080/v1/chat/completions"),
        ("ollama", "http://127.0.0.1:11434/v1/chat/completions"),
        ("llama.cpp", "http://127.0.0.1:8080/v1/chat/completions"),
    ],
)
def test_each_provider_has_its_own_address(provider: str, url: str) -> None:
    assert place(ModelSpec(provider, "m"), SERVICES[provider], CHAT).url == url


@pytest.mark.parametrize(
    ("provider", "written", "meant"),
    [
        ("vllm", "http://gpu:9000", "http://gpu:9000/v1/chat/completions"),
        ("vllm", "http://gpu:9000/", "http://gpu:9000/v1/chat/completions"),
        ("vllm", "http://gpu:9000/v1/", "http://gpu:9000/v1/chat/completions"),
        ("vllm", "http://gpu:9000/llama/v1", "http://gpu:9000/llama/v1/chat/completions"),
        ("openai-compatible", "http://gpu:9000", "http://gpu:9000/chat/completions"),
        ("openai-compatible", "http://gpu:9000/v1?team=a", "http://gpu:9000/v1/chat/completions?team=a"),
        ("openai", "https://eu.api.openai.com/v1", "https://eu.api.openai.com/v1/chat/completions"),
    ],
)
def test_an_address_of_ones_own_is_added_to(provider: str, written: str, meant: str) -> None:
    assert place(ModelSpec(provider, "m", written), SERVICES[provider], CHAT).url == meant


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (ModelSpec("openai-compatible", "m"), "needs an address"),
        (ModelSpec("ollama"), "needs the model's name"),
        (ModelSpec("groq"), "needs the model's name"),
        (ModelSpec("azure", "m"), "needs the resource's `url`"),
    ],
)
async def test_what_is_missing_is_named_at_opening(spec: ModelSpec, said: str) -> None:
    async with wire.Client() as client:
        with pytest.raises(LookupError, match=said):
            open_endpoint(spec, client)


@pytest.mark.parametrize(
    ("provider", "name", "given", "sent"),
    [
        ("openai", "gpt-4o", "max_tokens", "max_tokens"),
        ("openai", "o3-mini", "max_tokens", "max_completion_tokens"),
        ("openai", "gpt-5-nano", "max_tokens", "max_completion_tokens"),
        ("openai", "ft:o4-mini-2025-04-16:team::id", "max_tokens", "max_completion_tokens"),
        ("azure", "gpt-35-turbo", "max_tokens", "max_tokens"),
        ("azure", "o1", "max_tokens", "max_completion_tokens"),
        ("mistral", "mistral-small", "max_completion_tokens", "max_tokens"),
        ("tgi", "", "max_completion_tokens", "max_tokens"),
        ("together", "meta-llama/Llama-3", "max_completion_tokens", "max_tokens"),
        ("vllm", "m", "max_completion_tokens", "max_completion_tokens"),
        ("mistral", "mistral-small", "seed", "random_seed"),
        ("openai", "gpt-4o", "seed", "seed"),
    ],
)
async def test_parameters_go_under_the_names_that_each_knows(provider: str, name: str, given: str, sent: str) -> None:
    async with peer(provider, Answer.json(completion()), name=name) as one:
        await one.ask(**{given: 9})
    body = one.body
    del body["messages"]
    body.pop("model", None)
    assert body == {sent: 9}


async def test_azure_has_its_deployments_address_and_its_own_key_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "azure-key-1")
    options = {"deployment": "triage mini", "api_version": "2025-01-01-preview"}
    async with peer("azure", Answer.json(completion()), name="o3-mini", key=Secret("env:KEY"), options=options) as one:
        await one.ask(max_tokens=3)
    assert one.sent.target == "/openai/deployments/triage%20mini/chat/completions?api-version=2025-01-01-preview"
    assert one.sent.headers["api-key"] == "azure-key-1"
    assert "authorization" not in one.sent.headers
    assert "model" not in one.body
    assert one.body["max_completion_tokens"] == 3


async def test_azures_newer_address_takes_the_deployment_as_the_model() -> None:
    async with peer("azure", Answer.json(completion()), name="mini", path="/openai/v1/") as one:
        await one.ask()
    assert one.sent.target == "/openai/v1/chat/completions"
    assert one.body["model"] == "mini"
    async with peer("azure", Answer.json(completion()), name="mini") as one:
        await one.ask()
    assert one.sent.target == "/openai/deployments/mini/chat/completions?api-version=2024-10-21"


@pytest.mark.parametrize(("provider", "asks"), [("mistral", False), ("openai", True), ("vllm", True)])
async def test_streamed_usage_is_asked_for_where_that_is_known(provider: str, asks: bool) -> None:
    async with peer(provider, Answer(events=STREAM)) as one:
        await one.ask(stream=True)
    assert ("stream_options" in one.body) == asks


@pytest.mark.parametrize(("provider", "model"), [("vllm", None), ("tgi", "tgi"), ("llama.cpp", None)])
async def test_an_engine_without_a_name_serves_its_only_model(provider: str, model: str | None) -> None:
    async with peer(provider, Answer.json(completion()), name="") as one:
        await one.ask()
    assert one.body.get("model") == model
    assert "authorization" not in one.sent.headers


async def test_a_header_of_the_teams_replaces_ours() -> None:
    options = {"headers": {"User-Agent": "ours/1", "Authorization": "Basic abc"}}
    async with peer("openai-compatible", Answer.json(completion()), options=options) as one:
        await one.ask()
    assert one.sent.headers.get_all("user-agent") == ["ours/1"]
    assert one.sent.headers.get_all("authorization") == ["Basic abc"]
