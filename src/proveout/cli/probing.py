"""`probe`: an endpoint's abilities, as a table or as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proveout.cli.exits import BadInput, quietly_closed

if TYPE_CHECKING:
    from proveout.models.probe import ProbeReport

_WORDS = {"supported": ("yes", "green"), "not_supported": ("no", "red"), "unknown": ("unknown", "yellow")}
_TITLES = {
    "models": "lists models",
    "chat": "answers",
    "usage": "token counts",
    "streaming": "streaming",
    "streamed_usage": "streamed token counts",
    "logprobs": "log-probabilities",
    "seed": "seed",
    "json_schema": "JSON Schema",
    "tools": "tools",
    "stop": "stop sequences",
    "max_tokens": "limit on tokens",
    "eos_counted": "end token counted",
    "token_counting": "counts alike",
}


def probe(url: str, *, model: str | None, key: str | None, json: Path | None) -> None:
    """Ask an endpoint what it can do. Exit code 0 when it was reached, 4 when not."""
    from proveout.cli.running import run_async

    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise BadInput(f"{url!r} is not a web address; write for example http://127.0.0.1:8000/v1")
    report = run_async(_probed(url, model, key))
    if json is None or str(json) != "-":
        quietly_closed(lambda: _show(report))
    if json is not None:
        _write(report, json)


async def _probed(url: str, model: str | None, key: str | None) -> ProbeReport:
    from proveout.models import ModelError
    from proveout.models.probe import probe
    from proveout.project.records import Secret
    from proveout.wire import Client

    if key is not None and not key.startswith(("env:", "file:")):
        raise BadInput("`--key` is where the key is found, not the key; write env:NAME or file:PATH")
    async with Client() as client:
        try:
            return await probe(url, client=client, model=model, key=None if key is None else Secret(key))
        except LookupError as error:
            raise BadInput(str(error)) from None
        except ModelError as error:
            if error.kind == "bad_request":
                raise BadInput(str(error)) from None
            raise


def _show(report: ProbeReport) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    latency = "no answer" if report.latency_ms is None else f"{report.latency_ms:.1f} ms a call"
    console.print(Text(f"{report.url}  {report.model or '(no name)'}  {latency}, {report.calls} calls"))
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in report.findings:
        word, colour = _WORDS[finding.status]
        table.add_row(_TITLES[finding.check], Text(word, style=colour), Text(finding.seen))
    console.print(table)


def _write(report: ProbeReport, path: Path) -> None:
    import json

    from proveout.cli.running import write

    write(path, json.dumps(report.as_json(), indent=1, ensure_ascii=False))
