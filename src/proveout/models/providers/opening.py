"""From a `model:` block to a model that can be asked. Secrets are read here, and nowhere earlier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from proveout import __version__
from proveout.models._base import Model
from proveout.models.providers._endpoint import Api, Endpoint, HeaderPairs, Line, Signer
from proveout.models.providers._failures import Failures
from proveout.models.providers.embeddings import Embedder, EmbeddingEndpoint
from proveout.models.providers.services import SERVICES, place
from proveout.project.records import ModelSpec, Secret
from proveout.wire import Client

_JSON = (("content-type", "application/json"), ("user-agent", f"proveout/{__version__}"))

Opener = Callable[[ModelSpec, Client], Model]


def open_endpoint(spec: ModelSpec, client: Client) -> Model:
    """The model that a `model:` block names, behind the caller's client. Each `generate` is one attempt.

    Raises:
        LookupError: a secret is not set, credentials are not found, a field or an extra is missing; says what to do.
    """
    opener = PROVIDERS.get(spec.provider)
    if opener is None:
        raise LookupError(f"there is no provider {spec.provider!r}; there are {', '.join(sorted(PROVIDERS))}")
    return opener(spec, client)


@dataclass(frozen=True, slots=True)
class Direct:
    """An endpoint that takes bodies in OpenAI's own format, for callers that pass such bodies on.

    `model` is the name to write into a body (empty: none), `renames` the parameters that it knows by other names, and
    `stream_usage` whether it takes `stream_options`.
    """

    url: str
    model: str
    headers: HeaderPairs
    renames: Mapping[str, str]
    stream_usage: bool
    failures: Failures


def open_direct(spec: ModelSpec, path: str = "/chat/completions") -> Direct | None:
    """Where to send bodies of one of OpenAI's APIs; None where the provider speaks another format.

    Raises:
        LookupError: as `open_endpoint`.
    """
    from proveout.models.providers.openai_chat import ChatApi

    service = SERVICES.get(spec.provider)
    if service is None:
        return None
    headers, failures = _known(spec, service.key_header)
    where = place(spec, service, path)
    renames: Mapping[str, str] = {}
    if path == "/chat/completions":
        renames = ChatApi(where.url, where.model, service.dialect, failures, names=spec.name or where.model).renames
    return Direct(where.url, where.model, headers, renames, service.dialect.stream_usage, failures)


def open_embeddings(spec: ModelSpec, client: Client) -> Embedder:
    """The embedding model that a `model:` block names.

    Raises:
        LookupError: as `open_endpoint`; or the provider has no embeddings.
    """
    from proveout.models.providers import embeddings

    service = SERVICES.get(spec.provider)
    if service is not None:
        headers, failures = _known(spec, service.key_header)
        where = place(spec, service, "/embeddings")
        api: embeddings.EmbeddingApi = embeddings.OpenAiEmbeddings(where.url, where.model)
        return EmbeddingEndpoint(api, Line(client, failures, spec.limits.timeout_s, headers))
    failures = Failures(_about(spec))
    signer: Signer
    if spec.provider == "vertex":
        from proveout.models.providers import vertex

        api = embeddings.VertexEmbeddings(vertex.model_url(spec))
        signer = vertex.google_signer(spec, _JSON, failures)
    elif spec.provider == "bedrock":
        from proveout.models.providers import bedrock

        api = embeddings.bedrock_embeddings(spec.name, bedrock.model_url(spec))
        signer = bedrock.aws_signer(spec, failures)
    else:
        raise LookupError(f"{spec.provider} has no embedding models; take another provider for them")
    return EmbeddingEndpoint(api, Line(client, failures, spec.limits.timeout_s, signer=signer))


def _open_compatible(spec: ModelSpec, client: Client) -> Model:
    from proveout.models.providers.openai_chat import ChatApi

    service = SERVICES[spec.provider]
    headers, failures = _known(spec, service.key_header)
    where = place(spec, service, "/chat/completions")
    api = ChatApi(where.url, where.model, service.dialect, failures, names=spec.name or where.model)
    return Endpoint(api, Line(client, failures, spec.limits.timeout_s, headers))


def _open_anthropic(spec: ModelSpec, client: Client) -> Model:
    from proveout.models.providers.anthropic import VERSION, MessagesApi

    headers, failures = _known(spec, "x-api-key", ("anthropic-version", VERSION))
    base = (spec.url or "https://api.anthropic.com").rstrip("/")
    url = f"{base}{'' if base.endswith('/v1') else '/v1'}/messages"
    return Endpoint(MessagesApi(url, spec.name, failures), Line(client, failures, spec.limits.timeout_s, headers))


def _open_bedrock(spec: ModelSpec, client: Client) -> Model:
    from proveout.models.providers.bedrock import ConverseApi, aws_signer, model_url

    failures = Failures(_about(spec))
    line = Line(client, failures, spec.limits.timeout_s, signer=aws_signer(spec, failures))
    return Endpoint(ConverseApi(model_url(spec), failures), line)


def _open_vertex(spec: ModelSpec, client: Client) -> Model:
    from proveout.models.providers import vertex
    from proveout.models.providers.anthropic import MessagesApi
    from proveout.models.providers.gemini import GenerateContentApi

    failures = Failures(_about(spec))
    signer = vertex.google_signer(spec, _JSON, failures)
    url = vertex.model_url(spec)
    api: Api = GenerateContentApi(url, failures)
    if vertex.is_claude(spec):
        whole, streamed = f"{url}:rawPredict", f"{url}:streamRawPredict"
        api = MessagesApi(whole, "", failures, stream_url=streamed, version=vertex.ANTHROPIC_VERSION)
    return Endpoint(api, Line(client, failures, spec.limits.timeout_s, signer=signer))


def _open_tiny(spec: ModelSpec, client: Client) -> Model:
    from proveout.models.tiny import TinyModel

    return TinyModel.from_spec(spec)


PROVIDERS: dict[str, Opener] = {
    **dict.fromkeys(SERVICES, _open_compatible),
    "anthropic": _open_anthropic,
    "bedrock": _open_bedrock,
    "vertex": _open_vertex,
    "tiny": _open_tiny,
}
"""How each provider is opened. `replay` is not here: it is no endpoint."""


def _known(spec: ModelSpec, key_header: str, *more: tuple[str, str]) -> tuple[HeaderPairs, Failures]:
    """The headers of every call, and the maker of errors that knows which secrets they hold. A header that the team
    wrote replaces ours.

    Raises:
        LookupError: a secret is not set.
    """
    headers = dict([*_JSON, *more])
    secrets: list[str] = []
    if spec.key is not None:
        key = _secret(spec.key, "key")
        secrets.append(key)
        headers[key_header] = f"Bearer {key}" if key_header == "authorization" else key
    for name, value in spec.options.get("headers", {}).items():
        if isinstance(value, Secret):
            value = _secret(value, f"header {name}")
            secrets += [value, value.rpartition(" ")[2]]
        headers[name.lower()] = value
    return tuple(headers.items()), Failures(_about(spec), secrets)


def _secret(secret: Secret, what: str) -> str:
    value = secret.resolve()
    if not value.isascii() or not value.isprintable():
        raise LookupError(f"the {what} from {secret.reference} holds characters that no header may hold")
    return value


def _about(spec: ModelSpec) -> str:
    name = spec.name or spec.options.get("deployment", "")
    return f"{spec.provider} {name}".rstrip()
