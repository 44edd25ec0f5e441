"""Reading a prompt's Markdown file: front matter, roles, includes; and checking it against the service's input
fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import msgspec

from proveout.project.documents import Document, parse_document
from proveout.project.problems import Problem, one_of, suggestion
from proveout.project.prompts import Contents, Fault, Section, contents
from proveout.project.reading import Reader
from proveout.project.records import Role
from proveout.project.shapes import PromptFrontMatter
from proveout.project.validation import validated

_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_ROLE_LINE = re.compile(r"^# (system|user|assistant)[ \t]*$", re.MULTILINE)


class PromptFile(msgspec.Struct, frozen=True):
    """A prompt's file, read and parsed; `variables` are those that it and its includes use, with file and line of
    each.
    """

    source: str
    sections: tuple[Section, ...]
    includes: Mapping[str, str]
    variables: Mapping[str, tuple[str, int]]
    shown: str

    @property
    def asks(self) -> bool:
        """Whether the prompt holds the user's message itself."""
        return any(role == "user" for role, _ in self.sections)


class _Found(msgspec.Struct):
    """What a prompt's templates refer to, gathered over its sections and includes."""

    variables: dict[str, tuple[str, int]] = {}
    names: set[str] = set()
    includes: dict[str, str] = {}


def read_prompt(reader: Reader, path: Path, base: Path) -> PromptFile | None:
    """A prompt's file, or None and its problems. Includes are found relative to `base`, the service's folder."""
    before = len(reader.problems)
    text = reader.text(path)
    if text is None:
        return None
    shown = reader.shown(path)
    sections = _sections(reader, path, text)
    found = _Found()
    for _, source, line in sections:
        _look(reader, found, source, path, line, base)
    if not sections and len(reader.problems) == before:
        reader.problems.append(
            Problem(shown, 1, 1, "", "the prompt is empty", "Write the text that the model should get.")
        )
    if len(reader.problems) > before:
        return None
    variables = {name: place for name, place in found.variables.items() if name not in found.names}
    return PromptFile(text, tuple((role, source) for role, source, _ in sections), found.includes, variables, shown)


def check_variables(prompt: PromptFile, inputs: tuple[str, ...]) -> Iterator[Problem]:
    """What doesn't fit between a prompt's variables and a service's input fields."""
    for name, (shown, line) in sorted(prompt.variables.items()):
        if name not in inputs:
            what = f"`{name}` is not among the service's input fields"
            yield Problem(shown, line, None, "", what, suggestion(name, inputs))
    if (
        prompt.asks
        and not any(name in inputs for name in prompt.variables)
        and not prompt.variables.keys() - set(inputs)
    ):
        instead = f"Write {one_of([f'{{{{ {name} }}}}' for name in inputs])} where it belongs."
        yield Problem(
            prompt.shown,
            None,
            None,
            "",
            "the prompt uses no input field, so that every example gives the same text",
            instead,
        )


def _sections(reader: Reader, path: Path, text: str) -> list[tuple[Role, str, int]]:
    """Role, template and first line of every message."""
    front, system_line, first_line = PromptFrontMatter(), 1, 1
    match = _FRONT_MATTER.match(text)
    if match:
        first_line += match[0].count("\n")
        text = text[match.end() :]
    if match and match[1].strip():
        document = parse_document(match[1], path, reader.shown(path), reader.problems, first_line=2)
        if document is not None:
            front = validated(PromptFrontMatter, document, reader.problems)
            system_line, _ = document.position(("system",))
    whole: list[tuple[Role, str, int]] = [(front.role, *_stripped(text, first_line))]
    sections = _by_role(reader, path, text, first_line) if front.roles else whole
    if front.system:
        sections.insert(0, ("system", front.system.strip(), system_line))
    return [section for section in sections if section[1]]


def _by_role(reader: Reader, path: Path, text: str, first_line: int) -> list[tuple[Role, str, int]]:
    headings = list(_ROLE_LINE.finditer(text))
    before = text[: headings[0].start()] if headings else text
    if before.strip():
        what = "with `roles: true`, all text stands under a line `# system`, `# user` or `# assistant`"
        line = _stripped(before, first_line)[1]
        reader.problems.append(Problem(reader.shown(path), line, None, "", what, "Start with such a line."))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    return [
        (cast(Role, heading[1]), *_stripped(text[heading.end() : end], first_line + text[: heading.end()].count("\n")))
        for heading, end in zip(headings, ends, strict=True)
    ]


def _stripped(text: str, first_line: int) -> tuple[str, int]:
    """Text without the white space around it, and the line on which it then starts."""
    leading = text[: len(text) - len(text.lstrip())]
    return text.strip(), first_line + leading.count("\n")


def _look(reader: Reader, found: _Found, source: str, path: Path, first_line: int, base: Path) -> None:
    looked = contents(source)
    shown = reader.shown(path)
    if isinstance(looked, Fault):
        reader.problems.append(Problem(shown, first_line + looked.line - 1, None, "", looked.what, looked.instead))
        return
    found.names |= looked.names
    for name, line in looked.variables.items():
        found.variables.setdefault(name, (shown, first_line + line - 1))
    _look_into_includes(reader, found, looked, path, first_line, base)


def _look_into_includes(
    reader: Reader, found: _Found, looked: Contents, path: Path, first_line: int, base: Path
) -> None:
    for name, line in looked.templates.items():
        if name in found.includes:
            continue
        place = Document(path, reader.shown(path), None, values={(): (first_line + line - 1, 1)})
        included = reader.file(place, (), base, name)
        text = None if included is None else reader.text(included)
        if included is None or text is None:
            continue
        found.includes[name] = text
        _look(reader, found, text, included, 1, base)
