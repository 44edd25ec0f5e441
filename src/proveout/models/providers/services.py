"""Every provider that speaks OpenAI's format: where it is, how it learns who calls, and what it does in its own way."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import msgspec

from proveout.models.providers.openai_chat import Dialect
from proveout.project.records import ModelSpec

AZURE_API_VERSION = "2024-10-21"
"""Sent where a `model:` block names none."""


class Service(msgspec.Struct, frozen=True):
    """One provider. `url` is its base address, or its usual one on this machine; None where there is none.

    `key_header` is the header that takes the key; with `Authorization`, the key is a bearer token. `needs_name` says
    that a request without a model's name is refused. `bare_path` is added to an address without a path.
    """

    url: str | None
    dialect: Dialect = msgspec.field(default_factory=Dialect)
    key_header: str = "authorization"
    needs_name: bool = True
    bare_path: str = ""


_OLD_LIMIT = Dialect(limit_name="max_tokens")

SERVICES: dict[str, Service] = {
    "openai": Service("https://api.openai.com/v1", Dialect(limit_name="reasoning")),
    "azure": Service(None, Dialect(limit_name="reasoning"), key_header="api-key"),
    "together": Service("https://api.together.xyz/v1", _OLD_LIMIT),
    "anyscale": Service("https://api.endpoints.anyscale.com/v1", _OLD_LIMIT),
    "fireworks": Service("https://api.fireworks.ai/inference/v1", _OLD_LIMIT),
    "groq": Service("https://api.groq.com/openai/v1"),
    "mistral": Service(
        "https://api.mistral.ai/v1",
        Dialect(limit_name="max_tokens", stream_usage=False, renames=(("seed", "random_seed"),)),
    ),
    "openrouter": Service("https://openrouter.ai/api/v1"),
    "vllm": Service("http://127.0.0.1:8000/v1", needs_name=False, bare_path="/v1"),
    "sglang": Service("http://127.0.0.1:30000/v1", needs_name=False, bare_path="/v1"),
    "tgi": Service("http://127.0.0.1:8080/v1", _OLD_LIMIT, needs_name=False, bare_path="/v1"),
    "ollama": Service("http://127.0.0.1:11434/v1", _OLD_LIMIT, bare_path="/v1"),
    "llama.cpp": Service("http://127.0.0.1:8080/v1", _OLD_LIMIT, needs_name=False, bare_path="/v1"),
    "openai-compatible": Service(None, needs_name=False),
}


class Place(msgspec.Struct, frozen=True):
    """Where a spec's endpoint takes a call, and the model's name in the body (empty: none is sent)."""

    url: str
    model: str


def place(spec: ModelSpec, service: Service, path: str) -> Place:
    """Where to send calls of `path` (`/chat/completions` or `/embeddings`).

    Raises:
        LookupError: the spec lacks an address or a name.
    """
    if spec.provider == "azure":
        return _azure_place(spec, path)
    url = spec.url or service.url
    if url is None:
        raise LookupError(f"{spec.provider} needs an address; write `url: http://host:port/v1`")
    if service.needs_name and not spec.name:
        raise LookupError(f"{spec.provider} needs the model's name; write `name: ...`")
    name = spec.name or ("tgi" if spec.provider == "tgi" else "")  # TGI serves one model and wants some name.
    return Place(_joined(url, path, service.bare_path), name)


def _azure_place(spec: ModelSpec, path: str) -> Place:
    """The deployment's own address; where the address ends in `/v1`, the newer API with the name in the body."""
    deployment = spec.options.get("deployment") or spec.name
    if spec.url is None or not deployment:
        raise LookupError("azure needs the resource's `url` and a `deployment`")
    version = spec.options.get("api_version")
    base = spec.url.rstrip("/")
    if base.endswith("/v1"):
        url = f"{base}{path}"
        return Place(f"{url}?api-version={quote(version)}" if version else url, deployment)
    base = base.removesuffix("/openai")
    url = f"{base}/openai/deployments/{quote(deployment, safe='')}{path}"
    return Place(f"{url}?api-version={quote(version or AZURE_API_VERSION)}", "")


def _joined(url: str, path: str, bare_path: str) -> str:
    """An address with a path added, its query kept at the end."""
    parts = urlsplit(url)
    base = parts.path.rstrip("/") or bare_path
    return parts._replace(path=base + path, fragment="").geturl()
