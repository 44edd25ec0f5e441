"""Git, by its own program: a proposal is made in a work tree of its own, so that nobody's files are touched."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path


class GitError(Exception):
    """Git refused; the message has its words."""


class Repository:
    """The git repository that a project's folder is in."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            GitError: the folder is in no git repository, or git is not installed.
        """
        self.folder = folder
        try:
            self.root = Path(self("rev-parse", "--show-toplevel"))
        except GitError as error:
            raise GitError(
                f"{folder} is in no git repository that can be used ({error}): run `git init` there"
            ) from None
        self.prefix = Path(self("rev-parse", "--show-prefix"))

    def __call__(self, *words: str | Path, folder: Path | None = None) -> str:
        """What a git command prints.

        Raises:
            GitError: it failed.
        """
        command = ["git", "-C", str(folder or self.folder), *map(str, words)]
        environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        try:
            done = subprocess.run(  # noqa: S603
                command,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
                env=environment,
                timeout=120,
            )
        except FileNotFoundError:
            raise GitError("git is not installed") from None
        except subprocess.TimeoutExpired:
            raise GitError(f"git {words[0]} did not end in 120 s") from None
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise GitError(f"git {words[0]}: {said[-1] if said else f'exit code {done.returncode}'}")
        return done.stdout.strip()

    @property
    def user(self) -> str:
        """The person at the keyboard, by git's settings; empty if it doesn't know."""
        try:
            return self("config", "user.email")
        except GitError:
            return ""

    def remote(self) -> str | None:
        """The remote to push to: `origin`, or the only one there is."""
        names = self("remote").split()
        return "origin" if "origin" in names else names[0] if len(names) == 1 else None

    def remote_url(self, remote: str) -> str:
        """A remote's address as it is written down (`insteadOf` is git's own affair)."""
        return self("config", "--get", f"remote.{remote}.url")

    def default_branch(self, remote: str | None) -> str:
        """The branch that others merge into."""
        if remote is not None:
            for line in self("ls-remote", "--symref", remote, "HEAD").splitlines():
                if line.startswith("ref: refs/heads/"):
                    return line.split()[1].removeprefix("refs/heads/")
        return self("rev-parse", "--abbrev-ref", "HEAD")

    def changed(self, paths: Sequence[Path]) -> list[str]:
        """Files under these paths that are not committed as they stand."""
        lines = self("status", "--porcelain", "--untracked-files=all", "--", *paths).splitlines()
        return [line.split(maxsplit=1)[-1] for line in lines]

    @contextmanager
    def work_tree(self, start: str) -> Generator[Path, None, None]:
        """The project's folder in a fresh work tree at a commit, gone at the end."""
        with tempfile.TemporaryDirectory(prefix="proveout-") as parent:
            tree = Path(parent) / "tree"
            self("worktree", "add", "--quiet", "--detach", tree, start)
            try:
                yield tree / self.prefix
            finally:
                self("worktree", "remove", "--force", tree)
