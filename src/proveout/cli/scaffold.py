"""`proveout init`: the bundled example project, written out with generated data."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from proveout.cli.exits import BadInput, quietly_closed

GOLDEN_TICKETS = 540
SILVER_TICKETS = 180
PER_PHRASING = 3
SEED = 20

PROJECT_FILE = "proveout.yaml"


def init(directory: Path) -> None:
    """Write the example project and say what to do next."""
    if (directory / PROJECT_FILE).exists():
        raise BadInput(f"{directory / PROJECT_FILE} is there already; choose another folder: proveout init DIR")
    write_example(directory)
    place = "" if directory == Path(".") else f" -C {directory}"
    steps = (
        (f"proveout check{place}", "every file is valid"),
        (f"proveout run tuned{place}", "a fine-tune claims to be better: is it?"),
        (f"proveout run int2{place}", "2-bit weights claim to be no worse: are they?"),
        (f"proveout compare triage base int4{place}", "two variants, without a change file"),
    )
    said = f"Wrote an example project to {directory.resolve()}\n\nNext:\n{steps_in_columns(steps)}"
    quietly_closed(lambda: print(said))


def steps_in_columns(steps: tuple[tuple[str, str], ...]) -> str:
    """Commands to try, each with what it is good for."""
    width = max(len(command) for command, _ in steps)
    return "\n".join(f"  {command:<{width}}  {why}" for command, why in steps)


def write_example(directory: Path, seed: int = SEED) -> None:
    """Write the example's files and generate its data from `seed`. Nothing that is there already is changed, but for
    lines that are added to `.gitignore`; what an interrupted call left out is written.

    Raises:
        BadInput: a file of another content is in the way, or the folder can't be written.
    """
    files = example_files(seed)
    try:
        taken = [name for name, content in files.items() if _differs(directory / name, content)]
        if taken:
            raise BadInput(f"{directory / taken[0]} is there already; choose an empty folder: proveout init DIR")
        _ignore(directory)
        for name, content in files.items():
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    except OSError as error:
        raise BadInput(f"{directory} can't be written: {error.strerror}") from None


def example_files(seed: int = SEED) -> dict[str, bytes]:
    """What the example holds, by path. The project's own file comes last: where it stands, all others do."""
    source = resources.files("proveout.cli") / "example"
    with resources.as_file(source) as template:
        files = {
            path.relative_to(template).as_posix(): _filled(path.read_text("utf-8")).encode()
            for path in sorted(template.rglob("*"))
            if path.is_file()
        }
    project = files.pop(PROJECT_FILE)
    del files["gitignore"]
    return files | _data(seed) | {PROJECT_FILE: project}


def _filled(text: str) -> str:
    from proveout.models.tiny import tickets

    return text.replace("CHOICES", f"[{', '.join(tickets.INTENTS)}]")


def _data(seed: int) -> dict[str, bytes]:
    import orjson

    from proveout.models.tiny import tickets

    golden = tickets.golden(GOLDEN_TICKETS, seed, per_cluster=PER_PHRASING)
    silver = tickets.silver(SILVER_TICKETS, seed, beside=golden, per_cluster=PER_PHRASING)
    return {
        f"services/triage/datasets/{name}.jsonl": b"".join(orjson.dumps(row) + b"\n" for row in rows)
        for name, rows in (("golden", golden), ("silver", silver))
    }


def _differs(path: Path, content: bytes) -> bool:
    return path.exists() and not (path.is_file() and path.read_bytes() == content)


def _ignore(directory: Path) -> None:
    """Keep the store and the written scorecards out of git."""
    lines = (resources.files("proveout.cli") / "example" / "gitignore").read_text("utf-8").splitlines()
    target = directory / ".gitignore"
    there = target.read_text("utf-8") if target.exists() else ""
    missing = [line for line in lines if line not in there.splitlines()]
    if missing:
        directory.mkdir(parents=True, exist_ok=True)
        start = there if there.endswith("\n") or not there else there + "\n"
        target.write_text(start + "".join(f"{line}\n" for line in missing), encoding="utf-8")
