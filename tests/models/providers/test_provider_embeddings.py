from __future__ import annotations

import math
from typing import Any

import pytest

from proveout import wire
from proveout.models._base import ModelError, Usage
from proveout.models.providers import open_embeddings
from proveout.project.records import ModelSpec, Secret
from proveout.testing.faults import Answer, FaultServer


def embedded(*vectors: Any, **changes: Any) -> Answer:
    """An answer as OpenAI's reference shows it."""
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": 8, "total_tokens": 8}
    return Answer.json({"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage, **changes})


async def test_vectors_come_in_the_texts_order_with_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "sk-0000000000000000")
    data = [{"index": 1, "embedding": [0, 1]}, {"index": 0, "embedding": [1, 0.5]}]
    async with FaultServer([embedded(data=data)]) as server, wire.Client() as client:
        spec = ModelSpec("openai", "text-embedding-3-small", f"{server.url}/v1", Secret("env:KEY"))
        embedder = open_embeddings(spec, client)
        got = await embedder.embed(["a", "b"])
        assert (await embedder.embed([])).vectors == ()
    assert got.vectors == ((1.0, 0.5), (0.0, 1.0))
    assert got.usage == Usage(input_tokens=8, output_tokens=0)
    assert len(server.received) == 1
    assert server.received[0].target == "/v1/embeddings"
    assert server.received[0].headers["authorization"] == "Bearer sk-0000000000000000"
    assert server.received[0].json() == {"model": "text-embedding-3-small", "input": ["a", "b"]}


async def test_azure_embeds_at_its_deployments_address() -> None:
    async with FaultServer([embedded([1])]) as server, wire.Client() as client:
        await open_embeddings(ModelSpec("azure", "", server.url, options={"deployment": "emb"}), client).embed(["a"])
    assert server.received[0].target == "/openai/deployments/emb/embeddings?api-version=2024-10-21"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (embedded([1.0]), "malformed"),
        (embedded([1.0], [2.0], [3.0]), "malformed"),
        (embedded([1.0], []), "malformed"),
        (embedded([1.0], ["x"]), "malformed"),
        (Answer.json({}), "malformed"),
        (Answer.json([]), "malformed"),
        (Answer(body=b"?"), "malformed"),
        (Answer.json({"error": {"message": "no", "type": "rate_limit_error"}}), "rate_limit"),
        (Answer.too_many(), "rate_limit"),
        (Answer(cut_after=0), "cut"),
    ],
)
async def test_every_failure_is_a_model_error(answer: Answer, kind: str) -> None:
    async with FaultServer([answer], otherwise=answer) as server, wire.Client() as client:
        with pytest.raises(ModelError) as caught:
            await open_embeddings(ModelSpec("vllm", "m", server.url), client).embed(["a", "b"])
    assert caught.value.kind == kind


async def test_usage_that_is_absent_is_unknown() -> None:
    async with FaultServer([embedded([1.0], usage=None)]) as server, wire.Client() as client:
        assert (await open_embeddings(ModelSpec("vllm", "m", server.url), client).embed(["a"])).usage is None


@pytest.mark.parametrize(
    ("name", "answer", "vectors", "body"),
    [
        ("amazon.titan-embed-text-v2:0", {"embedding": [1, 2], "inputTextTokenCount": 3}, 2, {"inputText": "b"}),
        ("cohere.embed-v4:0", {"embeddings": [[1], [2]]}, 2, {"texts": ["a", "b"], "input_type": "clustering"}),
        (
            "cohere.embed-v4:0",
            {"embeddings": {"float": [[1], [2]]}},
            2,
            {"texts": ["a", "b"], "input_type": "clustering"},
        ),
    ],
)
async def test_bedrocks_embedding_models(
    monkeypatch: pytest.MonkeyPatch, name: str, answer: Any, vectors: int, body: Any
) -> None:
    pytest.importorskip("botocore")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    reply = Answer.json(answer)
    async with FaultServer([reply], otherwise=reply) as server, wire.Client() as client:
        spec = ModelSpec("bedrock", name, server.url, options={"region": "eu-central-1"})
        got = await open_embeddings(spec, client).embed(["a", "b"])
    assert len(got.vectors) == vectors
    assert all(math.isfinite(value) for vector in got.vectors for value in vector)
    assert server.received[-1].json() == body
    assert server.received[-1].target.endswith("/invoke")
    assert "AWS4-HMAC-SHA256" in server.received[-1].headers["authorization"]


async def test_providers_without_embeddings_say_so() -> None:
    async with wire.Client() as client:
        for provider in ("anthropic", "tiny"):
            with pytest.raises(LookupError, match="no embedding models"):
                open_embeddings(ModelSpec(provider, "m"), client)


async def test_a_closed_embedder_takes_no_calls() -> None:
    async with wire.Client() as client:
        embedder = open_embeddings(ModelSpec("vllm", "m"), client)
        await embedder.aclose()
        await embedder.aclose()
        with pytest.raises(ModelError) as caught:
            await embedder.embed(["a"])
    assert caught.value.kind == "cut"
