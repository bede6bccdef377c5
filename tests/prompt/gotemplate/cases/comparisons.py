"""eq, ne, lt, le, gt and ge."""

from __future__ import annotations

from tests.prompt.gotemplate.cases.case import Case, fails

CASES = [
    Case(
        "{{eq 1 1.0}}",
        {"L": [1], "M": {"a": "b"}, "N": None, "S": "1", "F": 1.0},
        fails(
            '1:2: executing "TEMPLATE" at <eq 1 1.0>: '
            "error calling eq: incompatible types for comparison: int and float64"
        ),
    ),
    Case(
        "{{eq 1 `1`}}",
        {"L": [1], "M": {"a": "b"}, "N": None, "S": "1", "F": 1.0},
        fails(
            '1:2: executing "TEMPLATE" at <eq 1 `1`>: '
            "error calling eq: incompatible types for comparison: int and string"
        ),
    ),
    Case(
        "{{eq 1 true}}",
        {"L": [1], "M": {"a": "b"}, "N": None, "S": "1", "F": 1.0},
        fails(
            '1:2: executing "TEMPLATE" at <eq 1 true>: '
            "error calling eq: incompatible types for comparison: int and bool"
        ),
    ),
    Case(
        "{{eq 1i 1}}",
        {"L": [1], "M": {"a": "b"}, "N": None, "S": "1", "F": 1.0},
        fails(
            '1:2: executing "TEMPLATE" at <eq 1i 1>: '
            "error calling eq: incompatible types for comparison: complex128 and int"
        ),
    ),
    Case(
        "{{eq .L 1}}",
        {"L": [1], "M": {"a": "b"}, "N": None, "S": "1", "F": 1.0},
        fails(
            '1:2: executing "TEMPLATE" at <eq .L 1>: '
            "error calling eq: incompatible types for comparison: []interface {} and int"
        ),
    ),
    Case(
        "{{eq `a` .M}}",
        {"L": [1], "M": {"a": "b"}, "N": None, "S": "1", "F": 1.0},
        fails(
            '1:2: executing "TEMPLATE" at <eq `a` .M>: '
            "error calling eq: incompatible types for comparison: string and map[string]interface {}"
        ),
    ),
    Case(
        "{{eq .L .L}}",
        {"L": [1], "M": {"a": "b"}, "N": None, "S": "1", "F": 1.0},
        fails(
            '1:2: executing "TEMPLATE" at <eq .L .L>: '
            "error calling eq: non-comparable type [%!s(int=1)]: []interface {}"
        ),
    ),
    Case(
        "{{eq .M .M}}",
        {"L": [1], "M": {"a": "b"}, "N": None, "S": "1", "F": 1.0},
        fails(
            '1:2: executing "TEMPLATE" at <eq .M .M>: '
            "error calling eq: non-comparable type map[a:b]: map[string]interface {}"
        ),
    ),
    Case(
        "{{eq .L .M}}",
        {"L": [1], "M": {"a": "b"}, "N": None, "S": "1", "F": 1.0},
        fails(
            '1:2: executing "TEMPLATE" at <eq .L .M>: '
            "error calling eq: non-comparable types [%!s(int=1)]: []interface {}, map[string]interface {}: map[a:b]"
        ),
    ),
    Case(
        "{{lt 1 `a`}}",
        {"L": [1], "M": {"a": "b"}, "N": None, "S": "1", "F": 1.0},
        fails(
            '1:2: executing "TEMPLATE" at <lt 1 `a`>: '
            "error calling lt: incompatible types for comparison: int and string"
        ),
    ),
    Case(
        "{{lt true false}}",
        {"L": [1], "M": {"a": "b"}, "N": None, "S": "1", "F": 1.0},
        fails('1:2: executing "TEMPLATE" at <lt true false>: error calling lt: invalid type for comparison'),
    ),
    Case(
        "{{lt nil 1}}",
        {"L": [1], "M": {"a": "b"}, "N": None, "S": "1", "F": 1.0},
        fails('1:2: executing "TEMPLATE" at <lt nil 1>: error calling lt: invalid type for comparison'),
    ),
    Case(
        "{{lt 1 nil}}",
        {"L": [1], "M": {"a": "b"}, "N": None, "S": "1", "F": 1.0},
        fails('1:2: executing "TEMPLATE" at <lt 1 nil>: error calling lt: invalid type for comparison'),
    ),
    Case(
        "{{lt .L .L}}",
        {"L": [1], "M": {"a": "b"}, "N": None, "S": "1", "F": 1.0},
        fails('1:2: executing "TEMPLATE" at <lt .L .L>: error calling lt: invalid type for comparison'),
    ),
    Case(
        "{{lt .X 1}}",
        {"L": [1], "M": {"a": "b"}, "N": None, "S": "1", "F": 1.0},
        fails('1:2: executing "TEMPLATE" at <lt .X 1>: error calling lt: invalid type for comparison'),
    ),
    Case(
        "{{lt 1i 2i}}",
        {"L": [1], "M": {"a": "b"}, "N": None, "S": "1", "F": 1.0},
        fails('1:2: executing "TEMPLATE" at <lt 1i 2i>: error calling lt: invalid type for comparison'),
    ),
    Case(
        "{{lt 1 1.0}}",
        {"L": [1], "M": {"a": "b"}, "N": None, "S": "1", "F": 1.0},
        fails(
            '1:2: executing "TEMPLATE" at <lt 1 1.0>: '
            "error calling lt: incompatible types for comparison: int and float64"
        ),
    ),
    Case(
        "{{eq 1 2 1}} {{eq 1 2 3}} {{eq `a` `b` `a`}} {{eq .X 1 .N}}",
        {"L": [1], "M": {"a": "b"}, "N": None, "S": "1", "F": 1.0},
        "true false true true",
    ),
    Case("{{eq 1 1 `a`}}", None, "true"),
    Case(
        "{{eq 1 `a` 1}}",
        None,
        fails(
            '1:2: executing "TEMPLATE" at <eq 1 `a` 1>: '
            "error calling eq: incompatible types for comparison: int and string"
        ),
    ),
    Case(
        "{{eq 1}}",
        None,
        fails('1:2: executing "TEMPLATE" at <eq 1>: error calling eq: missing argument for comparison'),
    ),
    Case(
        "{{eq}}", None, fails('1:2: executing "TEMPLATE" at <eq>: wrong number of args for eq: want at least 1 got 0')
    ),
    Case(
        "{{1 | eq}}",
        None,
        fails('1:6: executing "TEMPLATE" at <eq>: error calling eq: missing argument for comparison'),
    ),
    Case("{{1 | eq 1}}", None, "true"),
    Case("{{ne 1 2}} {{ne `a` `a`}} {{ne nil nil}}", None, "true false false"),
    Case("{{ne 1 2 3}}", None, fails('1:2: executing "TEMPLATE" at <ne>: wrong number of args for ne: want 2 got 3')),
    Case("{{ne 1}}", None, fails('1:2: executing "TEMPLATE" at <ne>: wrong number of args for ne: want 2 got 1')),
    Case(
        "{{ne 1 `a`}}",
        None,
        fails(
            '1:2: executing "TEMPLATE" at <ne 1 `a`>: '
            "error calling ne: incompatible types for comparison: int and string"
        ),
    ),
    Case(
        "{{lt 1 2}} {{lt 2 1}} {{lt 1 1}} {{le 1 1}} {{le 2 1}} {{gt 2 1}} {{gt 1 1}} {{ge 1 1}} {{ge 1 2}}",
        None,
        "true false false true false true false true false",
    ),
    Case("{{lt 1.5 2.5}} {{le 1.5 1.5}} {{gt 1.5 2.5}} {{ge 2.5 1.5}}", None, "true true false true"),
    Case("{{lt `a` `b`}} {{lt `` `a`}} {{lt `Z` `a`}} {{lt `z` `é`}}", None, "true true true true"),
    Case("{{lt `é` `€`}} {{lt `\uffff` `😀`}} {{gt `b` `a`}} {{ge `a` `a`}}", None, "true true true true"),
    Case(
        r'{{lt "\xff" "é"}} {{lt "é" "\xff"}} {{eq "\xff" "\xff"}} {{eq "\xc3\xa9" "é"}} {{lt "\xff" "😀"}}',
        None,
        "false true true true false",
    ),
    Case("{{lt 1}}", None, fails('1:2: executing "TEMPLATE" at <lt>: wrong number of args for lt: want 2 got 1')),
    Case("{{lt 1 2 3}}", None, fails('1:2: executing "TEMPLATE" at <lt>: wrong number of args for lt: want 2 got 3')),
    Case(
        "{{le true true}}",
        None,
        fails('1:2: executing "TEMPLATE" at <le true true>: error calling le: invalid type for comparison'),
    ),
    Case(
        "{{ge 1 `a`}}",
        None,
        fails(
            '1:2: executing "TEMPLATE" at <ge 1 `a`>: '
            "error calling ge: incompatible types for comparison: int and string"
        ),
    ),
    Case(
        "{{gt nil 1}}",
        None,
        fails('1:2: executing "TEMPLATE" at <gt nil 1>: error calling gt: invalid type for comparison'),
    ),
    Case(
        "{{le 1i 1i}}",
        None,
        fails('1:2: executing "TEMPLATE" at <le 1i 1i>: error calling le: invalid type for comparison'),
    ),
    Case(
        "{{eq (index `a` 0) 97}} {{eq 97 (index `a` 0)}} {{lt (index `a` 0) 98}} {{lt 96 (index `a` 0)}} ",
        None,
        "true true true true ",
    ),
    Case(
        "{{lt -1 (index `a` 0)}} {{eq (index `a` 0) (index `a` 0)}} {{eq (index `a` 0) 97.0}}",
        None,
        fails(
            '1:61: executing "TEMPLATE" at <eq (index `a` 0) 97.0>: '
            "error calling eq: incompatible types for comparison: uint8 and float64"
        ),
    ),
    Case(
        "{{eq .L nil}} {{eq nil .L}} {{eq .M nil}} {{ne .X nil}}",
        {"L": [1], "M": {"a": "b"}, "N": None, "S": "1", "F": 1.0},
        "false false false false",
    ),
    Case(
        "{{eq .E .E}}",
        {"E": {}},
        fails(
            '1:2: executing "TEMPLATE" at <eq .E .E>: '
            "error calling eq: non-comparable type map[]: map[string]interface {}"
        ),
    ),
    Case(
        "{{eq .L .L}}",
        {"L": ["a"]},
        fails('1:2: executing "TEMPLATE" at <eq .L .L>: error calling eq: non-comparable type [a]: []interface {}'),
    ),
    Case("{{eq 0.1 .A}}", {"A": 0.1}, "true"),
    Case("{{eq -0.0 0.0}}", None, "true"),
]
