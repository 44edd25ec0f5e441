"""Every provider under the contract of models that ships with the package."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar

import orjson
import pytest
from provider_peers import STREAM, completion, peer
from test_provider_anthropic import TEXT as ANTHROPIC_TEXT
from test_provider_anthropic import events, message
from test_provider_bedrock import TEXT as BEDROCK_TEXT
from test_provider_bedrock import converse, streamed
from test_provider_gemini import content

from proveout import wire
from proveout.models._base import Model
from proveout.models.providers import open_endpoint
from proveout.models.tiny import tiny_app
from proveout.project.records import ModelSpec
from proveout.testing.faults import Answer, FaultServer, Received
from proveout.testing.model_contract import ModelContract


class Scripted(ModelContract):
    """A provider on a server that answers in its documented shapes."""

    provider: ClassVar[str]
    whole: ClassVar[Answer]
    stream: ClassVar[Answer]
    fields: ClassVar[dict[str, Any]] = {}

    def streams(self, request: Received) -> bool:
        return b'"stream":true' in request.body or "tream" in request.target

    @asynccontextmanager
    async def model(self) -> AsyncIterator[Model]:
        def answer(request: Received) -> Answer:
            return self.stream if self.streams(request) else self.whole

        async with FaultServer(answer) as server, wire.Client() as client:
            yield open_endpoint(ModelSpec(self.provider, "m", server.url, **self.fields), client)

    @asynccontextmanager
    async def failing(self) -> AsyncIterator[Model]:
        async with peer(self.provider, Answer(status=500, body=b"line\nbreak"), **self.fields) as one:
            yield one.model


class TestOpenAi(Scripted):
    provider = "openai"
    whole = Answer.json(completion())
    stream = Answer(events=STREAM)


class TestAnthropic(Scripted):
    provider = "anthropic"
    whole = Answer.json(message())
    stream = Answer(events=events(*ANTHROPIC_TEXT))


class TestBedrock(Scripted):
    provider = "bedrock"
    whole = Answer.json(converse({"text": "Hi"}))
    stream = streamed(*BEDROCK_TEXT)
    fields: ClassVar[dict[str, Any]] = {"options": {"region": "eu-central-1"}}

    @pytest.fixture(autouse=True)
    def _credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("botocore")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


class TestGemini(Scripted):
    provider = "vertex"
    whole = Answer.json(content({"text": "Hi"}))
    stream = Answer(events=[orjson.dumps(content({"text": "Hi"})).decode()])
    fields: ClassVar[dict[str, Any]] = {"options": {"project": "p", "location": "global"}}

    @pytest.fixture(autouse=True)
    def _credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Credentials that are valid as they are; the exchange for a token has its own tests."""
        auth = pytest.importorskip("google.auth")
        from google.oauth2.credentials import Credentials

        monkeypatch.setattr(auth, "default", lambda scopes: (Credentials("token"), "p"))


class TestTinyInThisProcess(ModelContract):
    @asynccontextmanager
    async def model(self) -> AsyncIterator[Model]:
        async with wire.Client() as client:
            model = open_endpoint(ModelSpec("tiny"), client)
            try:
                yield model
            finally:
                await model.aclose()

    @asynccontextmanager
    async def failing(self) -> AsyncIterator[Model]:
        async with self.model() as model:
            await model.aclose()
            yield model


class TestTinyOverHttp(ModelContract):
    def model(self) -> AbstractAsyncContextManager[Model]:
        return self._served("tiny-f16")

    def failing(self) -> AbstractAsyncContextManager[Model]:
        return self._served("a-model-that-it-does-not-have")

    @asynccontextmanager
    async def _served(self, name: str) -> AsyncIterator[Model]:
        app = tiny_app(("f16",))
        server = await wire.serve(app)
        try:
            async with wire.Client() as client:
                url = f"http://127.0.0.1:{server.port}"
                yield open_endpoint(ModelSpec("vllm", name, url), client)
        finally:
            await server.close()
            await app.aclose()
