"""The `model:` block, for each family of providers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, Tag, model_validator

from proveout.project.sensitive import looks_like_a_secret, names_a_secret
from proveout.project.shapes._base import (
    Amount,
    Count,
    Duration,
    Refusal,
    RelativePath,
    SecretReference,
    Shape,
    Text,
    checked_by,
    refuse,
    tag,
    told_apart_by,
    written_as,
)


def _address(value: str) -> str:
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
        parts = urlsplit("")
    if not valid or re.search(r"\s", value):
        raise refuse("this is not a web address", "Write http://host:port/path or https://...")
    if (
        parts.username is not None
        or parts.password is not None
        or looks_like_a_secret(value)
        or names_a_secret(parts.query)
    ):
        raise refuse("an address must not hold a secret", "Put it under `key: env:NAME`.")
    return value


Address = Annotated[
    str, AfterValidator(_address), written_as("web address", {"type": "string", "pattern": "^https?://"})
]


def _unfit(headers: dict[str, str]) -> Iterator[Refusal]:
    for name, value in headers.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or re.search(r"[\r\n\0]", value):
            yield Refusal(
                "this is no valid header",
                "Write a name of letters, digits and dashes, and a value on one line.",
                (name,),
            )
        elif not value.startswith(("env:", "file:")) and (names_a_secret(name) or looks_like_a_secret(value)):
            yield Refusal("this header seems to hold a secret", f"Write `{name}: env:NAME`.", (name,))


Headers = Annotated[dict[str, str], checked_by(_unfit)]


class LimitsShape(Shape):
    """How hard one endpoint may be pressed. Without a limit, concurrency adapts to what the endpoint bears."""

    concurrency: Count | None = Field(default=None, description="Most calls in flight at once.", examples=[16])
    requests_per_minute: Amount | None = Field(
        default=None, gt=0, description="Most requests started in a minute.", examples=[500]
    )
    tokens_per_minute: Amount | None = Field(
        default=None, gt=0, description="Most tokens asked for in a minute.", examples=[200000]
    )
    timeout: Duration = Field(
        default=600.0, gt=0, description="Longest that one call may take; ten minutes unless set.", examples=["60s"]
    )
    retries: int = Field(default=4, ge=0, le=20, description="Further tries after a failed call.", examples=[4])


HostedProvider = Literal["openai", "anthropic", "together", "anyscale", "fireworks", "groq", "mistral", "openrouter"]
EngineProvider = Literal["vllm", "sglang", "tgi", "ollama", "llama.cpp"]

_NAME = Field(description="The provider's name of the model.", examples=["claude-haiku-4-5"])
_KEY = Field(
    default=None, description="Where the API key is found: `env:NAME` or `file:PATH`.", examples=["env:OPENAI_API_KEY"]
)
_HEADERS = Field(
    default_factory=dict,
    description="Further request headers. A secret one is a reference, as in `key`.",
    examples=[{"x-team": "support"}],
)
_LIMITS = Field(
    default_factory=LimitsShape, description="How hard the endpoint may be pressed.", examples=[{"concurrency": 16}]
)


class HostedModel(Shape):
    """A model behind a provider's public API."""

    provider: HostedProvider = Field(description="Who answers.", examples=["openai"])
    name: Text = _NAME
    key: SecretReference | None = _KEY
    url: Address | None = Field(
        default=None,
        description="Base address, where it is not the provider's own.",
        examples=["https://eu.api.openai.com/v1"],
    )
    headers: Headers = _HEADERS
    limits: LimitsShape = _LIMITS

    @model_validator(mode="after")
    def _key_or_address(self) -> HostedModel:
        if self.key is None and self.url is None:
            variable = f"{self.provider.upper()}_API_KEY"
            raise refuse(f"{self.provider} needs a `key`", f"Write `key: env:{variable}`.")
        return self


class AzureModel(Shape):
    """A deployment of Azure OpenAI."""

    provider: Literal["azure"] = Field(description="Who answers.", examples=["azure"])
    name: Text | None = Field(
        default=None,
        description="The model's name; also the deployment's, unless that is set.",
        examples=["gpt-4o-mini"],
    )
    deployment: Text | None = Field(default=None, description="The deployment's name.", examples=["triage-mini"])
    url: Address = Field(description="The resource's address.", examples=["https://my-team.openai.azure.com"])
    api_version: Text | None = Field(default=None, description="The API's version.", examples=["2024-10-21"])
    key: SecretReference | None = _KEY
    headers: Headers = _HEADERS
    limits: LimitsShape = _LIMITS

    @model_validator(mode="after")
    def _deployment_or_name(self) -> AzureModel:
        if self.name is None and self.deployment is None:
            raise refuse("azure needs a `deployment` or a `name`", "Write `deployment: my-deployment`.")
        return self


