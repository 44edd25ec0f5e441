from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from proveout.models.tiny.engine import BLOCK, SPAN, Cache, load_engine, padded, span
from proveout.models.tiny.model import load_tokenizer

REFERENCE = Path(__file__).parent / "reference.npz"
MAX_ANSWER = 24


def read_reference() -> tuple[list[list[int]], list[list[int]]]:
    stored = np.load(REFERENCE)

    def split(name: str, lengths: str) -> list[list[int]]:
        return [part.tolist() for part in np.split(stored[name].astype(int), np.cumsum(stored[lengths])[:-1])]

    return split("prompts", "prompt_lengths"), split("answers", "answer_lengths")


PROMPTS, ANSWERS = read_reference()


def greedy_alone(prompt: list[int], most: int = MAX_ANSWER) -> list[int]:
    engine = load_engine("f16")
    cache = Cache(engine.config, 1)
    answer: list[int] = []
    logits = engine.prefill(cache, [0], [prompt])
    while len(answer) < most and (token := int(logits[0].argmax())) != load_tokenizer().end:
        length = len(prompt) + len(answer)
        answer.append(token)
        logits = engine.decode(cache, slice(0, 1), np.array([token]), np.array([length]))
    return answer


def test_greedy_answers_are_pytorchs_token_for_token_on_400_prompts():
    assert len(PROMPTS) == 400
    assert len({tuple(prompt) for prompt in PROMPTS}) > 390
    different = [number for number, prompt in enumerate(PROMPTS) if greedy_alone(prompt) != ANSWERS[number]]
    assert different == []


def test_a_sequences_logits_are_bit_for_bit_the_same_in_every_company():
    engine = load_engine("f16")
    source = random.Random(0)
    prompt = PROMPTS[1]
    similar = [other for other in PROMPTS if padded(len(other), BLOCK) == padded(len(prompt), BLOCK)]
    seen = set()
    for size in (1, 2, 3, 7, 8, 9, 16, 23):
        cache = Cache(engine.config, 32)
        place = source.randrange(size)
        prompts = source.choices(similar, k=size)
        prompts[place] = prompt
        slots = source.sample(range(32), size)
        logits = engine.prefill(cache, slots, prompts)
        tokens = logits.argmax(axis=-1)
        lengths = np.array([len(one) for one in prompts])
        keep = [row for row in range(size) if span(lengths[row]) == span(len(prompt))]
        further = engine.decode(cache, np.array(slots)[keep], tokens[keep], lengths[keep])
        seen.add((logits[place].tobytes(), further[keep.index(place)].tobytes()))
    assert len(seen) == 1


def test_reading_a_prompt_at_once_and_token_by_token_agree():
    engine = load_engine("f16")
    for prompt in PROMPTS[:20]:
        whole = engine.prefill(Cache(engine.config, 1), [0], [prompt])
        cache = Cache(engine.config, 1)
        logits = engine.prefill(cache, [0], [prompt[:1]])
        for position in range(1, len(prompt)):
            logits = engine.decode(cache, slice(0, 1), np.array([prompt[position]]), np.array([position]))
        np.testing.assert_allclose(logits, whole, rtol=1e-3, atol=1e-3)


def test_a_slot_that_was_used_before_leaves_no_trace():
    engine = load_engine("f16")
    cache = Cache(engine.config, 1)
    longest = max(PROMPTS, key=len)
    engine.prefill(cache, [0], [longest])
    again = engine.prefill(cache, [0], [PROMPTS[0]])
    fresh = engine.prefill(Cache(engine.config, 1), [0], [PROMPTS[0]])
    assert np.array_equal(again, fresh)


def test_a_moved_sequence_goes_on_as_before():
    engine = load_engine("f16")
    cache = Cache(engine.config, 3)
    logits = engine.prefill(cache, [2], [PROMPTS[0]])
    token, length = logits.argmax(axis=-1), np.array([len(PROMPTS[0])])
    expected = engine.decode(cache, np.array([2]), token, length)
    cache.move(2, 0, len(PROMPTS[0]))
    assert np.array_equal(engine.decode(cache, np.array([0]), token, length), expected)


@pytest.mark.parametrize("length", [1, SPAN - 1, SPAN, SPAN + 1, 511, 512])
def test_prompts_of_every_length_up_to_the_context_are_read(length: int):
    engine = load_engine("f16")
    logits = engine.prefill(Cache(engine.config, 1), [0], [(PROMPTS[0] * 20)[:length]])
    assert logits.shape == (1, engine.config.vocabulary)
    assert np.isfinite(logits).all()
