"""Measure the error rates, coverage and power that docs/statistics.md promises, by enumeration and simulation.

    python benchmarks/statistics/simulate.py [--runs 1000] [--workers 2] [--only margins,power] [--write PAGE]

Prints one Markdown table per section; `--write` puts them into a page, between its `<!-- NAME -->` marks. Every rate
comes with its 95 % interval (Clopper and Pearson) over the simulated experiments; enumerated rates have none, because
they are exact.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from agreement_scenarios import Groups, Repeats
from paired_scenarios import Answers, Costs, RareLosses, binary_region, human_and_judge, judged_answers

from proveout.statistics import (
    Estimate,
    PairedTest,
    clusters_needed,
    holm_levels,
    krippendorff_alpha,
    mean_interval,
    minimal_detectable_difference,
    online_level,
    paired_test,
    power_of_test,
    prediction_powered_mean,
    prediction_powered_test,
    proportion_interval,
)
from proveout.statistics.distributions import binomial_pmf
from proveout.statistics.mean_limits import CautiousMean, UnmetLosses
from proveout.statistics.paired_counts import PairedCounts, region_chances

LEVEL = 0.05
ERROR_RATES = ["scores", "clusters", "margin", "false pass %", "false fail %", "interval covers %", "experiments"]


@dataclass(frozen=True)
class Cell:
    """One row to be: what it is called, how an experiment is drawn, and what is asked of it."""

    name: str
    scenario: Any
    clusters: int
    margin: float
    higher: bool = True


def rate(hits: int, runs: int) -> str:
    found = proportion_interval(hits, runs)
    return f"{100 * found.value:.1f} ({100 * found.low:.1f}–{100 * found.high:.1f})"


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


# ---------------------------------------------------------------- single yes-or-no answers: enumerated


def enumerated_row(case: tuple[int, float]) -> list[str]:
    """The worst false-pass rate over all win rates, and the median one."""
    examples, margin = case
    most = 1.0 if examples <= 100 else (0.5 if examples <= 300 else 0.15)
    won, lost = binary_region(examples, margin, LEVEL, most)
    rates = np.linspace(0, min((1 - margin) / 2, 0.7 * most), 2000)[:, None]
    sizes = region_chances(won, lost, examples, rates, rates + margin)
    return [f"{examples:,}", f"{margin:g}", percent(float(sizes.max())), percent(float(np.median(sizes)))]


def enumerated(pool: Pool) -> str:
    cases = [(n, m) for n in (20, 50, 100, 300, 1000) for m in (0.0, 0.01, 0.02, 0.05)]
    head = ["examples", "margin", "false pass, worst case %", "median case %"]
    return table(head, pool(enumerated_row, cases))


def coverage_row(case: tuple[int, float, float], runs: int) -> list[str]:
    """Coverage of the interval of a paired difference of single yes-or-no answers, by simulation of outcomes."""
    examples, discordance, difference = case
    random = np.random.default_rng(examples)
    shares = [(discordance + difference) / 2, (discordance - difference) / 2, 1 - discordance]
    outcomes, counts = np.unique(random.multinomial(examples, shares, runs), axis=0, return_counts=True)
    inside = 0
    for (wins, losses, _), count in zip(outcomes.tolist(), counts.tolist(), strict=True):
        pair = PairedCounts(wins, losses, examples)
        low, high = pair.lower(LEVEL / 2), -pair.swapped().lower(LEVEL / 2)
        inside += count if low - 1e-12 <= difference <= high + 1e-12 else 0
    return [f"{examples:,}", f"{discordance:g}", f"{difference:+g}", rate(inside, runs)]


def coverage(pool: Pool) -> str:
    cases = [
        (n, d, x)
        for n in (20, 100, 500, 5000)
        for d, x in ((0.02, 0.0), (0.1, 0.0), (0.3, 0.0), (0.1, -0.05), (0.3, 0.1))
    ]
    head = ["examples", "share that differs", "true difference", "interval covers it %"]
    return table(head, pool(partial(coverage_row, runs=4 * pool.runs), cases))


def proportion_row(case: tuple[str, int]) -> list[str]:
    method, trials = case
    found = [proportion_interval(k, trials, method=method) for k in range(trials + 1)]  # type: ignore[arg-type]
    low, high = np.array([each.low for each in found]), np.array([each.high for each in found])
    shares = np.linspace(0.005, 0.995, 199)[:, None]
    chances = binomial_pmf(np.arange(trials + 1), trials, shares)
    covered = np.sum(chances * ((low <= shares) & (shares <= high)), axis=1)
    return [method, f"{trials:,}", percent(float(covered.min())), percent(float(covered.mean()))]


def proportions(pool: Pool) -> str:
    cases = [(m, n) for m in ("clopper-pearson", "wilson", "jeffreys") for n in (20, 100, 1000)]
    return table(["method", "trials", "least coverage %", "mean coverage %"], pool(proportion_row, cases))


# ---------------------------------------------------------------- clusters of any scores: simulated


def judged(cell: Cell, runs: int, seed: int = 7) -> list[PairedTest]:
    random = np.random.default_rng(seed)
    return [
        paired_test(*cell.scenario.draw(random, cell.clusters), margin=cell.margin, higher_is_better=cell.higher)
        for _ in range(runs)
    ]


def error_rates(cell: Cell, runs: int) -> list[str]:
    """False passes, false fails, coverage, and of how many experiments. Where one of them looks amiss, ten times as
    many fresh experiments tell: with eighty rows of few experiments some look amiss by chance."""
    truth = cell.scenario.difference
    for seed, experiments in ((7, runs), (8, 10 * runs)):
        tests = judged(cell, experiments, seed)
        passed = sum(test.p_value <= LEVEL for test in tests)
        failed = sum(test.p_worse <= LEVEL for test in tests)
        covered = sum(test.difference.low - 1e-9 <= truth <= test.difference.high + 1e-9 for test in tests)
        if max(passed, failed) <= (LEVEL + 0.01) * experiments and covered >= (1 - LEVEL - 0.015) * experiments:
            break
    return [rate(passed, experiments), rate(failed, experiments), rate(covered, experiments), f"{experiments:,}"]


def margin_row(cell: Cell, runs: int) -> list[str]:
    """The challenger is worse by exactly the margin (or equal, at margin 0): neither verdict may be given."""
    return [cell.name, f"{cell.clusters:,}", f"{cell.margin:g}", *error_rates(cell, runs)]


def margin_cells() -> list[Cell]:
    cells: list[Cell] = []
    kinds: list[tuple[str, Answers]] = [
        ("yes/no, 5 similar × 3 repeats, 60 % right", Answers(0.6)),
        ("yes/no, 5 similar × 3 repeats, 90 % right", Answers(0.9)),
        ("yes/no, 5 similar × 3 repeats, 99 % right", Answers(0.99)),
        ("yes/no, clusters of 1 to 25, 90 % right", Answers(0.9, unequal=True, repeats=1)),
        ("yes/no, 1 example × 3 repeats, 95 % right", Answers(0.95, examples=1, wording=0.0)),
        ("graded in quarters, 2 similar, mean 0.9", Answers(0.9, levels=4, examples=2, repeats=1)),
        ("continuous in 0–1, 2 similar × 2, mean 0.9", Answers(0.9, levels=0, examples=2, repeats=2)),
    ]
    plan = [(clusters, margin) for clusters in (20, 60, 200) for margin in (0.0, 0.02, 0.05)] + [(1000, 0.01)]
    for name, scenario in kinds:
        cells += [
            Cell(name, replace(scenario, difference=-margin), clusters, margin)
            for clusters, margin in plan
            if margin <= 0.02 or scenario.accuracy < 0.99
        ]
    cells += [Cell("yes/no, 1 example × 1 repeat, 90 % right", Answers(0.9, -m, examples=1, repeats=1), 5000, m)
              for m in (0.0, 0.01)]  # fmt: skip
    for ratio in (1.0, 1.05, 1.1):
        cells += [
            Cell("cost, log-normal, less is better", Costs(ratio), clusters, ratio - 1.0, higher=False)
            for clusters in (20, 60, 200, 1000)
        ]
    return cells


def margins(pool: Pool) -> str:
    return table(ERROR_RATES, pool(partial(margin_row, runs=pool.runs), margin_cells()))


def stress(pool: Pool) -> str:
    """Losses so rare that a sample may not meet one, where scores tie, vary a little, or vary much."""
    worse = [
        Cell(f"{name}, but for total losses", RareLosses.losing(margin, noise), clusters, margin)
        for name, noise in (("equal", 0.0), ("noise of ±0.05", 0.05), ("noise of ±0.2", 0.2), ("noise of ±0.4", 0.4))
        for margin, sizes in ((0.02, (20, 60, 150, 500)), (0.05, (20, 60, 150, 500)), (0.1, (14, 20, 30, 60)))
        for clusters in sizes
    ]
    better = [
        Cell(f"{gain} better, but for total losses that undo it", RareLosses.losing(0.0, 0.1, gain), clusters, 0.0)
        for gain in (0.05, 0.1)
        for clusters in (20, 60, 200)
    ]
    cells = worse + better
    return table(ERROR_RATES, pool(partial(margin_row, runs=pool.runs), cells))


def lost_row(case: tuple[float, float, int, float], runs: int) -> list[str]:
    """A challenger that loses few clusters, and what shows that this costs less than the margin."""
    share, noise, clusters, margin = case
    random = np.random.default_rng(33)
    students = passed = 0
    for _ in range(runs):
        champion, challenger = RareLosses(share, noise).draw(random, clusters)
        limits = CautiousMean(gains := challenger - champion), UnmetLosses(gains, -1.0)
        students += max(each.p_value(-margin) for each in limits) <= LEVEL
        passed += paired_test(champion, challenger, margin=margin).p_value <= LEVEL
    return [f"{share:.1%} lost, noise of ±{noise:g}", f"{clusters:,}", f"{margin:g}", rate(students, runs),
            rate(passed, runs)]  # fmt: skip


def lost(pool: Pool) -> str:
    cases = [(s, z, k, m) for k, m in ((60, 0.1), (150, 0.05), (300, 0.03)) for s in (0.005, 0.01) for z in (0.02, 0.1)]
    head = ["scores", "clusters", "margin", "Student's t alone passes %", "passes %"]
    return table(head, pool(partial(lost_row, runs=pool.runs), cases))


def mean_row(cell: Cell, runs: int) -> list[str]:
    random = np.random.default_rng(11)
    hits, widths = 0, []
    for _ in range(runs):
        found = mean_interval(cell.scenario.draw(random, cell.clusters)[0])
        hits += found.low <= cell.scenario.accuracy <= found.high
        widths.append(found.high - found.low)
    return [cell.name, f"{cell.clusters:,}", rate(hits, runs), f"{np.mean(widths):.3f}"]


def means(pool: Pool) -> str:
    cells = [
        Cell(f"{name}, mean {accuracy:g}", replace(scenario, accuracy=accuracy), clusters, 0.0)
        for name, scenario in (
            ("yes/no, 5 similar × 3 repeats", Answers(0.9)),
            ("yes/no, 1 example × 3 repeats", Answers(0.9, examples=1)),
            ("continuous", Answers(0.9, levels=0, examples=2, repeats=2)),
        )
        for accuracy in (0.6, 0.9, 0.99)
        for clusters in (20, 60, 200, 1000)
    ]
    return table(
        ["scores", "clusters", "interval covers %", "mean width"], pool(partial(mean_row, runs=pool.runs), cells)
    )


def agreement_row(case: tuple[str, Any, int], runs: int) -> list[str]:
    """Intervals of agreement figures, and of one variant's figure that a judge stretches."""
    name, draw, units = case
    random = np.random.default_rng(37)
    hits, widths = 0, []
    for _ in range(runs):
        truth, found = draw(random, units)
        hits += found.low <= truth <= found.high
        widths.append(found.high - found.low)
    return [name, f"{units:,}", rate(hits, runs), f"{np.mean(widths):.3f}"]


