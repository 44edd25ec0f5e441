"""A forge: where a git remote is hosted, and pull requests are made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import msgspec

from proveout.wire import Client, Timeouts


class ForgeError(Exception):
    """A forge refused or can't be reached; the message says why and never holds a token."""


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request as somebody can open it."""

    number: int
    url: str


class Forge(Protocol):
    """Makes pull requests and comments. Doing the same twice leaves one of each."""

    name: str

    async def propose(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        """Open a pull request for a branch, or bring the open one up to date.

        Raises:
            ForgeError: it could not be done.
        """
        ...

    async def comment(self, number: int, marker: str, body: str) -> None:
        """Write a comment, or replace the one that begins with `marker`.

        Raises:
            ForgeError: it could not be done.
        """
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a repository is hosted: `git@github.com:acme/support.git` is host `github.com`, path `acme/support`."""

    host: str
    path: str


def place_of(url: str) -> Place | None:
    """Host and path of a remote's address; None for a folder."""
    if "://" in url:
        parts = urlsplit(url)
        if parts.scheme == "file" or not parts.hostname:
            return None
        host, path = parts.hostname, parts.path
    elif ":" in url and not url.startswith(("/", ".")):
        host, _, path = url.partition(":")
        host = host.rpartition("@")[2]
    else:
        return None
    return Place(host.lower(), path.strip("/").removesuffix(".git"))


def token(*names: str) -> str | None:
    """The first of these environment variables that is set."""
    return next((value for name in names if (value := os.environ.get(name, "").strip())), None)


class Api:
    """JSON over HTTP, with one header that authorises. Errors never show it."""

    def __init__(self, base: str, headers: dict[str, str]) -> None:
        self._base = base.rstrip("/")
        self._headers = {"accept": "application/json", "user-agent": "proveout", **headers}

    async def many(self, path: str, field: str) -> list[dict[str, Any]]:
        """What is listed at a path; each has this field.

        Raises:
            ForgeError: no answer, or one that is no such list.
        """
        found = await self._answer("GET", path)
        listed = cast("list[Any]", found) if isinstance(found, list) else [None]
        if not all(isinstance(one, dict) and field in one for one in listed):
            raise ForgeError(
                f"GET {self._base}{path}: the answer is no list of what was asked; is that the API's address?"
            )
        return cast("list[dict[str, Any]]", listed)

    async def write(self, method: str, path: str, body: Any, *fields: str) -> dict[str, Any]:
        """Make or change something; returns what became of it, which has these fields.

        Raises:
            ForgeError: no answer, or one that is no success or lacks a field.
        """
        found = await self._answer(method, path, body)
        if not isinstance(found, dict) or not set(fields) <= set(cast("dict[str, Any]", found)):
            raise ForgeError(f"{method} {self._base}{path}: the answer lacks {', '.join(fields) or 'an object'}")
        return cast("dict[str, Any]", found)

    async def _answer(self, method: str, path: str, body: Any = None) -> Any:
        from proveout.wire import WireError

        headers = dict(self._headers)
        content = b""
        if body is not None:
            content = msgspec.json.encode(body)
            headers["content-type"] = "application/json"
        async with Client(timeouts=Timeouts(connect=10, total=30)) as client:
            try:
                response = await client.send(method, self._base + path, headers=headers, body=content)
            except WireError as error:
                raise ForgeError(str(error)) from None
        if response.status >= 300:
            raise ForgeError(f"{method} {self._base}{path}: {response.status} {_message(response.body)}")
        try:
            return msgspec.json.decode(response.body)
        except msgspec.DecodeError:
            raise ForgeError(
                f"{method} {self._base}{path}: the answer is no JSON; is that the API's address?"
            ) from None


def _message(body: bytes) -> str:
    """What a forge says is wrong."""
    try:
        found: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body[:200].decode("utf-8", "replace")
    if not isinstance(found, dict):
        return str(found)[:300]
    said = cast("dict[str, Any]", found)
    parts = [said.get("message") or said.get("error") or said]
    errors = said.get("errors")
    for one in cast("list[Any]", errors) if isinstance(errors, list) else []:
        detail = cast("dict[str, Any]", one).get("message") if isinstance(one, dict) else one
        parts += [detail] if detail else []
    return "; ".join(map(str, parts))[:300]
