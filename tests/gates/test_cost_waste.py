"""Waste as a run sees it at a real endpoint: answers that break off and are asked for again, and thought that helps
nothing."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from proveout.cli import main
from proveout.testing.endpoints import ScriptedEndpoint, question
from proveout.testing.faults import Answer, Received
from proveout.testing.projects import replay_project

EXAMPLES = 24
INPUT, OUTPUT, THOUGHT = 100, 50, 40


class Script:
    """Answers every question with its number. `thinker` thinks before; `base` breaks off its first answer to every
    sixth question."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()

    def __call__(self, received: Received) -> Answer:
        model = received.json()["model"]
        number = question(received).strip().removeprefix("What is ").rstrip("?")
        self.asked[model, number] += 1
        thought = THOUGHT if model == "thinker" else 0
        usage: dict[str, Any] = {"prompt_tokens": INPUT, "completion_tokens": OUTPUT + thought}
        usage["completion_tokens_details"] = {"reasoning_tokens": thought}
        message = {"role": "assistant", "content": number}
        answer = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
        breaks_off = model == "base" and int(number) % 6 == 0 and self.asked[model, number] == 1
        return Answer.json(answer, cut_after=len(json.dumps(answer)) if breaks_off else None)


def test_paid_retries_and_needless_thought_of_a_real_run(tmp_path: Path) -> None:
    """24 questions: 4 of the champion's answers break off and are paid for twice, 4 x 100 input tokens. The thinker is
    as right as the champion, which does not think: all of its thought is needless."""
    golden = [
        {"id": f"q{number}", "input": {"question": f"What is {number}?"}, "expected": str(number)}
        for number in range(EXAMPLES)
    ]
    prices = [
        {"provider": "openai-compatible", "model": name, "since": "2026-01-01", "input": 1.0, "output": 4.0}
        for name in ("base", "thinker")
    ]
    folder = replay_project(
        tmp_path,
        golden,
        {"base": {}, "thinker": {}},
        changes={"thinker": {"challenger": "thinker", "improves": []}},
        service={"objectives": {"accuracy": {"margin": "50%"}, "cost": {"margin": "90%"}}},
        prices=prices,
    )
    out = folder / "card.json"
    with ScriptedEndpoint(Script()) as endpoint, pytest.MonkeyPatch.context() as patch:
        for name in ("base", "thinker"):
            path = folder / f"services/answers/variants/{name}.yaml"
            model = {"provider": "openai-compatible", "name": name, "url": endpoint.url}
            path.write_text(json.dumps(json.loads(path.read_text()) | {"model": model}))
        patch.setattr(sys, "argv", ["proveout", "run", "thinker", "-C", str(folder), "--yes", "--json", str(out)])
        with pytest.raises(SystemExit):
            main()
    card = json.loads(out.read_text())
    assert card["calls"]["failed"] == 0
    waste = {one["kind"]: one for one in card["waste"]}
    assert (waste["retried"]["champion_tokens"], waste["retried"]["challenger_tokens"]) == (4 * INPUT, 0)
    assert (waste["reasoning"]["champion_tokens"], waste["reasoning"]["challenger_tokens"]) == (0, EXAMPLES * THOUGHT)
    paid = EXAMPLES * (INPUT * 1.0 + OUTPUT * 4.0) / 1e6
    assert waste["retried"]["champion"] == pytest.approx(100 * 4e-4 / (paid + 4e-4), abs=0.05)
    for side in ("champion", "challenger"):
        assert sum(one[side] for one in waste.values()) == pytest.approx(100)