def pairwise_figure(scenario: Repeats, random: np.random.Generator, units: int) -> tuple[float, Estimate]:
    return scenario.agreement, mean_interval(scenario.draw(random, units)[0])


def alpha_figure(scenario: Groups, random: np.random.Generator, units: int) -> tuple[float, Estimate]:
    return scenario.alpha, krippendorff_alpha(scenario.draw(random, units))


def judged_figure(right: float, random: np.random.Generator, units: int) -> tuple[float, Estimate]:
    return right, prediction_powered_mean(*judged_answers(random, units, right))


def figures(pool: Pool) -> str:
    kinds: list[tuple[str, Any]] = [
        ("pairwise agreement of 3 repeats, 0.83", partial(pairwise_figure, Repeats())),
        ("pairwise agreement of 5 repeats, 0.97", partial(pairwise_figure, Repeats(0, 5, 59, 1))),
        ("Krippendorff's alpha 0.49, clusters of 2 to 6", partial(alpha_figure, Groups(0.7))),
        ("Krippendorff's alpha 0.81, clusters of 2 to 6", partial(alpha_figure, Groups(0.9))),
        ("Krippendorff's alpha 0.96, clusters of 2 to 6", partial(alpha_figure, Groups(0.98))),
        *((f"labels and a judge, {p:.0%} right", partial(judged_figure, p)) for p in (0.6, 0.9, 0.97)),
    ]  # fmt: skip
    cases = [(name, draw, units) for name, draw in kinds for units in (30, 60, 200)]
    head = ["figure", "clusters (labelled)", "interval covers %", "mean width"]
    return table(head, pool(partial(agreement_row, runs=pool.runs), cases))


