"""JUnit XML for continuous integration: a suite for the scorecard, a test case for each gate.

Only a pass is green. An inconclusive gate is a failure of type `inconclusive`, because a pull request that is not
proved must not look proved; a gate that could not be measured is an error.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import TYPE_CHECKING

from proveout.reports.figures import gate_scale, known, p_value, worth_n
from proveout.reports.money import prices_in_words
from proveout.reports.text import clip_told, phrase, visible
from proveout.reports.words import (
    claim_in_words,
    decision_sentence,
    level_in_words,
    name,
    needs_in_words,
    notice_in_words,
)

if TYPE_CHECKING:
    from proveout.gates.scorecard import GateResult, Scorecard

HOST = "proveout"
"""Stands where the schema wants a host name: the machine's own is nobody's business."""

_STARTED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


def render_junit(scorecard: Scorecard) -> str:
    """One `testsuites` with one `testsuite`, valid by the Ant and the Jenkins schema."""
    root = ElementTree.Element("testsuites")
    service, change, stage = name(scorecard.service), name(scorecard.change), name(scorecard.stage)
    verdicts = [gate.verdict for gate in scorecard.gates]
    started = _STARTED.match(scorecard.started)
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        {
            "name": f"{service}.{change}.{stage}",
            "package": "proveout",
            "id": "0",
            "timestamp": started[0] if started else "1970-01-01T00:00:00",
            "hostname": HOST,
            "tests": str(max(len(verdicts), 1)),
            "failures": str(sum(verdict in ("fail", "inconclusive") for verdict in verdicts)),
            "errors": str(verdicts.count("error") if verdicts else 1),
            "time": _time(scorecard.seconds),
        },
    )
    properties = ElementTree.SubElement(suite, "properties")
    for key, value in _properties(scorecard):
        ElementTree.SubElement(properties, "property", {"name": phrase(key, 200), "value": visible(value[:2000])})
    for gate in scorecard.gates:
        _case(suite, gate, f"{service}.{change}.{stage}")
    if not scorecard.gates:
        case = _case_element(suite, "no gate", f"{service}.{change}.{stage}")
        ElementTree.SubElement(case, "error", {"type": "error", "message": decision_sentence(scorecard)})
    notices = "\n".join(notice_in_words(notice) for notice in scorecard.notices[:200])
    ElementTree.SubElement(suite, "system-out").text = clip_told(
        f"{decision_sentence(scorecard)}\n{notices}".strip(), 50_000
    )
    ElementTree.SubElement(suite, "system-err")
    ElementTree.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, gate: GateResult, classname: str) -> None:
    case = _case_element(suite, f"{gate.objective}: {name(gate.metric)} {claim_in_words(gate)}", classname)
    if gate.verdict == "pass":
        return
    kind = "error" if gate.verdict == "error" else "failure"
    element = ElementTree.SubElement(case, kind, {"type": gate.verdict, "message": phrase(gate.reason, 400)})
    element.text = _details(gate)


def _case_element(suite: ElementTree.Element, label: str, classname: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", {"name": label, "classname": classname, "time": "0"})


def _details(gate: GateResult) -> str:
    scale = gate_scale(gate)
    interval = scale.difference_interval(gate.difference.low, gate.difference.high) or "no interval"
    n = worth_n(gate.champion, gate.challenger)
    lines = [
        clip_told(visible(gate.reason), 2000),
        needs_in_words(gate),
        f"champion    {scale.figure(gate.champion)}",
        f"challenger  {scale.figure(gate.challenger)}",
        f"difference  {scale.difference(gate.difference.value)} (95% interval {interval}, n = {n})",
        f"test        {phrase(gate.method, 200)}; {level_in_words(gate)}",
    ]
    return "\n".join(line for line in lines if line)


def _properties(scorecard: Scorecard) -> list[tuple[str, str]]:
    """The figures for machines, unrounded."""
    found = [
        ("decision", scorecard.decision),
        ("run", scorecard.run),
        ("champion", f"{scorecard.champion.variant} {scorecard.champion.fingerprint}"),
        ("challenger", f"{scorecard.challenger.variant} {scorecard.challenger.fingerprint}"),
        ("improves", ", ".join(scorecard.improves)),
        ("calls.made", str(scorecard.calls.made)),
        ("calls.cached", str(scorecard.calls.cached)),
        ("calls.failed", str(scorecard.calls.failed)),
        ("cost_usd", _number(scorecard.cost_usd)),
    ]
    found += [(f"dataset.{use.kind}", f"{use.version} {use.examples} examples") for use in scorecard.datasets]
    for gate in scorecard.gates:
        key = f"{gate.objective}.{gate.metric}"
        for label, figure in (("champion", gate.champion), ("challenger", gate.challenger)):
            values = (figure.value, figure.low, figure.high)
            found += [
                (f"{key}.{label}{part}", _number(x)) for part, x in zip(("", ".low", ".high"), values, strict=True)
            ]
            found.append((f"{key}.{label}.n", str(figure.n)))
        values = (gate.difference.value, gate.difference.low, gate.difference.high)
        found += [
            (f"{key}.difference{part}", _number(x)) for part, x in zip(("", ".low", ".high"), values, strict=True)
        ]
        found += [
            (f"{key}.margin", _number(gate.margin)),
            (f"{key}.p_value", p_value(gate.p_value) if not known(gate.p_value) else repr(gate.p_value)),
            (f"{key}.verdict", gate.verdict),
            (f"{key}.needs.examples", str(gate.needs.examples)),
        ]
    return [*found, *_money(scorecard)]


def _money(scorecard: Scorecard) -> list[tuple[str, str]]:
    """The month in US dollars, and the prices behind all dollars."""
    month, prices, found = scorecard.impact, scorecard.prices, list[tuple[str, str]]()
    if month is not None:
        names = ("requests_per_month", "p5", "p50", "p95", "saves", "score")
        found += [(f"impact.{key}", _number(getattr(month, key))) for key in names]
        if month.payback is not None:
            found.append(("impact.payback.months", _number(month.payback.months)))
    if prices is not None:
        found.append(("prices", prices_in_words(prices)))
    return found


def _number(value: float | None) -> str:
    return repr(float(value)) if known(value) else "not measured"


def _time(seconds: float) -> str:
    return f"{seconds:.3f}" if known(seconds) and 0 <= seconds < 1e12 else "0"
