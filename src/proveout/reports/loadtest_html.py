"""A load test as one HTML file that needs nothing else, in the scorecard's style."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from proveout.reports.figures import Scale
from proveout.reports.load_charts import distribution_chart, heat_map, load_chart, timeline_chart
from proveout.reports.load_costs import costs_in_words
from proveout.reports.loadtest_text import heading, load_in_words, schedule_in_words, sizes_in_words, slos_in_words
from proveout.reports.money_charts import load_cost_chart
from proveout.reports.page import page_environment, page_source, source_hash

if TYPE_CHECKING:
    from proveout.loadtest.report import Report, Series

MOST_RUNS = 60
MOST_IN_FULL = 4
"""Runs whose figures stand open on the page; more are folded under a table."""
GRIDS = (
    ("ttft_p95", "TTFT, p95"),
    ("e2e_p95", "E2E, p95"),
    ("tpot_p50", "TPOT, median"),
    ("output_tokens_per_s", "Output tokens per second"),
)


def loadtest_html(report: Report) -> str:
    """The page: what it adds up to, every run's figures, and the pictures."""
    style = page_source("scorecard.css") + page_source("money.css") + page_source("loadtest.css")
    runs = report.runs[:MOST_RUNS]
    compared = bool(report.comparisons)
    swept = len({str(run.schedule) for run in runs}) >= 2 and not compared
    sizes = {sizes_in_words(run.workload) for run in runs}
    shown = _shown(report)
    template = page_environment().get_template("loadtest.html")
    return template.render(
        report=report,
        costs_in_words=costs_in_words,
        load_cost_chart=load_cost_chart,
        runs=runs,
        runs_left_out=len(report.runs) - len(runs),
        style=Markup(style),  # noqa: S704 (our own file)
        style_hash=source_hash(style),
        schedule_in_words=schedule_in_words,
        sizes_in_words=sizes_in_words,
        load_in_words=load_in_words,
        slos_in_words=slos_in_words,
        heading=heading,
        time=Scale("seconds"),
        ratio=Scale("seconds", relative=True),
        load_charts=[(name, load_chart(runs, name)) for name in ("ttft", "e2e")] if swept and len(sizes) == 1 else [],
        grids=[(words, heat_map(runs, kind, words)) for kind, words in GRIDS] if not compared else [],
        distributions=[(name, distribution_chart(shown, name)) for name in ("ttft", "e2e")],
        shown=shown,
        in_full=len(runs) <= MOST_IN_FULL,
        timelines=[
            (one, timeline_chart(one, "champion" if compared and place == 0 else "challenger"))
            for place, one in enumerate(shown)
        ],
    )


def _shown(report: Report) -> tuple[Series, ...]:
    """What distributions and timelines are drawn of: both variants where a comparison decides, else the last run."""
    if report.comparison is None:
        return report.series[-1:]
    return tuple(one for one in report.series if one.run in report.comparison.runs)
