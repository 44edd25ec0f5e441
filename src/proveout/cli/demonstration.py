"""`proveout demo`: the example project's changes, proved one after the other on the built-in model; then one of them
delivered, and taken back when it degrades.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from proveout.cli.exits import BadInput, quietly_closed
from proveout.cli.scaffold import PROJECT_FILE, steps_in_columns, write_example

if TYPE_CHECKING:
    from proveout.gates import Comparison, GateResult, Scorecard

CHANGES = ("int8", "int2", "hot", "tuned", "twin")
DELIVERED = "tuned"
FOLDER = Path("proveout-demo")


def demo(directory: Path | None) -> None:
    """Run every change of the example, deliver one, and say where to look. Done again in the same folder, it goes on
    where it stopped.

    Raises:
        BadInput: the folder holds something else, or can't be written.
    """
    folder = directory or FOLDER
    if not (folder / PROJECT_FILE).exists():
        write_example(folder)
    comparisons = _comparisons(folder)
    again = "proveout demo" if directory is None else f"proveout demo -C {directory}"
    _say(
        "A toy language model of 0.6 million parameters sorts support tickets: for real, on this machine, offline.\n"
        "Five changes want to take its place. Each is proved out on the same data.\n"
        f"The project is in {folder}. Ctrl-C stops; `{again}` goes on from there.\n"
    )
    scorecards: list[Scorecard] = []
    for number, comparison in enumerate(comparisons, start=1):
        _say(f"\n{number} of {len(comparisons)}  {comparison.change}: {comparison.hypothesis}")
        scorecards.append(_prove(comparison, folder, show_plan=number == 1))
        _say(_in_brief(scorecards[-1]))
    _say(_verdicts(scorecards, folder))
    if next(one for one in scorecards if one.change == DELIVERED).decision == "pass":
        from proveout.cli.delivery_demo import deliver

        deliver(folder)
    _say(_closing(folder))


def _comparisons(folder: Path) -> list[Comparison]:
    from proveout.cli import running

    try:
        return [running.declared(folder, change, "dev") for change in CHANGES]
    except BadInput as error:
        raise BadInput(
            f"{folder} holds a project of its own ({error}); choose a new folder: proveout demo -C DIR"
        ) from None


def _prove(comparison: Comparison, folder: Path, *, show_plan: bool) -> Scorecard:
    """Run one change and write its scorecard, to read and as JSON."""
    from proveout.cli import running
    from proveout.reports import write_report

    scorecard = running.proved(comparison, running.Flags(yes=True), show_plan=show_plan)
    page = _page(folder, scorecard.change)
    try:
        page.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise BadInput(f"{page.parent} can't be written: {error.strerror}") from None
    write_report(scorecard, "html", page)
    write_report(scorecard, "json", page.with_suffix(".json"))
    return scorecard


def _page(folder: Path, change: str) -> Path:
    return folder / "scorecards" / f"{change}.html"


def _in_brief(scorecard: Scorecard) -> str:
    """The decision and a line for each gate."""
    from proveout.reports.words import DECISION_WORDS, SYMBOLS, decision_sentence

    lines = [f"   {DECISION_WORDS[scorecard.decision].upper()}  {decision_sentence(scorecard)}"]
    lines += [f"     {SYMBOLS[gate.verdict]} {_gate_in_brief(gate)}" for gate in scorecard.gates]
    return "\n".join(lines)


def _gate_in_brief(gate: GateResult) -> str:
    """`accuracy (exact_match)  88.3% → 68.9%  −24.1 to −12.6 points (n = 180); must hold within 3 points`."""
    from proveout.reports.figures import gate_scale
    from proveout.reports.words import claim_in_words, gate_name

    scale = gate_scale(gate)
    values = f"{scale.value(gate.champion.value)} → {scale.value(gate.challenger.value)}"
    interval = scale.difference_interval(gate.difference.low, gate.difference.high)
    claim = "claims to improve" if gate.claim == "improves" else f"must {claim_in_words(gate).replace('holds', 'hold')}"
    return f"{gate_name(gate):<30} {values:<15} {interval} (n = {gate.champion.n}); {claim}"


def _verdicts(scorecards: list[Scorecard], folder: Path) -> str:
    seconds = sum(scorecard.seconds for scorecard in scorecards)
    verdicts = [
        f"  {scorecard.decision:<12}  {scorecard.change:<5}  {scorecard.hypothesis}\n"
        f"  {'':<12}  {'':<5}  {_page(folder, scorecard.change)}"
        for scorecard in scorecards
    ]
    return "\n".join(["", f"Five changes, five verdicts, in {seconds:.0f} s:", "", *verdicts])


def _closing(folder: Path) -> str:
    from proveout.cli.delivery_demo import where_to_look

    steps = (
        (f"open {_page(folder, DELIVERED)}", "the evidence, with plots"),
        *where_to_look(folder),
        (f"proveout run {DELIVERED} -C {folder}", "the same on the terminal; finished calls are not made again"),
        (f"proveout compare triage base int4 -C {folder}", "a comparison of your own"),
        ("proveout tiny serve", "the same model, for any OpenAI client"),
        ("proveout init", "a project to change as you like"),
    )
    return "\n".join(["", "Where to look, and what to try next:", steps_in_columns(steps)])


def _say(text: str) -> None:
    quietly_closed(lambda: print(text))
