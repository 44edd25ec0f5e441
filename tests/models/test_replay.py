"""Recorded outputs as a model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proveout.models import Generation, ModelError, ModelPool, Request, Timings, Usage
from proveout.models.replay import Recording, RecordingError, ReplayModel
from proveout.project.records import ModelSpec
from proveout.project.row_problems import DatasetError
from proveout.wire import run


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(*rows: Any) -> Path:
        path = tmp_path / "recorded.jsonl"
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write


def asked(example: str | None = None, repeat: int = 0, **input: Any) -> Request:
    return Request(messages=(), example=example, repeat=repeat, input=input or None)


def replayed(path: Path, request: Request) -> Generation:
    return run(ReplayModel(Recording(path)).generate(request))


def problems(path: Path) -> list[str]:
    with pytest.raises(RecordingError) as raised:
        Recording(path)
    return [f"{problem.line} {problem.field}: {problem.what}" for problem in raised.value.problems]


def test_lines_with_one_id_are_successive_repeats(write: Any) -> None:
    path = write(
        {"id": "a", "output": "one"}, {"id": "b", "output": "x"}, {"id": "a", "output": "two"}, {"id": 7, "output": "y"}
    )
    assert [replayed(path, asked("a", repeat)).text for repeat in (0, 1)] == ["one", "two"]
    assert replayed(path, asked("7")).text == "y"


def test_without_ids_the_input_says_which_output_is_meant(write: Any) -> None:
    path = write(
        {"input": {"a": 1, "b": "x"}, "output": "one"},
        {"input": "alone", "output": "two"},
        {"input": {"b": "x", "a": 1}, "output": "three"},
    )
    assert [replayed(path, asked("made-up", repeat, b="x", a=1)).text for repeat in (0, 1)] == ["one", "three"]
    assert replayed(path, asked(message="alone")).text == "two"


def test_an_id_goes_before_an_input(write: Any) -> None:
    path = write({"id": "a", "output": "by id"}, {"input": {"m": "hi"}, "output": "by input"})
    assert replayed(path, asked("a", m="hi")).text == "by id"


def test_an_id_that_was_recorded_for_another_input_is_no_answer(write: Any) -> None:
    path = write({"id": "1", "input": {"m": "one"}, "output": "x"}, {"id": "2", "input": "the prompt", "output": "y"})
    assert replayed(path, asked("1", m="one")).text == "x"
    assert replayed(path, asked("2", m="whatever")).text == "y"
    with pytest.raises(ModelError, match="line 1 that is not that of example '1'"):
        replayed(path, asked("1", m="two"))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (asked("c"), "has no output for example 'c'"),
        (asked(m="c"), "has no output for this input"),
        (asked("a", 2), "has 2 outputs of example 'a'; repeat 3 was asked for"),
        (asked("b", 1), "has 1 output of example 'b'; repeat 2 was asked for"),
    ],
)
def test_what_was_not_recorded_is_an_error_of_its_own_kind(write: Any, request_: Request, message: str) -> None:
    path = write({"id": "a", "output": "1"}, {"id": "b", "output": "2"}, {"id": "a", "output": "3"})
    with pytest.raises(ModelError, match=message) as raised:
        replayed(path, request_)
    assert (raised.value.kind, raised.value.retryable) == ("no_recording", False)


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("", ""),
        ("näh 🙂", "näh 🙂"),
        ({"intent": "refund", "n": 1}, '{"intent":"refund","n":1}'),
        ([1, 2.5, None], "[1,2.5,null]"),
        (42, "42"),
        (False, "false"),
    ],
)
def test_json_is_written_out_as_text(write: Any, output: Any, text: str) -> None:
    assert replayed(write({"id": "a", "output": output}), asked("a")).text == text


def test_a_message_with_tool_calls_is_a_message(write: Any) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    generation = replayed(write({"id": "a", "output": {"content": None, "tool_calls": [call]}}), asked("a"))
    assert (generation.text, generation.tool_calls, generation.finish_reason) == ("", (call,), "tool_calls")


@pytest.mark.parametrize(
    ("timings", "expected"),
    [
        ({"e2e": 1.5, "ttft": 0.5, "gaps": [0.5, 0.5]}, Timings(e2e=1.5, ttft=0.5, gaps=(0.5, 0.5))),
        ({"e2e_s": 2}, Timings(e2e=2.0)),
        ({"e2e_ms": 1500, "ttft_ms": 500, "gaps_ms": [250]}, Timings(e2e=1.5, ttft=0.5, gaps=(0.25,))),
        ({"ttft": 0.5, "gaps": [0.25, 0.25]}, Timings(e2e=1.0, ttft=0.5, gaps=(0.25, 0.25))),
        (None, None),
    ],
)
def test_timings_are_seconds_or_milliseconds(write: Any, timings: Any, expected: Timings | None) -> None:
    assert replayed(write({"id": "a", "output": "", "timings": timings}), asked("a")).timings == expected


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 9, "output_tokens": 2}, Usage(input_tokens=9, output_tokens=2)),
        ({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}, Usage(input_tokens=9, output_tokens=2)),
        (
            {"input_tokens": 9, "output_tokens": 5, "cached_tokens": 3, "reasoning_tokens": 4},
            Usage(input_tokens=9, output_tokens=5, cached_tokens=3, reasoning_tokens=4),
        ),
    ],
)
def test_usage_is_read_in_our_names_or_openais(write: Any, usage: Any, expected: Usage) -> None:
    assert replayed(write({"id": "a", "output": "", "usage": usage}), asked("a")).usage == expected


def test_other_fields_are_ignored_and_known_ones_kept(write: Any) -> None:
    row = {"id": "a", "output": "x", "finish_reason": "length", "model": "gpt-4o", "anything": {"else": [1]}}
    generation = replayed(write(row), asked("a"))
    assert (generation.finish_reason, generation.model, generation.cost_usd) == ("length", "gpt-4o", 0.0)


def test_all_bad_rows_are_named_by_line(write: Any) -> None:
    path = write(
        {"id": "fine", "output": "x"},
        {"output": "x"},
        "not json",
        {"id": "a"},
        {"id": "a", "output": None},
        {"id": 1.5, "output": "x"},
        {"id": "a", "output": "x", "timings": {"e2e": -1}},
        {"id": "a", "output": "x", "timings": {"ttft_ms": "fast"}},
        {"id": "a", "output": "x", "timings": {}},
        {"id": "a", "output": "x", "usage": {"input_tokens": 1}},
        {"id": "a", "output": "x", "usage": [1]},
        {"id": "a", "output": {"tool_calls": "find"}},
        "[]",
    )
    found = problems(path)
    assert [int(problem.split()[0]) for problem in found] == list(range(2, 14))
    assert "6 id: it is 1.5" in found
    assert "7 timings.e2e: it is -1" in found
    assert "8 timings.ttft_ms: it is 'fast'" in found
    assert "10 usage.output_tokens: it is missing" in found


@pytest.mark.parametrize("rows", [(), ("",), ("   ", "")])
def test_an_empty_recording_is_a_problem(write: Any, rows: tuple[str, ...]) -> None:
    assert problems(write(*rows)) == ["None : there are no outputs in this file"]


def test_a_recording_that_cannot_be_read_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"The recording has 1 problem:\n.*can't be read"):
        Recording.open(tmp_path / "nowhere.jsonl")


def test_the_repeats_that_nearly_all_ids_have(write: Any) -> None:
    rows = [{"id": name, "output": "x"} for name in "aabbba"]
    assert Recording(write(*rows)).common_repeats == 3
    assert Recording(write(*rows, {"id": "c", "output": "x"})).common_repeats == 1
    many = [{"id": str(n), "output": "x"} for n in range(100) for _ in range(3)]
    assert Recording(write(*many, {"id": "c", "output": "x"})).common_repeats == 3


def test_blank_lines_byte_order_marks_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": "a", "output": "1"}\r\n\r\n{"id": "b", "output": "2"}')
    recording = Recording(path)
    assert [recording.find(asked(name)).text for name in "ab"] == ["1", "2"]


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.text(max_size=20)), min_size=1, max_size=40))
def test_what_was_recorded_is_what_is_replayed(tmp_path_factory: Any, rows: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.mktemp("replay") / "r.jsonl"
    lines = (json.dumps({"id": name, "output": text}, ensure_ascii=False) + "\n" for name, text in rows)
    path.write_text("".join(lines), newline="")
    recording, seen = Recording(path), dict.fromkeys("abcde", 0)
    for name, text in rows:
        assert recording.find(asked(name, seen[name])).text == text
        seen[name] += 1
    assert len(recording) == len(rows)
    assert recording.common_repeats == min(count for count in seen.values() if count)


def test_a_recording_is_read_once_until_its_file_changes(write: Any) -> None:
    path = write({"id": "a", "output": "old"})
    first = Recording.open(path)
    assert Recording.open(str(path)) is first
    replacement = path.with_suffix(".new")
    replacement.write_text('{"id": "a", "output": "new"}\n')
    os.replace(replacement, path)
    assert Recording.open(path).find(asked("a")).text == "new"
    assert first.find(asked("a")).text == "old"


def test_a_recording_changed_under_a_run_is_an_error_not_another_answer(write: Any) -> None:
    path = write({"id": "a", "output": "1"}, {"id": "b", "output": "2"})
    recording = Recording(path)
    write({"id": "b", "output": "2"}, {"id": "a", "output": "1"})
    with pytest.raises(ModelError, match="another row than before on line 1"):
        recording.find(asked("a"))
    write("")
    with pytest.raises(ModelError, match="can't be read any more"):
        recording.find(asked("a"))


_LARGE = """
import resource, sys
from proveout.models import Request
from proveout.models.replay import Recording

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

