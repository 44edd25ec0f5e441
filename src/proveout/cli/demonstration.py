"""`proveout demo`: the example project's changes, proved one after the other on the built-in model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from proveout.cli.exits import BadInput
from proveout.cli.scaffold import PROJECT_FILE, steps_in_columns, write_example

if TYPE_CHECKING:
    from proveout.gates import GateResult, Scorecard

CHANGES = ("int8", "int2", "hot", "tuned", "twin")
FOLDER = Path("proveout-demo")


def demo(directory: Path | None) -> None:
    """Run every change of the example, and say where to look. Done again in the same folder, it goes on where it
    stopped.
    """
    folder = directory or FOLDER
    again = "proveout demo" if directory is None else f"proveout demo -C {directory}"
    if not (folder / PROJECT_FILE).exists():
        write_example(folder)
    comparisons = _comparisons(folder)
    print(
        "A toy language model of 0.6 million parameters sorts support tickets, for real, on this machine.\n"
        "Five changes want to replace it. Each is proved out on the same tickets.\n"
        f"(Ctrl-C stops; `{again}` goes on from there.)"
    )
    scorecards = [_prove(comparison, folder) for comparison in comparisons]
    print(f"\n\nFive changes, five verdicts ({sum(scorecard.seconds for scorecard in scorecards):.0f} s):\n")
    for scorecard in scorecards:
        print(f"  {scorecard.decision:<12}  {scorecard.change:<5}  {scorecard.hypothesis}")
        print(f"  {'':<12}  {'':<5}  {_why(scorecard)}")
    steps = (
        (f"open {folder / 'scorecards' / 'tuned.html'}", "the evidence, with plots"),
        (f"proveout run tuned -C {folder}", "again: finished calls cost nothing"),
        (f"proveout compare triage base int4 -C {folder}", "a comparison of your own"),
        ("proveout tiny serve", "the same model, for any OpenAI client"),
    )
    print(f"\nThe project is in {folder.resolve()}. Next:\n")
    print(steps_in_columns(steps))


def _comparisons(folder: Path) -> list:
    from proveout.cli import running

    try:
        return [running.declared(folder, change, "dev") for change in CHANGES]
    except BadInput as error:
        raise BadInput(
            f"{folder} is not the example project as it was written ({error}); choose a new folder"
        ) from None


def _prove(comparison, folder: Path) -> Scorecard:
    from proveout.cli import running
    from proveout.reports import write_report

    print(f"\n\n── {comparison.change}: {comparison.hypothesis}\n")
    sys.stdout.flush()
    scorecard = running.proved(comparison, running.Flags(yes=True))
    running.show(scorecard, running.Outputs())
    target = folder / "scorecards" / f"{comparison.change}.html"
    target.parent.mkdir(exist_ok=True)
    write_report(scorecard, "html", target)
    return scorecard


def _why(scorecard: Scorecard) -> str:
    """The figures of the gate that decided."""
    return "; ".join(_figures(gate) for gate in scorecard.gates if gate.verdict == scorecard.decision)


def _figures(gate: GateResult) -> str:
    return f"{gate.objective} ({gate.metric}) {gate.champion.value:.3f} → {gate.challenger.value:.3f}"
