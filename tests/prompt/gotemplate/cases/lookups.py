"""Fields, of maps, nil and what is absent."""

from __future__ import annotations

from tests.prompt.gotemplate.cases.case import Case, fails

CASES = [
    Case("{{.}}", 5, "5"),
    Case("{{.}}", "a", "a"),
    Case("{{.}}", None, "<no value>"),
    Case("{{.A}}", {"A": 1}, "1"),
    Case("{{.a_1}}", {"a_1": 1}, "1"),
    Case("{{.é}}", {"é": 1}, "1"),
    Case("{{.A.B.C}}", {"A": {"B": {"C": 1}}}, "1"),
    Case("{{ .A }}{{ .B }}", {"A": "<", "B": ">"}, "<>"),
    Case("{{.A}}", {}, "<no value>"),
    Case("{{.A}}", {"A": None}, "<no value>"),
    Case("{{.A.B}}", {}, "<no value>"),
    Case("{{.A.B.C.D}}", {"A": {}}, "<no value>"),
    Case("{{.A}}", None, "<no value>"),
    Case("{{.A.B}}", None, "<no value>"),
    Case("{{print .A}}|{{print .B}}|{{print nil}}", {"A": None}, "<nil>|<nil>|<nil>"),
    Case("{{printf `%v` .A}}", {}, "<nil>"),
    Case("{{html .A}}", {}, "&lt;no value&gt;"),
    Case("{{.A.B}}", {"A": None}, fails('1:4: executing "TEMPLATE" at <.A.B>: nil pointer evaluating interface {}.B')),
    Case(
        "{{.A.B.C.D}}",
        {"A": {"B": {"C": None}}},
        fails('1:4: executing "TEMPLATE" at <.A.B.C.D>: nil pointer evaluating interface {}.D'),
    ),
    Case(
        "{{.A.B}}",
        {"A": "x"},
        fails('1:4: executing "TEMPLATE" at <.A.B>: can\'t evaluate field B in type interface {}'),
    ),
    Case(
        "{{$.A.B.C}}",
        {"A": "x"},
        fails('1:3: executing "TEMPLATE" at <$.A.B.C>: can\'t evaluate field B in type interface {}'),
    ),
    Case(
        "{{.A.B}}", {"A": 1}, fails('1:4: executing "TEMPLATE" at <.A.B>: can\'t evaluate field B in type interface {}')
    ),
    Case(
        "{{.A.B}}",
        {"A": []},
        fails('1:4: executing "TEMPLATE" at <.A.B>: can\'t evaluate field B in type interface {}'),
    ),
    Case(
        "{{.L.X}}",
        {"L": [1, 2, 3]},
        fails('1:4: executing "TEMPLATE" at <.L.X>: can\'t evaluate field X in type interface {}'),
    ),
    Case(
        "{{$v := .L}}{{$v.X}}",
        {"L": [1, 2, 3]},
        fails('1:16: executing "TEMPLATE" at <$v.X>: can\'t evaluate field X in type []interface {}'),
    ),
    Case("{{.A}}", 5, fails('1:2: executing "TEMPLATE" at <.A>: can\'t evaluate field A in type int')),
    Case("{{.A}}", "x", fails('1:2: executing "TEMPLATE" at <.A>: can\'t evaluate field A in type string')),
    Case("{{.A}}", [1], fails('1:2: executing "TEMPLATE" at <.A>: can\'t evaluate field A in type []interface {}')),
    Case("{{$.A}}", True, fails('1:3: executing "TEMPLATE" at <$.A>: can\'t evaluate field A in type bool')),
    Case(
        "a\n b {{.A}} {{.B.C}}",
        {"A": "é", "B": 1},
        fails('2:14: executing "TEMPLATE" at <.B.C>: can\'t evaluate field C in type interface {}'),
    ),
    Case(
        "é {{.A.B}}",
        {"A": 1},
        fails('1:7: executing "TEMPLATE" at <.A.B>: can\'t evaluate field B in type interface {}'),
    ),
    Case(
        "{{.A}}\n{{/* c */}}\n{{.A.B}}",
        {"A": 1},
        fails('3:4: executing "TEMPLATE" at <.A.B>: can\'t evaluate field B in type interface {}'),
    ),
    Case("{{.A.}}", None, fails("1: unexpected <.> in operand")),
    Case("{{..A}}", None, fails('1: unexpected . after term "."')),
    Case("{{.A..B}}", None, fails("1: unexpected <.> in operand")),
    Case("{{.1}}", None, "0.1"),
    Case("{{.A.1}}", None, fails('1: unexpected ".1" in operand')),
    Case("{{.A-B}}", None, fails("1: bad character U+002D '-'")),
    Case("{{.$}}", None, fails("1: bad character U+0024 '$'")),
    Case("{{.A .}}", None, "<no value>"),
    Case(
        "{{.A}} {{.B}} {{.C}} {{.D}} {{.E}} {{.F}}",
        {"A": [], "B": {}, "C": 100000000.0, "D": True, "E": 1.0, "F": -0.5},
        "[] map[] 1e+08 true 1 -0.5",
    ),
    Case("{{.}}", {"A": [1, {"b": None}], "f": 1000000.0, "g": 1.5}, "map[A:[1 map[b:<nil>]] f:1e+06 g:1.5]"),
    Case("{{.L}}", {"L": ["a b", None, [1], {"k": "v"}]}, "[a b <nil> [1] map[k:v]]"),
    Case(
        "{{json .}}",
        {"A": "<>&", "B": [1, 2.5, None, True], "C": {}},
        r'{"A":"\u003c\u003e\u0026","B":[1,2.5,null,true],"C":{}}',
    ),
]
