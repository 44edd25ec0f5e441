"""Simulates the answers of two variants call by call, and decides on them as a run does."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gate_cases import Table, spec

from proveout.gates._base import CONFIDENCE_ALPHA, Evidence
from proveout.gates.accuracy import AccuracyGate
from proveout.gates.scorecard import decide
from proveout.gates.stability import StabilityGate
from proveout.gates.verdicts import judge
from proveout.statistics import online_level


@dataclass(frozen=True)
class World:
    """What is true: chances of a right answer, how alike examples of a cluster are, and what the challenger changes.

    `effect` is the difference of the mean accuracies. `spread` is the standard deviation, over clusters, of a cluster's
    chance, and `own` that of each arm's departure from it: equal variants differ cluster by cluster too. `shaky` is the
    share of the challenger's repeats that are drawn anew.
    """

    clusters: int
    examples: int = 2
    repeats: int = 1
    base: float = 0.7
    effect: float = 0.0
    spread: float = 0.2
    own: float = 0.15
    unequal: bool = False
    shaky: float = 0.0


def chances(world: World, random: np.random.Generator) -> np.ndarray:
    """Per cluster and arm, a chance of a right answer whose mean is exactly what the world says."""
    room = min(world.base, 1 - world.base, 1 - world.base - world.effect, world.base + world.effect)
    scale = max(0.0, min(1.0, room / (world.spread + world.own)))
    common = random.choice([-1.0, 1.0], size=world.clusters) * world.spread * scale
    each = random.choice([-1.0, 1.0], size=(2, world.clusters)) * world.own * scale
    return np.stack([world.base + common + each[0], world.base + world.effect + common + each[1]])


def evidence(world: World, random: np.random.Generator) -> Evidence:
    """One dataset, asked of both."""
    table = Table()
    chance = chances(world, random)
    sizes = (
        1 + random.poisson(world.examples - 1, world.clusters) if world.unequal else [world.examples] * world.clusters
    )
    for cluster in range(world.clusters):
        for member in range(sizes[cluster]):
            row = table.example(f"{cluster}.{member}", cluster=f"c{cluster}")
            for arm in (0, 1):
                settled = random.random() < chance[arm, cluster]
                for repeat in range(world.repeats):
                    anew = arm == 1 and random.random() < world.shaky
                    right = random.random() < chance[arm, cluster] if anew else settled
                    answer = "right" if right else f"wrong {random.integers(9) if anew else 0}"
                    table.call(row, arm, [float(right)], repeat=repeat, answer=answer)
    return table.evidence()


def decision(
    found: Evidence, claims: Sequence[str], margin: float, level: float = CONFIDENCE_ALPHA, *, stability: bool = True
) -> str:
    """The decision of a run with an accuracy gate and, where there are repeats, a stability gate."""
    findings = list(AccuracyGate().measure(found, spec("accuracy", margin), claim("accuracy", claims)).findings)
    if stability and max(found.table.repeat) > 0:
        findings += StabilityGate().measure(found, spec("stability", margin), claim("stability", claims)).findings
    return decide(tuple(judge(finding, level) for finding in findings))


def claim(objective: str, claims: Sequence[str]):
    return "improves" if objective in claims else "holds"


def share_passed(
    world: World, *, claims: Sequence[str], margin: float, runs: int, seed: int, stability: bool = True
) -> float:
    """How often the decision is pass."""
    random = np.random.default_rng(seed)
    passed = [decision(evidence(world, random), claims, margin, stability=stability) == "pass" for _ in range(runs)]
    return sum(passed) / runs


def passes(world: World, random: np.random.Generator, levels: list[tuple[float, bool]]) -> bool:
    """Whether one more try, at the level that the ledger gives it after the others, passes."""
    level = online_level(levels, CONFIDENCE_ALPHA)
    passed = decision(evidence(world, random), ("accuracy",), 0.05, level) == "pass"
    levels.append((level, passed))
    return passed
