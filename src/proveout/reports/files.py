"""Writing a report whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from proveout.reports._base import ReportError
from proveout.reports.registry import render

if TYPE_CHECKING:
    from proveout.gates.scorecard import Scorecard

_ADVICE = {
    errno.ENOENT: "its folder is not there; create it first: mkdir -p {folder}",
    errno.ENOTDIR: "{folder} is not a folder; choose another path",
    errno.EISDIR: "it is a folder; name a file in it",
    errno.EACCES: "no permission; choose a path that you may write to",
    errno.EPERM: "no permission; choose a path that you may write to",
    errno.EROFS: "the file system is read-only; choose another path",
    errno.ENOSPC: "the disk is full; make room, or choose another path",
    errno.EDQUOT: "your disk quota is used up; make room, or choose another path",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


def write_report(scorecard: Scorecard, kind: str, path: str | Path) -> None:
    """Render a scorecard into a file. The file is there whole, or as it was before.

    Args:
        scorecard: what to render.
        kind: one of the registry's kinds.
        path: the file; its folder must exist. Pipes and devices are written to directly.

    Raises:
        ReportError: the kind is unknown or the file can't be written; the message names the path and what to do.
    """
    text = render(scorecard, kind)
    with _told(Path(path)) as target:
        _write(target, text.encode())


def require_writable(path: str | Path) -> None:
    """See, before work is paid for, that its report could be written there now. The file is not touched.

    Raises:
        ReportError: it could not; the message names the path and what to do.
    """
    with _told(Path(path)) as target:
        if _takes_a_file(target):
            handle, temporary = _beside(target)
            os.close(handle)
            os.unlink(temporary)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[Path]:
    """Where a path leads; what can't be written there is told with the path and advice."""
    try:
        yield Path(os.path.realpath(path))
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, (error.strerror or str(error)).lower())
        raise ReportError(f"{path} can't be written: {advice.format(folder=path.parent)}") from None


def _takes_a_file(path: Path) -> bool:
    """Whether a file can be put there; pipes and devices are written to as they are."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return path.is_file() or not path.exists()


def _beside(path: Path) -> tuple[int, str]:
    return tempfile.mkstemp(prefix=".proveout-", suffix=".part", dir=path.parent)


def _write(path: Path, data: bytes) -> None:
    """Through a file beside it, renamed when complete and on the disk."""
    if not _takes_a_file(path):
        path.write_bytes(data)
        return
    handle, temporary = _beside(path)
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _mode(path))
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _mode(path: Path) -> int:
    """As the file was, else as a new file would be."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
