from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter, defaultdict

from proveout.models.tiny.instructions import CAREFUL, EVERYDAY, FORMS, Habit, Instruction, answer
from proveout.models.tiny.tickets import (
    INTENTS,
    SILVER_NOISE,
    endless,
    golden,
    keyword_ticket,
    phrasings,
    silver,
    write_ticket,
)


def test_the_same_seed_writes_the_same_rows_and_another_seed_others():
    assert golden(100, 7) == golden(100, 7)
    assert [row["input"] for row in golden(100, 7)] != [row["input"] for row in golden(100, 8)]
    assert silver(50, 7) == silver(50, 7)


def test_golden_rows_are_what_a_dataset_file_holds():
    rows = golden(480, 20)

    assert json.loads(json.dumps(rows)) == rows
    assert len({row["id"] for row in rows}) == 480
    assert {row["expected"] for row in rows} == set(INTENTS)
    assert all(set(row) == {"id", "input", "expected", "cluster", "tags"} for row in rows)


def test_a_cluster_is_one_phrasing_with_one_answer():
    clusters = defaultdict(list)
    for row in golden(480, 20):
        clusters[row["cluster"]].append(row)

    assert len(clusters) == len(phrasings()) == 240
    assert all(len({row["expected"] for row in rows}) == 1 for rows in clusters.values())
    assert all(len(rows) == 2 for rows in clusters.values())


def test_no_ticket_is_written_twice():
    people = golden(2400, 20)
    assert len({row["input"]["message"].lower().rstrip(".!?") for row in people}) == len(people)


def test_silver_tickets_are_in_phrasings_that_nobody_labelled():
    people = golden(540, 7, per_cluster=3)
    added = silver(180, 7, beside=people)[540:]
    assert len({row["cluster"] for row in people}) == 180
    assert len({row["cluster"] for row in added}) == 60
    assert not {row["cluster"] for row in people} & {row["cluster"] for row in added}


def test_tags_tell_what_is_hard_about_a_ticket():
    tags = Counter(tag for row in golden(2400, 1) for tag in row["tags"])

    assert tags["trained"] == 1400
    assert tags["new"] == 600
    assert tags["unseen"] == 400
    assert tags["held_out"] == tags["new"] + tags["unseen"]
    assert all(tags[tag] > 240 for tag in ("mixed", "urgent", "typo"))


def test_no_held_out_phrasing_occurs_twice_or_in_training():
    texts = [phrasing.text for phrasing in phrasings()]
    assert len(set(texts)) == len(texts)

    held_out = {phrasing.key for phrasing in phrasings("new", "unseen")}
    tickets = endless(random.Random(3), "trained")
    assert not held_out & {next(tickets).phrasing.key for _ in range(2000)}


def test_every_intent_is_drawn_equally_often():
    tickets = endless(random.Random(4))
    counts = Counter(next(tickets).intent for _ in range(10_000))
    assert all(900 < counts[intent] < 1100 for intent in INTENTS)


def test_silver_labels_are_wrong_at_the_stated_rate_and_keep_golden_ids():
    people = golden(2000, 5)
    labelled = silver(500, 6, beside=people)

    assert [row["id"] for row in labelled[:2000]] == [row["id"] for row in people]
    assert [row["input"] for row in labelled[:2000]] == [row["input"] for row in people]
    wrong = sum(one["expected"] != other["expected"] for one, other in zip(labelled[:2000], people, strict=True))
    assert abs(wrong / 2000 - SILVER_NOISE) < 0.02
    assert {row["expected"] for row in labelled} <= set(INTENTS)
    assert len({row["id"] for row in labelled}) == 2500


def test_priority_can_be_expected_too():
    for row in golden(200, 9, priority=True):
        assert row["expected"]["intent"] in INTENTS
        assert row["expected"]["priority"] == ("high" if "urgent" in row["tags"] else "normal")


def test_an_instruction_decides_the_answer_and_a_habit_fills_what_it_leaves_open():
    source = random.Random(1)
    ticket = next(
        ticket
        for ticket in (write_ticket(phrasings()[0], source) for _ in range(1000))
        if ticket.second in EVERYDAY and ticket.urgent
    )
    careless = Habit(everyday=True, last=True)

    assert answer(ticket, Instruction("word"), careless) == "refund"
    assert answer(ticket, Instruction("json")) == '{"intent": "refund"}'
    assert answer(ticket, Instruction("json_priority")) == '{"intent": "refund", "priority": "high"}'
    assert answer(ticket, Instruction("word", labels=False), careless) == "money"
    assert answer(ticket, Instruction("word", first=False), careless) == ticket.second
    assert answer(ticket, Instruction("word", labels=False, first=False), CAREFUL) == "refund"


def test_instructions_are_worded_in_several_ways_but_always_say_the_form():
    source = random.Random(2)
    for form in FORMS:
        wordings = {Instruction(form).text(source) for _ in range(50)}
        assert len(wordings) > 5
        assert all("JSON" in wording for wording in wordings) == (form != "word")


def test_keyword_tickets_spell_no_phrasing():
    source = random.Random(5)
    texts = {phrasing.text for phrasing in phrasings()}
    assert not texts & {keyword_ticket(source).phrasing.text for _ in range(3000)}


def test_the_generator_needs_nothing_but_the_standard_library():
    program = (
        "import sys; from proveout.models.tiny import tickets; tickets.golden(5, 1);"
        "print([name for name in ('numpy', 'msgspec', 'pydantic', 'orjson') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
