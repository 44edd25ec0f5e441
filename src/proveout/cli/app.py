"""Every command's name, flags and help. Bodies import their room when they run, so that `--help` stays quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from proveout.cli.on_demand import DeclaredCommands, declared

app = typer.Typer(
    name="proveout",
    cls=DeclaredCommands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ProjectDir = Annotated[
    Path, typer.Option("--project", "-C", metavar="DIR", help="Project folder; default: here and upward.")
]
Concurrency = Annotated[int | None, typer.Option("--concurrency", min=1, metavar="N", help="Calls in flight at once.")]
Repeats = Annotated[int | None, typer.Option("--repeats", min=1, metavar="N", help="Ask every example N times.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Use about N examples, whole clusters.")]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", help="Seed of every random choice.")]
MaxCost = Annotated[float | None, typer.Option("--max-cost", min=0, metavar="USD", help="Never spend more than this.")]
MaxCalls = Annotated[
    int | None, typer.Option("--max-calls", min=0, metavar="N", help="Never make more calls than this.")
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Pay for every call again; don't reuse finished ones.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before spending.")]
Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - for the terminal.")
]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write one self-contained HTML page.")]
Markdown = Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="Write Markdown for a pull request.")]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML for a CI system.")]
Gates = Annotated[str | None, typer.Option("--gates", metavar="A,B", help="Only these objectives' gates.")]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Print calls, cost, time and what can be detected, and stop.")]


def _version(value: bool) -> None:
    if value:
        from proveout import __version__

        typer.echo(f"proveout {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Prove a model change out before your users do.

    Exit codes: 0 pass, 1 fail, 2 bad input or usage, 3 inconclusive, 4 could not measure.
    """


@declared.command()
def init(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write the example project.")] = Path("."),
) -> None:
    """Write a working example project."""
    from proveout.cli import scaffold

    scaffold.init(directory)


@declared.command()
def demo(
    directory: Annotated[
        Path | None,
        typer.Option("--project", "-C", metavar="DIR", help="The project's folder; default: proveout-demo."),
    ] = None,
) -> None:
    """Prove five changes of the built-in model, and deliver one."""
    from proveout.cli import demonstration

    demonstration.demo(directory)


@declared.command()
def check(project: ProjectDir = Path(".")) -> None:
    """Validate every declared file, offline."""
    from proveout.cli import checking

    checking.check(project)


@declared.command()
def run(
    change: Annotated[str, typer.Argument(metavar="CHANGE", help="A change's name, or SERVICE/CHANGE.")],
    project: ProjectDir = Path("."),
    stage: Annotated[str, typer.Option("--stage", metavar="STAGE", help="dev or staging.")] = "dev",
    gates: Gates = None,
    plan: PlanOnly = False,
    concurrency: Concurrency = None,
    repeats: Repeats = None,
    limit: Limit = None,
    seed: Seed = None,
    max_cost: MaxCost = None,
    max_calls: MaxCalls = None,
    no_cache: NoCache = False,
    yes: Yes = False,
    json: Json = None,
    html: Html = None,
    markdown: Markdown = None,
    junit: Junit = None,
) -> None:
    """Run the gates of a stage on a change, and give its scorecard."""
    from proveout.cli import running

    running.run_change(
        project,
        change,
        stage=stage,
        plan_only=plan,
        flags=running.Flags(gates, concurrency, repeats, limit, seed, max_cost, max_calls, not no_cache, yes),
        outputs=running.Outputs(json=json, html=html, markdown=markdown, junit=junit),
    )