def agreement(pool: Pool) -> str:
    """Stability's gates: the challenger agrees less with itself by the margin."""
    cells = [
        Cell(f"pairwise agreement of {n} repeats", Repeats(margin, n), clusters, margin)
        for n in (2, 3, 5)
        for clusters, margin in ((30, 0.1), (100, 0.05), (300, 0.02), (100, 0.0))
    ]
    return table(ERROR_RATES, pool(partial(margin_row, runs=pool.runs), cells))


# ---------------------------------------------------------------- power against the plan


def power_row(cell: Cell, runs: int) -> list[str]:
    """The plan knows the spread of the differences (from a large sample), as an earlier run would tell it."""
    random = np.random.default_rng(13)
    first, second = cell.scenario.draw(random, 200_000 if cell.clusters < 2000 else 400_000)
    sd = float(np.std(second - first, ddof=1))
    truth = cell.scenario.difference
    distance = (truth if cell.higher else -truth) + cell.margin
    jump = float(np.sqrt(np.mean((second - first) ** 4) / np.mean((second - first) ** 2)))
    planned = power_of_test(distance, sd, cell.clusters, reach=1 - cell.margin, jump=jump)
    tests = judged(cell, runs)
    return [
        cell.name,
        f"{cell.clusters:,}",
        f"{cell.margin:g}",
        f"{truth:+g}",
        percent(planned),
        rate(sum(test.p_value <= LEVEL for test in tests), runs),
    ]


