"""Client keys: who may ask which service. Only hashes are kept; keys are long and random, so that a plain SHA-256
gives nothing away."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator
from hashlib import sha256

from proveout.gateway.errors import Refused
from proveout.gateway.quotas import Meter
from proveout.gateway.settings import KeySettings
from proveout.gateway.sharing import Sharing

PREFIX = "pk-"
MOST_RECENT = 10_000


def new_key() -> tuple[str, str]:
    """A new client key, and its hash for `gateway.yaml`."""
    key = PREFIX + secrets.token_urlsafe(32)
    return key, f"sha256:{sha256(key.encode()).hexdigest()}"


class Client:
    """A known caller, and what it has used."""

    __slots__ = ("meter", "name", "services")

    def __init__(self, settings: KeySettings) -> None:
        self.name: str | None = settings.name
        self.services = frozenset(settings.services)
        self.meter = Meter(settings.quota, f"key {settings.name}")

    def may_ask(self, service: str) -> bool:
        return not self.services or service in self.services


class Keyring:
    """The clients by the hash of their key. Where no keys are declared, everybody may ask; where all are revoked,
    nobody."""

    def __init__(self, keys: Collection[KeySettings], revoked: Collection[str] = ()) -> None:
        self._open = not keys
        self.revoked = frozenset(revoked)
        self._clients = {key.hash: Client(key) for key in keys}
        self._recent: dict[str, Client] = {}

    def client(self, authorization: str | None) -> Client | None:
        """Who calls; None where no keys are declared.

        Raises:
            Refused: 401: the key is missing or unknown.
        """
        if self._open:
            return None
        known = self._recent.get(authorization or "")
        if known is not None:
            return known
        kind, _, key = (authorization or "").partition(" ")
        found = self._clients.get(sha256(key.strip().encode("utf-8", "surrogatepass")).hexdigest())
        if kind.lower() != "bearer" or found is None or found.name in self.revoked:
            raise Refused(
                401, "the key is missing or unknown; send `Authorization: Bearer KEY`", code="invalid_api_key"
            )
        if len(self._recent) < MOST_RECENT:
            self._recent[authorization or ""] = found
        return found

    def __iter__(self) -> Iterator[Client]:
        """All of them, revoked ones too: what they used today counts should they be restored."""
        return iter(self._clients.values())

    def kept(self, earlier: Keyring, sharing: Sharing) -> Keyring:
        """This keyring, with what unchanged clients have used so far; other gateways hear of what they use."""
        for client in self._clients.values():
            sharing.watch(client.meter)
        for hashed, client in earlier._clients.items():
            if hashed in self._clients:
                self._clients[hashed].meter.carry(client.meter)
        return self
