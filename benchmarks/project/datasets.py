"""Reading datasets: rows a second, and memory that does not grow with the file.

    python benchmarks/project/datasets.py [ROWS]

Each line is measured in a process of its own. `bytes a row` is what the peak of memory grows by between a hundredth
of the rows and all of them: the table of ids, and for near-duplicates a sketch of each input. The peer is `json.loads`
over the same lines, which checks nothing.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

MEASURE = """
import resource, sys, time
from pathlib import Path
from proveout.project import DatasetRef, dataset_version, find_clusters, read_examples
import proveout.project.datasets
job, path = sys.argv[1], Path(sys.argv[2])
ref = DatasetRef("golden", path)
if job == "clusters":
    import proveout.project.similarity
started = time.process_time()
if job == "json.loads":
    import json
    rows = sum(1 for line in path.open() if json.loads(line))
elif job == "read":
    rows = sum(1 for _ in read_examples(ref, ("message",)))
elif job == "version":
    dataset_version(ref, ("message",))
else:
    find_clusters(read_examples(ref, ("message",)))
print(time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for count in (rows // 100, rows):
            for suffix in ("jsonl", "csv"):
                paths[count, suffix] = write(Path(folder) / f"{count}.{suffix}", count)
        peer, _ = measure("json.loads", paths[rows, "jsonl"])
        for job, suffix in (("read", "jsonl"), ("read", "csv"), ("version", "jsonl"), ("clusters", "jsonl")):
            _, little = measure(job, paths[rows // 100, suffix])
            seconds, much = measure(job, paths[rows, suffix])
            print(
                f"{job:9}{suffix:6} {rows:9,} rows  {rows / seconds:9,.0f} rows/s  {seconds / peer:5.1f} x json.loads  "
                f"peak {much / 2**20:5.0f} MB = {much / little:.2f} x that of {rows // 100:,} rows, "
                f"{(much - little) / rows:5.0f} bytes a row"
            )


def measure(job: str, path: Path) -> tuple[float, int]:
    command = [sys.executable, "-c", MEASURE, job, str(path)]
    seconds, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), int(peak)


def write(path: Path, rows: int) -> Path:
    rng = random.Random(1)
    words = [f"word{number}" for number in range(5000)]
    with path.open("w") as file:
        if path.suffix == ".csv":
            file.write("id,message,expected\n")
        for number in range(rows):
            text, label = " ".join(rng.choices(words, k=12)), rng.choice(words)
            if path.suffix == ".csv":
                file.write(f'e{number},"{text}",{label}\n')
            else:
                file.write(json.dumps({"id": f"e{number}", "input": {"message": text}, "expected": label}) + "\n")
    return path


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
