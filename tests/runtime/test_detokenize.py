from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bundler.runtime.detokenize import Detokenizer
from tests.runtime.fake_engine import END, ByteVocabulary


def pushed(data: bytes) -> list[str]:
    detokenizer = Detokenizer(ByteVocabulary().piece)
    return [detokenizer.push(byte) for byte in data]


def test_a_character_comes_when_its_last_byte_does() -> None:
    assert pushed("aä🦙".encode()) == ["a", "", "ä", "", "", "", "🦙"]


def test_a_character_that_is_cut_off_is_dropped() -> None:
    assert "".join(pushed("ja 🦙".encode()[:-1])) == "ja "


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    assert "".join(pushed(b"a\xffb")) == "a\ufffdb"


def test_control_tokens_are_not_shown() -> None:
    assert Detokenizer(ByteVocabulary().piece).push(END) == ""


@given(st.text())
def test_any_text_comes_out_whole(text: str) -> None:
    assert "".join(pushed(text.encode())) == text
