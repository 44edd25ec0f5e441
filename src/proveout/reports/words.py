"""What a scorecard says, in words that every report shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from proveout.reports.figures import gate_scale, known, p_is, p_value
from proveout.reports.text import counted, listed, one_line, phrase

if TYPE_CHECKING:
    from proveout.gates.scorecard import GateResult, LedgerLine, Notice, Scorecard, Slice, Verdict

SYMBOLS: dict[Verdict, str] = {"pass": "✓", "fail": "✗", "inconclusive": "?", "error": "!"}
VERDICT_WORDS: dict[Verdict, str] = {
    "pass": "pass",
    "fail": "fail",
    "inconclusive": "inconclusive",
    "error": "not measured",
}
DECISION_WORDS: dict[Verdict, str] = {
    "pass": "Pass",
    "fail": "Fail",
    "inconclusive": "Inconclusive",
    "error": "Could not measure",
}
REASON_LIMIT = 600
NAME_LIMIT = 60


def decision_sentence(scorecard: Scorecard) -> str:
    """What the decision means for this change, in one sentence."""
    challenger, champion = name(scorecard.challenger.variant), name(scorecard.champion.variant)
    if scorecard.decision == "pass":
        claims = _objectives(scorecard, "improves")
        holds = _objectives(scorecard, "holds")
        parts = [f"improves {listed(claims)}"] if claims else []
        parts += [f"holds {listed(holds)}"] if holds else []
        return f"{challenger} {' and '.join(parts)} against {champion}."
    if not scorecard.gates:
        return "There is no gate, so nothing was proved."
    deciding = [gate_name(gate) for gate in scorecard.gates if gate.verdict == scorecard.decision] or ["one gate"]
    shown = listed([*deciding[:3], f"{len(deciding) - 3} more"] if len(deciding) > 3 else deciding)
    if scorecard.decision == "fail":
        return f"{challenger} is not good enough to replace {champion}: shown on {shown}."
    if scorecard.decision == "inconclusive":
        return f"The evidence does not decide yet whether {challenger} may replace {champion}: {shown}."
    return f"No verdict on {challenger}: {shown} gave no usable evidence."


def _objectives(scorecard: Scorecard, claim: str) -> list[str]:
    return list(dict.fromkeys(gate.objective for gate in scorecard.gates if gate.claim == claim))


def name(text: str) -> str:
    """A declared name, safe to show."""
    return phrase(text, NAME_LIMIT)


def gate_name(gate: GateResult) -> str:
    """`accuracy (exact_match)`."""
    return f"{gate.objective} ({name(gate.metric)})"


def claim_in_words(gate: GateResult) -> str:
    """`improves`, or `holds within 2 points`."""
    if gate.claim == "improves":
        return "improves"
    return "holds, no margin" if gate.margin == 0 else f"holds within {gate_scale(gate).margin(gate.margin)}"


def reason(gate: GateResult) -> str:
    """Why the verdict is what it is, safe to look at and not endless."""
    return phrase(gate.reason, REASON_LIMIT)


def needs_in_words(gate: GateResult) -> str:
    """What would decide an inconclusive gate; empty where its reason says so already or nothing is known."""
    needed = f"{gate.needs.examples:,}"
    if gate.verdict != "inconclusive" or gate.needs.examples <= 0 or needed in gate.reason:
        return ""
    return f"About {counted(gate.needs.examples, 'example')} in all would decide, if the difference stays as it is."


def better_is(gate: GateResult) -> str:
    """Which way is good, for whoever doesn't know the metric."""
    return "higher is better" if gate.higher_is_better else "lower is better"


def level_in_words(gate: GateResult) -> str:
    """`p = 0.0003 at level 0.05`."""
    return f"{p_is(gate.p_value)} at level {p_value(gate.alpha)}" if known(gate.p_value) else "no test"


def worst_first(scorecard: Scorecard) -> tuple[Slice, ...]:
    """Slices by how much the challenger loses on them; those that could not be measured come last."""
    higher = {gate.metric: gate.higher_is_better for gate in scorecard.gates}

    def gain(part: Slice) -> tuple[bool, float, str]:
        value = part.difference.value
        measured = known(value)
        return not measured, (value if higher.get(part.metric, True) else -value) if known(value) else 0.0, part.tag

    return tuple(sorted(scorecard.slices, key=gain))


