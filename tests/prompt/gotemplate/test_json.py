"""JSON as Go writes it; a test compares the table with Go where there is one."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bundler.prompt.foreign import Foreign, ranges
from bundler.prompt.gotemplate import json
from bundler.prompt.gotemplate.errors import FunctionError
from bundler.prompt.gotemplate.values import Byte, Map, Slice, Struct
from tests.prompt.gotemplate.go import reference
from tests.prompt.gotemplate.wire import spelled

CASES: list[tuple[Any, str]] = [
    (None, "null"),
    (True, "true"),
    (-5, "-5"),
    (Byte(7), "7"),
    (1.0, "1"),
    (-0.0, "-0"),
    (0.1, "0.1"),
    (1e20, "100000000000000000000"),
    (1e21, "1e+21"),
    (1e-6, "0.000001"),
    (1e-7, "1e-7"),
    (1.5e-10, "1.5e-10"),
    (2.0**53, "9007199254740992"),
    ("", '""'),
    ("héllo 🦙", '"héllo 🦙"'),
    ('"\\/\b\f\n\r\t\x01\x7f', '"\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7f"'),
    ("<a href='x'>&", '"\\u003ca href=\'x\'\\u003e\\u0026"'),
    ("\u2028\u2029", '"\\u2028\\u2029"'),
    ("a\udcffb", '"a\ufffdb"'),
    ([], "[]"),
    ([1, "a", None, [True]], '[1,"a",null,[true]]'),
    ({}, "{}"),
    ({"b": 1, "a": {"<": 2}, "Z": 3, "é": 4}, '{"Z":3,"a":{"\\u003c":2},"b":1,"é":4}'),
    (Slice("[]string", ["x"]), '["x"]'),
    (Slice("[]string", nil=True), "null"),
    (Slice("[]uint8", [Byte(255), Byte(0)]), '"/wA="'),
    (Map("main.Arguments", {"b": 1, "a": 2}), '{"a":2,"b":1}'),
    (Map("main.Arguments", nil=True), "null"),
    (Struct("main.Tool", {"Type": "t", "Items": 1, "Required": Slice("[]string", nil=True)}, "printed"),
     '{"Type":"t","Items":1,"Required":null}'),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), CASES)
def test_marshal(value: Any, expected: str) -> None:
    assert json.marshal(value) == expected


def test_the_table_is_go_s_own() -> None:
    answers = reference().ask({"call": "json", "operands": [spelled(value)]} for value, _ in CASES)
    assert [answer.output for answer in answers] == [expected for _, expected in CASES]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.inf, "json: unsupported value: +Inf"),
        ([{"a": math.nan}], "json: unsupported value: NaN"),
        (1j, "json: unsupported type: complex128"),
    ],
)
def test_what_has_no_json(value: Any, message: str) -> None:
    with pytest.raises(FunctionError) as refused:
        json.marshal(value)
    assert str(refused.value) == message


def test_a_value_has_a_bottom() -> None:
    value: Any = 1
    for _ in range(10_000):
        value = [value]
    with pytest.raises(FunctionError, match="nested more than 200 deep"):
        json.marshal(value)


def test_foreign_strings_stay_marked() -> None:
    text = json.marshal({"own": Foreign("<given>"), Foreign("key"): 1})
    assert text == '{"key":1,"own":"\\u003cgiven\\u003e"}'
    assert ranges(text) == ((1, 6), (15, 34))
