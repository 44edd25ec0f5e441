"""What every HTML page here is made of: one template environment, the sources, and their hashes."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from proveout.reports import figures, money, words
from proveout.reports.charts import gate_chart, variants_chart
from proveout.reports.money_charts import month_chart, staircase_chart, tornado_chart, waste_chart
from proveout.reports.text import counted, phrase, visible


@cache
def page_environment() -> Environment:
    """Templates that escape all that they are given."""
    environment = Environment(
        loader=PackageLoader("proveout.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(_vocabulary())
    environment.filters.update(safe_line=phrase, visible=visible)
    return environment


def _vocabulary() -> dict[str, Any]:
    return {
        "figures": figures,
        "money": money,
        "words": words,
        "counted": counted,
        "gate_chart": gate_chart,
        "variants_chart": variants_chart,
        "month_chart": month_chart,
        "tornado_chart": tornado_chart,
        "waste_chart": waste_chart,
        "staircase_chart": staircase_chart,
    }


@cache
def page_source(file: str) -> str:
    """The text of one of the template files, such as `scorecard.css`."""
    loader = page_environment().loader
    assert loader is not None
    return loader.get_source(page_environment(), file)[0]


def source_hash(text: str) -> str:
    """What the Content Security Policy calls a style or a script that may be used."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
