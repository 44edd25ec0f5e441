"""A load test as one HTML file that needs nothing else, in the scorecard's style."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from proveout.reports.figures import Scale
from proveout.reports.html import _environment, _hash, _source
from proveout.reports.load_charts import distribution_chart, load_chart, timeline_chart
from proveout.reports.load_costs import costs_in_words
from proveout.reports.loadtest_text import schedule_in_words
from proveout.reports.money_charts import load_cost_chart

if TYPE_CHECKING:
    from proveout.loadtest.report import Report

MOST_RUNS = 60


def loadtest_html(report: Report) -> str:
    """The page: what it adds up to, every run's figures, and the pictures."""
    style = _source("scorecard.css") + _source("money.css") + _source("loadtest.css")
    runs = report.runs[:MOST_RUNS]
    compared = report.comparison is not None
    shown = report.series[:2] if compared else report.series[-1:]
    swept = len({str(run.schedule) for run in runs}) >= 2 and not compared
    return (
        _environment()
        .get_template("loadtest.html")
        .render(
            report=report,
            costs_in_words=costs_in_words,
            load_cost_chart=load_cost_chart,
            runs=runs,
            runs_left_out=len(report.runs) - len(runs),
            style=Markup(style),  # noqa: S704 (our own file)
            style_hash=_hash(style),
            schedule_in_words=schedule_in_words,
            time=Scale("seconds"),
            ratio=Scale("seconds", relative=True),
            load_charts=[(name, load_chart(runs, name)) for name in ("ttft", "e2e")] if swept else [],
            distributions=[(name, distribution_chart(shown, name)) for name in ("ttft", "e2e")],
            shown=shown,
            timelines=[
                (one, timeline_chart(one, "champion" if compared and place == 0 else "challenger"))
                for place, one in enumerate(shown)
            ],
        )
    )
