"""Which values can be compared, and how they compare."""

from __future__ import annotations

import pytest

from bundler.prompt.gotemplate import compare
from bundler.prompt.gotemplate.errors import ExecutionError, FunctionError
from bundler.prompt.gotemplate.template import parse
from bundler.prompt.gotemplate.values import Map, Slice, Struct

DATA = {"List": [1], "Map": {"a": "b"}, "One": "1", "Float": 1.0}
OPERANDS = (
    "1",
    "2",
    "1.0",
    "`1`",
    "true",
    "nil",
    "'a'",
    "1i",
    ".List",
    ".Map",
    ".No",
    ".One",
    ".Float",
    "(index `a` 0)",
)
GRIDS = {
    "eq": (
        "tf!!!ff!!!f!!f ft!!!ff!!!f!!f !!t!!f!!!!f!t! !!!t!f!!!!ft!! !!!!tf!!!!f!!! ffffftfffftfff ff!!!ft!!!f!!t "
        "!!!!!f!t!!f!!! !!!!!f!!!!f!!! !!!!!f!!!!f!!! ffffftfffftfff !!!t!f!!!!ft!! !!t!!f!!!!f!t! ff!!!ft!!!f!!t"
    ),
    "ne": (
        "ft!!!tt!!!t!!t tf!!!tt!!!t!!t !!f!!t!!!!t!f! !!!f!t!!!!tf!! !!!!ft!!!!t!!! tttttfttttfttt tt!!!tf!!!t!!f "
        "!!!!!t!f!!t!!! !!!!!t!!!!t!!! !!!!!t!!!!t!!! tttttfttttfttt !!!f!t!!!!tf!! !!f!!t!!!!t!f! tt!!!tf!!!t!!f"
    ),
    "lt": (
        "ft!!!!t!!!!!!t ff!!!!t!!!!!!t !!f!!!!!!!!!f! !!!f!!!!!!!f!! !!!!!!!!!!!!!! !!!!!!!!!!!!!! ff!!!!f!!!!!!f "
        "!!!!!!!!!!!!!! !!!!!!!!!!!!!! !!!!!!!!!!!!!! !!!!!!!!!!!!!! !!!f!!!!!!!f!! !!f!!!!!!!!!f! ff!!!!f!!!!!!f"
    ),
    "le": (
        "tt!!!!t!!!!!!t ft!!!!t!!!!!!t !!t!!!!!!!!!t! !!!t!!!!!!!t!! !!!!!!!!!!!!!! !!!!!!!!!!!!!! ff!!!!t!!!!!!t "
        "!!!!!!!!!!!!!! !!!!!!!!!!!!!! !!!!!!!!!!!!!! !!!!!!!!!!!!!! !!!t!!!!!!!t!! !!t!!!!!!!!!t! ff!!!!t!!!!!!t"
    ),
    "gt": (
        "ff!!!!f!!!!!!f tf!!!!f!!!!!!f !!f!!!!!!!!!f! !!!f!!!!!!!f!! !!!!!!!!!!!!!! !!!!!!!!!!!!!! tt!!!!f!!!!!!f "
        "!!!!!!!!!!!!!! !!!!!!!!!!!!!! !!!!!!!!!!!!!! !!!!!!!!!!!!!! !!!f!!!!!!!f!! !!f!!!!!!!!!f! tt!!!!f!!!!!!f"
    ),
    "ge": (
        "tf!!!!f!!!!!!f tt!!!!f!!!!!!f !!t!!!!!!!!!t! !!!t!!!!!!!t!! !!!!!!!!!!!!!! !!!!!!!!!!!!!! tt!!!!t!!!!!!t "
        "!!!!!!!!!!!!!! !!!!!!!!!!!!!! !!!!!!!!!!!!!! !!!!!!!!!!!!!! !!!t!!!!!!!t!! !!t!!!!!!!!!t! tt!!!!t!!!!!!t"
    ),
}
"""By function: a row for each operand on the left, a letter for each on the right; `!` where Go refuses."""


@pytest.mark.parametrize("name", GRIDS)
def test_every_pair(name: str) -> None:
    rows = ["".join(outcome(f"{{{{{name} {left} {right}}}}}") for right in OPERANDS) for left in OPERANDS]
    assert rows == GRIDS[name].split()


def outcome(text: str) -> str:
    try:
        return parse(text).execute(DATA)[0]
    except ExecutionError:
        return "!"


def test_structs() -> None:
    user, again, other = (Struct("Message", {"Role": role, "Age": 1}) for role in ("user", "user", "tool"))
    assert compare.equal(user, again)
    assert compare.equal(user, other, again)
    assert compare.unequal(user, other)
    assert not compare.equal(user, Struct("Turn", {"Role": "user", "Age": 1}))
    with pytest.raises(FunctionError, match=r"^non-comparable type \{\[\]\}: Message$"):
        compare.equal(user, Struct("Message", {"Tags": []}))


def test_nil_slices_and_maps() -> None:
    assert compare.equal(Slice("[]string", nil=True), None)
    assert not compare.equal(Slice("[]string"), None)
    assert compare.equal(None, Map("map[string]int", nil=True))
    with pytest.raises(FunctionError, match=r"^non-comparable types \[\]: \[\]string, map\[string\]int: map\[\]$"):
        compare.equal(Slice("[]string"), Map("map[string]int"))
