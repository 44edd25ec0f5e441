"""Draws the README's picture, docs/images/scorecard.png: runs the built-in fine-tune and takes its page in a browser.

`python -m tools.render_picture`, where chromium or google-chrome is installed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "scorecard.png"
SIZE = "1000,1180"
"""Width and height in pixels: the decision and the first two gates."""


def main() -> None:
    """Run, render, photograph.

    Raises:
        SystemExit: there is no browser, or a step failed.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("install chromium or google-chrome first; `make system` does")
    with TemporaryDirectory() as folder:
        _run(folder, sys.executable, "-m", "proveout", "init", "project")
        _run(f"{folder}/project", sys.executable, "-m", "proveout", "run", "tuned", "--html", "../card.html", "--yes")
        headless = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={SIZE}")
        _run(folder, browser, *headless, f"--screenshot={PICTURE}", f"file://{folder}/card.html")
    print(f"Wrote {PICTURE}")


def _run(folder: str, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True)  # noqa: S603


if __name__ == "__main__":
    main()
