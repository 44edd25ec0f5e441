"""Commands are built when they are asked for, and none is missing for it."""

import typer.main
from typer.testing import CliRunner

from proveout.cli.on_demand import Declared


def declared() -> Declared:
    commands = Declared()

    @commands.command()
    def first() -> None:
        """Does the first thing."""

    @commands.command("second-one", help="Does the second thing.")
    def second() -> None: ...

    group = commands.group("more", help="Further things.")

    @group.command("third")
    def third() -> None:
        """Does the third thing."""

    return commands


def test_listing_commands_builds_none_and_asking_for_one_builds_that_one(monkeypatch):
    built: list[str] = []
    build = typer.main.get_command_from_info

    def counted(command_info, **settings):
        built.append(command_info.callback.__name__)
        return build(command_info=command_info, **settings)

    monkeypatch.setattr(typer.main, "get_command_from_info", counted)
    commands = declared()
    assert list(commands) == ["first", "second-one", "more"]
    assert built == []
    assert commands["second-one"].help == "Does the second thing."
    assert commands["second-one"] is commands["second-one"]
    assert built == ["second"]
    assert list(commands["more"].commands) == ["third"]


def test_help_lists_every_command_and_a_slip_is_answered_with_the_nearest():
    from proveout.cli.app import app
    from proveout.cli.on_demand import declared

    helped = CliRunner().invoke(app, ["--help"])
    assert helped.exit_code == 0
    listed = helped.output.partition("Commands:")[2].split()
    assert {"run", "compare", "gateway", "promote", "rollout", "tiny", "controller"} <= set(declared) <= set(listed)
    slip = CliRunner().invoke(app, ["rollot"])
    assert slip.exit_code == 2
    assert "Did you mean 'rollout'" in slip.output
