"""URLs as the wire needs them: where to connect, and what to ask for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from proveout.wire.errors import InvalidRequest

_UNSENDABLE = re.compile(r"[^\x21-\x7e]")
_HOST = re.compile(r"[0-9a-z._-]+|[0-9a-f:.]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """One URL, taken apart. `authority` is the Host header; `path` includes the query; `origin` is safe to show."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"


@lru_cache(maxsize=1024)
def parse_url(url: str) -> Target:
    """Take an http or https URL apart.

    Raises:
        InvalidRequest: it is not an absolute http(s) URL of plain ASCII without credentials. The message does not
            repeat the URL.
    """
    if _UNSENDABLE.search(url):
        raise InvalidRequest(
            "the URL holds a space, line break or non-ASCII character: percent-encode it in a path or query, "
            "and write an international host name in its xn-- form"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidRequest("the URL's host or port is not valid") from error
    if parts.scheme not in _DEFAULT_PORTS:
        raise InvalidRequest("the URL must start with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise InvalidRequest("the URL holds credentials: send them in a header")
    host = parts.hostname
    if not host or port == 0:
        raise InvalidRequest("the URL's host or port is missing")
    if not _HOST.fullmatch(host):
        raise InvalidRequest("the URL's host holds a character that no host name may hold")
    default = _DEFAULT_PORTS[parts.scheme]
    literal = f"[{host}]" if ":" in host else host
    return Target(
        scheme=parts.scheme,
        host=host,
        port=port or default,
        authority=literal if port in (None, default) else f"{literal}:{port}",
        path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )
