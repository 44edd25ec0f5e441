"""Any scorecard that the schema allows, and some that it should not."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st
from reports_money import money

from proveout.gates.scorecard import (
    Arm,
    Calls,
    DatasetUse,
    Difference,
    Figure,
    Flip,
    GateResult,
    Histogram,
    LedgerLine,
    Measure,
    Needs,
    Notice,
    Scorecard,
    Slice,
)

VERDICTS = st.sampled_from(["pass", "fail", "inconclusive", "error"])
OBJECTIVES = st.sampled_from(["cost", "latency", "accuracy", "security", "stability"])


def scorecards(*, broken: bool = True) -> st.SearchStrategy[Scorecard]:
    """Scorecards of every shape; `broken` ones also hold NaN, infinity and lone surrogates."""
    text = st.text(st.characters(exclude_categories=() if broken else ("Cs",)), max_size=30)
    number = st.floats(allow_nan=broken, allow_infinity=broken)
    maybe = st.none() | number | st.floats(0, 1)
    count = st.integers(0, 10**12)
    figure = st.builds(Figure, value=maybe, low=maybe, high=maybe, n=count)
    difference = st.builds(Difference, value=maybe, low=maybe, high=maybe)
    metric = text | st.sampled_from(["exact_match", "ttft_p95", "usd_per_request", "cluster_alpha", "goodput"])
    gates = st.builds(
        GateResult,
        objective=OBJECTIVES,
        metric=metric,
        claim=st.sampled_from(["improves", "holds"]),
        margin=number,
        higher_is_better=st.booleans(),
        champion=figure,
        challenger=figure,
        difference=difference,
        p_value=maybe,
        alpha=number,
        method=text,
        verdict=VERDICTS,
        reason=text,
        needs=st.builds(Needs, examples=count),
        unit=st.sampled_from(["", "s", "usd"]) | text,
    )
    histograms = st.integers(0, 4).flatmap(
        lambda bins: st.builds(
            Histogram,
            name=text,
            unit=text,
            edges=st.lists(number, min_size=bins + 1, max_size=bins + 1).map(tuple),
            champion=st.lists(count, min_size=bins, max_size=bins).map(tuple),
            challenger=st.lists(count, min_size=bins, max_size=bins).map(tuple),
        )
    )
    arm = st.builds(Arm, variant=text, fingerprint=text)
    direction = st.sampled_from(["better", "worse"])
    flips = st.builds(
        Flip,
        example=text,
        direction=direction,
        input=text,
        expected=text,
        champion=text,
        challenger=text,
        champion_score=number,
        challenger_score=number,
        tags=_several(text),
    )
    cards = st.builds(
        Scorecard,
        change=text,
        service=text,
        stage=text,
        decision=VERDICTS,
        champion=arm,
        challenger=arm,
        gates=_several(gates),
        measures=_several(st.builds(Measure, objective=OBJECTIVES, metric=metric, champion=figure, challenger=figure)),
        slices=_several(
            st.builds(Slice, tag=text, metric=metric, champion=figure, challenger=figure, difference=difference)
        ),
        flips=_several(flips),
        flip_counts=st.dictionaries(direction, count),
        histograms=_several(histograms),
        notices=_several(st.builds(Notice, kind=text, message=text, variant=st.none() | text, count=count)),
        datasets=_several(st.builds(DatasetUse, kind=text, version=text, examples=count, clusters=count)),
        ledger=_several(
            st.builds(
                LedgerLine,
                objective=OBJECTIVES,
                dataset_version=text,
                attempt=count,
                alpha=number,
                p_value=maybe,
                variants=_several(text),
            )
        ),
        improves=_several(OBJECTIVES),
        hypothesis=text,
        calls=st.builds(Calls, made=count, cached=count, failed=count),
        cost_usd=maybe,
        seconds=number,
        run=text,
        started=text,
        version=text,
        settings=st.dictionaries(text, st.none() | number | text | st.dictionaries(text, text, max_size=2), max_size=3),
    )
    told = st.just({}) | money(text, number)
    return st.builds(lambda card, keys: msgspec.structs.replace(card, **keys), cards, told)


def _several(one: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(one, max_size=2).map(tuple)
