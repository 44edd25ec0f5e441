"""The names of OpenTelemetry's GenAI conventions that Proveout writes, in one place.

Source: https://github.com/open-telemetry/semantic-conventions-genai (docs/gen-ai/client-inference.md at 024a4f94), in
development: when a name changes there, it changes here. Names of ours begin with `proveout.`.
"""

from __future__ import annotations

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
FINISH_REASONS = "gen_ai.response.finish_reasons"
FAILED = "error"
"""The finish reason of an answer that came to no end."""
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
PROMPT_NAME = "gen_ai.prompt.name"
PROMPT_VERSION = "gen_ai.prompt.version"
ERROR_TYPE = "error.type"
HTTP_STATUS = "http.response.status_code"
SERVICE_NAME = "service.name"
ENVIRONMENT = "deployment.environment.name"

TRACE = "proveout.trace.id"
VARIANT = "proveout.variant"
CHOSEN = "proveout.variant.chosen"
EPOCH = "proveout.release.epoch"
STEP = "proveout.release.step"
PROPENSITY = "proveout.propensity"
UNIT = "proveout.assignment.unit"
COST = "proveout.cost.usd"
CACHED = "proveout.cached"
ATTEMPTS = "proveout.attempts"
SHADOW_OF = "proveout.shadow_of"
GUARDS = "proveout.guards"
PROJECT = "proveout.project"

_OPERATIONS = {"chat": "chat", "embeddings": "embeddings", "responses": "generate_content"}
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
}


def operation_name(operation: str) -> str:
    """`gen_ai.operation.name` of one of the gateway's operations."""
    return _OPERATIONS.get(operation, operation)


def provider_name(provider: str) -> str:
    """`gen_ai.provider.name` of one of Proveout's providers: the conventions' own where they have one."""
    return _PROVIDERS.get(provider, provider)
