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
Given = Literal["nothing", "stream", "all"]
"""How much of an answer has been given when its guards are asked: nothing, all that they let go, or all."""
_OF_WHOLES = frozenset({"json_valid", "contract"})
"""What judges whole answers, and none that is still growing."""


class Checked(NamedTuple):
    """What the guards said, by their names, and the one that blocks; those after it were not asked."""

    results: Mapping[str, Result]
    blocked: GuardSpec | None = None


class Checkpoint:
    """A guard that fails itself says `error`, and blocks only where it was declared to: otherwise it must not take a
    service down."""

    def __init__(self, specs: Iterable[GuardSpec]) -> None:
        self._guards = [(spec, open_guard(spec)) for spec in specs]

    def __bool__(self) -> bool:
        return bool(self._guards)

    def check(self, said: Said, *, given: Given = "nothing") -> Checked:
        """Ask each guard. None blocks what has been given already."""
        results: dict[str, Result] = {}
        for spec, guard in self._guards:
            blocks = spec.action == "block" and (given == "nothing" or (given == "stream" and spec.hold is not None))
            try:
                hit = guard.hit(said)
            except Exception as error:
                log.warning("the guard %s failed: %s", spec.name, type(error).__name__)
                results[spec.name] = "error"
                if blocks and spec.on_error == "block":
                    return Checked(results, spec)
                continue
            if hit and blocks:
                results[spec.name] = "block"
                return Checked(results, spec)
            results[spec.name] = "flag" if hit else "pass"
        return Checked(results)

    def growing(self) -> Checkpoint | None:
        """Those that can stop a stream before its end; None where none can."""
        specs = [spec for spec, _ in self._guards if spec.hold is not None and spec.kind not in _OF_WHOLES]
        return Checkpoint(specs) if specs else None

    @property
    def hold(self) -> int | Literal["all"] | None:
        """What is kept back of a stream for all of them; None where they only flag streams."""
        held = [spec.hold for spec, _ in self._guards if spec.hold is not None]
        return "all" if "all" in held else max((one for one in held if isinstance(one, int)), default=None)
