"""The scorecard on a terminal: the decision first, then what it rests on. Fits 80 columns; uses up to 130."""

from __future__ import annotations

import io
import shutil
import sys
from typing import TYPE_CHECKING

from rich.box import Box
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from proveout.reports import money
from proveout.reports.figures import (
    bounds,
    duration,
    gate_scale,
    known,
    measure_scale,
    slice_scale,
    usd,
    without_unit,
    worth_n,
)
from proveout.reports.plain import encodable
from proveout.reports.strips import sparkline, strip
from proveout.reports.text import counted, phrase
from proveout.reports.words import (
    DECISION_WORDS,
    LEDGER_MEANING,
    SYMBOLS,
    VERDICT_WORDS,
    claim_in_words,
    decision_sentence,
    facts,
    flips_in_words,
    hypothesis,
    ledger_in_words,
    name,
    needs_in_words,
    notice_in_words,
    reason,
    title,
    worst_first,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from proveout.gates.scorecard import Difference, Figure, Flip, GateResult, Scorecard, Verdict
    from proveout.reports.figures import Scale

WIDEST = 130
WIDE = 108
"""From here on gates also show their interval as a strip."""
NARROW = 78
"""Below this a verdict stands under its gate's name, for want of a column."""

STRIP = 31
SHOWN_SLICES, SHOWN_FLIPS, SHOWN_NOTICES, SHOWN_MEASURES = 8, 3, 12, 20

COLOURS: dict[Verdict, str] = {"pass": "green", "fail": "red", "inconclusive": "yellow", "error": "magenta"}

_RULED = Box("    \n    \n ── \n    \n    \n    \n    \n    \n")


def render_terminal(scorecard: Scorecard) -> str:
    """Text for the standard output as it is now: coloured and as wide as the terminal, or plain and 80 columns wide.

    NO_COLOR and FORCE_COLOR are respected. Characters that the output's encoding lacks are replaced.
    """
    tty = sys.stdout is not None and not sys.stdout.closed and sys.stdout.isatty()
    out = io.StringIO()
    console = Console(
        file=out,
        force_terminal=True if tty else None,
        width=min(shutil.get_terminal_size((80, 24)).columns, WIDEST),
        markup=False,
        emoji=False,
        highlight=False,
    )
    console.print(scorecard_view(scorecard, console.width))
    lines = out.getvalue().splitlines()
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return encodable("".join(f"{line.rstrip()}\n" for line in lines), encoding)


def scorecard_view(scorecard: Scorecard, width: int) -> RenderableType:
    """Everything, as one rich renderable."""
    parts: list[RenderableType] = [Text(), _decision(scorecard), Text(), _gates(scorecard, width)]
    parts += [
        Text(),
        Text("Below each figure: its 95% interval. n: independent units, similar examples count once.", style="dim"),
    ]
    parts += _reasons(scorecard)
    for heading, body in (
        ("The month", _month(scorecard)),
        ("Where the money goes", _waste(scorecard)),
        ("Machines of your own", _machines(scorecard)),
        ("Also measured, decides nothing", _measures(scorecard)),
        (_slices_heading(scorecard), _slices(scorecard)),
        (f"Flipped: {flips_in_words(scorecard)}", _flips(scorecard)),
        ("Look at this", _notices(scorecard)),
    ):
        if body is not None:
            parts += [Text(), Text(heading, style="bold"), Padding(body, (0, 0, 0, 2))]
    parts += [Text(), _foot(scorecard), Text()]
    return Padding(Group(*parts), (0, 0, 0, 1))


def _decision(scorecard: Scorecard) -> RenderableType:
    colour = COLOURS[scorecard.decision]
    mark = Text(
        f" {SYMBOLS[scorecard.decision]} {DECISION_WORDS[scorecard.decision].upper()} ", style=f"bold reverse {colour}"
    )
    top = Text.assemble(mark, "  ", (title(scorecard), "bold"))
    lines = [top, Text(decision_sentence(scorecard), style=colour)]
    if scorecard.hypothesis:
        lines.append(Text(f"“{hypothesis(scorecard)}”", style="italic dim"))
    return Group(*lines)


def _gates(scorecard: Scorecard, width: int) -> RenderableType:
    wide, narrow = width >= WIDE, width < NARROW
    table = Table(box=_RULED, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim", show_edge=False)
    table.add_column("Gate", min_width=19, max_width=24, overflow="fold")
    table.add_column(_variant("Champion", scorecard.champion.variant), justify="right", overflow="fold")
    table.add_column(_variant("Challenger", scorecard.challenger.variant), justify="right", overflow="fold")
    table.add_column("Difference", justify="right", overflow="fold")
    if wide:
        table.add_column("┊ margin  │ no difference", justify="center", no_wrap=True, width=STRIP)
    if not narrow:
        table.add_column("Verdict", no_wrap=True, min_width=14)
    for index, gate in enumerate(scorecard.gates):
        if index:
            table.add_row()
        _add_gate(table, gate, wide, narrow)
    return table if scorecard.gates else Text("No gate ran.", style="magenta")


def _variant(heading: str, variant: str) -> str:
    label = phrase(variant, 14)
    return f"{heading}\n{label}" if label.lower() != heading.lower() else heading


def _add_gate(table: Table, gate: GateResult, wide: bool, narrow: bool) -> None:
    scale = gate_scale(gate)
    colour = COLOURS[gate.verdict]
    verdict = Text(f"{SYMBOLS[gate.verdict]} {VERDICT_WORDS[gate.verdict]}", style=f"bold {colour}")
    what = Text.assemble((gate.objective, "bold"), "\n", name(gate.metric), "\n", (claim_in_words(gate), "italic"))
    cells: list[RenderableType] = [
        what.append("\n").append_text(verdict) if narrow else what,
        _figure(scale, gate.champion),
        _figure(scale, gate.challenger),
        _two_lines(
            scale.difference(gate.difference.value),
            _folded(_difference_interval(scale, gate.difference), 15, " to "),
            f"bold {colour}",
        ).append(f"\nn = {worth_n(gate.champion, gate.challenger)}", style="dim"),
    ]
    if wide:
        cells.append(Text(strip(bounds(gate.difference), _margin_line(gate), STRIP), style=colour))
    if not narrow:
        cells.append(verdict)
    table.add_row(*cells)


def _margin_line(gate: GateResult) -> float:
    """Where the difference must lie beyond: 0 for a claim, minus the margin otherwise (plus, where lower is better)."""
    return 0.0 if gate.claim == "improves" else -gate.margin if gate.higher_is_better else gate.margin


def _figure(scale: Scale, figure: Figure) -> Text:
    return _two_lines(scale.value(figure.value), _folded(_interval(scale, figure), 11, "–"), "")


def _interval(scale: Scale, figure: Figure) -> str:
    """The interval to stand beside its value, which names the unit."""
    return without_unit(scale.interval(figure.low, figure.high), scale.value(figure.value))


def _difference_interval(scale: Scale, difference: Difference) -> str:
    interval = scale.difference_interval(difference.low, difference.high)
    return without_unit(interval, scale.difference(difference.value))


def _folded(interval: str, width: int, at: str) -> str:
    return interval.replace(at, f"{at}\n", 1) if len(interval) > width else interval


def _two_lines(value: str, interval: str, style: str) -> Text:
    return Text.assemble((value, style), ("\n" + interval, "dim") if interval else "")


def _reasons(scorecard: Scorecard) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for gate in scorecard.gates:
        if gate.verdict == "pass":
            continue
        colour = COLOURS[gate.verdict]
        label = Text.assemble((f"{SYMBOLS[gate.verdict]} ", f"bold {colour}"))
        body = Text.assemble((f"{gate.objective}, {name(gate.metric)}: ", "bold"), reason(gate))
        needed = needs_in_words(gate)
        if needed:
            body.append(f" {needed}", style=colour)
        grid = Table.grid(padding=(0, 0))
        grid.add_row(label, body)
        parts += [Text(), grid]
    return parts


def _month(scorecard: Scorecard) -> RenderableType | None:
    month = scorecard.impact
    if month is None:
        return None
    colour = "green" if month.p95 < 0 else "red" if month.p5 > 0 else "yellow"
    picture = sparkline(month.counts)
    ends = [money.change_of(month.edges[0]), money.change_of(month.edges[-1])] if picture and month.edges else ["", ""]
    lines = [
        Text.assemble((f"{money.change_of(month.p50)} a month", f"bold {colour}")),
        Text(money.bill_in_words(month)),
        Text.assemble((f"{ends[0]} ", "dim"), (picture, colour), (f" {ends[1]}", "dim")) if picture else Text(),
    ]
    depends = money.depends_in_words(month)
    sentences = (
        money.value_in_words(month),
        money.payback_in_words(month.payback),
        f"It depends on {depends}." if depends else "",
        money.score_in_words(month),
    )
    return Group(*[line for line in lines if line.plain], *[Text(sentence) for sentence in sentences if sentence])


def _waste(scorecard: Scorecard) -> RenderableType | None:
    lines, arms = money.waste_lines(scorecard), money.waste_arms(scorecard)
    if not lines:
        return None
    unit = money.waste_unit(scorecard)
    columns = [_right(heading) for _, _, variant in arms for heading in (phrase(variant, 14), "tokens", unit)]
    table = _small_table("", *columns)
    for line in lines:
        cells = [cell for place, _, _ in arms for cell in money.waste_cells(line, place)]
        table.add_row(line.label, *cells)
    told = f"{money.saved_in_words(scorecard)} {money.waste_basis(scorecard)}"
    return Group(table, Text(told, style="dim"))


def _machines(scorecard: Scorecard) -> RenderableType | None:
    lines = [money.hosted_in_words(own) for own in scorecard.hosting[:4]]
    if scorecard.break_even is not None:
        lines.append(money.break_even_in_words(scorecard.break_even))
    return Group(*map(Text, lines)) if lines else None


def _measures(scorecard: Scorecard) -> RenderableType | None:
    if not scorecard.measures:
        return None
    table = _small_table("", _right("Champion"), _right("Challenger"), _right("n"))
    for measure in scorecard.measures[:SHOWN_MEASURES]:
        scale = measure_scale(measure)
        table.add_row(
            f"{measure.objective} {name(measure.metric)}",
            _one_line(scale, measure.champion),
            _one_line(scale, measure.challenger),
            worth_n(measure.champion, measure.challenger),
        )
    return _with_rest(table, len(scorecard.measures) - SHOWN_MEASURES, "measures")


def _slices_heading(scorecard: Scorecard) -> str:
    return f"By tag, worst first ({name(scorecard.slices[0].metric)}; decides nothing)" if scorecard.slices else ""


def _slices(scorecard: Scorecard) -> RenderableType | None:
    if not scorecard.slices:
        return None
    table = _small_table(
        "Tag", _right("Champion"), _right("Challenger"), _right("Difference and 95% interval"), _right("n")
    )
    for part in worst_first(scorecard)[:SHOWN_SLICES]:
        scale = slice_scale(part, scorecard)
        interval = _difference_interval(scale, part.difference)
        table.add_row(
            phrase(part.tag, 24),
            scale.value(part.champion.value),
            scale.value(part.challenger.value),
            Text.assemble(scale.difference(part.difference.value), (f"  {interval}", "dim")),
            worth_n(part.champion, part.challenger),
        )
    return _with_rest(table, len(scorecard.slices) - SHOWN_SLICES, "tags")


def _flips(scorecard: Scorecard) -> RenderableType | None:
    if not scorecard.flips:
        return None
    shown = [
        flip
        for direction in ("worse", "better")
        for flip in [flip for flip in scorecard.flips if flip.direction == direction][:SHOWN_FLIPS]
    ]
    return Group(*[_flip(flip) for flip in shown])


def _flip(flip: Flip) -> RenderableType:
    colour, arrow = ("red", "✗") if flip.direction == "worse" else ("green", "✓")
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_row(
        Text(arrow, style=f"bold {colour}"),
        Text.assemble((phrase(flip.example, 30), "bold"), "  ", phrase(flip.input, 140)),
    )
    for label, text in (("expected", flip.expected), ("champion", flip.champion), ("challenger", flip.challenger)):
        grid.add_row("", Text.assemble((f"{label:<11}", "dim"), phrase(text, 110) or "(empty)"))
    return grid


def _notices(scorecard: Scorecard) -> RenderableType | None:
    if not scorecard.notices:
        return None
    grid = Table.grid(padding=(0, 1))
    for notice in scorecard.notices[:SHOWN_NOTICES]:
        grid.add_row(Text("!", style="bold yellow"), Text(notice_in_words(notice, 300)))
    return _with_rest(grid, len(scorecard.notices) - SHOWN_NOTICES, "notices")


def _foot(scorecard: Scorecard) -> RenderableType:
    grid = Table.grid(Column(style="dim", no_wrap=True), Column(overflow="fold"), padding=(0, 2))
    for line in scorecard.ledger[:5]:
        grid.add_row("ledger", f"{ledger_in_words(line, scorecard)} {LEDGER_MEANING}")
    for use in scorecard.datasets[:10]:
        size = f"{counted(use.examples, 'example')} in {counted(use.clusters, 'cluster')}"
        grid.add_row("data", f"{phrase(use.kind, 20)} {phrase(use.version, 12)}: {size}")
    grid.add_row("calls", f"{facts(scorecard)}  ·  cost {usd(scorecard.cost_usd)}  ·  {duration(scorecard.seconds)}")
    if scorecard.prices is not None:
        grid.add_row("prices", money.prices_in_words(scorecard.prices))
    if scorecard.run:
        grid.add_row("run", phrase(scorecard.run, 40))
    return grid


def _one_line(scale: Scale, figure: Figure) -> Text:
    interval = _interval(scale, figure)
    return Text.assemble(
        scale.value(figure.value), (f"  {interval}", "dim") if interval and known(figure.value) else ""
    )


def _small_table(*columns: Column | str) -> Table:
    return Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")


def _right(heading: str) -> Column:
    return Column(heading, justify="right", overflow="fold")


def _with_rest(body: RenderableType, left_out: int, what: str) -> RenderableType:
    return Group(body, Text(f"and {left_out:,} more {what}", style="dim")) if left_out > 0 else body
