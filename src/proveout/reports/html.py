"""The scorecard as one HTML file that needs nothing else: no request, no library, works offline and in print.

What models and people wrote goes through Jinja's escaping and through `visible`, always. The page's own style and
script are allowed by their hashes (Content Security Policy), and nothing else is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from proveout.reports import figures, money, words
from proveout.reports.changes import Piece, changes
from proveout.reports.charts import Forest, histogram_chart
from proveout.reports.page import page_environment, page_source, source_hash
from proveout.reports.text import clip_told, phrase, visible

if TYPE_CHECKING:
    from proveout.gates.scorecard import Flip, Scorecard

FLIP_BYTES = 650_000
"""What all flips may take of the page, of the megabyte that a page may have."""

LIMITS = (2000, 1000, 500, 240, 120)
"""Characters of a flip's texts: the first that keeps the page within bounds."""

SCORE = figures.Scale("plain")
MOST_FLIPS, MOST_SLICES, MOST_GATES, MOST_NOTICES = 400, 60, 60, 100


@dataclass(frozen=True, slots=True)
class ShownFlip:
    """A flip as the page shows it."""

    example: str
    direction: str
    tags: tuple[str, ...]
    input: str
    expected: str
    champion: list[Piece]
    challenger: list[Piece]
    champion_score: str
    challenger_score: str


def render_html(scorecard: Scorecard) -> str:
    """One page of at most a megabyte."""
    template = page_environment().get_template("scorecard.html")
    style, script = page_source("scorecard.css") + page_source("money.css"), page_source("scorecard.js")
    flips, left_out = _fitting_flips(scorecard)
    parts = words.worst_first(scorecard)[:MOST_SLICES]
    scale = figures.slice_scale(parts[0], scorecard) if parts else figures.Scale("share")
    return template.render(
        card=scorecard,
        style=Markup(style),  # noqa: S704 (our own file)
        script=Markup(script),  # noqa: S704 (our own file)
        style_hash=source_hash(style),
        script_hash=source_hash(script),
        gates=[(gate, figures.gate_scale(gate)) for gate in scorecard.gates[:MOST_GATES]],
        gates_left_out=max(0, len(scorecard.gates) - MOST_GATES),
        measures=[(measure, figures.measure_scale(measure)) for measure in scorecard.measures[:200]],
        slices=parts,
        slices_left_out=len(scorecard.slices) - len(parts),
        slice_scale=scale,
        forest=Forest(parts, scorecard, scale),
        flips=flips,
        flips_left_out=left_out,
        histograms=[(item, chart) for item in scorecard.histograms[:12] if (chart := histogram_chart(item))],
        notices=scorecard.notices[:MOST_NOTICES],
        waste=money.waste_lines(scorecard),
    )


def _fitting_flips(scorecard: Scorecard) -> tuple[Markup, int]:
    """All flips as HTML with as much of their texts as fits; and how many are left out because that is too much."""
    template = page_environment().get_template("flip.html")
    kept = sorted(scorecard.flips[:MOST_FLIPS], key=lambda flip: flip.direction != "worse")
    done: list[str] = []
    for limit in LIMITS:
        done, size = [], 0
        for flip in kept:
            done.append(template.render(flip=_shown(flip, limit)))
            size += len(done[-1].encode())
            if size > FLIP_BYTES:
                break
        if size <= FLIP_BYTES:
            break
    else:
        done.pop()
    return Markup("".join(done)), len(scorecard.flips) - len(done)  # noqa: S704 (each was escaped by its template)


def _shown(flip: Flip, limit: int) -> ShownFlip:
    champion, challenger = changes(_clipped(flip.champion, limit), _clipped(flip.challenger, limit))
    return ShownFlip(
        example=phrase(flip.example, 60),
        direction=flip.direction,
        tags=tuple(phrase(tag, 30) for tag in flip.tags[:8]),
        input=_clipped(flip.input, limit),
        expected=_clipped(flip.expected, limit),
        champion=champion,
        challenger=challenger,
        champion_score=SCORE.value(flip.champion_score),
        challenger_score=SCORE.value(flip.challenger_score),
    )


def _clipped(text: str, limit: int) -> str:
    return visible(clip_told(text, limit))
