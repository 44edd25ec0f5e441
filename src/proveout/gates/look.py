"""What an expert looks at beside the verdict: slices by tag, flips, distributions. Exploration only; nothing here
decides."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from proveout.evaluation.inspection import Flip as SeenFlip
from proveout.evaluation.inspection import FlipCollector
from proveout.evaluation.table import ScoreTable
from proveout.gates.pairing import example_means, from_source, pair
from proveout.gates.scorecard import Flip, Histogram, Slice
from proveout.gates.verdicts import difference, figure
from proveout.statistics import mean_interval, paired_test

MOST_SLICES = 40
FEWEST_IN_SLICE = 5
BINS = 20


def slices(table: ScoreTable, metric: str) -> tuple[Slice, ...]:
    """The metric for the golden examples of each tag with at least 5 clusters; the largest 40 tags."""
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for index, tags in enumerate(table.examples.tags):
        for tag in tags:
            rows[tag].append(index)
    largest = sorted(rows.items(), key=lambda item: (-len(item[1]), item[0]))[:MOST_SLICES]
    values = table.column(metric)
    arms = example_means(table, values, 0), example_means(table, values, 1)
    golden = from_source(table, "golden") if "golden" in table.examples.sources else np.ones(len(table.examples), bool)
    found: list[Slice] = []
    for tag, members in largest:
        keep = np.zeros(len(table.examples), dtype=bool)
        keep[members] = True
        paired = pair(table, *arms, keep & golden)
        if len(paired.names) < FEWEST_IN_SLICE:
            continue
        found.append(
            Slice(
                tag=tag,
                metric=metric,
                champion=figure(mean_interval(paired.champion)),
                challenger=figure(mean_interval(paired.challenger)),
                difference=difference(paired_test(paired.champion, paired.challenger).difference),
            )
        )
    return tuple(found)


def flips(collector: FlipCollector) -> tuple[Flip, ...]:
    """The kept flips, worse ones first: they are what a reviewer must see."""
    return tuple(_flip(seen, "worse") for seen in collector.worse) + tuple(
        _flip(seen, "better") for seen in collector.better
    )


def _flip(seen: SeenFlip, direction: Literal["better", "worse"]) -> Flip:
    return Flip(
        example=seen.example.id,
        direction=direction,
        input=_text(
            next(iter(seen.example.input.values())) if len(seen.example.input) == 1 else dict(seen.example.input)
        ),
        expected=_text(seen.example.expected),
        champion=seen.champion,
        challenger=seen.challenger,
        champion_score=seen.champion_score,
        challenger_score=seen.challenger_score,
        tags=seen.example.tags,
    )


def histograms(table: ScoreTable, metric: str) -> tuple[Histogram, ...]:
    """How answer length, answer time, tokens and (where it is not just 0 and 1) the score are distributed in both
    variants."""
    arms = np.asarray(table.arm)
    ok = np.asarray(table.failed) == 0
    columns: list[tuple[str, str, NDArray[np.float64]]] = [
        (metric, "", table.column(metric)),
        ("answer length", "characters", np.asarray(table.characters, dtype=float)),
        ("output tokens", "tokens", table.column("output_tokens")),
        ("time to answer", "s", table.column("seconds")),
    ]
    found: list[Histogram] = []
    for name, unit, values in columns:
        usable = ok & np.isfinite(values)
        if _are_two_values(values[usable]):
            continue
        edges = _edges(values[usable])
        counts = [
            np.histogram(np.clip(values[usable & (arms == arm)], edges[0], edges[-1]), bins=edges)[0] for arm in (0, 1)
        ]
        found.append(
            Histogram(
                name=name,
                unit=unit,
                edges=tuple(float(edge) for edge in edges),
                champion=tuple(int(count) for count in counts[0]),
                challenger=tuple(int(count) for count in counts[1]),
            )
        )
    return tuple(found)


def _are_two_values(values: NDArray[np.float64]) -> bool:
    """Whether there are no more than two different values, so that a histogram would show nothing."""
    return not values.size or bool(np.all((values == values.min()) | (values == values.max())))


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Equal bins over the middle 99 %, so that one outlier does not flatten the picture; outliers count in the end
    bins."""
    ranks = np.array([0.005, 0.995]) * (len(values) - 1)
    low, high = np.interp(ranks, np.arange(len(values)), np.sort(values))  # np.quantile loads numpy.ma for nothing.
    if not high > low:
        low, high = float(values.min()), float(values.max())
    if values.size and np.all(values == np.round(values)) and high - low < BINS:
        return np.arange(math.floor(low), math.floor(high) + 2, dtype=float)
    return np.linspace(low, high, BINS + 1)


def _text(value: object) -> str:
    """An input or an expected answer as a person reads it: the only field's text, else JSON."""
    if isinstance(value, str):
        return value
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str).decode()