def power_cells() -> list[Cell]:
    cells: list[Cell] = []
    kinds: list[tuple[str, Answers]] = [
        ("yes/no, single", Answers(0.8, examples=1, repeats=1)),
        ("yes/no, single", Answers(0.95, examples=1, repeats=1)),
        ("yes/no, 5 similar × 3 repeats", Answers(0.6)),
        ("yes/no, 5 similar × 3 repeats", Answers(0.9)),
        ("yes/no, clusters of 1 to 25", Answers(0.9, unequal=True, repeats=1)),
        ("continuous", Answers(0.7, levels=0, examples=2, repeats=2)),
        ("continuous", Answers(0.9, levels=0, examples=2, repeats=2)),
    ]
    for name, scenario in kinds:
        random = np.random.default_rng(17)
        for clusters in (20, 60, 200, 1000):
            first, second = scenario.draw(random, 100_000)
            sd, size = float(np.std(second - first)), np.mean((second - first) ** 4) / np.mean((second - first) ** 2)
            smallest = minimal_detectable_difference(sd, clusters, reach=1)
            margin = round(minimal_detectable_difference(sd, clusters, reach=1, jump=float(size**0.5), holds=True), 3)
            label = f"{name}, {scenario.accuracy:.0%} right"
            if scenario.accuracy + smallest < 0.995:
                cells.append(Cell(label, replace(scenario, difference=round(smallest, 3)), clusters, 0.0))
            if margin < 0.3:
                cells.append(Cell(label, scenario, clusters, margin))
    return cells


