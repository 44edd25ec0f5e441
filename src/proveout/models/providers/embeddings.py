"""Embedding models: texts in, vectors out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import orjson

from proveout.models._base import Usage
from proveout.models.providers._draft import summed, usage_of
from proveout.models.providers._endpoint import Line, Post, fetched
from proveout.models.providers._failures import UNREADABLE

Vector = tuple[float, ...]


class EmbeddingResult(msgspec.Struct, frozen=True, kw_only=True):
    """One vector for each text, in the texts' order. `usage` is None where the endpoint did not say."""

    vectors: tuple[Vector, ...]
    usage: Usage | None = None


class Embedder(Protocol):
    """Something that turns texts into vectors."""

    async def embed(self, texts: Sequence[str]) -> EmbeddingResult:
        """A vector of each text.

        Raises:
            ModelError: no vectors were had.
        """
        ...

    async def aclose(self) -> None:
        """Take no further calls. Idempotent."""
        ...


class EmbeddingApi(Protocol):
    """One wire format of embedding calls. `at_once` is how many texts one call may carry."""

    @property
    def at_once(self) -> int: ...

    def post(self, texts: Sequence[str]) -> Post: ...

    def read(self, answer: Any) -> tuple[Sequence[Any], Any]:
        """The vectors and the tokens that were counted. What it raises of `UNREADABLE` means a malformed answer."""
        ...


class EmbeddingEndpoint:
    """An embedding model behind an HTTP API."""

    def __init__(self, api: EmbeddingApi, line: Line) -> None:
        self._api = api
        self._line = line
        self._failures = line.failures
        self._closed = False

    async def embed(self, texts: Sequence[str]) -> EmbeddingResult:
        if self._closed:
            raise self._failures.error("cut", "the model was closed")
        vectors: list[Vector] = []
        tokens: int | None = 0
        step = self._api.at_once
        for start in range(0, len(texts), step):
            some = texts[start : start + step]
            found, counted = await self._call(some)
            vectors += found
            tokens = None if tokens is None or counted is None else tokens + counted
        usage = usage_of(tokens, 0) if tokens else None
        return EmbeddingResult(vectors=tuple(vectors), usage=usage)

    async def aclose(self) -> None:
        self._closed = True

    async def _call(self, texts: Sequence[str]) -> tuple[list[Vector], int | None]:
        answer = await fetched(self._line.send(self._api.post(texts)), self._failures)
        try:
            if answer.get("error"):
                raise self._failures.of_problem(answer)
            found, counted = self._api.read(answer)
            vectors = [_vector(values) for values in found]
            if len(vectors) != len(texts):
                raise ValueError(f"it holds {len(vectors)} vectors for {len(texts)} texts")
        except UNREADABLE as error:
            raise self._failures.of_reading(error) from error
        return vectors, counted if isinstance(counted, int) and counted >= 0 else None


class OpenAiEmbeddings:
    """`POST /embeddings`, as OpenAI and all that are compatible take it."""

    at_once = 2048

    def __init__(self, url: str, model: str) -> None:
        self._url = url
        self._model = {"model": model} if model else {}

    def post(self, texts: Sequence[str]) -> Post:
        return Post(self._url, orjson.dumps({**self._model, "input": list(texts)}))

    def read(self, answer: Any) -> tuple[Sequence[Any], Any]:
        rows = sorted(enumerate(answer["data"]), key=lambda row: row[1].get("index", row[0]))
        return [row["embedding"] for _, row in rows], (answer.get("usage") or {}).get("prompt_tokens")


class VertexEmbeddings:
    """Vertex AI's `:predict`. One text a call: its newest model takes no more."""

    at_once = 1

    def __init__(self, url: str) -> None:
        self._url = f"{url}:predict"

    def post(self, texts: Sequence[str]) -> Post:
        return Post(self._url, orjson.dumps({"instances": [{"content": text} for text in texts]}))

    def read(self, answer: Any) -> tuple[Sequence[Any], Any]:
        found = [prediction["embeddings"] for prediction in answer["predictions"]]
        counted = [(one.get("statistics") or {}).get("token_count") for one in found]
        return [one["values"] for one in found], summed(*counted)


class TitanEmbeddings:
    """Amazon's Titan on Bedrock: one text a call."""

    at_once = 1

    def __init__(self, url: str) -> None:
        self._url = f"{url}/invoke"

    def post(self, texts: Sequence[str]) -> Post:
        return Post(self._url, orjson.dumps({"inputText": texts[0]}))

    def read(self, answer: Any) -> tuple[Sequence[Any], Any]:
        return [answer["embedding"]], answer.get("inputTextTokenCount")


class CohereEmbeddings:
    """Cohere on Bedrock, whose answers count no tokens."""

    at_once = 96

    def __init__(self, url: str) -> None:
        self._url = f"{url}/invoke"

    def post(self, texts: Sequence[str]) -> Post:
        return Post(self._url, orjson.dumps({"texts": list(texts), "input_type": "clustering"}))

    def read(self, answer: Any) -> tuple[Sequence[Any], Any]:
        found = answer["embeddings"]
        return found["float"] if isinstance(found, dict) else found, None


def bedrock_embeddings(name: str, url: str) -> EmbeddingApi:
    """The format that an embedding model on Bedrock takes.

    Raises:
        LookupError: it is neither Titan nor Cohere.
    """
    if "titan-embed" in name:
        return TitanEmbeddings(url)
    if "cohere.embed" in name:
        return CohereEmbeddings(url)
    raise LookupError(f"bedrock: {name} is no embedding model that is known here; take a Titan or Cohere one")


def _vector(values: Any) -> Vector:
    vector = tuple(float(value) for value in values)
    if not vector or not all(map(math.isfinite, vector)):
        raise ValueError("it holds a vector that is empty or not finite")
    return vector
