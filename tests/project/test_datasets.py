"""Datasets become examples; bad rows are all named; a version is the meaning's, not the file's."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proveout.project import (
    DatasetError,
    DatasetKind,
    DatasetRef,
    Example,
    dataset_version,
    read_examples,
    sample_clusters,
)
from proveout.project.datasets import input_text, stamp
from proveout.project.example_ids import Lines

Make = Callable[..., DatasetRef]
ROWS = [
    {"id": "1", "input": {"message": "Where is my card?"}, "expected": "card_arrival", "cluster": "c", "tags": ["de"]},
    {"id": "2", "input": {"message": "I lost my card"}, "expected": "lost_card"},
]


@pytest.fixture
def dataset(tmp_path: Path) -> Make:
    """A dataset's file of rows, or of a text as it stands."""

    def make(
        content: Sequence[Mapping[str, Any]] | str | bytes,
        name: str = "golden.jsonl",
        kind: DatasetKind = "golden",
        columns: Mapping[str, str] | None = None,
    ) -> DatasetRef:
        path = tmp_path / name
        if not isinstance(content, str | bytes):
            content = "".join(json.dumps(row) + "\n" for row in content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return DatasetRef(kind, path, columns or {})

    return make


def read(ref: DatasetRef, *inputs: str) -> list[Example]:
    return list(read_examples(ref, inputs or ("message",)))


def problems(ref: DatasetRef, *inputs: str) -> list[tuple[int | None, str, str]]:
    with pytest.raises(DatasetError) as caught:
        read(ref, *inputs)
    return [(problem.line, problem.field, problem.what) for problem in caught.value.problems]


# --- what a row may be


def test_rows_become_examples_in_order(dataset: Make) -> None:
    first, second = read(dataset(ROWS))
    assert first == Example("1", {"message": "Where is my card?"}, "card_arrival", "c", ("de",), "golden", 1)
    assert second == Example("2", {"message": "I lost my card"}, "lost_card", "2", (), "golden", 2)


def test_csv_means_the_same_as_jsonl(dataset: Make) -> None:
    text = "id,message,expected,cluster,tags\n1,Where is my card?,card_arrival,c,de\n2,I lost my card,lost_card,,\n"
    as_csv, as_jsonl = dataset(text, "golden.csv"), dataset(ROWS)
    assert [replaced_line(example) for example in read(as_csv)] == [
        replaced_line(example) for example in read(as_jsonl)
    ]
    assert dataset_version(as_csv, ("message",)) == dataset_version(as_jsonl, ("message",))


def replaced_line(example: Example) -> tuple[Any, ...]:
    return example.id, example.input, example.expected, example.cluster, example.tags, example.source


def test_one_input_may_stand_alone_and_several_stand_in_an_object(dataset: Make) -> None:
    assert read(dataset('{"input": "Hello", "expected": "x"}'))[0].input == {"message": "Hello"}
    assert read(dataset('{"input": {"a": [1], "b": {"c": null}}, "expected": "x"}'), "a", "b")[0].input == {
        "a": [1],
        "b": {"c": None},
    }
    nested = read(dataset('{"input": {"messages": [{"role": "user", "content": "x"}]}, "expected": 1}'), "messages")
    assert nested[0].input["messages"][0]["content"] == "x"


def test_numbers_serve_as_ids(dataset: Make) -> None:
    rows = [{"id": 7, "input": "a", "expected": 1, "cluster": 3}]
    assert (read(dataset(rows))[0].id, read(dataset(rows))[0].cluster) == ("7", "3")


def test_rows_without_ids_get_lasting_ones(dataset: Make) -> None:
    rows = [{"input": text, "expected": "x"} for text in ("a", "b", "a")]
    ids = [example.id for example in read(dataset(rows))]
    assert len(set(ids)) == 3
    assert ids[2] == f"{ids[0]}#2"
    assert [example.id for example in read(dataset(rows[1:] + rows[:1]))] == [ids[1], ids[0], f"{ids[0]}#2"]


def test_expected_may_be_null_or_absent_from_failures_only(dataset: Make) -> None:
    assert read(dataset('{"input": "a", "expected": null}'))[0].expected is None
    assert read(dataset('{"input": "a"}', kind="failures"))[0].expected is None
    assert read(dataset("message\na\n", "f.csv", kind="failures"))[0].expected is None
    assert problems(dataset('{"input": "a"}')) == [(1, "expected", "it is missing")]
    assert problems(dataset("message,expected\na,\n", "g.csv")) == [(2, "expected", "it is missing")]


def test_sources_tell_kinds_apart_in_one_file(dataset: Make) -> None:
    rows = [{"input": "a", "expected": 1, "source": "silver"}, {"input": "b", "expected": 1}]
    assert [example.source for example in read(dataset(rows, kind="failures"))] == ["silver", "failures"]


def test_another_text_as_source_says_where_an_example_comes_from_and_a_near_miss_is_a_problem(
    dataset: Make,
) -> None:
    rows = [{"input": text, "expected": 1, "source": text} for text in ("zendesk export", "banking77", "human", "Web")]
    assert {example.source for example in read(dataset(rows))} == {"golden"}
    for misspelt in ("Silver", "sliver", "gold", "failure"):
        found = problems(dataset([{"input": "a", "expected": 1, "source": misspelt}]))
        assert [(line, field) for line, field, _ in found] == [(1, "source")]


def test_columns_of_other_names(dataset: Make) -> None:
    text = "key,text,category\n9,Hello,greeting\n"
    for message in ("message", "input.message"):
        ref = dataset(text, "a.csv", columns={"id": "key", "expected": "category", message: "text"})
        assert replaced_line(read(ref)[0])[:3] == ("9", {"message": "Hello"}, "greeting")
    nested = dataset('{"q": {"text": "Hello"}, "a": "x"}', columns={"message": "q.text", "expected": "a"})
    assert (read(nested)[0].input, read(nested)[0].expected) == ({"message": "Hello"}, "x")


def test_own_fields_are_ignored(dataset: Make) -> None:
    assert read(dataset('{"input": "a", "expected": 1, "annotator": "Ann", "confidence": 0.9}'))


# --- what is wrong


def test_all_bad_rows_are_named_at_once(dataset: Make) -> None:
    content = "\n".join(
        [
            '{"id": "1", "input": {"message": "a"}, "expected": "x"}',
            "{broken",
            '{"id": "1", "input": {"message": "b"}, "expected": "x"}',
            '{"input": {"mesage": "b"}, "expected": "x"}',
            '{"input": 5, "expected": "x", "tags": "urgent"}',
            '{"input": null, "expected": "x", "cluster": ""}',
            '{"input": "a", "source": "gold", "expected": "x", "id": true}',
        ]
    )
    assert [(line, field) for line, field, _ in problems(dataset(content))] == [
        (2, ""),
        (3, "id"),
        (4, "input.message"),
        (5, "tags"),
        (6, "input"),
        (6, "cluster"),
        (7, "id"),
        (7, "source"),
    ]


def test_an_error_names_file_line_field_and_what_to_write(dataset: Make) -> None:
    ref = dataset(ROWS + ROWS)
    with pytest.raises(DatasetError) as caught:
        read(ref)
    assert str(caught.value).splitlines()[1] == (
        f"  {ref.path}:3: id: id '1' is on line 1 too. Give every example an id of its own, or leave ids out."
    )


def test_good_rows_are_handed_out_before_the_error(dataset: Make) -> None:
    examples = read_examples(dataset([ROWS[0], {}, ROWS[1]]), ("message",))
    assert [next(examples).id, next(examples).id] == ["1", "2"]
    with pytest.raises(DatasetError):
        next(examples)


def test_no_more_is_kept_than_a_person_reads_and_all_is_counted(dataset: Make) -> None:
    with pytest.raises(DatasetError, match=r"1000 problems(.|\n)*and 950 more") as caught:
        read(dataset("{}x\n" * 1000))
    assert (caught.value.total, len(caught.value.problems)) == (1000, 50)


@pytest.mark.parametrize(
    ("content", "name", "what"),
    [
        ("", "a.jsonl", "there are no examples in this file"),
        ("\n \n", "a.jsonl", "there are no examples in this file"),
        ("", "a.csv", "there are no examples in this file"),
        ("message,expected\n", "a.csv", "there are no examples in this file"),
        ("x", "a.txt", "files that end with .txt are not read"),
        ("text,expected\na,b\n", "a.csv", "there is no column 'message'"),
        ("message\na\n", "a.csv", "there is no column 'expected'"),
        ('{"input": "a", "expected": 1, "clusters": "c"}', "a.jsonl", "there is no such field"),
        ("message,expected,Cluster\na,b,c\n", "a.csv", "there is no such field"),
        ('{"input": "a", "expected": 1, "tags": [""]}', "a.jsonl", "it is a list"),
        ('{"input": ["a"], "expected": 1, "id": 1.5}', "a.jsonl", "it is 1.5"),
    ],
)
def test_what_can_not_be_used(dataset: Make, content: str, name: str, what: str) -> None:
    assert [said for _, _, said in problems(dataset(content, name))] == [what]


def test_missing_inputs_are_named_each(dataset: Make) -> None:
    assert problems(dataset('{"input": {"a": "x", "b": null}, "expected": 1}'), "a", "b", "c") == [
        (1, "input.b", "it is null"),
        (1, "input.c", "it is missing"),
    ]
    assert problems(dataset('{"input": "x", "expected": 1}'), "a", "b")[0] == (1, "input", "`input` is 'x'")


def test_a_wrong_columns_setting_is_named(dataset: Make) -> None:
    ref = dataset("text,expected\na,b\n", "a.csv", columns={"mesage": "text"})
    assert ("columns.mesage", "there is no such field") in [said[1:] for said in problems(ref)]
    missing = dataset("text,expected\na,b\n", "a.csv", columns={"message": "txt"})
    assert problems(missing) == [(1, "input.message", "there is no column 'txt'")]


def test_a_missing_or_unreadable_file_is_a_problem(tmp_path: Path) -> None:
    assert "No such file" in problems(DatasetRef("golden", tmp_path / "none.jsonl"))[0][2]
    assert "can't be read" in problems(DatasetRef("golden", tmp_path.with_suffix(".jsonl")))[0][2]


# --- the file changes


def test_a_change_while_reading_is_noticed(dataset: Make) -> None:
    ref = dataset(ROWS * 1 + [{"input": f"t{n}", "expected": 1} for n in range(50)])
    examples = read_examples(ref, ("message",))
    next(examples)
    with ref.path.open("a") as file:
        file.write('{"input": "late", "expected": 1}\n')
    with pytest.raises(DatasetError, match="changed while it was read"):
        list(examples)


def test_a_change_between_two_readings_is_noticed(dataset: Make) -> None:
    ref = dataset(ROWS)
    seen = stamp(ref)
    assert len(list(read_examples(ref, ("message",), seen))) == 2
    ref.path.rename(ref.path.with_suffix(".old"))
    dataset(ROWS[::-1])
    with pytest.raises(DatasetError, match="changed while it was read"):
        list(read_examples(ref, ("message",), seen))


# --- versions


def version(ref: DatasetRef) -> str:
    return dataset_version(ref, ("message",))


def test_the_same_meaning_has_the_same_version(dataset: Make) -> None:
    rows = [dict(row) for row in ROWS]
    first = version(dataset(rows))
    assert first == version(dataset(rows[::-1]))
    assert first == version(dataset([dict(reversed(row.items())) for row in rows]))
    assert first == version(dataset("\r\n\r\n".join(json.dumps(row, indent=None) for row in rows)))
    assert first == version(dataset([{**row, "tags": ["other"], "note": 1} for row in rows]))
    assert first == version(dataset([{**row, "input": row["input"]["message"]} for row in rows]))
    assert len(first) == 24


@pytest.mark.parametrize(
    "change",
    [
        {"input": {"message": "Where is my card"}},
        {"expected": "lost_card"},
        {"expected": ["card_arrival"]},
        {"cluster": "d"},
    ],
)
def test_another_meaning_has_another_version(dataset: Make, change: dict[str, Any]) -> None:
    assert version(dataset(ROWS)) != version(dataset([{**ROWS[0], **change}, ROWS[1]]))


def test_a_row_more_less_or_twice_has_another_version(dataset: Make) -> None:
    anonymous = [{"input": "a", "expected": 1}, {"input": "b", "expected": 1}]
    versions = {version(dataset(rows)) for rows in (anonymous, anonymous[:1], anonymous * 2, anonymous + anonymous[:1])}
    assert len(versions) == 4


def test_csv_numbers_are_text(dataset: Make) -> None:
    as_csv = version(dataset("message,expected\na,5\n", "a.csv"))
    assert as_csv == version(dataset([{"input": "a", "expected": "5"}]))
    assert as_csv != version(dataset([{"input": "a", "expected": 5}]))


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
        ),
        min_size=1,
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
def test_any_text_survives_both_formats_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], shuffler: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("both")
    table = io.StringIO(newline="")
    csv.writer(table).writerows([("message", "expected"), *rows])
    (folder / "a.csv").write_bytes(table.getvalue().encode())
    shuffled = shuffler.sample(rows, len(rows))
    lines = [
        json.dumps({"input": text, "expected": label}, ensure_ascii=shuffler.random() < 0.5) for text, label in shuffled
    ]
    (folder / "a.jsonl").write_bytes("\n".join(lines).encode())
    as_csv, as_jsonl = (DatasetRef("golden", folder / name) for name in ("a.csv", "a.jsonl"))
    assert [(example.input["message"], example.expected) for example in read(as_csv)] == rows
    assert version(as_csv) == version(as_jsonl)


