"""Google's credentials, by google-auth (the `vertex` extra), and the addresses of models on Vertex AI."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import orjson

from proveout.models.providers._endpoint import HeaderPairs, Post
from proveout.models.providers._failures import Failures
from proveout.project.records import ModelSpec

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
ANTHROPIC_VERSION = "vertex-2023-10-16"


class GoogleSigner:
    """Puts an access token into each call, and gets a fresh one before the old one runs out."""

    def __init__(self, credentials: Any, headers: HeaderPairs, failures: Failures) -> None:
        self._credentials = credentials
        self._headers = tuple(headers)
        self._failures = failures
        self._refreshing = asyncio.Lock()

    async def headers(self, post: Post, stream: bool) -> HeaderPairs:
        credentials = self._credentials
        if not credentials.valid:
            async with self._refreshing:
                if not credentials.valid:
                    await self._refresh()
        return (*self._headers, ("authorization", f"Bearer {credentials.token}"))

    async def _refresh(self) -> None:
        from google.auth.exceptions import GoogleAuthError, TransportError
        from google.auth.transport.requests import Request

        try:
            await asyncio.to_thread(self._credentials.refresh, Request())
        except GoogleAuthError as error:
            unreached = isinstance(error, TransportError)
            what = f"Google gave no access token: {error.args[0] if error.args else error!r}"
            raise self._failures.error("connect" if unreached else "auth", what, retryable=unreached) from None
        self._failures.hide(self._credentials.token or "")


def google_signer(spec: ModelSpec, headers: HeaderPairs, failures: Failures) -> GoogleSigner:
    """The signer that a `model:` block asks for: its key file's account, or the default credentials.

    Raises:
        LookupError: google-auth is not installed, or there are no credentials.
    """
    try:
        import google.auth
        import google.auth.transport.requests  # Needs the `requests` package too.
        from google.auth.exceptions import GoogleAuthError
        from google.oauth2.service_account import Credentials
    except ImportError as error:
        raise LookupError(
            "vertex needs Google's credentials library; install it: pip install 'proveout[vertex]'"
        ) from error
    if spec.key is None:
        try:
            credentials, _ = google.auth.default(scopes=[_SCOPE])
        except GoogleAuthError:
            raise LookupError(
                "vertex found no Google credentials; write `key: file:PATH` of a service account's key file, "
                "or run `gcloud auth application-default login`"
            ) from None
        return GoogleSigner(credentials, headers, failures)
    name = spec.key.reference
    try:
        info = orjson.loads(spec.key.resolve())
        credentials = Credentials.from_service_account_info(info, scopes=[_SCOPE])
    except LookupError:
        raise
    except Exception:  # google-auth raises all sorts of errors here, some of which quote the key.
        raise LookupError(f"{name} does not hold a service account's key in JSON") from None
    return GoogleSigner(credentials, headers, failures)


def base_url(spec: ModelSpec) -> str:
    """The address that all of a project's models in one location share."""
    project, location = spec.options["project"], spec.options["location"]
    region = "" if location == "global" else f"{location}-"
    host = (spec.url or f"https://{region}aiplatform.googleapis.com").rstrip("/")
    version = "" if host.endswith(("/v1", "/v1beta1")) else "/v1"
    return f"{host}{version}/projects/{quote(project, safe='')}/locations/{quote(location, safe='')}"


def model_url(spec: ModelSpec) -> str:
    """A model's address, without the method: `name`, `publishers/.../models/...`, or `endpoints/...` of a tuned one."""
    name = spec.name
    if name.isdigit():
        name = f"endpoints/{name}"
    elif not name.startswith(("publishers/", "endpoints/")):
        name = f"publishers/{'anthropic' if is_claude(spec) else 'google'}/models/{name}"
    return f"{base_url(spec)}/{quote(name, safe='/@')}"


def is_claude(spec: ModelSpec) -> bool:
    """Whether the model speaks Anthropic's format."""
    return spec.name.startswith(("claude", "publishers/anthropic/"))
