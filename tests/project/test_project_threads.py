"""Several threads of one process read a project at once, as a gateway and a controller in one process do."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from proveout.project import load_project
from proveout.testing.projects import replay_project


def test_threads_that_read_a_project_at_once_read_the_same(tmp_path: Path) -> None:
    rows = [{"id": str(n), "input": {"question": str(n)}, "expected": "a"} for n in range(2)]
    variants = {name: {str(n): "a" for n in range(2)} for name in ("base", "new", "other")}
    replay_project(tmp_path, rows, variants, changes={"new": {"challenger": "new", "improves": []}})
    once = load_project(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: load_project(tmp_path), range(40)))
    fingerprints = [
        {name: one.fingerprint for name, one in project.services["answers"].variants.items()} for project in found
    ]
    assert fingerprints == [{name: one.fingerprint for name, one in once.services["answers"].variants.items()}] * 40
