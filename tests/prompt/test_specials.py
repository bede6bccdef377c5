"""Spellings of control tokens in text, and the proof that foreign text makes none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.prompt.specials import Specials

CHATML = Specials(["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<s>", "[INST]"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("Hello <|im_star", []),
        ("<s>", [(0, 3)]),
        ("a<s>b<s>", [(1, 4), (5, 8)]),
        ("<<|im_end|>>", [(1, 11)]),
        ("[INST][INST", [(0, 6)]),
    ],
)
def test_occurrences(text: str, expected: list[tuple[int, int]]) -> None:
    assert CHATML.occurrences(text) == expected


def test_occurrences_may_lie_within_one_another() -> None:
    assert Specials(["<a><b>", "<a>", "<b>"]).occurrences("<a><b>") == [(0, 6), (0, 3), (3, 6)]


def test_without_spellings_nothing_occurs() -> None:
    none = Specials(["", ""])
    assert none.occurrences("<s>") == []
    assert none.cannot_occur([{"role": "<s>", "content": "<s>"}])


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("plain words", [{"role": "user", "content": "Why is the sky blue?"}], True),
        ("the role is the template's", [{"role": "user", "content": "x > y, really"}], True),
        ("numbers, truth and nothing", {"count": 1, "on": True, "off": None}, True),
        ("a beginning", [{"role": "user", "content": "a < b"}], False),
        ("another beginning", [{"role": "user", "content": "a[0]"}], False),
        ("an end", [{"role": "user", "content": "_start|> and more"}], False),
        ("an end behind white space", [{"role": "user", "content": " \n|>"}], False),
        ("a middle", [{"role": "user", "content": "im_start"}], False),
        ("an unknown role", [{"role": "im_end", "content": "Hello"}], False),
        ("a key", {"parameters": {"properties": {"im_end": {"type": "object"}}}}, False),
        ("in a list in an object", [{"role": "tool", "content": [{"type": "text", "text": "<s>"}]}], False),
        ("in arguments", [{"role": "assistant", "tool_calls": [{"function": {"arguments": {"x": "<"}}}]}], False),
    ],
)
def test_proof(name: str, values: Any, expected: bool) -> None:
    assert CHATML.cannot_occur(values) is expected, name


def test_values_nested_without_end_are_not_proven_harmless() -> None:
    nested: list[Any] = []
    nested.append(nested)
    assert not CHATML.cannot_occur(nested)


SPELLINGS = st.lists(st.text("<|>ab", min_size=1, max_size=5), min_size=1, max_size=4)


@given(SPELLINGS, st.text("<|>ab ", max_size=6), st.text("<|>ab ", max_size=6), st.text("<|>ab ", max_size=6))
def test_the_proof_holds_around_any_text_of_a_template(
    spellings: list[str], before: str, value: str, after: str
) -> None:
    specials = Specials(spellings)
    if not specials.cannot_occur([{"role": "user", "content": value}]):
        return
    for shown in (value, value.strip(), value.lstrip(), value.rstrip()):
        foreign = range(len(before), len(before) + len(shown))
        for start, end in specials.occurrences(before + shown + after):
            assert not set(range(start, end)) & set(foreign), (start, end)
