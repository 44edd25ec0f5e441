from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proveout.models.tiny.text import TextStream

STOPS = st.lists(st.text("ab\né", min_size=1, max_size=4), max_size=3)


@st.composite
def cut_up(draw) -> tuple[str, list[bytes]]:
    text = draw(st.text("ab\né", max_size=30))
    data = text.encode()
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return text, [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@given(cut_up(), STOPS)
def test_what_is_given_out_is_the_text_before_the_first_stop_string(case: tuple[str, list[bytes]], stops: list[str]):
    text, chunks = case
    stream = TextStream(stops)
    given_out = ""
    for chunk in chunks:
        given_out += stream.push(chunk)
        if stream.stopped:
            break
    given_out += stream.finish()

    # A stop string ends the answer as soon as it is complete: of several, the one that is complete first.
    ends = [end for end in range(len(text) + 1) if any(text[:end].endswith(stop) for stop in stops)]
    assert stream.stopped == bool(ends)
    if not ends:
        assert given_out == text
    else:
        assert text.startswith(given_out)
        assert not any(stop in given_out for stop in stops)
        assert any(text[len(given_out) :].startswith(stop) for stop in stops)


@given(cut_up(), STOPS)
def test_nothing_given_out_is_ever_taken_back(case: tuple[str, list[bytes]], stops: list[str]):
    text, chunks = case
    stream = TextStream(stops)
    for chunk in chunks:
        part = stream.push(chunk)
        assert "\ufffd" not in part
        if stream.stopped:
            return
    assert text.endswith(stream.finish())


def test_bytes_that_are_no_text_become_replacement_characters():
    stream = TextStream()
    assert stream.push(b"a\xc3") == "a"
    assert stream.finish() == "\ufffd"