@declared.command()
def compare(
    service: Annotated[str, typer.Argument(metavar="SERVICE")],
    champion: Annotated[str, typer.Argument(metavar="A", help="The variant that is compared with.")],
    challenger: Annotated[str, typer.Argument(metavar="B", help="The variant that is judged.")],
    project: ProjectDir = Path("."),
    improves: Annotated[
        str, typer.Option("--improves", metavar="A,B", help="Objectives that B claims to improve.")
    ] = "",
    gates: Gates = None,
    plan: PlanOnly = False,
    concurrency: Concurrency = None,
    repeats: Repeats = None,
    limit: Limit = None,
    seed: Seed = None,
    max_cost: MaxCost = None,
    max_calls: MaxCalls = None,
    no_cache: NoCache = False,
    yes: Yes = False,
    json: Json = None,
    html: Html = None,
    markdown: Markdown = None,
    junit: Junit = None,
) -> None:
    """Compare two variants without a change file."""
    from proveout.cli import running

    running.compare(
        project,
        service,
        champion,
        challenger,
        improves=improves,
        plan_only=plan,
        flags=running.Flags(gates, concurrency, repeats, limit, seed, max_cost, max_calls, not no_cache, yes),
        outputs=running.Outputs(json=json, html=html, markdown=markdown, junit=junit),
    )


@declared.command()
def selftest(
    service: Annotated[str, typer.Argument(metavar="SERVICE")],
    project: ProjectDir = Path("."),
    comparisons: Annotated[
        int, typer.Option("--comparisons", min=100, metavar="N", help="How many A/A comparisons.")
    ] = 2000,
    concurrency: Concurrency = None,
    limit: Limit = None,
    seed: Seed = None,
    max_cost: MaxCost = None,
    max_calls: MaxCalls = None,
    no_cache: NoCache = False,
    yes: Yes = False,
    json: Json = None,
) -> None:
    """Measure how often Proveout is wrong on your own data. It compares the champion with itself many times."""
    from proveout.cli import running

    running.selftest(
        project,
        service,
        comparisons=comparisons,
        flags=running.Flags(None, concurrency, None, limit, seed, max_cost, max_calls, not no_cache, yes),
        json=json,
    )


@declared.command()
def report(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the start of one, or 'latest'.")] = "latest",
    project: ProjectDir = Path("."),
    json: Json = None,
    html: Html = None,
    markdown: Markdown = None,
    junit: Junit = None,
) -> None:
    """Show an earlier run's scorecard again, from the store."""
    from proveout.cli import running

    running.report(project, run_id, running.Outputs(json=json, html=html, markdown=markdown, junit=junit))


@declared.command()
def probe(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="An OpenAI-compatible base URL, such as http://127.0.0.1:8000/v1.")
    ],
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="Model to ask; default: the first listed.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", metavar="REF", help="env:NAME or file:PATH.")] = None,
    json: Json = None,
) -> None:
    """Find out what an endpoint really supports, and how it counts."""
    from proveout.cli import probing

    probing.probe(url, model=model, key=key, json=json)


@declared.command()
def gateway(
    project: ProjectDir = Path("."),
    environment: Annotated[
        str, typer.Option("--environment", metavar="NAME", help="Whose releases; dev: every service's champion.")
    ] = "dev",
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    workers: Annotated[int, typer.Option("--workers", min=1, max=256, metavar="N", help="Processes.")] = 1,
    new_key: Annotated[
        str | None, typer.Option("--new-key", metavar="NAME", help="Print a new client key and stop.")
    ] = None,
) -> None:
    """Serve services in OpenAI's format, and record what is served."""
    from proveout.cli import gateway as command

    if new_key is not None:
        command.print_key(new_key)
        return
    command.gateway(project, environment=environment, host=host, port=port, workers=workers)


@declared.command()
def up(
    project: ProjectDir = Path("."),
    environment: Annotated[
        str, typer.Option("--environment", metavar="NAME", help="What the gateway serves; dev: every champion.")
    ] = "dev",
    host: Annotated[str, typer.Option("--host", help="Address of the gateway.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Its port; 0 takes a free one.")] = 8080,
    workers: Annotated[int, typer.Option("--workers", min=1, max=256, metavar="N", help="Its processes.")] = 1,
) -> None:
    """Run gateway and controller together; one Ctrl-C stops both."""
    from proveout.cli.up import up as run_all

    run_all(project, environment=environment, host=host, port=port, workers=workers)