def power(pool: Pool) -> str:
    head = ["scores", "clusters", "margin", "true difference", "planned power %", "measured power %"]
    return table(head, pool(partial(power_row, runs=pool.runs), power_cells()))


def needed_row(case: tuple[float, float], runs: int) -> list[str]:
    sd, distance = case
    clusters = clusters_needed(sd, distance)
    random = np.random.default_rng(19)
    shown = sum(
        paired_test(zero := np.zeros(clusters), zero + random.normal(distance, sd, clusters)).p_value <= LEVEL
        for _ in range(runs)
    )
    return [f"{sd:g}", f"{distance:g}", f"{clusters:,}", rate(shown, runs)]


def needed(pool: Pool) -> str:
    cases = [(0.45, 0.2), (0.45, 0.1), (0.45, 0.05), (0.45, 0.02), (0.2, 0.05), (0.2, 0.02)]
    head = ["sd of paired differences", "difference to show", "clusters for 80 %", "measured power %"]
    return table(head, pool(partial(needed_row, runs=pool.runs), cases))


# ---------------------------------------------------------------- several candidates, one after another


def holm_row(case: tuple[int, int], runs: int) -> list[str]:
    candidates, clusters = case
    random = np.random.default_rng(23)
    scenario = Answers(0.8, examples=1, repeats=1)
    raw = corrected = 0
    for _ in range(runs):
        p = [test.p_value for test in against_one_champion(scenario, random, clusters, candidates)]
        raw += min(p) <= LEVEL
        corrected += any(map(float.__le__, p, holm_levels(p, LEVEL)))
    return [f"{candidates}", f"{clusters:,}", rate(raw, runs), rate(corrected, runs)]


