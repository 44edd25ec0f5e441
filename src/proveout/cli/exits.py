"""Exit codes, and every foreseen error as plain words: 0 pass, 1 fail, 2 bad input or usage, 3 inconclusive, 4 could
not measure."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

BAD_INPUT = 2
COULD_NOT_MEASURE = 4
INTERRUPTED = 130


class BadInput(Exception):
    """What the user gave can't be used; the message says what to write instead."""


def guarded(app: Callable[[], object]) -> None:
    """Run the app; turn foreseen errors into a message on standard error and an exit code. The unforeseen keep their
    traceback, and count as not measured: Python's own exit code for them, 1, would read as a verdict."""
    _speak_plainly()
    try:
        app()
    except BadInput as error:
        leave(str(error), BAD_INPUT)
    except KeyboardInterrupt:
        leave("Stopped.", INTERRUPTED)
    except Exception as error:
        code = _foreseen(error)
        if code is None:
            traceback.print_exc()
            leave("This is a mistake in Proveout: no verdict was given.", COULD_NOT_MEASURE)
        leave(str(error), code)


def _speak_plainly() -> None:
    """Signs that an output's encoding lacks become plain ones: words are never lost to a terminal's settings."""
    from proveout.reports.plain import PLAIN

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=PLAIN)


def _foreseen(error: Exception) -> int | None:
    """The exit code of an error that a room raises by design. A room's classes are looked up only if the room is
    loaded."""
    for module, name, code in (
        ("proveout.project.problems", "ProjectError", BAD_INPUT),
        ("proveout.project.datasets", "DatasetError", BAD_INPUT),
        ("proveout.evaluation.scorers._base", "ScorerError", BAD_INPUT),
        ("proveout.evaluation.judges.labels", "LabelsError", BAD_INPUT),
        ("proveout.evaluation.opening", "CannotOpen", BAD_INPUT),
        ("proveout.gates.registry", "UnknownGate", BAD_INPUT),
        ("proveout.reports._base", "ReportError", BAD_INPUT),
        ("proveout.gates.self_test", "NothingMeasured", COULD_NOT_MEASURE),
        ("proveout.models._base", "ModelError", COULD_NOT_MEASURE),
        ("proveout.storage.errors", "StoreError", COULD_NOT_MEASURE),
    ):
        loaded = sys.modules.get(module)
        if loaded is not None and isinstance(error, getattr(loaded, name)):
            return BAD_INPUT if getattr(error, "trouble", None) == "url" else code
    return None


def leave(message: str, code: int) -> NoReturn:
    """Say why on standard error and exit."""
    print(message, file=sys.stderr)
    sys.exit(code)


def quietly_closed(show: Callable[[], None]) -> None:
    """Show something. A reader that has gone away (`| head`) or never was (`>&-`) is no error and changes no exit code.

    Raises:
        BadInput: standard output can't be written, for instance to a full disk.
    """
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
        return
    try:
        show()
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise BadInput(f"standard output can't be written: {error.strerror}") from None


def print_as_utf8(text: str) -> None:
    """Print what machines read, which is UTF-8 whatever the terminal's encoding."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    print(text)
