"""What a run is about to do, in words, before it spends anything."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from proveout.reports.figures import duration, plan_scale, usd
from proveout.reports.text import counted, one_line, phrase

if TYPE_CHECKING:
    from proveout.gates.plan import Detectable, RunPlan


def plan_in_words(plan: RunPlan) -> str:
    """Calls, estimated cost and time, and for each gate the smallest difference that its data can show."""
    lines = [
        f"Plan   {_calls(plan)}",
        f"data   {counted(plan.examples, 'example')} in {counted(plan.clusters, 'cluster')}; {one_line(plan.repeats)}",
        f"cost   {_cost(plan)}",
        f"time   {_time(plan)}",
    ]
    width = max((len(_label(line)) for line in plan.detectable), default=0)
    for index, line in enumerate(plan.detectable):
        lines.append(f"{'shows' if index == 0 else '':<7}{_label(line):<{width}}  {_shows(line)}")
    lines += [f"note   {one_line(note)}" for note in plan.notes]
    return "\n".join(lines)


def _calls(plan: RunPlan) -> str:
    cached = f", {plan.cached:,} of them from the cache" if plan.cached else ""
    return counted(plan.calls, "call") + cached


def _cost(plan: RunPlan) -> str:
    if plan.cost_usd is None:
        return "unknown: no price, or no earlier run to estimate from (--max-cost sets a limit)"
    return "nothing" if plan.cost_usd == 0 else f"about {usd(plan.cost_usd)}"


def _time(plan: RunPlan) -> str:
    if plan.seconds is None:
        return "unknown before the first run"
    return f"about {duration(round(plan.seconds) if plan.seconds > 10 else plan.seconds)}"


def _label(line: Detectable) -> str:
    return f"{line.objective} ({phrase(line.metric, 30)})"


def _shows(line: Detectable) -> str:
    """What the data can show of one gate with 80 % probability."""
    if not math.isfinite(line.smallest):
        return (
            f"nothing: {counted(line.clusters, 'cluster')} is too few to test"
            if line.clusters == 1
            else "nothing: no clusters to test"
        )
    scale = plan_scale(line)
    smallest = scale.margin(line.smallest)
    on = f"on {counted(line.clusters, 'cluster')}{'' if line.known else ', spread assumed'}"
    if line.claim == "improves":
        return f"improvements of {smallest} or more ({on})"
    if line.objective == "cost" and line.margin == 0:
        return f"that no request costs more, or that they are cheaper by {smallest} or more ({on})"
    margin = scale.margin(line.margin)
    if line.smallest <= line.margin:
        return f"that an equal challenger holds within {margin}; {smallest} would do ({on})"
    return f"too little for the margin of {margin}: an equal challenger would need one of {smallest} ({on})"
