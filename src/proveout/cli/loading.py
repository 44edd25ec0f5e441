"""`loadtest`: from flags to a load test, from its report to what is shown and written."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.cli.exits import COULD_NOT_MEASURE, INTERRUPTED, BadInput, leave, quietly_closed

if TYPE_CHECKING:
    from proveout.loadtest import LoadTest, Open, Report, Settings, Trace
    from proveout.project import Example, Service, Variant

MOST_EXAMPLES = 2000
_TOKENS = "tokens such as 128, or several as 64,512,2048, or short, medium and long"


@dataclass(frozen=True, slots=True)
class Asked:
    """The flags as typed; None where not given."""

    concurrency: str | None = None
    rate: str | None = None
    surge: float = 1.5
    arrivals: str = "poisson"
    trace: Path | None = None
    time_scale: float = 1.0
    requests: int | None = None
    duration: float | None = None
    input_tokens: str | None = None
    output_tokens: str | None = None
    shared_prefix: int = 0
    max_concurrency: int | None = None
    workers: int = 1
    timeout: float = 60.0
    seed: int = 0
    max_calls: int | None = None
    saturation: bool = False
    calibrate: bool = False
    imported: Path | None = None


class _Stop:
    """The first Ctrl-C ends the measurement and keeps it; the second ends the program."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        return self.asked

    def ask(self) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("\nStopping; what was measured is reported.", file=sys.stderr)


def loadtest(
    directory: Path, service_name: str | None, names: list[str], asked: Asked, json: Path | None, html: Path | None
) -> None:
    """`proveout loadtest SERVICE [VARIANT ...]`: 0 measured (a comparison: passed), 1 failed, 3 inconclusive, 4 could
    not be measured, also where the client was the bottleneck."""
    from proveout.cli.running import require_writable

    require_writable(json, html)
    stop = _Stop()
    if asked.imported is not None:
        report = _imported(asked.imported)
    elif service_name is None:
        if not asked.calibrate:
            raise BadInput("name the service to test; only --calibrate and --import need none")
        report = _run(_calibrated(asked, stop), stop)
    else:
        report = _tested(directory, service_name, names, asked, stop)
    _show(report, json, html)
    if stop.asked and report.exit_code != COULD_NOT_MEASURE:
        sys.exit(INTERRUPTED)
    sys.exit(report.exit_code)


def _tested(directory: Path, service_name: str, names: list[str], asked: Asked, stop: _Stop) -> Report:
    from proveout.cli.load_costs import with_costs
    from proveout.cli.running import load, service_named, variant_named
    from proveout.loadtest import LoadTest

    project = load(directory)
    service = service_named(project, service_name)
    variants = tuple(variant_named(service, name) for name in names or [service.champion])
    if len(variants) > 2:
        raise BadInput("give one variant to measure, or two to compare")
    if len(variants) == 2 and asked.saturation:
        raise BadInput("--saturation takes one variant")
    _require_secrets(project, variants)
    declared = service.objectives.get("latency")
    settings = _settings(asked)
    if asked.saturation and max(len(settings.input_tokens), len(settings.output_tokens)) > 1:
        raise BadInput("--saturation takes one size of prompts and one of answers")
    test = LoadTest(
        variants,
        [] if settings.sized else _examples(service),
        dict(declared.settings.get("slo", {})) if declared else {},
        settings,
        margin=declared.margin if declared else 0.10,
        service=service.name,
        traffic=service.traffic,
        stopping=stop,
        tell=lambda words: print(words, file=sys.stderr),
    )
    return with_costs(project, service, variants, _run(_measured(test, variants, asked, stop), stop))


async def _measured(test: LoadTest, variants: tuple[Variant, ...], asked: Asked, stop: _Stop) -> Report:
    import msgspec

    from proveout.cli.load_costs import watched_engines
    from proveout.loadtest import CannotLoad

    traffic = test.traffic if len(variants) == 2 else None
    calibration = (await _calibrated(asked, stop, traffic)).calibration if asked.calibrate else None
    work = test.saturate() if asked.saturation else test.compare() if len(variants) == 2 else test.run()
    async with watched_engines(variants) as engines:
        try:
            await work
        except CannotLoad:
            if not test.report().runs:
                raise
            print(f"Ended early: {sys.exc_info()[1]}", file=sys.stderr)
    return msgspec.structs.replace(test.report(), calibration=calibration, engines=tuple(engines))


async def _calibrated(asked: Asked, stop: _Stop, traffic: Mapping[str, Any] | None = None) -> Report:
    """The floor at the planned load; with `traffic` a comparison follows, and it is the most that this presses."""
    from proveout.loadtest import Report, calibrate, poisson
    from proveout.loadtest.pacing import expected_rate

    print("Measuring this client's own floor against a reference server ...", file=sys.stderr)
    settings = _settings(asked)
    schedule = settings.schedule
    if traffic is not None:
        expected = expected_rate(traffic)
        if schedule is None and expected is not None and not settings.concurrency:
            schedule = poisson(expected.rate)
        schedule = schedule and schedule.faster(settings.surge)
    found, _ = await calibrate(
        concurrency=max(settings.concurrency, default=None),
        schedule=schedule,
        requests=settings.requests,
        output_tokens=max(settings.output_tokens, default=64),
        workers=settings.workers,
        seed=settings.seed,
        stopping=stop,
    )
    return Report(calibration=found)


