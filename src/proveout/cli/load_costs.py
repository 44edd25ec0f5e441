"""What a load test tells of machines of one's own: their price, their engine's figures, and the goodput that the cost
gate will find again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from proveout.loadtest import Report
    from proveout.loadtest.hosting import EngineFigures
    from proveout.project import Project, Service, Variant

HERE = ("127.0.0.1", "localhost", "::1")


@asynccontextmanager
async def watched_engines(variants: Sequence[Variant]) -> AsyncIterator[list[EngineFigures]]:
    """Look at the metrics page of every variant's engine that has one while the test runs. The list that is handed out
    is filled at the end."""
    from proveout.economics.engine import metrics_address, watch_engine
    from proveout.loadtest.hosting import engine_figures
    from proveout.wire import Client

    found: list[EngineFigures] = []
    pages = [(variant.name, address) for variant in variants if (address := metrics_address(variant)) is not None]
    if not pages:
        yield found
        return
    over = asyncio.Event()
    async with Client() as client:
        watches = [
            asyncio.ensure_future(watch_engine(client, page, over, with_gpus=urlsplit(page).hostname in HERE))
            for _, page in pages
        ]
        try:
            yield found
        finally:
            over.set()
            for (name, page), watch in zip(pages, watches, strict=True):
                seen = await watch
                if seen is None:
                    print(f"The engine's metrics at {page} could not be read.", file=sys.stderr)
                else:
                    found.append(engine_figures(name, seen))


def with_costs(project: Project, service: Service, variants: Sequence[Variant], report: Report) -> Report:
    """The report with what its load costs, and its capacity kept in the project's store for the cost gate. What was
    measured while the client was the bottleneck has no price."""
    import msgspec

    from proveout.economics import PriceBook
    from proveout.loadtest.hosting import hosted_loads

    if not any(variant.machine is not None for variant in variants):
        return report
    on = datetime.now(UTC).date()
    book = PriceBook(project.prices, hosts=project.hosts)
    sure = report.valid and not report.interrupted
    if report.saturation is not None and sure:
        _keep(project, service, variants, report)
    loads = hosted_loads(report.runs, report.saturation if sure else None, variants, service.traffic, book, on)
    prices = f"Prices of {on}, from prices.yaml (newest from {book.dated(on)}, content {book.digest})."
    return msgspec.structs.replace(report, hosting=loads, prices=prices if loads else "")


def _keep(project: Project, service: Service, variants: Sequence[Variant], report: Report) -> None:
    from proveout.cli.running import store_of
    from proveout.economics.capacity import Goodput, keep_goodput
    from proveout.storage import StoreError

    capacity = report.saturation
    measured = next((one for one in variants if capacity is not None and one.name == capacity.variant), None)
    if capacity is None or measured is None or measured.machine is None or not capacity.rate > 0:
        return
    latency = service.objectives.get("latency")
    low, high = capacity.interval or (capacity.low or None, capacity.high)
    goodput = Goodput(
        capacity.rate, low, high, dict(latency.settings.get("slo") or {}) if latency else {}, report.started
    )
    try:
        with store_of(project) as store:
            keep_goodput(store, measured.fingerprint, goodput)
    except StoreError as error:
        print(f"The capacity could not be kept for the cost gate: {error}", file=sys.stderr)
        return
    print(
        f"Kept for the cost gate: one replica of {measured.name} serves {capacity.rate:.3g} requests/s.",
        file=sys.stderr,
    )