def against_one_champion(
    scenario: Answers, random: np.random.Generator, clusters: int, candidates: int
) -> list[PairedTest]:
    """Tests of candidates no better than the champion on the same clusters; they share its scores."""
    difficulty = scenario.difficulty * random.standard_normal(clusters)
    level = scenario._levels[0]
    logits = level + difficulty + scenario.taste * random.standard_normal((candidates + 1, clusters))
    scores = (random.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(float)
    return [paired_test(scores[0], other) for other in scores[1:]]


def candidates(pool: Pool) -> str:
    head = ["candidates, none better", "clusters", "best of them passes at 5 % each %", "with Holm %"]
    return table(head, pool(partial(holm_row, runs=pool.runs), [(2, 200), (5, 60), (5, 200), (20, 200)]))


def ledger_row(case: tuple[str, int, int], runs: int) -> list[str]:
    kind, tries, clusters = case
    random = np.random.default_rng(29)
    anyone = ledger = 0
    for _ in range(runs):
        history: list[tuple[float, bool]] = []
        uncorrected = False
        difficulty = random.standard_normal(clusters)
        champion = (random.random(clusters) < expit(1.4 + 1.5 * difficulty)).astype(float)
        best, best_mean = champion, -1.0
        for _attempt in range(tries):
            fresh = (random.random(clusters) < expit(1.4 + 1.5 * difficulty)).astype(float)
            challenger = fresh if kind == "fresh" else np.where(random.random(clusters) < 0.7, best, fresh)
            p = paired_test(champion, challenger).p_value
            uncorrected |= p <= LEVEL
            level = online_level(history)
            history.append((level, p <= level))
            if float(challenger.mean()) > best_mean:
                best, best_mean = challenger, float(challenger.mean())
        anyone += uncorrected
        ledger += any(shown for _, shown in history)
    names = {"fresh": "independent variants", "climbing": "each keeps 70 % of the answers of the best so far"}
    return [names[kind], f"{tries}", f"{clusters:,}", rate(anyone, runs), rate(ledger, runs)]


def expit(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


def tries(pool: Pool) -> str:
    cases = [("fresh", 5, 300), ("fresh", 30, 300), ("climbing", 30, 300)]
    head = ["variants, none better", "tries", "clusters", "any passes at 5 % each %", "any passes with the ledger %"]
    return table(head, pool(partial(ledger_row, runs=max(200, pool.runs // 2)), cases))


# ---------------------------------------------------------------- people's labels and a judge


def judge_row(case: dict[str, Any], runs: int) -> list[str]:
    """Equal variants under a judge that flatters the challenger."""
    random = np.random.default_rng(31)
    alone = people = powered = covered = 0
    widths: list[float] = []
    for _ in range(runs):
        labelled, predicted, extra = human_and_judge(random, **case["draw"])
        zeros = np.zeros(len(extra))
        alone += paired_test(zeros, extra, margin=case["margin"]).p_value <= LEVEL
        human = paired_test(np.zeros(len(labelled)), labelled, margin=case["margin"])
        test = prediction_powered_test(labelled, predicted, extra, margin=case["margin"])
        people += human.p_value <= LEVEL
        powered += test.p_value <= LEVEL
        covered += test.difference.low <= -case["margin"] <= test.difference.high
        widths.append((test.difference.high - test.difference.low) / (human.difference.high - human.difference.low))
    draw = case["draw"]
    return [
        case["name"],
        f"{draw['people']:,} + {draw['judged']:,}",
        f"{case['margin']:g}",
        rate(alone, runs),
        rate(people, runs),
        rate(powered, runs),
        rate(covered, runs),
        f"{np.median(widths):.2f}",
    ]


def judge_cases() -> list[dict[str, Any]]:
    flattering = {"flatters": (0.10, 0.22)}
    return [
        {"name": name, "margin": margin, "draw": {"people": n, "judged": 10 * n, "loss": margin} | flattering | more}
        for name, more in (
            ("single answers, 60 % right", {"accuracy": 0.6}),
            ("single answers, 90 % right", {"accuracy": 0.9}),
            ("clusters of 1 to 10, 70 % right", {"accuracy": 0.7, "size": 10}),
        )
        for n in (30, 60, 200)
        for margin in (0.0, 0.05)
    ]


def judge(pool: Pool) -> str:
    head = [
        "truth: no better than the margin",
        "people + judge",
        "margin",
        "judge alone passes %",
        "people alone %",
        "prediction-powered %",
        "interval covers %",
        "width ÷ people alone",
    ]
    return table(head, pool(partial(judge_row, runs=pool.runs), judge_cases()))


# ---------------------------------------------------------------- running


class Pool:
    """Rows in parallel, in the order of their cases; `quick` keeps it in one process."""

    def __init__(self, runs: int, workers: int) -> None:
        self.runs = runs
        self._workers = workers

    def __call__(self, row: Callable[[Any], list[str]], cases: Iterable[Any]) -> list[list[str]]:
        if self._workers < 2:
            return [row(case) for case in cases]
        with ProcessPoolExecutor(self._workers) as executor:
            return list(executor.map(row, cases))


SECTIONS: dict[str, Callable[[Pool], str]] = {
    "enumerated": enumerated,
    "coverage": coverage,
    "margins": margins,
    "stress": stress,
    "lost": lost,
    "agreement": agreement,
    "means": means,
    "figures": figures,
    "proportions": proportions,
    "power": power,
    "needed": needed,
    "candidates": candidates,
    "tries": tries,
    "judge": judge,
}


def write_into(page: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- name -->` and `<!-- end name -->`."""
    found = page.read_text(encoding="utf-8")
    marked = re.compile(f"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
    if not marked.search(found):
        raise SystemExit(f"{page} has no marks <!-- {name} --> … <!-- end {name} -->")
    page.write_text(marked.sub(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", found), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="experiments per row")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, comma-separated")
    parser.add_argument("--write", type=Path, help="a page to put the tables into")
    options = parser.parse_args()
    pool = Pool(options.runs, options.workers)
    for name in options.only.split(","):
        start = time.perf_counter()
        text = SECTIONS[name](pool)
        print(f"## {name} ({options.runs:,} runs, {time.perf_counter() - start:.0f} s)\n\n{text}\n", flush=True)
        if options.write:
            write_into(options.write, name, text)


if __name__ == "__main__":
    main()
