from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.runtime.stops import StopFilter

CASES = [
    # pieces, stops, shown, stopped
    (["Hello", " world"], [], "Hello world", False),
    (["Hello STOP more"], ["STOP"], "Hello ", True),
    (["Hel", "lo S", "T", "OP", " more"], ["STOP"], "Hello ", True),
    (["a S", "TO", "X b"], ["STOP"], "a STOX b", False),
    (["one<|im_", "end|>two"], ["<|im_end|>", "\n\n"], "one", True),
    (["STOP"], ["STOP"], "", True),
    (["ends with ST"], ["STOP"], "ends with ST", False),
    (["abc"], ["abc", "b"], "a", True),
    (["aab"], ["ab"], "a", True),
    (["text"], [""], "text", False),
    (["ü", "ber"], ["b"], "ü", True),
]


def shown(pieces: list[str], stops: list[str]) -> tuple[str, bool]:
    stop_filter = StopFilter(stops)
    text = "".join([stop_filter.push(piece) for piece in pieces])
    return text + stop_filter.finish(), stop_filter.stopped


@pytest.mark.parametrize(("pieces", "stops", "text", "stopped"), CASES)
def test_text_ends_before_the_stop_string(pieces: list[str], stops: list[str], text: str, stopped: bool) -> None:
    assert shown(pieces, stops) == (text, stopped)
    assert shown(list("".join(pieces)), stops) == (text, stopped)


@given(st.text("ab<|", max_size=40), st.lists(st.text("ab<|", min_size=1, max_size=4), max_size=3), st.data())
def test_the_cut_into_pieces_does_not_matter(text: str, stops: list[str], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    end, stopped = shown([text[:at], text[at:]], stops)
    assert (end, stopped) == shown(list(text), stops)
    assert not any(stop in end for stop in stops)
    assert text.startswith(end)
    assert stopped or end == text


def test_nothing_comes_after_a_stop_string() -> None:
    stop_filter = StopFilter(["."])
    assert stop_filter.push("One.") == "One"
    assert stop_filter.push("Two") == ""
    assert stop_filter.finish() == ""