def _settings(asked: Asked) -> Settings:
    from proveout.loadtest import Settings
    from proveout.loadtest.workloads import INPUT_SIZES, OUTPUT_SIZES

    _refuse_contradictions(asked)
    input_tokens = _numbers(asked.input_tokens, "--input-tokens", INPUT_SIZES, _TOKENS)
    if asked.shared_prefix and asked.trace is None and asked.shared_prefix > min(input_tokens, default=0):
        raise BadInput(
            f"--shared-prefix {asked.shared_prefix} is no part of "
            f"{f'{min(input_tokens)} tokens' if input_tokens else 'the service’s own prompts'}; "
            "give an --input-tokens that it fits into"
        )
    return Settings(
        concurrency=_numbers(
            asked.concurrency, "--concurrency", {}, "requests at once such as 8, or several as 1,8,32"
        ),
        schedule=_schedule(asked),
        requests=asked.requests,
        duration=asked.duration,
        input_tokens=input_tokens,
        output_tokens=_numbers(asked.output_tokens, "--output-tokens", OUTPUT_SIZES, _TOKENS),
        shared_prefix=asked.shared_prefix,
        max_concurrency=asked.max_concurrency,
        workers=asked.workers,
        timeout_s=asked.timeout,
        seed=asked.seed,
        max_calls=asked.max_calls,
        surge=asked.surge,
    )


def _refuse_contradictions(asked: Asked) -> None:
    """A flag that another one makes void is a misunderstanding, and told before an endpoint is put under load."""
    opened = asked.rate is not None or asked.trace is not None
    if asked.concurrency is not None and opened:
        raise BadInput("--concurrency is a closed loop, --rate and --trace are open ones; a cap is --max-concurrency")
    if asked.rate is not None and asked.trace is not None:
        raise BadInput("--trace says when requests are due, and so does --rate; --time-scale 2 replays twice as fast")
    if asked.saturation and (opened or asked.concurrency is not None or asked.duration is not None):
        raise BadInput("--saturation finds the rates itself; leave out --rate, --trace, --concurrency and --duration")
    if asked.time_scale != 1 and asked.trace is None:
        raise BadInput("--time-scale is of a --trace")
    if asked.arrivals != "poisson" and asked.rate is None:
        raise BadInput("--arrivals says how the requests of a --rate come")


def _schedule(asked: Asked) -> Open | Trace | None:
    from proveout.loadtest import TraceError, parsed_rate, read_trace

    try:
        if asked.trace is not None:
            return read_trace(asked.trace, time_scale=asked.time_scale, limit=asked.requests)
        return None if asked.rate is None else parsed_rate(asked.rate, arrivals=asked.arrivals, duration=asked.duration)
    except (TraceError, ValueError) as error:
        raise BadInput(str(error)) from None


def _numbers(text: str | None, flag: str, names: Mapping[str, int], what: str) -> tuple[int, ...]:
    """Whole numbers above 0, or names that stand for some, between commas."""
    if text is None:
        return ()
    try:
        numbers = tuple(names.get(part.strip(), 0) or int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise BadInput(f"{flag} {text}: write a number of {what}")
    return tuple(dict.fromkeys(numbers))


def _examples(service: Service) -> list[Example]:
    """The first examples of the service's golden data, else of its silver."""
    from itertools import islice

    from proveout.project import read_examples

    for kind in ("golden", "silver"):
        if kind in service.datasets:
            return list(islice(read_examples(service.datasets[kind], service.inputs), MOST_EXAMPLES))
    return []


def _require_secrets(project: Any, variants: tuple[Variant, ...]) -> None:
    from proveout.project import ProjectError, unset_secrets

    problems = unset_secrets(project, list(variants))
    if problems:
        raise ProjectError(problems)


def _imported(path: Path) -> Report:
    from proveout.loadtest import ImportProblem, Report, import_results

    try:
        tool, runs = import_results(path)
    except ImportProblem as error:
        raise BadInput(str(error)) from None
    print(f"Read {len(runs)} runs of {tool}; names are translated to ours.", file=sys.stderr)
    return Report(runs=runs)


def _run(work: Coroutine[Any, Any, Report], stop: _Stop) -> Report:
    from proveout.loadtest import CannotLoad

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            loop = runner.get_loop()
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(signal.SIGINT, stop.ask)
            return runner.run(work)
    except CannotLoad as error:
        leave(str(error), COULD_NOT_MEASURE)


def _loop_factory() -> Any:
    """uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _show(report: Report, json: Path | None, html: Path | None) -> None:
    from proveout.cli.running import write
    from proveout.reports.loadtest_text import loadtest_in_words

    if json is None or str(json) != "-":
        quietly_closed(lambda: print(loadtest_in_words(report)))
    if json is not None:
        write(json, report.to_json().decode())
    if html is not None:
        from proveout.reports.loadtest_html import loadtest_html

        write(html, loadtest_html(report))
