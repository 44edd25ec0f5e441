"""`proveout probe`: what an endpoint really supports, and how it counts, found by asking it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from proveout import wire
from proveout.models._base import ModelError
from proveout.models.probe_checks import CHECKS, Asked, Finding
from proveout.models.providers import open_endpoint
from proveout.models.providers._endpoint import fetched
from proveout.models.providers._failures import Failures
from proveout.project.records import Limits, ModelSpec, Secret

SCHEMA: Literal["proveout.probe/v1"] = "proveout.probe/v1"

_TIMEOUT_S = 60.0
_MOST_MODELS = 1000


class ProbeReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. `latency_ms` is one whole call's time on a connection that was open; None where none answered."""

    url: str
    model: str
    models: tuple[str, ...]
    latency_ms: float | None
    calls: int
    findings: tuple[Finding, ...]

    def __getitem__(self, check: str) -> Finding:
        return next(finding for finding in self.findings if finding.check == check)

    def as_json(self) -> dict[str, Any]:
        """The public form, schema `proveout.probe/v1`."""
        return {"schema": SCHEMA, **msgspec.to_builtins(self)}


async def probe(
    url: str,
    *,
    client: wire.Client,
    model: str | None = None,
    key: Secret | None = None,
    timeout_s: float = _TIMEOUT_S,
) -> ProbeReport:
    """Ask an OpenAI-compatible endpoint some twenty short questions, one after the other.

    `url` is its base address; without a path, `/v1` is tried too. Without `model`, the first that it lists is asked.

    Raises:
        ModelError: nobody answers there (`connect`, `timeout`, `cut`, `malformed`: no HTTP), or the address is no
            address.
        LookupError: the key is not set.
    """
    headers = {} if key is None else {"authorization": f"Bearer {key.resolve()}"}
    failures = Failures(url, [] if key is None else [key.resolve()])
    base, models, listing = await _models(url, client, headers, failures, timeout_s)
    name = model or (models[0] if models else "")
    spec = ModelSpec("openai-compatible", name, base, key, limits=Limits(timeout_s=timeout_s))
    asked = Asked(open_endpoint(spec, client))
    findings = [listing, *[await check(asked) for check in CHECKS]]
    return ProbeReport(
        url=base,
        model=name or (asked.whole.model if asked.whole else ""),
        models=models,
        latency_ms=asked.latency_ms,
        calls=asked.calls,
        findings=tuple(findings),
    )


async def _models(
    url: str, client: wire.Client, headers: Mapping[str, str], failures: Failures, timeout_s: float
) -> tuple[str, tuple[str, ...], Finding]:
    """The base address that answers, and the models that it lists."""
    base = url.rstrip("/")
    bare = not urlsplit(base).path.strip("/")
    found, listing = await _listed(base, client, headers, failures, timeout_s)
    if bare and not found:
        with_version = f"{base}/v1"
        second, listing_there = await _listed(with_version, client, headers, failures, timeout_s)
        if second or listing_there.status == "unknown":
            return with_version, second, listing_there
    return base, found, listing


async def _listed(
    base: str, client: wire.Client, headers: Mapping[str, str], failures: Failures, timeout_s: float
) -> tuple[tuple[str, ...], Finding]:
    timeouts = wire.Timeouts(connect=min(10.0, timeout_s), total=timeout_s)
    try:
        answer = await fetched(
            client.send("GET", f"{base}/models", headers=headers, timeouts=timeouts, max_body_bytes=2**24), failures
        )
    except ModelError as error:
        if error.status is None and error.kind in ("connect", "timeout", "cut", "bad_request"):
            raise
        if error.kind == "malformed" and isinstance(error.__cause__, wire.WireError):
            raise
        status = "unknown" if error.kind in ("auth", "rate_limit", "overloaded") else "not_supported"
        return (), Finding(check="models", status=status, seen=str(error))
    data = answer.get("data") if isinstance(answer, Mapping) else answer
    rows = data if isinstance(data, list) else []
    ids = [row.get("id") for row in rows if isinstance(row, Mapping)]
    names = tuple(id for id in ids if isinstance(id, str) and id)[:_MOST_MODELS]
    if not names:
        return (), Finding(check="models", status="not_supported", seen="GET /models lists no model")
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return names, Finding(check="models", status="supported", seen=", ".join(names[:5]) + more)
