"""The guards of one checkpoint, tried in their order."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from proveout.project.records import GuardSpec
from proveout.security.guards._base import Said
from proveout.security.guards.registry import open_guard

log = logging.getLogger("proveout.security")

Result = Literal["pass", "flag", "block", "error"]


class Checked(NamedTuple):
    """What the guards said, by their names, and the one that blocks; those after it were not asked."""

    results: Mapping[str, Result]
    blocked: GuardSpec | None = None


class Checkpoint:
    """A guard that fails itself says `error` and blocks nothing: it must not take a service down."""

    def __init__(self, specs: Iterable[GuardSpec]) -> None:
        self._guards = [(spec, open_guard(spec)) for spec in specs]

    def __bool__(self) -> bool:
        return bool(self._guards)

    def check(self, said: Said, *, only_flag: bool = False) -> Checked:
        """Ask each guard. With `only_flag`, for what has been given out already, none blocks."""
        results: dict[str, Result] = {}
        for spec, guard in self._guards:
            try:
                hit = guard.hit(said)
            except Exception as error:
                log.warning("the guard %s failed: %s", spec.name, type(error).__name__)
                results[spec.name] = "error"
                continue
            if hit and spec.action == "block" and not only_flag:
                results[spec.name] = "block"
                return Checked(results, spec)
            results[spec.name] = "flag" if hit else "pass"
        return Checked(results)
