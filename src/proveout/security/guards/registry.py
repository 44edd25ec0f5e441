"""From a declared guard to one that checks."""

from __future__ import annotations

import re

from proveout.project.records import GuardSpec
from proveout.security.guards._base import Guard
from proveout.security.guards.contract import Contract
from proveout.security.guards.deny_pattern import DenyPattern
from proveout.security.guards.json_valid import JsonValid
from proveout.security.guards.max_chars import MaxChars
from proveout.security.guards.no_secrets import NoSecrets


def open_guard(spec: GuardSpec) -> Guard:
    """The guard that a service's file declares.

    Raises:
        LookupError: there is no guard of this kind.
    """
    match spec.kind:
        case "max_chars":
            return MaxChars(int(spec.value))
        case "deny_pattern":
            return DenyPattern(re.compile(str(spec.value)))
        case "no_secrets":
            return NoSecrets()
        case "json_valid":
            return JsonValid()
        case "contract":
            return Contract()
        case kind:
            raise LookupError(f"there is no guard {kind!r}")