def flips_in_words(scorecard: Scorecard) -> str:
    """`12 worse and 31 better`, counted over the whole run, not only over the flips that were kept."""
    worse, better = flip_count(scorecard, "worse"), flip_count(scorecard, "better")
    return f"{worse:,} worse and {better:,} better"


def flip_count(scorecard: Scorecard, direction: str) -> int:
    """How many examples flipped `worse` or `better` in the whole run."""
    kept = sum(flip.direction == direction for flip in scorecard.flips)
    return max(kept, scorecard.flip_counts.get(direction, 0))


def notice_in_words(notice: Notice, limit: int = REASON_LIMIT) -> str:
    """The notice with the variant that it is about."""
    about = f"{name(notice.variant)}: " if notice.variant else ""
    return about + phrase(notice.message, limit)


def ledger_in_words(line: LedgerLine, scorecard: Scorecard) -> str:
    """The error budget of a claim in one sentence."""
    names = {arm.fingerprint: arm.variant for arm in (scorecard.champion, scorecard.challenger)}
    tried = [names.get(variant, variant) for variant in dict.fromkeys(line.variants) if variant]
    others = f" (tried so far: {listed([name(variant) for variant in tried[:8]])})" if tried else ""
    more = f" and {len(tried) - 8:,} more" if len(tried) > 8 else ""
    return (
        f"The claim on {line.objective} is try {line.attempt:,} on dataset version "
        f"{phrase(line.dataset_version, 12)}{others}{more}, "
        f"so it had to reach level {p_value(line.alpha)}; it reached {p_is(line.p_value)}."
    )


LEDGER_MEANING = (
    "All tries against one dataset version share a 5% chance of a false pass, "
    "so that trying until something wins does not work."
)


def settings_in_words(settings: dict[str, Any]) -> list[tuple[str, str]]:
    """How the run went about it, one line a setting; nested ones are joined by a dot."""
    return [(phrase(key, 60), phrase(value, 120)) for key, value in _flat(settings, "")][:60]


def _flat(value: Any, prefix: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif value is not None:
        yield prefix, f"{value:.6g}" if isinstance(value, float) else str(value)


def facts(scorecard: Scorecard) -> str:
    """`1,920 calls (12 cached, 3 failed)`."""
    calls = scorecard.calls
    asides = [
        f"{count:,} {what}" for count, what in ((calls.cached, "from the cache"), (calls.failed, "failed")) if count
    ]
    return counted(calls.made, "call") + (f" ({', '.join(asides)})" if asides else "")


def title(scorecard: Scorecard) -> str:
    """`triage / tuned, dev`."""
    return f"{name(scorecard.service)} / {name(scorecard.change)}, {name(scorecard.stage)}"


def hypothesis(scorecard: Scorecard) -> str:
    """What the change's author expects, in one line."""
    return one_line(phrase(scorecard.hypothesis, 400))


GLOSSARY: Sequence[tuple[str, str]] = (
    ("champion", "The variant that serves now."),
    ("challenger", "The variant that wants to serve instead."),
    ("variant", "A model with its parameters, prompt and processing. Its fingerprint is the hash of all of them."),
    ("gate", "The test of one objective. A change passes only if every one of its gates does."),
    ("improves", "The change claims to be better here, and must show it."),
    ("holds", "The change must be shown to be no worse here than by the margin."),
    (
        "difference",
        "Challenger minus champion, on the same examples. For latency and cost: the ratio of both, minus 1.",
    ),
    ("point", "A hundredth: from 34% to 36% is 2 points."),
    ("interval", "The range that covers the true value in 95 of 100 such measurements."),
    ("n", "How many independent units stand behind a figure. Similar examples and repeats count once, together."),
    ("p", "How often figures at least this good would come about if the claim were not true."),
    ("level", "The p that a gate must not exceed to pass."),
    ("pass", "Shown. Only this lets a change advance."),
    ("fail", "The opposite is shown."),
    ("inconclusive", "Neither is shown yet; more examples would decide."),
    ("not measured", "There was no usable evidence. That is no verdict on the challenger."),
    ("flip", "An example whose score differs between the variants."),
    ("slice", "The examples of one tag. Slices are for looking; none of them decides."),
    ("ledger", LEDGER_MEANING),
)