class BedrockModel(Shape):
    """A model on Amazon Bedrock, signed with the credentials that the AWS tools find."""

    provider: Literal["bedrock"] = Field(description="Who answers.", examples=["bedrock"])
    name: Text = _NAME
    region: Text = Field(description="AWS region.", examples=["eu-central-1"])
    profile: Text | None = Field(default=None, description="Profile of the AWS configuration.", examples=["staging"])
    url: Address | None = Field(
        default=None, description="Another address of the service.", examples=["https://bedrock.internal"]
    )
    limits: LimitsShape = _LIMITS


class VertexModel(Shape):
    """A model on Google Vertex AI, signed with the credentials that Google's tools find."""

    provider: Literal["vertex"] = Field(description="Who answers.", examples=["vertex"])
    name: Text = _NAME
    project: Text = Field(description="Google Cloud project.", examples=["my-team"])
    location: Text = Field(description="Google Cloud location.", examples=["europe-west4"])
    key: SecretReference | None = Field(
        default=None,
        description="A service account's key file, where the default credentials are not meant.",
        examples=["file:/run/account.json"],
    )
    url: Address | None = Field(
        default=None, description="Another address of the service.", examples=["https://vertex.internal"]
    )
    limits: LimitsShape = _LIMITS


class EngineModel(Shape):
    """A model served by an engine of your own."""

    provider: EngineProvider = Field(description="Which engine answers.", examples=["vllm"])
    name: Text | None = Field(
        default=None, description="The name under which the engine serves the model.", examples=["llama-3.1-8b"]
    )
    url: Address | None = Field(
        default=None,
        description="Base address; without it, the engine's usual port on this machine.",
        examples=["http://127.0.0.1:8000/v1"],
    )
    key: SecretReference | None = _KEY
    headers: Headers = _HEADERS
    limits: LimitsShape = _LIMITS


class CompatibleModel(Shape):
    """Any endpoint that speaks OpenAI's chat completions."""

    provider: Literal["openai-compatible"] = Field(
        description="Any compatible endpoint.", examples=["openai-compatible"]
    )
    url: Address = Field(
        description="Base address; `/chat/completions` is added.", examples=["http://127.0.0.1:8000/v1"]
    )
    name: Text | None = Field(default=None, description="The endpoint's name of the model.", examples=["my-model"])
    key: SecretReference | None = _KEY
    headers: Headers = _HEADERS
    limits: LimitsShape = _LIMITS


class TinyModel(Shape):
    """The built-in toy model."""

    provider: Literal["tiny"] = Field(description="The built-in model.", examples=["tiny"])
    name: Text | None = Field(default=None, description="A label; the build decides what answers.", examples=["tiny"])
    build: Literal["f16", "int8", "int4", "int2", "lora"] = Field(
        default="f16",
        description="Which build of its weights: f16, a quantised one, or the LoRA fine-tune.",
        examples=["int8"],
    )
    limits: LimitsShape = _LIMITS


class ReplayModel(Shape):
    """Recorded outputs."""

    provider: Literal["replay"] = Field(description="Recorded outputs.", examples=["replay"])
    path: RelativePath = Field(
        description='JSONL of `{"id" or "input", "output", "timings"?, "usage"?}`; several lines with one id are its '
        "successive repeats.",
        examples=["recordings/base.jsonl"],
    )
    name: Text | None = Field(default=None, description="A label for the recorded model.", examples=["gpt-4o, 3 March"])
    limits: LimitsShape = _LIMITS


_FAMILIES: dict[str, type[Shape]] = {
    "hosted": HostedModel,
    "azure": AzureModel,
    "bedrock": BedrockModel,
    "vertex": VertexModel,
    "engine": EngineModel,
    "compatible": CompatibleModel,
    "tiny": TinyModel,
    "replay": ReplayModel,
}
FAMILY_OF_PROVIDER: dict[str, str] = {
    provider: family
    for family, shape in _FAMILIES.items()
    for provider in get_args(shape.model_fields["provider"].annotation)
}


def _family(value: Any) -> str | None:
    provider = value.get("provider") if isinstance(value, dict) else getattr(value, "provider", None)
    return FAMILY_OF_PROVIDER.get(provider) if isinstance(provider, str) else None


ModelShape = Annotated[
    Annotated[HostedModel, Tag(tag("hosted"))]
    | Annotated[AzureModel, Tag(tag("azure"))]
    | Annotated[BedrockModel, Tag(tag("bedrock"))]
    | Annotated[VertexModel, Tag(tag("vertex"))]
    | Annotated[EngineModel, Tag(tag("engine"))]
    | Annotated[CompatibleModel, Tag(tag("compatible"))]
    | Annotated[TinyModel, Tag(tag("tiny"))]
    | Annotated[ReplayModel, Tag(tag("replay"))],
    told_apart_by(
        _family,
        "a model needs a `provider`",
        "Write for example `{provider: openai, name: gpt-4o-mini, key: env:OPENAI_API_KEY}`.",
        noun="provider",
        known=FAMILY_OF_PROVIDER,
    ),
]
