"""Writes docs/reference from the shapes of the declared files: `make docs`."""

from __future__ import annotations

from pathlib import Path

from proveout.project.schemas import write_reference

REFERENCE = Path(__file__).parents[1] / "docs/reference"


def main() -> None:
    write_reference(REFERENCE)
    print(f"Wrote {len(list(REFERENCE.iterdir()))} pages to {REFERENCE}")


if __name__ == "__main__":
    main()
