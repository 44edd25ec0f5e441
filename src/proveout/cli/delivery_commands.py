"""The commands of delivery: names, flags and help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from proveout.cli.app import Json, ProjectDir
from proveout.cli.on_demand import declared

rollout = declared.group("rollout", help="Production delivery, step by step.")

ChangeName = Annotated[str, typer.Argument(metavar="CHANGE", help="A change's name, or SERVICE/CHANGE.")]
ServiceName = Annotated[str, typer.Argument(metavar="SERVICE")]
EnvironmentName = Annotated[str, typer.Option("--environment", metavar="NAME", help="Where.")]
Who = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="Who decides; default: PROVEOUT_ACTOR, or git's user.email."),
]
Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the audit trail.")]


@declared.command()
def promote(
    change: ChangeName,
    to: Annotated[str, typer.Option("--to", metavar="ENVIRONMENT", help="staging or production.")],
    project: ProjectDir = Path("."),
    base: Annotated[
        str | None, typer.Option("--base", metavar="BRANCH", help="Merge into this; default: the remote's own.")
    ] = None,
    no_push: Annotated[bool, typer.Option("--no-push", help="Make the branch here only.")] = False,
    json: Json = None,
) -> None:
    """Propose a passed change for an environment. Branch, commit with the scorecard, push, pull request."""
    from proveout.cli import delivering

    delivering.promote(project, change, to=to, base=base, push=not no_push, json=json)


def _deciding(command: str, action: str, about: object) -> Callable[..., None]:
    """A command by which a person decides about a change or a service."""

    def decide(
        name: str,
        project: ProjectDir = Path("."),
        environment: EnvironmentName = "production",
        who: Who = None,
        reason: Why = "",
    ) -> None:
        from proveout.cli import delivering

        getattr(delivering, command)(project, name, action, environment=environment, who=who, why=reason)

    decide.__annotations__["name"] = about
    return decide


declared.command("approve", help="Agree to serve a change's challenger, exactly as it is now.")(
    _deciding("say", "approve", ChangeName)
)
declared.command("reject", help="Disagree: earlier approvals end, and so does a rollout of it.")(
    _deciding("say", "reject", ChangeName)
)


@rollout.command("start")
def rollout_start(
    change: ChangeName,
    project: ProjectDir = Path("."),
    environment: EnvironmentName = "production",
    who: Who = None,
) -> None:
    """Begin to deliver a change; the controller takes it from step to step."""
    from proveout.cli import delivering

    delivering.rollout_start(project, change, environment=environment, who=who)


@rollout.command("status")
def rollout_status(
    service: ServiceName,
    project: ProjectDir = Path("."),
    environment: EnvironmentName = "production",
    json: Json = None,
) -> None:
    """Show the step, the weights, and each signal's evidence so far."""
    from proveout.cli import delivering

    delivering.rollout_status(project, service, environment=environment, json=json)


for _action, _help in (
    ("pause", "Hold where it is; what threatens users is still taken back."),
    ("resume", "Go on from where it was paused."),
    ("abort", "Back to the champion at once; to the one before, where the challenger was promoted."),
    ("promote", "Make the challenger champion now, whatever the evidence."),
):
    rollout.command(_action, help=_help)(_deciding("rollout_act", _action, ServiceName))


@declared.command()
def plan(
    change: ChangeName,
    project: ProjectDir = Path("."),
    base_rate: Annotated[
        float, typer.Option("--base-rate", min=0, max=0.9, metavar="P", help="The champion's share of bad answers.")
    ] = 0.1,
    scored: Annotated[
        float, typer.Option("--scored", min=0.001, max=1, metavar="P", help="Share of requests that get a score.")
    ] = 1.0,
    runs: Annotated[int, typer.Option("--runs", min=20, metavar="N", help="Simulated rollouts.")] = 300,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the simulation.")] = 0,
    json: Json = None,
) -> None:
    """Simulate a rollout before it begins. Requests, days, which drops it catches, and how many users see them."""
    from proveout.cli import delivering

    delivering.plan(project, change, base_rate=base_rate, scored=scored, runs=runs, seed=seed, json=json)


@declared.command()
def comment(
    page: Annotated[Path, typer.Argument(metavar="FILE", help="A report that `run --markdown` wrote.")],
    project: ProjectDir = Path("."),
    number: Annotated[
        int | None, typer.Option("--number", metavar="N", help="Which pull request; default: this pipeline's.")
    ] = None,
) -> None:
    """Write a report as the one comment of its pull request. A comment that is there is brought up to date."""
    from proveout.cli import delivering

    delivering.comment(project, page, number=number)


@declared.command()
def audit(
    project: ProjectDir = Path("."),
    service: Annotated[str | None, typer.Option("--service", metavar="NAME", help="Only about this one.")] = None,
    json: Json = None,
) -> None:
    """Show who decided what and when. Checks that nobody changed it since."""
    from proveout.cli import delivering

    delivering.audit(project, service=service, json=json)


@declared.command()
def controller(
    project: ProjectDir = Path("."),
    environment: Annotated[
        list[str] | None,
        typer.Option("--environment", metavar="NAME", help="Only these environments; default: all."),
    ] = None,
    interval: Annotated[
        float,
        typer.Option(
            "--interval",
            min=0.01,
            metavar="S",
            help="Seconds between two looks (they take a tenth of the time at most).",
        ),
    ] = 0.1,
    git_pull: Annotated[
        float | None, typer.Option("--git-pull", min=1, metavar="S", help="Pull what was merged every S seconds.")
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to take alerts at.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Take Alertmanager's alerts at this port.")
    ] = None,
    approver: Annotated[
        list[str] | None,
        typer.Option(
            "--approver",
            metavar="NAME=env:VAR",
            help="Who may approve at that port, with a bearer token from a variable or file. May be repeated.",
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
) -> None:
    """Take rollouts from step to step, and back what degrades."""
    from proveout.cli import delivering

    delivering.controller(
        project,
        environments=environment,
        interval=interval,
        pull=git_pull,
        host=host,
        port=port,
        approvers=approver,
        once=once,
    )
