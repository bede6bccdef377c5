"""Printing, with Go's own answers; a test compares the tables with Go where there is one."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pytest

from bundler.prompt.foreign import Foreign, ranges
from bundler.prompt.gotemplate import fmt
from bundler.prompt.gotemplate.errors import FunctionError
from bundler.prompt.gotemplate.values import Byte, Map, Slice, Struct
from tests.prompt.gotemplate.go import reference
from tests.prompt.gotemplate.wire import spelled


class Case(NamedTuple):
    form: str
    operands: tuple[Any, ...]
    expected: str


CALL = Struct("main.Call", {"Index": 1, "Name": "f", "Arguments": Map("main.Arguments", {"a": 1.0}, string='{"a":1}')})
TOOL = Struct("main.Tool", {"Type": "function", "Items": None, "Required": Slice("[]string", ["x"])}, "<function>")

FORMS = [
    Case("%v", (1,), "1"),
    Case("%v", (True,), "true"),
    Case("%v", ("text",), "text"),
    Case("%v", (None,), "<nil>"),
    Case("%v", (1.0,), "1"),
    Case("%v", (0.1,), "0.1"),
    Case("%v", (100000.0,), "100000"),
    Case("%v", (999999.5,), "999999.5"),
    Case("%v", (1e6,), "1e+06"),
    Case("%v", (123456789.0,), "1.23456789e+08"),
    Case("%v", (1e-4,), "0.0001"),
    Case("%v", (1e-5,), "1e-05"),
    Case("%v", (-0.0,), "-0"),
    Case("%v", (math.inf,), "+Inf"),
    Case("%v", (math.nan,), "NaN"),
    Case("%v", (1 + 2j,), "(1+2i)"),
    Case("%v", (["a", "b c", 1, None],), "[a b c 1 <nil>]"),
    Case("%v", ([],), "[]"),
    Case("%v", ({"b": 2, "a": [1.5], "Z": None},), "map[Z:<nil> a:[1.5] b:2]"),
    Case("%v", ({},), "map[]"),
    Case("%v", (CALL,), '{1 f {"a":1}}'),
    Case("%+v", (CALL,), '{Index:1 Name:f Arguments:{"a":1}}'),
    Case("%#v", (CALL,), 'main.Call{Index:1, Name:"f", Arguments:main.Arguments{"a":1}}'),
    Case("%v", (TOOL,), "<function>"),
    Case("%d", (TOOL,), "{%!d(string=function) <nil> [%!d(string=x)]}"),
    Case("%s|%q|%x", (TOOL, TOOL, TOOL), '<function>|"<function>"|3c66756e6374696f6e3e'),
    Case("%#v", ([1, "a", None],), '[]interface {}{1, "a", interface {}(nil)}'),
    Case("%#v", ({"a": 1.0},), 'map[string]interface {}{"a":1}'),
    Case("%#v", (Slice("[]string", nil=True),), "[]string(nil)"),
    Case("%#v", (Slice("[]uint8", [Byte(1)]),), "[]byte{0x1}"),
    Case("%T %T %T %T", (1, "a", 1.5, None), "int string float64 <nil>"),
    Case("%T %T %T", ([], {}, CALL), "[]interface {} map[string]interface {} main.Call"),
    Case("%d %5d|%-5d|%05d|%+d|% d", (1, 2, 3, 4, 5, 6), "1     2|3    |00004|+5| 6"),
    Case("%b %o %O %x %X %#x %#o", (5, 8, 8, 255, 255, 255, 8), "101 10 0o10 ff FF 0xff 010"),
    Case("%.3d|%8.3d|%08.3d|%.0d", (7, 7, 7, 0), "007|     007|     007|"),
    Case("%d", (-(2**63),), "-9223372036854775808"),
    Case("%c%c|%5c|%-3c|", (65, 0x1F999, 66, 67), "A🦙|    B|C  |"),
    Case("%q %+q %#q %q", (65, 0xE9, 10, -1), r"'A' '\u00e9' '\n' '�'"),
    Case("%U %#U %08U", (65, 0x1F999, 65), "U+0041 U+1F999 '🦙'   U+0041"),
    Case("%s|%5s|%-5s|%.2s|%05s", ("ab", "ab", "ab", "äöü", "ab"), "ab|   ab|ab   |äö|000ab"),
    Case("%q", ('a"b\n\t\x00\x7fé\u200b\udcff',), r'"a\"b\n\t\x00\x7fé\u200b\xff"'),
    Case("%+q %#q %#q", ("é🦙", "a\\b", "a`b"), '"\\u00e9\\U0001f999" `a\\b` "a`b"'),
    Case("%x|%X|% x|%#x|%# x|%.1x|%6x", ("hi", "hé", "hi", "hi", "hi", "hi", "hi"),
         "6869|68C3A9|68 69|0x6869|0x68 0x69|68|  6869"),
    Case("%t|%6t", (True, False), "true| false"),
    Case("%e|%E|%.2e", (1234.5678, 1234.5678, 1234.5678), "1.234568e+03|1.234568E+03|1.23e+03"),
    Case("%f|%.2f|%8.3f|%+.1f|%08.3f|%-8.1f|", (3.14159, 3.14159, 3.14159, 3.14159, -3.14159, 3.14159),
         "3.141590|3.14|   3.142|+3.1|-003.142|3.1     |"),
    Case("%g|%.3g|%G|%g", (1e21, 1234.5678, 1e-7, 100.0), "1e+21|1.23e+03|1E-07|100"),
    Case("%#v|%#g|%#.3x", (1.0, 1.0, 1.0), "1|1.00000|0x1.000p+00"),
    Case("%x|%X|%.2x|%b", (1.5, -0.1, 1.999, 1.0), "0x1.8p+00|-0X1.999999999999AP-04|0x1.00p+01|4503599627370496p-52"),
    Case("%5v|%-4v|%04v", ([1, 2], ["a"], [7]), "[    1     2]|[a   ]|[0007]"),
    Case("%.1f", ([1.25, 1.0],), "[1.2 1.0]"),
    Case("%s %d", (["a", 1], ["a", 1]), "[a %!s(int=1)] [%!d(string=a) 1]"),
    Case("%s %x %v", (Slice("[]uint8", [Byte(104), Byte(105)]),) * 3, "hi 6869 [104 105]"),
    Case("%d", ("x",), "%!d(string=x)"),
    Case("%s", (5,), "%!s(int=5)"),
    Case("%5z", (5,), "%!z(int=    5)"),
    Case("%d", (None,), "%!d(<nil>)"),
    Case("%p", ("x",), "%!p(string=x)"),
    Case("%w", (1,), "%!w(int=1)"),
    Case("%d", (), "%!d(MISSING)"),
    Case("text", (1, "a", None), "text%!(EXTRA int=1, string=a, <nil>)"),
    Case("100%", (), "100%!(NOVERB)"),
    Case("%%%5%%", (), "%%%!(NOVERB)"),
    Case("%[2]d %[1]d", (1, 2), "2 1"),
    Case("%[2]*[1]d|", (7, 4), "   7|"),
    Case("%[3]*.[2]*[1]f|", (12.0, 2, 6), " 12.00|"),
    Case("%[5]d %[x]d %[1]d", (1, 2), "%!d(BADINDEX) %!d(BADINDEX) 1"),
    Case("%[1]d %d %d", (1, 2), "1 2 %!d(MISSING)"),
    Case("%*d|%-*d|%*d|", (4, 1, 4, 2, -4, 3), "   1|2   |3   |"),
    Case("%.*f %.*f", (1, 2.55, -1, 2.55), "2.5 %!(BADPREC)2.550000"),
    Case("%*d %*d", ("x", 1, 10_000_000, 1), "%!(BADWIDTH)1 %!(BADWIDTH)1"),
    Case("%!", (1,), "%!!(int=1)"),
    Case("%日", (1,), "%!日(int=1)"),
]  # fmt: skip

PRINTED = [
    ((), ""),
    ((1, 2), "1 2"),
    ((1, "a", 2), "1a2"),
    (("a", "b"), "ab"),
    ((True, None, 1.5), "true <nil> 1.5"),
    (([1], {"a": 1}, "x", [2]), "[1] map[a:1]x[2]"),
]


@pytest.mark.parametrize("case", FORMS, ids=[case.form for case in FORMS])
def test_sprintf(case: Case) -> None:
    assert fmt.sprintf(case.form, *case.operands) == case.expected


@pytest.mark.parametrize(("operands", "expected"), PRINTED)
def test_sprint(operands: tuple[Any, ...], expected: str) -> None:
    assert fmt.sprint(*operands) == expected


def test_sprintln_puts_spaces_everywhere_and_ends_the_line() -> None:
    assert fmt.sprintln() == "\n"
    assert fmt.sprintln("a", 1, "b") == "a 1 b\n"


def test_the_tables_are_go_s_own() -> None:
    asked = [{"call": "printf", "operands": [case.form, *map(spelled, case.operands)]} for case in FORMS]
    asked += [{"call": "print", "operands": [spelled(operand) for operand in operands]} for operands, _ in PRINTED]
    answers = [answer.output for answer in reference().ask(asked)]
    assert answers == [case.expected for case in FORMS] + [expected for _, expected in PRINTED]


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        (fmt.sprint("own", Foreign("given"), 1), ((3, 8),)),
        (fmt.sprintf("<%s|%5s|%d>", Foreign("a"), Foreign("bc"), 7), ((1, 2), (6, 8))),
        (fmt.sprintf("%v", [Foreign("a"), "b", {Foreign("k"): 1}]), ((1, 2), (9, 10))),
        (fmt.sprintf("%q", Foreign("a\n")), ((0, 5),)),
        (fmt.sprintf("%.1s", Foreign("ab")), ((0, 1),)),
        (fmt.sprintf(Foreign("a%db"), 1), ((0, 1), (2, 3))),
        (fmt.sprintf("%!", Foreign("a")), ((11, 12),)),
    ],
)
def test_foreign_text_stays_marked(text: str, foreign: tuple[tuple[int, int], ...]) -> None:
    assert ranges(text) == foreign


def test_a_text_has_an_end() -> None:
    with pytest.raises(FunctionError, match=f"it makes more than {fmt.MAX_CHARACTERS} characters"):
        fmt.sprintf("%1000000d" * 100, *range(100))


def test_a_value_has_a_bottom() -> None:
    value: list[Any] = []
    for _ in range(10_000):
        value = [value]
    with pytest.raises(FunctionError, match="nested more than 100 deep"):
        fmt.sprint(value)
