"""The documentation says what is so: links lead somewhere, commands and flags exist, files are valid, Python runs."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import typer.main
from ruamel.yaml import YAML

from proveout.cli.app import app
from proveout.project import export_schemas

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("README.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]*)(#[^)\s]*)?\)|<img[^>]* src=\"([^\"]+)\"")


def blocks(language: str) -> Iterator[object]:
    for page in PAGES:
        for found in BLOCK.finditer(page.read_text()):
            if found[1] == language:
                line = page.read_text()[: found.start()].count("\n") + 1
                yield pytest.param(found[2], id=f"{page.relative_to(ROOT)}:{line}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    text = BLOCK.sub("", page.read_text())
    targets = [found[1] or found[3] for found in LINK.finditer(text) if found[1] or found[3]]
    gone = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not gone


def commands(text: str) -> Iterator[list[str]]:
    """The `proveout` commands of a shell block; a `$ ` before them, comments, pipes and redirections are left out."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        while words and "=" in words[0]:
            words = words[1:]
        if words and words[0].rpartition("/")[2] == "proveout":
            end = next((index for index, word in enumerate(words) if word in ("|", ">", "&&", ";", "||")), len(words))
            yield words[1:end]


@pytest.mark.parametrize("text", [*blocks("sh"), *blocks("console"), *blocks("bash")])
def test_commands_and_flags_exist(text: str):
    for words in commands(text):
        command = typer.main.get_command(app)
        rest = list(words)
        while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
            assert rest[0] in command.commands, f"there is no command `proveout {' '.join(words)}`"
            command = command.commands[rest.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h", "--version"}
        flags = [word.partition("=")[0] for word in rest if word.startswith("-") and word != "-"]
        assert set(flags) <= known, f"`proveout {' '.join(words)}`"


RUN = re.compile(r"<!-- run(?:: (\d))? -->\n```sh\n(.*?)^```(?:\n\n```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)


def test_the_tutorial_runs_as_written(tmp_path: Path):
    """The marked blocks, one after the other in one folder; the last command of each ends with the told code, and says
    what the text below it shows."""
    folder = tmp_path
    for code, text, shown in RUN.findall((ROOT / "docs" / "tutorial.md").read_text()):
        for line in text.splitlines():
            if line.startswith("cd "):
                folder /= line.removeprefix("cd ")
                continue
            words = shlex.split(line, comments=True)
            assert words[0] == "proveout"
            command = [sys.executable, "-m", "proveout", *words[1:]]
            ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert ended.returncode in ((0, 3) if not code else (int(code),)), f"{line}\n{ended.stderr}"
        assert " ".join(shown.split()) in " ".join(f"{ended.stdout} {ended.stderr}".split()), ended.stdout
    assert (folder / "tuned.html").exists()


@pytest.mark.parametrize("text", list(blocks("yaml")))
def test_files_are_valid(text: str):
    """A block that begins with a file's own key is a whole file; others are parts of one and must at least be YAML."""
    for document in re.split(r"^# \S+\.yaml\b.*\n", text, flags=re.MULTILINE):
        content = YAML(typ="safe").load(document)
        kind = next(iter(content), None) if isinstance(content, dict) else None
        schema = export_schemas().get("prices" if kind == "prices" else str(kind))
        if schema is not None:
            jsonschema.validate(json.loads(json.dumps(content, default=str)), schema)


@pytest.mark.parametrize("text", list(blocks("python")))
def test_python_runs(text: str, tmp_path: Path):
    """In a process of its own: what a block registers stays out of other tests."""
    ended = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
