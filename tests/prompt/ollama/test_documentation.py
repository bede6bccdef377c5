"""docs/templates.md names what a Go template can use."""

from __future__ import annotations

from pathlib import Path

import pytest

import bundler
from bundler.prompt.gotemplate import limits
from bundler.prompt.gotemplate.builtins import BUILTINS
from bundler.prompt.ollama.functions import FUNCTIONS
from bundler.prompt.ollama.record import TAGS

DOCUMENT = Path(bundler.__file__).parents[1] / "docs" / "templates.md"


@pytest.fixture(scope="module")
def text() -> str:
    if not DOCUMENT.exists():
        pytest.skip("the documents are in a checkout only")
    return DOCUMENT.read_text(encoding="utf-8")


def test_every_function_is_named(text: str) -> None:
    named = {word.split()[0] for word in text.split("`")[1::2] if word}
    assert named >= {*BUILTINS, *FUNCTIONS}


def test_every_field_is_named(text: str) -> None:
    fields = {field for fields in TAGS.values() for field in fields}
    assert {field for field in fields if f".{field}" not in text} == set()


def test_limits_are_those_of_the_engine(text: str) -> None:
    assert (limits.STEPS, limits.CHARACTERS, limits.NESTING) == (1_000_000, 64 << 20, 64)
    assert (
        "a million steps and write 64 million\ncharacters, both more the longer the messages are, and nest 64 levels"
        in text
    )
