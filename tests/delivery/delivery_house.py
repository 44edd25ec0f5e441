"""A small project, its store, a clock that is turned by hand, and traffic as a gateway would record it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proveout.delivery.controller import Controller
from proveout.delivery.desk import Desk, proposal
from proveout.delivery.state import Rollout
from proveout.project import Environment, Project, Service, load_project
from proveout.storage import Feedback, Release, Store, Trace, tables
from proveout.storage.traces import feedback_row, trace_row
from proveout.testing.projects import replay_project

STEPS: tuple[Mapping[str, Any], ...] = ({"canary": {"weight": 0.2, "requests": 50}},)


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def write_project(
    folder: Path,
    *,
    steps: Sequence[Mapping[str, Any]] = STEPS,
    approvals: int = 0,
    champion: str = "base",
    targets: Sequence[Mapping[str, Any]] = (),
    fallback: str | None = None,
    margin: float = 0.1,
    **service: Any,
) -> Path:
    """Service `answers` with variants base, new and other, and changes new and other; `service` are further fields."""
    golden = [{"id": f"e{n}", "input": {"question": f"q{n}"}, "expected": "a"} for n in range(4)]
    variants = {name: {f"e{n}": f"a{name}" for n in range(4)} for name in ("base", "new", "other")}
    replay_project(
        folder,
        golden,
        variants,
        changes={name: {"challenger": name, "improves": []} for name in ("new", "other")},
        service={
            "rollout": {"steps": list(steps)},
            "objectives": {"accuracy": {"metric": "exact_match", "margin": margin}},
            **service,
        },
    )
    write_environment(folder, champion, approvals=approvals, targets=targets, fallback=fallback)
    return folder


def write_environment(
    folder: Path,
    champion: str,
    *,
    environment: str = "production",
    approvals: int = 0,
    targets: Sequence[Mapping[str, Any]] = (),
    fallback: str | None = None,
) -> None:
    (folder / "environments").mkdir(exist_ok=True)
    release = {"champion": champion} | ({} if fallback is None else {"fallback": fallback})
    content = {
        "environment": environment,
        "approvals": approvals,
        "releases": {"answers": release},
        "targets": list(targets),
    }
    (folder / "environments" / f"{environment}.yaml").write_text(json.dumps(content, indent=1) + "\n")


def content(trace: str, question: str, answer: str) -> dict[str, str]:
    """What a gateway keeps of a conversation."""
    asked = {"model": "answers", "messages": [{"role": "user", "content": question}]}
    said = {"choices": [{"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}]}
    return {"trace": trace, "request": json.dumps(asked), "answer": json.dumps(said)}


@dataclass
class House:
    """One service in production."""

    store: Store
    folder: Path
    clock: Clock = field(default_factory=Clock)
    seed: int = 1
    number: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.desk = Desk(self.store, self.clock)
        self.controller = self.new_controller()

    def new_controller(self, **options: Any) -> Controller:
        return Controller(self.store, lambda: self.project, self.clock, **options)

    @property
    def project(self) -> Project:
        return load_project(self.folder)

    @property
    def service(self) -> Service:
        return self.project.services["answers"]

    @property
    def environment(self) -> Environment:
        return self.project.environments["production"]

    def fingerprint(self, variant: str) -> str:
        return self.service.variants[variant].fingerprint

    @property
    def rollout(self) -> Rollout:
        found = self.desk.rollout("production", "answers")
        assert found is not None
        return found

    @property
    def release(self) -> Release:
        return self.store.releases.current("production")["answers"]

    def start(self, change: str = "new", actor: str = "ada") -> Rollout:
        serving = self.desk.adopt(self.environment, self.service).serving.fingerprint
        return self.desk.start(proposal(self.service, self.service.changes[change], self.environment, serving), actor)

    def tick(self, seconds: float = 1.0) -> Rollout:
        self.clock.now += seconds
        self.controller.tick()
        return self.rollout

    def serve(
        self,
        requests: int,
        bad: Mapping[str, float] | None = None,
        *,
        says: Mapping[str, Callable[[], str]] | None = None,
        **fields: Any,
    ) -> None:
        """Requests as the present release says; by variant the share that fails (`bad`), the rest answered well. With
        `says`, what each variant answers is kept as content.
        """
        release = self.release
        names = {self.fingerprint(name): name for name in ("base", "new", "other")}
        total = sum(release.weights.values())
        rows, contents = [], []
        for _ in range(requests):
            self.number += 1
            self.clock.now += 0.01
            (chosen,) = self.random.choices(list(release.weights), list(release.weights.values()))
            arms = [(chosen, release.weights[chosen] / total, None)]
            arms += [(shadow, 1.0, f"t{self.number}") for shadow in release.shadow]
            for fingerprint, propensity, shadow_of in arms:
                failed = self.random.random() < (bad or {}).get(names[fingerprint], 0.0)
                id = f"t{self.number}" if shadow_of is None else f"s{self.number}"
                trace = Trace(
                    id=id,
                    service="answers",
                    environment="production",
                    started=self.clock.now,
                    epoch=release.epoch,
                    step=release.step,
                    chosen=fingerprint,
                    variant=fingerprint,
                    propensity=propensity,
                    shadow_of=shadow_of,
                    **{
                        "status": 500 if failed else 200,
                        "error": "status" if failed else None,
                        "e2e": self.random.lognormvariate(-2, 0.3),
                        "output_tokens": 3,
                        **fields,
                    },
                )
                rows.append(trace_row(trace))
                if says and not failed:
                    contents.append(content(id, f"q{self.number}", says[names[fingerprint]]()))
        with self.store.database.transaction(lock="traces") as connection:
            names_ = [column.name for column in tables.traces.columns if column.name != "position"]
            connection.execute(tables.traces.insert(), [dict(zip(names_, row, strict=True)) for row in rows])
            if contents:
                connection.execute(tables.trace_contents.insert(), contents)

    def score(self, trace: str, name: str, value: float) -> None:
        row = feedback_row(Feedback(id=f"{trace}{name}", trace=trace, name=name, value=value, score=value))
        with self.store.database.transaction(lock="feedback") as connection:
            names = [column.name for column in tables.feedback.columns if column.name != "position"]
            connection.execute(tables.feedback.insert().values(dict(zip(names, row, strict=True))))

    def run(self, ticks: int, requests: int, bad: Mapping[str, float] | None = None) -> Rollout:
        """Traffic and looks at it in turn, until the rollout is over."""
        for _ in range(ticks):
            self.serve(requests, bad)
            if not self.tick().active:
                break
        return self.rollout
