"""Commands that typer builds when they are asked for: building all takes longer than most of them take to run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

Function = TypeVar("Function", bound=Callable[..., Any])


class Declared(Mapping[str, Any]):
    """Commands and groups of commands by name, in the order of `--help`. Reading one builds it; listing their names
    builds none."""

    def __init__(self) -> None:
        self._declared: dict[str, Callable[[], Any]] = {}
        self._built: dict[str, Any] = {}

    def command(self, name: str | None = None, *, help: str | None = None) -> Callable[[Function], Function]:
        """Declares a function as a command, as `typer.Typer.command` does."""

        def declare(function: Function) -> Function:
            def build() -> Any:
                alone = typer.Typer(add_completion=False, rich_markup_mode=None)
                alone.command(name, help=help)(function)
                return get_command(alone)

            self._declared[name or function.__name__] = build
            return function

        return declare

    def group(self, name: str, *, help: str) -> typer.Typer:
        """A declared group, which takes its commands by `typer.Typer.command`."""
        group = typer.Typer(name=name, help=help, no_args_is_help=True, add_completion=False, rich_markup_mode=None)
        self._declared[name] = lambda: get_group(group)
        return group

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            self._built[name] = self._declared[name]()
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._declared)

    def __len__(self) -> int:
        return len(self._declared)


declared = Declared()


class DeclaredCommands(TyperGroup):
    """The group of all that is `declared`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": declared})

    def list_commands(self, ctx: Any) -> list[str]:
        return list(declared)
