"""What a run may spend, seen from the endpoint that is asked."""

import time

import pytest
from acceptance_projects import examples

from proveout.testing.endpoints import ScriptedEndpoint, question

VARIANT = """\
variant: {name}
model: {{provider: openai-compatible, url: "{url}", name: {name}}}
"""


def slow(received):
    time.sleep(0.002)
    return question(received).strip()


@pytest.mark.parametrize("concurrency", [1, 32])
def test_every_call_that_max_calls_allows_is_made_kept_and_never_paid_again(proveout, declared, concurrency):
    rows = [{**row, "expected": row["input"]["q"]} for row in examples(30)]
    with ScriptedEndpoint(slow) as endpoint:
        hosted = {name: VARIANT.format(name=name, url=endpoint.url) for name in "ab"}
        project = declared(rows, hosted)
        asked = []
        for _ in range(3):
            ended = proveout(project, "run", "c", "--max-calls", 20, "--concurrency", concurrency)
            asked.append(len(endpoint.received))
            assert ended.card["calls"]["made"] == 20
        assert asked == [20, 40, 60]
        assert (ended.code, ended.card["decision"]) == (0, "pass")
        assert ended.card["calls"] == {"made": 20, "cached": 40, "failed": 0}
