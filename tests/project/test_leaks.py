"""A leak is found on both sides, by file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proveout.project import find_leaks

SERVICE = "services/triage"
QUESTION = "Where is the card that you sent me last week?"
NEAR = "Where is the card that you sent to me last week?"
OTHER = ["My PIN is blocked and nothing works", "Somebody has stolen my whole wallet", "I paid twice for one taxi ride"]


def rows(*texts: str) -> str:
    return "".join(json.dumps({"input": {"message": text}, "expected": "lost_card"}) + "\n" for text in texts)


@pytest.fixture
def clean(repository: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The sample with datasets that have nothing in common."""
    repository.write(f"{SERVICE}/datasets/golden.jsonl", rows(OTHER[0], QUESTION))
    repository.write(f"{SERVICE}/datasets/silver.jsonl", rows(*OTHER[1:]))
    monkeypatch.chdir(repository.root)
    return repository


def leaks(repository: Any) -> list[str]:
    return [str(leak) for leak in find_leaks(repository.load().services["triage"])]


def test_separate_data_has_no_leak(clean: Any) -> None:
    assert leaks(clean) == []


def test_a_repeated_input_is_named_on_both_sides(clean: Any) -> None:
    clean.write(f"{SERVICE}/datasets/silver.jsonl", rows(*OTHER[1:], QUESTION.upper() + "!!"))
    assert leaks(clean) == [
        f"{SERVICE}/datasets/silver.jsonl:3 repeats the input of {SERVICE}/datasets/golden.jsonl:2",
    ]


def test_a_golden_example_labelled_again_as_silver_is_no_leak(clean: Any) -> None:
    same, other = ({"id": name, "input": {"message": QUESTION}, "expected": "lost_card"} for name in ("q1", "q2"))
    clean.write(f"{SERVICE}/datasets/golden.jsonl", json.dumps(same) + "\n")
    clean.write(f"{SERVICE}/datasets/silver.jsonl", json.dumps(same) + "\n")
    assert leaks(clean) == []
    clean.write(f"{SERVICE}/datasets/silver.jsonl", json.dumps(other) + "\n")
    assert len(leaks(clean)) == 1


def test_a_near_duplicate_is_named_with_its_likeness(clean: Any) -> None:
    clean.write(f"{SERVICE}/datasets/silver.jsonl", rows(NEAR))
    assert leaks(clean) == [
        f"{SERVICE}/datasets/silver.jsonl:1 repeats an input 85% like that of {SERVICE}/datasets/golden.jsonl:2",
    ]


def test_failures_are_compared_with_both(clean: Any) -> None:
    clean.write(f"{SERVICE}/datasets/failures.jsonl", rows(OTHER[0], OTHER[1]))
    clean.replace(f"{SERVICE}/service.yaml", "silver: ", "failures: datasets/failures.jsonl, silver: ")
    found = leaks(clean)
    assert [leak.rpartition(" ")[2] for leak in found] == [
        f"{SERVICE}/datasets/golden.jsonl:1",
        f"{SERVICE}/datasets/silver.jsonl:1",
    ]


def test_a_worked_example_in_a_variant_is_named(clean: Any) -> None:
    with (clean.root / f"{SERVICE}/variants/haiku.yaml").open("a") as file:
        file.write("examples:\n  - {input: Hello there, output: x}\n")
        file.write(f"  - {{input: '{NEAR}', output: lost_card}}\n")
    line = (clean.root / f"{SERVICE}/variants/haiku.yaml").read_text().count("\n")
    assert leaks(clean) == [
        f"{SERVICE}/variants/haiku.yaml:{line} shows the model an input 85% like that of "
        f"{SERVICE}/datasets/golden.jsonl:2"
    ]


def test_a_worked_example_in_a_file_is_named_once_for_all_variants(clean: Any) -> None:
    shown = [{"input": "Hello there", "output": "x"}, {"input": QUESTION, "output": "lost_card"}]
    clean.write(f"{SERVICE}/shots.jsonl", "\n\n".join(map(json.dumps, shown)))
    for name in ("base", "haiku"):
        with (clean.root / f"{SERVICE}/variants/{name}.yaml").open("a") as file:
            file.write("examples: shots.jsonl\n")
    assert leaks(clean) == [
        f"{SERVICE}/shots.jsonl:3 shows the model the input of {SERVICE}/datasets/golden.jsonl:2",
    ]


@pytest.mark.parametrize(
    "line",
    [
        QUESTION,
        f"Message: {QUESTION}",
        f'- "{QUESTION.lower()}" means lost_card',
        f"Some say {QUESTION} and mean lost_card, so look twice before you answer anything at all.",
        f"Message: {NEAR}",
        f"- `{NEAR}` is lost_card, and so is what sounds like it, except where the customer speaks of another bank.",
    ],
)
def test_an_input_in_a_prompt_is_named(clean: Any, line: str) -> None:
    path = f"{SERVICE}/prompts/triage.md"
    text = (clean.root / path).read_text()
    clean.write(path, text + f"\n{line}\n")
    (found,) = leaks(clean)
    assert found.startswith(f"{path}:{len(text.splitlines()) + 2} shows the model ")
    assert found.endswith(f" of {SERVICE}/datasets/golden.jsonl:2")


def test_an_input_in_an_included_template_is_named(clean: Any) -> None:
    clean.write(f"{SERVICE}/prompts/shots.md", f"Such as:\n{QUESTION}\n")
    path = f"{SERVICE}/prompts/triage.md"
    clean.write(path, (clean.root / path).read_text() + "\n{% include 'prompts/shots.md' %}\n")
    assert leaks(clean) == [
        f"{SERVICE}/prompts/shots.md:2 shows the model the input of {SERVICE}/datasets/golden.jsonl:2",
    ]


def test_short_inputs_are_not_looked_for_in_prompts(clean: Any) -> None:
    clean.write(f"{SERVICE}/datasets/golden.jsonl", rows("intent", "message"))
    assert leaks(clean) == []


def test_a_list_of_choices_is_no_quotation(clean: Any) -> None:
    clean.write(f"{SERVICE}/datasets/golden.jsonl", rows("Card arrival, lost card", "Card lost? Card pin blocked!"))
    path = f"{SERVICE}/prompts/triage.md"
    clean.write(path, (clean.root / path).read_text() + "\nlost_card, card_arrival, lost_card, pin_blocked\n")
    assert leaks(clean) == []


def test_many_leaks_are_listed_in_part_and_counted(clean: Any) -> None:
    texts = [f"question {number} {'abcdefghij'[number % 10] * 9} {number * 7919}" for number in range(100)]
    for name in ("golden", "silver"):
        clean.write(f"{SERVICE}/datasets/{name}.jsonl", rows(*texts))
    found = leaks(clean)
    assert len(found) == 20
    assert found[-1].endswith(", and 80 more between these two files")
    assert not any("more between" in leak for leak in found[:-1])


def test_rows_of_one_dataset_are_clusters_not_leaks(clean: Any) -> None:
    clean.write(f"{SERVICE}/datasets/golden.jsonl", rows(QUESTION, QUESTION, NEAR))
    assert leaks(clean) == []


def test_places_are_told_from_the_projects_folder_on_wherever_one_stands(
    clean: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean.write(f"{SERVICE}/datasets/silver.jsonl", rows(QUESTION))
    monkeypatch.chdir(Path("/"))
    assert leaks(clean)[0].startswith(f"{SERVICE}/datasets/silver.jsonl:1 ")
