"""What stands behind variants: endpoints in OpenAI's format, translated ones, and models in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout.gateway.upstreams._base import Call, Sink, Upstream, UpstreamFailed, Whole

if TYPE_CHECKING:
    from proveout.project.records import ModelSpec, Service, Variant
    from proveout.wire import Client

__all__ = ["Call", "Sink", "Upstream", "UpstreamFailed", "Whole", "open_upstream"]


def open_upstream(spec: ModelSpec, variant: Variant, service: Service, client: Client) -> Upstream:
    """What answers for a variant at one place.

    Raises:
        LookupError: a secret is not set, an address or an extra is missing; says what to do.
        DatasetError: a recording can't be used.
    """
    if spec.provider == "replay":
        from proveout.gateway.upstreams.local import ReplayUpstream

        return ReplayUpstream(spec, variant.parameters, service.inputs)
    if spec.provider == "tiny":
        from proveout.gateway.upstreams.local import TinyUpstream

        return TinyUpstream(spec, variant.parameters)
    if spec.provider in ("anthropic", "bedrock", "vertex"):
        from proveout.gateway.upstreams.translated import TranslatedUpstream

        return TranslatedUpstream(spec, variant.parameters, client)
    from proveout.gateway.upstreams.direct import DirectUpstream

    return DirectUpstream(spec, variant.parameters, client)
