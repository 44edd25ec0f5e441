"""The scorecard as one pull-request comment. Its hidden first line lets the next run find and replace it.

What models and people wrote can't mention anyone, link anywhere, or break a table: prose is written with entities, its
mentions and addresses are cut by an invisible space, and everything else stands in code, which GitHub leaves alone.
"""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from proveout.reports import money
from proveout.reports.figures import NOT_MEASURED, duration, gate_scale, known, measure_scale, slice_scale, usd, worth_n
from proveout.reports.text import clip_told, counted, phrase, visible
from proveout.reports.words import (
    DECISION_WORDS,
    LEDGER_MEANING,
    VERDICT_WORDS,
    claim_in_words,
    decision_sentence,
    facts,
    flips_in_words,
    hypothesis,
    ledger_in_words,
    level_in_words,
    name,
    needs_in_words,
    notice_in_words,
    reason,
    worst_first,
)

if TYPE_CHECKING:
    from proveout.gates.scorecard import Arm, Figure, Flip, GateResult, Scorecard, Verdict
    from proveout.reports.figures import Scale

MOST_BYTES = 60_000
"""GitHub refuses a comment of more than 65,536 characters."""

MOST_ROWS = 40
SHOWN_FLIPS = 20
"""In each direction."""

MARKS: dict[Verdict, str] = {"pass": "✅", "fail": "❌", "inconclusive": "❔", "error": "⚠️"}

_MARKUP = re.compile(r"[\\`*{}\[\]<>#|~$&^]|(?<!\w)_|_(?!\w)")
_ANY_MARKUP = re.compile(r"[\\`*_{}\[\]<>()#|~!$&:^=+-]")
_LINKS = re.compile(r"@|#(?=\w)|(?<=:)//|\bwww(?=\.)|\bGH(?=-)", re.IGNORECASE)
_BREAK = "\u200b"
_SIMPLE = re.compile(r"[\w.,% /+-]+")


def comment_marker(scorecard: Scorecard) -> str:
    """The hidden first line by which a comment is found again: `<!-- proveout:SERVICE/CHANGE/STAGE -->`."""
    parts = (quote(part.encode("utf-8", "replace"), safe="").replace("--", "-%2D") for part in _place(scorecard))
    return f"<!-- proveout:{'/'.join(parts)} -->"


def _place(scorecard: Scorecard) -> tuple[str, str, str]:
    return scorecard.service, scorecard.change, scorecard.stage


