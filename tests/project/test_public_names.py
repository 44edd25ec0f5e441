"""What a package says that it holds, it holds."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

import proveout

SOURCE = Path(proveout.__file__).parent
PACKAGES = sorted(
    ".".join(("proveout", *init.parent.relative_to(SOURCE).parts))
    for init in SOURCE.rglob("__init__.py")
    if "__all__ = [" in init.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_of_a_package_is_there_and_no_other(name: str) -> None:
    package = import_module(name)
    assert [public for public in package.__all__ if not hasattr(package, public)] == []
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nobody'"):
        _ = package.nobody


def test_all_rooms_were_looked_at() -> None:
    assert {"proveout.project", "proveout.wire", "proveout.delivery", "proveout.models.tiny"} <= set(PACKAGES)
