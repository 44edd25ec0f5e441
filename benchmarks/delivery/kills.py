"""Real processes killed by signal 9 at random: the controller, the gateway, and the store (a PostgreSQL server).

Half of the kills happen while a good challenger is delivered, half while one that is worse and answers 200 is. Prints
what became of it, and ends with 1 unless the end state, the audit trail, the acknowledged feedback and every user's
assignment are right.

    python -m benchmarks.delivery.kills [KILLS] [SEED]
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from proveout.testing.servers import postgres_server
from proveout.testing.town import SCORED, consistent, killed_again_and_again, town

GOOD = [{"canary": {"weight": 0.2, "requests": 60}}, {"canary": {"weight": 0.5, "requests": 200}}]
WORSE = [{"canary": {"weight": 0.3, "requests": 4000}}]
SCENARIOS = (("good", GOOD, {}, "promoted"), ("worse", WORSE, {"base": 0.05, "new": 0.25}, "rolled_back"))


def main(kills: int = 50, seed: int = 1) -> int:
    wrong = 0
    with postgres_server() as server, tempfile.TemporaryDirectory() as parent:
        for number, (name, steps, bad, expected) in enumerate(SCENARIOS):
            random_ = random.Random(seed + number)
            part = kills // 2 + (kills % 2 if number == 0 else 0)
            began = time.monotonic()
            folder = Path(parent) / name / "project"
            folder.parent.mkdir()
            with town(folder, steps=steps, store_url=server.create_database(), seed=seed, **SCORED) as place:
                place.upstream.bad = bad
                place.start_rollout()
                killed = Counter(killed_again_and_again(place, random_, kills=part, store=server))
                state = place.until_over()["state"]
                problems = consistent(place)
                with place.store() as store:
                    kept = len(store.deliveries.failures())
                    entries = len(store.audit.after(limit=100_000))
            if expected == "rolled_back" and not kept:
                problems.append("no failure was kept")
            if state != expected:
                problems.append(f"ended {state}, not {expected}")
            wrong += len(problems)
            who = ", ".join(f"{victim} {count}" for victim, count in sorted(killed.items()))
            print(
                f"{name:<6} {part} kills ({who}): {state}; {len(place.acknowledged):,} feedbacks acknowledged, "
                f"{place.refused} requests were cut with a gateway, {kept} failures kept, {entries} entries in the "
                f"trail, {time.monotonic() - began:.0f} s; {'; '.join(problems) or 'all is right'}",
                flush=True,
            )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