# --- samples and ids


def test_samples_are_whole_clusters_and_seeded() -> None:
    sizes = {f"c{number}": number % 5 + 1 for number in range(100)}
    chosen = sample_clusters(sizes, 60, seed=3)
    assert 55 < sum(sizes[name] for name in chosen) <= 60
    assert chosen == sample_clusters(dict(reversed(sizes.items())), 60, seed=3)
    assert chosen != sample_clusters(sizes, 60, seed=4)


def test_every_cluster_is_as_likely_to_be_drawn() -> None:
    sizes = {f"c{number}": 1 for number in range(10)}
    counts = dict.fromkeys(sizes, 0)
    for seed in range(400):
        for name in sample_clusters(sizes, 3, seed):
            counts[name] += 1
    assert all(80 < count < 160 for count in counts.values())


def test_two_datasets_that_share_clusters_are_drawn_alike() -> None:
    """Silver labels sharpen people's only where both are: independent draws would share a quarter of these."""
    golden = {f"c{number}": 3 for number in range(180)}
    silver = {f"c{number}": 3 for number in range(240)}
    shared = sample_clusters(golden, 200, seed=0) & sample_clusters(silver, 200, seed=0)
    assert len(shared) > 40


def test_at_least_one_cluster_is_drawn() -> None:
    assert sample_clusters({"big": 1000}, 10, seed=0) == {"big"}
    assert sample_clusters({}, 10, seed=0) == frozenset()


def test_a_small_table_of_lines_agrees_with_a_dictionary() -> None:
    rng = random.Random(5)
    table, plain = Lines(), {}
    for line in range(1, 20_001):
        name = f"id-{rng.randrange(15_000)}"
        assert table.first(name, line) == plain.setdefault(name, line)


def test_an_inputs_text_holds_all_of_it() -> None:
    assert input_text(Example("1", {"a": "text", "b": {"y": 1, "x": [2]}}, None, "1")) == 'text\n{"x":[2],"y":1}'
