"""JSON that people write: its value, and where an error is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.errors import BundleError
from bundler.formats.jsontext import JsonText, path_of

TEXT = """{
 "messages": [{"role": "user"},
   {"role" : "robot", "content" : [1, {"a": "}"} , "x"]}],
 "a": 1, "a": 2
}"""


def error(data: bytes) -> str:
    with pytest.raises(BundleError) as caught:
        JsonText(data, "chat.json").value()
    return str(caught.value)


def test_a_value() -> None:
    assert JsonText(b'\xef\xbb\xbf{"a": ["\xc3\xa9", 1.5, null]}', "chat.json").value() == {"a": ["é", 1.5, None]}


FAULTS = [
    (b"", "failed to read chat.json:1:1: it is no JSON: expecting value\n\n  ^"),
    (
        b'{"a": 1,\n "b" 2}',
        "failed to read chat.json:2:6: it is no JSON: expecting ':' delimiter\n   \"b\" 2}\n       ^",
    ),
    (b"[1,\r\n2,]", "failed to read chat.json:2:3: it is no JSON: expecting value\n  2,]\n    ^"),
    (b"[1] 2", "failed to read chat.json:1:5: it is no JSON: extra data\n  [1] 2\n      ^"),
    (b"[NaN]", "failed to read chat.json:1:2: it is no JSON: NaN is no number there\n  [NaN]\n   ^"),
    (b"[\n\xff]", "failed to read chat.json:2: it is no UTF-8 text"),
    (b"[" * 100_000, "failed to read chat.json: it is nested too deeply"),
]


@pytest.mark.parametrize(("data", "message"), FAULTS)
def test_what_is_no_json(data: bytes, message: str) -> None:
    assert error(data) == message


def test_a_file_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bundler.formats.jsontext.MAX_SIZE", 4)
    assert error(b"[1, 2]") == "failed to read chat.json: it is larger than 0 MiB"


@pytest.mark.parametrize(
    ("place", "line", "column"),
    [
        ("", 1, 1),
        ("messages", 2, 14),
        ("messages[0]", 2, 15),
        ("messages[1].role", 3, 14),
        ("messages[1].content[1].a", 3, 45),
        ("messages[1].content[2]", 3, 52),
        ("messages[1].name", 3, 4),
        ("messages[7]", 2, 14),
        ("messages.role", 2, 14),
        ("a", 4, 15),
    ],
)
def test_where_a_part_of_the_value_stands(place: str, line: int, column: int) -> None:
    with pytest.raises(BundleError) as caught:
        JsonText(TEXT.encode(), "chat.json").fail(path_of(place), "it is wrong", "mend it")
    assert str(caught.value).startswith(f"failed to read chat.json:{line}:{column}: it is wrong\n")
    assert caught.value.hint == "mend it"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(VALUES, st.sampled_from([None, 0, 1, "\t"]), st.data())
def test_any_part_is_found(value: Any, indent: int | str | None, data: st.DataObject) -> None:
    path: list[str | int] = []
    part = value
    while part and isinstance(part, dict | list) and data.draw(st.booleans()):
        step = data.draw(st.sampled_from(sorted(part) if isinstance(part, dict) else range(len(part))))
        path.append(step)
        part = part[step]
    text = json.dumps(value, indent=indent)
    document = JsonText(text.encode(), "chat.json")
    with pytest.raises(BundleError) as caught:
        document.fail(path, "here")
    line, column = map(int, str(caught.value).split(":")[1:3])
    start = sum(len(each) + 1 for each in text.split("\n")[: line - 1]) + column - 1
    assert json.JSONDecoder().raw_decode(text, start)[0] == part