Recording(sys.argv[1])
before = peak()
recording = Recording(sys.argv[2])
found = recording.find(Request(messages=(), example="49999", repeat=1))
assert (len(recording), recording.common_repeats, found.text) == (100_000, 2, "99999" * 80)
print(peak() - before)
"""


def test_a_hundred_thousand_rows_are_held_by_where_they_stand(write: Any, tmp_path: Path) -> None:
    """The file has 43 MB; a process that opens it and reads from it grows by a fraction of that."""
    path = tmp_path / "large.jsonl"
    with path.open("w") as file:
        for number in range(100_000):
            file.write(f'{{"id": "{number % 50_000}", "output": "{str(number) * 80}"}}\n')
    small = write({"id": "a", "output": "x"})
    done = subprocess.run([sys.executable, "-c", _LARGE, small, path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 25e6 < 40e6 < path.stat().st_size


def test_threads_share_a_recording(write: Any) -> None:
    path = write(*({"id": str(number), "output": str(number) * 50} for number in range(500)))
    recording, wrong = Recording(path), []

    def read(start: int) -> None:
        found = ((number, recording.find(asked(str(number))).text) for number in range(start, 500, 4))
        wrong.extend(number for number, text in found if text != str(number) * 50)

    threads = [threading.Thread(target=read, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_pool_opens_recordings_without_cache_budget_or_limits(write: Any) -> None:
    from proveout.models import Budget

    path = write({"id": "a", "output": "x"})
    spec = ModelSpec(provider="replay", name="gpt-4o, 3 March", options={"path": str(path)})

    async def main() -> Generation:
        budget = Budget(max_calls=0, max_cost_usd=0.0)
        async with ModelPool(budget=budget) as pool:
            generation = await pool.open(spec).generate(asked("a"))
        assert (budget.calls, budget.spent_usd) == (0, 0.0)
        return generation

    generation = run(main())
    assert (generation.text, generation.model, generation.cost_usd) == ("x", "gpt-4o, 3 March", 0.0)
