"""Runs the command line in this process, as a user would from a shell."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from proveout.cli import main


class Ended(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def proveout(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `proveout WORD ...` and hand back its exit code and what it wrote."""

    def run(*words: object) -> Ended:
        monkeypatch.setattr("sys.argv", ["proveout", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        return Ended(code, *capsys.readouterr())

    return run
