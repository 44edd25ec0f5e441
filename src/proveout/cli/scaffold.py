"""`proveout init` and `proveout demo`: a working example project, and the whole main job run on it."""

from __future__ import annotations

import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from proveout.cli.exits import BadInput

if TYPE_CHECKING:
    from proveout.gates import Scorecard

GOLDEN_EXAMPLES = 480
SEED = 20
CHANGES = ("int8", "int2", "hot", "tuned", "twin")


def init(directory: Path) -> None:
    """Write the example project and say what to do next."""
    write_example(directory)
    place = "" if directory == Path(".") else f" -C {directory}"
    print(f"Wrote an example project to {directory.resolve()}\n")
    print("Next:")
    print(f"  proveout check{place}            every file is valid")
    print(f"  proveout run tuned{place}        a fine-tune that claims to be better: is it?")
    print(f"  proveout run int2{place}         2-bit weights that claim to be no worse: are they?")


def write_example(directory: Path) -> None:
    """Write the example's files and generate its data.

    Raises:
        BadInput: there is a project already, or the folder can't be written.
    """
    if (directory / "proveout.yaml").exists():
        raise BadInput(f"{directory / 'proveout.yaml'} is there already; choose another folder: proveout init DIR")
    source = resources.files("proveout.cli") / "example"
    try:
        with resources.as_file(source) as template:
            for file in sorted(path for path in template.rglob("*") if path.is_file()):
                relative = file.relative_to(template)
                target = directory / (relative if relative.name != "gitignore" else relative.with_name(".gitignore"))
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(_filled(file.read_text()))
        _write_data(directory / "services" / "triage" / "datasets")
    except OSError as error:
        raise BadInput(f"{directory} can't be written: {error.strerror}") from None


def _filled(text: str) -> str:
    from proveout.models.tiny import tickets

    return text.replace("CHOICES", f"[{', '.join(tickets.INTENTS)}]")


def _write_data(folder: Path) -> None:
    import orjson

    from proveout.models.tiny import tickets

    folder.mkdir(parents=True, exist_ok=True)
    rows = tickets.golden(GOLDEN_EXAMPLES, SEED)
    (folder / "golden.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))


def demo(directory: Path | None) -> None:
    """Run every change of the example on the built-in model, and say where to look."""
    folder = directory or Path(tempfile.mkdtemp(prefix="proveout-demo-"))
    if not (folder / "proveout.yaml").exists():
        write_example(folder)
    print("Proveout demo: a 0.6-million-parameter toy model sorts support tickets, for real, on this machine.\n")
    scorecards = [_run(folder, change) for change in CHANGES]
    print("\nFive changes, five verdicts:\n")
    for scorecard in scorecards:
        print(f"  {scorecard.decision:<13} {scorecard.change:<7} {scorecard.hypothesis}")
    print(f"\nThe project is in {folder}. Look at a scorecard, or run one again (finished calls cost nothing):\n")
    print(f"  open {folder / 'tuned.html'}")
    print(f"  proveout run tuned -C {folder}")


def _run(folder: Path, change: str) -> Scorecard:
    from proveout.cli import running
    from proveout.reports import write_report

    comparison = running.declared(folder, change, "dev")
    scorecard = running.proved(comparison, running.Flags(yes=True))
    running.show(scorecard, running.Outputs())
    write_report(scorecard, "html", folder / f"{change}.html")
    sys.stdout.flush()
    return scorecard