def render_markdown(scorecard: Scorecard) -> str:
    """At most 60,000 bytes of GitHub-flavoured Markdown; what did not fit is told."""
    page = "\n".join([*_head(scorecard), *_gates(scorecard), *_reasons(scorecard)]) + "\n"
    left_out: list[str] = []
    for what, part in (
        ("the month", _month(scorecard)),
        ("where the money goes", _waste(scorecard)),
        ("notices", _notices(scorecard)),
        ("measures", _measures(scorecard)),
        ("tags", _slices(scorecard)),
        ("how it was measured", _method(scorecard)),
        ("flips", _flips(scorecard, SHOWN_FLIPS, 400)),
    ):
        if what == "flips" and _size(page + part) > MOST_BYTES - 400:
            part = _flips(scorecard, SHOWN_FLIPS // 4, 160)
        if _size(page + part) > MOST_BYTES - 400:
            left_out.append(what)
        else:
            page += part
    if left_out:
        page += f"\n_Left out to keep this comment short: {', '.join(left_out)}. The HTML report has them._\n"
    return page


def prose(text: str) -> str:
    """Text that reads the same and does nothing: no markup, mention, reference or link."""
    cut = _LINKS.sub(
        lambda match: match[0] + _BREAK if match[0] != "//" else _BREAK + "//", visible(text).replace("\n", " ")
    )
    return _MARKUP.sub(_entity, cut)


def code(text: str, limit: int = 200) -> str:
    """One line as code; entities and the HTML tag where plain backticks would not hold it."""
    line = phrase(text, limit)
    if _SIMPLE.fullmatch(line):
        return f"`{line}`"
    return f"<code>{_ANY_MARKUP.sub(_entity, line)}</code>" if line else "<i>(empty)</i>"


def _entity(match: re.Match[str]) -> str:
    return f"&#{ord(match[0])};"


def _head(scorecard: Scorecard) -> list[str]:
    service, change, stage = (name(part) for part in _place(scorecard))
    place = prose(f"{service} / {change} ({stage})")
    lines = [
        comment_marker(scorecard),
        f"### {MARKS[scorecard.decision]} {DECISION_WORDS[scorecard.decision]}: {place}",
        "",
        prose(decision_sentence(scorecard)),
    ]
    if scorecard.hypothesis:
        lines += ["", f"> {prose(hypothesis(scorecard))}"]
    return lines


def _gates(scorecard: Scorecard) -> list[str]:
    if not scorecard.gates:
        return []
    champion, challenger = code(scorecard.champion.variant, 30), code(scorecard.challenger.variant, 30)
    lines = [
        "",
        f"| | Gate | Champion {champion} | Challenger {challenger} | Difference (95% interval) | n |",
        "|---|---|--:|--:|--:|--:|",
    ]
    rows: list[str] = []
    for gate in scorecard.gates:
        scale = gate_scale(gate)
        cells = [
            f"{MARKS[gate.verdict]} {VERDICT_WORDS[gate.verdict]}",
            f"**{gate.objective}** {code(gate.metric, 60)}<br>{prose(claim_in_words(gate))}",
            _figure(scale, gate.champion),
            _figure(scale, gate.challenger),
            _difference(scale, gate),
            worth_n(gate.champion, gate.challenger),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return [*lines, *_fitting(rows, "gate")]


def _reasons(scorecard: Scorecard) -> list[str]:
    lines = [
        f"- **{gate.objective}** {code(gate.metric, 60)}: {prose(reason(gate))} {prose(needs_in_words(gate))}".rstrip()
        for gate in scorecard.gates
        if gate.verdict != "pass"
    ]
    return ["", *_fitting(lines, "reason")] if lines else []


def _month(scorecard: Scorecard) -> str:
    """The bill in a sentence that stands open, and all else about it folded."""
    month = scorecard.impact
    machines = [money.hosted_in_words(own) for own in scorecard.hosting[:4]]
    if scorecard.break_even is not None:
        machines.append(money.break_even_in_words(scorecard.break_even))
    if month is None:
        return _folded("Machines of your own", [f"- {prose(line)}" for line in machines]) if machines else ""
    depends = money.depends_in_words(month)
    lines = [
        money.value_in_words(month),
        money.payback_in_words(month.payback),
        f"It depends on {depends}." if depends else "",
        money.score_in_words(month),
        *machines,
    ]
    page = f"\n**The month.** {prose(money.bill_in_words(month))}\n"
    return page + _folded("What it depends on, payback and score", [f"- {prose(line)}" for line in lines if line])


def _waste(scorecard: Scorecard) -> str:
    lines, arms = money.waste_lines(scorecard), money.waste_arms(scorecard)
    if not lines:
        return ""
    unit = money.waste_unit(scorecard)
    heads = [f"{code(variant, 30)} | tokens each | US dollars {unit}" for _, _, variant in arms]
    table = [f"| Use | {' | '.join(heads)} |", f"|---|{'--:|--:|--:|' * len(arms)}"]
    for line in lines:
        cells = [prose(cell) for place, _, _ in arms for cell in money.waste_cells(line, place)]
        table.append(f"| {prose(line.label)} | {' | '.join(cells)} |")
    told = prose(f"{money.saved_in_words(scorecard)} {money.waste_basis(scorecard)}")
    return _folded("Where the money goes", [*table, "", told])


def _notices(scorecard: Scorecard) -> str:
    if not scorecard.notices:
        return ""
    lines = [f"- {prose(notice_in_words(notice, 300))}" for notice in scorecard.notices]
    return _folded(f"{counted(len(scorecard.notices), 'thing')} to look at", _fitting(lines, "notice"))


def _measures(scorecard: Scorecard) -> str:
    if not scorecard.measures:
        return ""
    lines = ["| Measure | Champion | Challenger | n |", "|---|--:|--:|--:|"]
    rows: list[str] = []
    for measure in scorecard.measures:
        scale = measure_scale(measure)
        rows.append(
            f"| {measure.objective} {code(measure.metric, 60)} | {_figure(scale, measure.champion)} "
            f"| {_figure(scale, measure.challenger)} | {worth_n(measure.champion, measure.challenger)} |"
        )
    return _folded("Also measured (decides nothing)", [*lines, *_fitting(rows, "measure")])


def _slices(scorecard: Scorecard) -> str:
    if not scorecard.slices:
        return ""
    lines = ["| Tag | Champion | Challenger | Difference (95% interval) | n |", "|---|--:|--:|--:|--:|"]
    rows: list[str] = []
    for part in worst_first(scorecard):
        scale = slice_scale(part, scorecard)
        interval = scale.difference_interval(part.difference.low, part.difference.high) or "no interval"
        cells = [
            code(part.tag, 40),
            prose(scale.value(part.champion.value)),
            prose(scale.value(part.challenger.value)),
            f"{prose(scale.difference(part.difference.value))} ({prose(interval)})",
            worth_n(part.champion, part.challenger),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    heading = f"By tag, worst first: {counted(len(scorecard.slices), 'tag')} (decides nothing)"
    return _folded(heading, [*lines, *_fitting(rows, "tag")])


def _flips(scorecard: Scorecard, most: int, limit: int) -> str:
    if not scorecard.flips:
        return ""
    worse = [flip for flip in scorecard.flips if flip.direction == "worse"][:most]
    better = [flip for flip in scorecard.flips if flip.direction == "better"][:most]
    lines = [_flip(flip, limit) for flip in (*worse, *better)]
    shown = len(worse) + len(better)
    return _folded(f"Flips: {flips_in_words(scorecard)}, {shown:,} shown", lines)


def _flip(flip: Flip, limit: int) -> str:
    mark = "❌ worse" if flip.direction == "worse" else "✅ better"
    rows = (
        ("input", flip.input),
        ("expected", flip.expected),
        ("champion", flip.champion),
        ("challenger", flip.challenger),
    )
    texts = "\n".join(f"{label:<11}{_block(text, limit)}" for label, text in rows)
    return f"{mark} {code(flip.example, 60)}\n<pre>{texts}</pre>\n"


def _block(text: str, limit: int) -> str:
    """Text for inside of `pre`, where only HTML counts; no blank line may end the block early."""
    return re.sub(r"\n\s*", "\n           ", escape(visible(clip_told(text, limit)).strip()))


def _method(scorecard: Scorecard) -> str:
    lines = [f"- {prose(ledger_in_words(line, scorecard))} {LEDGER_MEANING}" for line in scorecard.ledger[:5]]
    tests = [
        f"- **{gate.objective}** {code(gate.metric, 60)}: "
        f"{prose(f'{phrase(gate.method, 160)}; {level_in_words(gate)}')}"
        for gate in scorecard.gates
    ]
    lines += _fitting(tests, "gate")
    lines += [
        f"- data: {prose(phrase(use.kind, 30))} {code(use.version, 64)}, "
        f"{counted(use.examples, 'example')} in {counted(use.clusters, 'cluster')}"
        for use in scorecard.datasets[:10]
    ]
    lines.append(f"- {facts(scorecard)}, cost {prose(usd(scorecard.cost_usd))}, {duration(scorecard.seconds)}")
    if scorecard.prices is not None:
        lines.append(f"- {prose(money.prices_in_words(scorecard.prices))}")
    lines += [f"- {role} {code(arm.fingerprint, 64)}" for role, arm in _arms(scorecard)]
    if scorecard.run:
        lines.append(
            f"- run {code(scorecard.run, 60)}"
            + (f", Proveout {code(scorecard.version, 30)}" if scorecard.version else "")
        )
    return _folded("How it was measured", lines)


def _arms(scorecard: Scorecard) -> tuple[tuple[str, Arm], ...]:
    return ("champion", scorecard.champion), ("challenger", scorecard.challenger)


def _figure(scale: Scale, figure: Figure) -> str:
    if not known(figure.value):
        return NOT_MEASURED
    interval = scale.interval(figure.low, figure.high) or "no interval"
    return f"{prose(scale.value(figure.value))}<br><sub>{prose(interval)}</sub>"


def _difference(scale: Scale, gate: GateResult) -> str:
    if not known(gate.difference.value):
        return NOT_MEASURED
    interval = scale.difference_interval(gate.difference.low, gate.difference.high) or "no interval"
    return f"**{prose(scale.difference(gate.difference.value))}**<br><sub>{prose(interval)}</sub>"


def _folded(heading: str, lines: list[str]) -> str:
    body = "\n".join(lines)
    return f"\n<details><summary>{prose(heading)}</summary>\n\n{body}\n\n</details>\n"


def _fitting(lines: list[str], what: str, most_bytes: int = 10_000) -> list[str]:
    """As many lines as fit, and how many did not."""
    size = 0
    for index, line in enumerate(lines):
        size += _size(line) + 1
        if index == MOST_ROWS or size > most_bytes:
            return [*lines[:index], "", f"_and {counted(len(lines) - index, f'more {what}')}_"]
    return lines


def _size(text: str) -> int:
    return len(text.encode())