@declared.command()
def loadtest(
    service: Annotated[str | None, typer.Argument(metavar="SERVICE")] = None,
    variants: Annotated[
        list[str] | None,
        typer.Argument(metavar="[VARIANT ...]", help="One to measure (default: the champion), or two to compare."),
    ] = None,
    project: ProjectDir = Path("."),
    concurrency: Annotated[
        str | None,
        typer.Option("--concurrency", metavar="N", help="Closed loop: N requests at once; 1,8,32 sweeps."),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option("--rate", metavar="R", help="Open loop: requests/s; 5..50 is a ramp, 10@30s,40@30s are pieces."),
    ] = None,
    surge: Annotated[
        float,
        typer.Option("--surge", min=1.0, metavar="X", help="Compare at X times the rate as well; 1: don't."),
    ] = 1.5,
    arrivals: Annotated[
        str, typer.Option("--arrivals", metavar="KIND", help="How --rate arrives: poisson, constant or bursts.")
    ] = "poisson",
    trace: Annotated[
        Path | None, typer.Option("--trace", metavar="FILE", help="Replay recorded arrivals: CSV or Mooncake JSONL.")
    ] = None,
    time_scale: Annotated[
        float, typer.Option("--time-scale", min=0.001, metavar="X", help="Replay a trace X times as fast.")
    ] = 1.0,
    requests: Annotated[int | None, typer.Option("--requests", min=1, metavar="N", help="Requests to send.")] = None,
    duration: Annotated[
        float | None, typer.Option("--duration", min=0.1, metavar="S", help="Seconds to send for.")
    ] = None,
    input_tokens: Annotated[
        str | None,
        typer.Option(
            "--input-tokens", metavar="N", help="Prompts of N tokens, or short, medium, long; several: a grid."
        ),
    ] = None,
    output_tokens: Annotated[
        str | None,
        typer.Option("--output-tokens", metavar="N", help="Answers of N tokens, or short, medium, long; as above."),
    ] = None,
    shared_prefix: Annotated[
        int, typer.Option("--shared-prefix", min=0, metavar="N", help="Tokens that all made prompts begin with.")
    ] = 0,
    max_concurrency: Annotated[
        int | None,
        typer.Option("--max-concurrency", min=1, metavar="N", help="Cap of an open loop; the wait counts as latency."),
    ] = None,
    saturation: Annotated[
        bool, typer.Option("--saturation", help="Search for the highest rate that keeps the SLOs.")
    ] = False,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure this client's own floor on a reference server first.")
    ] = False,
    imported: Annotated[
        Path | None,
        typer.Option("--import", metavar="FILE", help="Read guidellm's, aiperf's, inference-perf's or vLLM's JSON."),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, metavar="N", help="Client processes.")] = 1,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, metavar="S", help="Seconds after which a request counts as failed.")
    ] = 60.0,
    seed: Seed = None,
    max_calls: MaxCalls = None,
    json: Json = None,
    html: Html = None,
) -> None:
    """Measure latency under load. A sweep, one run, two variants against each other, or the highest rate."""
    from proveout.cli import loading

    asked = loading.Asked(
        concurrency=concurrency,
        rate=rate,
        surge=surge,
        arrivals=arrivals,
        trace=trace,
        time_scale=time_scale,
        requests=requests,
        duration=duration,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        shared_prefix=shared_prefix,
        max_concurrency=max_concurrency,
        workers=workers,
        timeout=timeout,
        seed=seed or 0,
        max_calls=max_calls,
        saturation=saturation,
        calibrate=calibrate,
        imported=imported,
    )
    loading.loadtest(project, service, variants or [], asked, json, html)


@declared.command()
def schema(
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Write one JSON Schema per kind of file here.")
    ] = None,
) -> None:
    """Export the JSON Schemas of the declared files, for editors."""
    from proveout.cli import checking

    checking.schema(directory)


tiny = declared.group("tiny", help="The built-in toy model.")


@tiny.command("serve")
def tiny_serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 8089,
) -> None:
    """Serve the built-in model in OpenAI's format."""
    from proveout.cli import serving

    serving.tiny(host, port)


from proveout.cli import delivery_commands as delivery_commands  # noqa: E402  (they join the app)
