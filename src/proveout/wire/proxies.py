"""Which proxy a request goes through, as the environment says: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from proveout.wire.errors import ProxyFailed
from proveout.wire.urls import Target

PROXY_WANTS_CREDENTIALS = "wants other credentials: write http://user:password@host:port into the proxy variable"


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy. `authorization` is the value of Proxy-Authorization, if its URL held credentials."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """Host and port, for messages."""
        return f"{self.host}:{self.port}"


class ProxySettings:
    """The environment's proxy variables; lower-case names win over upper-case ones.

    HTTP_PROXY in upper case is ignored where REQUEST_METHOD is set (in a CGI script): a request's `Proxy:` header could
    have set it.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        def first(*names: str) -> tuple[str, str]:
            """The first of these variables that is set: its name and value."""
            return next(((name, environment[name]) for name in names if environment.get(name)), ("", ""))

        plain = ("http_proxy",) if "REQUEST_METHOD" in environment else ("http_proxy", "HTTP_PROXY")
        self._urls = {
            "http": first(*plain, "all_proxy", "ALL_PROXY"),
            "https": first("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
        }
        self._direct = first("no_proxy", "NO_PROXY")[1].replace(",", " ").lower().split()

    def choose(self, target: Target) -> Proxy | None:
        """The proxy for `target`, or None to connect directly.

        Raises:
            ProxyFailed: the variable does not hold an http:// proxy URL.
        """
        variable, url = self._urls[target.scheme]
        if not url or any(_matches(entry, target) for entry in self._direct):
            return None
        return _parse(url, variable)


def _matches(entry: str, target: Target) -> bool:
    """NO_PROXY entries: `*`, a host or domain (its subdomains match), an address, or a network; perhaps with a port."""
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return ipaddress.ip_address(target.host) in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, _, port = entry.rpartition(":") if entry.count(":") == 1 or "]:" in entry else (entry, "", "")
    if port and port != str(target.port):
        return False
    name = name.strip("[]").removeprefix("*").removeprefix(".")
    return target.host == name or target.host.endswith(f".{name}")


def _parse(url: str, variable: str) -> Proxy:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ProxyFailed(f"{variable} holds no proxy: write http://host:port") from None
    if parts.scheme != "http" or not host:
        raise ProxyFailed(f"{variable} holds a proxy of a kind that is not spoken here: write http://host:port")
    authorization = None
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(credentials.encode()).decode()}"
    return Proxy(host, port or 80, authorization)
