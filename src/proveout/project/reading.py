"""Reading a project's files with the problems of all of them in one place, and never leaving the project's folder."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path
from typing import Any

from proveout.project.documents import Document, read_document, read_text
from proveout.project.problems import FieldPath, Problem, dotted, suggestion
from proveout.project.records import ModelSpec, Secret
from proveout.project.secrets import secrets_in
from proveout.project.validation import ShapeType, validated

_DRIVE = re.compile(r"[A-Za-z]:")
_CHUNK = 1 << 16


class Reader:
    """Reads one project. `problems` grows; nothing is raised. `hosts` are the price book's machines, None where they
    are not known."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[Problem] = []
        self.hosts: tuple[str, ...] | None = None
        self._resolved_root = root.resolve()

    def shown(self, path: Path) -> str:
        """A path as problems name it: relative to the project."""
        return Path(os.path.relpath(path, self.root)).as_posix()

    def stays_inside(self, path: Path) -> bool:
        """Whether a path leads to something in the project, links followed."""
        return path.resolve().is_relative_to(self._resolved_root)

    def document(self, path: Path, shape: type[ShapeType]) -> tuple[Document, ShapeType] | None:
        """A YAML file and its checked (or partly sound) value; None where it can't be read at all."""
        if not self.stays_inside(path):
            self.problems.append(
                Problem(self.shown(path), None, None, "", "this link leads out of the project", "Keep the file inside.")
            )
            return None
        document = read_document(path, self.shown(path), self.problems)
        if document is None:
            return None
        before = len(self.problems)
        value = validated(shape, document, self.problems)
        named = {problem.field for problem in self.problems[before:]}
        for at in secrets_in(document.data):
            if not any(dotted(at[:length]) in named for length in range(1, len(at) + 1)):
                self.problems.append(
                    document.problem(at, "this looks like a secret, which must not stand in a file", "Write env:NAME.")
                )
        return document, value

    def text(self, path: Path) -> str | None:
        """A text file of the project."""
        return read_text(path, self.shown(path), self.problems)

    def yaml_files(self, folder: Path) -> list[Path]:
        """The YAML files of a folder, by name."""
        if not folder.is_dir():
            return []
        for path in sorted(folder.glob("*.yml")):
            self.problems.append(
                Problem(
                    self.shown(path),
                    None,
                    None,
                    "",
                    "files that end in .yml are not read",
                    f"Rename it to {path.stem}.yaml.",
                )
            )
        return sorted(path for path in folder.glob("*.yaml") if not path.name.startswith("."))

    def name_matches(self, document: Document, key: str, name: str | None, expected: str, of: str) -> None:
        """A name in a file must be that of its file or folder, so that either can be found from the other."""
        if name is not None and name != expected:
            what = f"`{name}` is not the name of its {of}, `{expected}`"
            self.problems.append(document.problem((key,), what, f"Write `{key}: {expected}`, or rename the {of}."))

    def file(self, document: Document, at: FieldPath, base: Path, text: str) -> Path | None:
        """An existing file that a field names, relative to `base`; None and a problem where it is not there or not
        inside.
        """
        path = self.path(document, at, base, text)
        if path is None or path.is_file():
            return path
        if path.exists():
            self._refuse(document, at, f"`{text}` is not a file", "Name a file.")
            return None
        siblings = [entry.name for entry in path.parent.iterdir() if entry.is_file()] if path.parent.is_dir() else []
        near = suggestion(path.name, siblings) if siblings else ""
        instead = near if near.startswith("Did") else "Create it, or mend the path."
        self._refuse(document, at, f"there is no file `{self.shown(path)}`", instead)
        return None

    def path(self, document: Document, at: FieldPath, base: Path, text: str) -> Path | None:
        """A path inside the project, whether or not something is there."""
        where = self.shown(base)
        instead = f"Write a path relative to {'the project' if where == '.' else where}."
        if "\0" in text or "\n" in text:
            self._refuse(document, at, "this is no path", instead)
            return None
        if text.startswith(("/", "\\", "~")) or _DRIVE.match(text):
            self._refuse(document, at, "absolute paths are refused, since they hold on one machine only", instead)
            return None
        path = Path(os.path.normpath(base / text))
        if not path.is_relative_to(self.root) or not self.stays_inside(path):
            self._refuse(document, at, "this path leads out of the project", instead)
            return None
        return path

    def data_file(self, document: Document, at: FieldPath, base: Path, text: str) -> Path | None:
        """A file of rows that holds at least one."""
        path = self.file(document, at, base, text)
        if path is None:
            return None
        if path.suffix not in (".jsonl", ".csv"):
            self._refuse(document, at, f"`{text}` is neither .jsonl nor .csv", "Convert it, one example a line.")
            return None
        if not _has_rows(path, 2 if path.suffix == ".csv" else 1):
            self._refuse(document, at, f"`{self.shown(path)}` holds no rows", "Add rows to it.")
            return None
        return path

    def function(self, document: Document, at: FieldPath, base: Path, reference: str) -> str | None:
        """A Python function of the team's as an absolute `path:function`. The file is parsed, not run."""
        file_name, _, name = reference.rpartition(":")
        path = self.file(document, at, base, file_name)
        source = None if path is None else self.text(path)
        if path is None or source is None:
            return None
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError) as error:
            line = getattr(error, "lineno", None)
            self.problems.append(Problem(self.shown(path), line, None, "", "not valid Python", "Mend the file."))
            return None
        defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        defined += [
            alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
        ]
        defined += [
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        ]
        if name not in defined:
            self._refuse(document, at, f"`{file_name}` defines no function `{name}`", suggestion(name, defined))
            return None
        return f"{path}:{name}"

    def model(self, document: Document, at: FieldPath, base: Path, shape: Any) -> ModelSpec | None:
        """A checked `model:` block as a record, with paths absolute."""
        from proveout.project.records import Limits

        fields = {name: value for name, value in shape.model_dump(exclude={"limits"}).items() if value is not None}
        options = {name: value for name, value in fields.items() if name not in ("provider", "name", "url", "key")}
        options["headers"] = {name: self._secret(value) for name, value in options.pop("headers", {}).items()}
        if not options["headers"]:
            del options["headers"]
        if "path" in options:
            path = self.data_file(document, (*at, "path"), base, options["path"])
            if path is None:
                return None
            options["path"] = str(path)
        limits = shape.limits
        return ModelSpec(
            provider=shape.provider,
            name=fields.get("name", ""),
            url=fields.get("url"),
            key=Secret(self._reference(fields["key"])) if "key" in fields else None,
            options=options,
            limits=Limits(
                concurrency=limits.concurrency,
                requests_per_minute=limits.requests_per_minute,
                tokens_per_minute=limits.tokens_per_minute,
                timeout_s=limits.timeout,
                retries=limits.retries,
            ),
        )

    def _secret(self, value: str) -> str | Secret:
        return Secret(self._reference(value)) if value.startswith(("env:", "file:")) else value

    def _reference(self, reference: str) -> str:
        """A secret's file is meant relative to the project; unlike other paths, it may lie outside."""
        kind, _, name = reference.partition(":")
        return f"file:{self.root / Path(name).expanduser()}" if kind == "file" else reference

    def _refuse(self, document: Document, at: FieldPath, what: str, instead: str) -> None:
        self.problems.append(document.problem(at, what, instead))


def _has_rows(path: Path, wanted: int) -> bool:
    """Whether a file has this many lines that are not blank; reads no further than needed."""
    with path.open("rb") as file:
        seen, unfinished = 0, False
        while chunk := file.read(_CHUNK):
            for line in chunk.replace(b"\r", b"\n").split(b"\n"):
                blank = not line.strip().removeprefix(b"\xef\xbb\xbf")
                seen += not blank and not unfinished
                unfinished = False
            unfinished = not chunk.endswith((b"\n", b"\r"))
            if seen >= wanted:
                return True
    return False
