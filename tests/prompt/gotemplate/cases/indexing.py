"""len, index and slice."""

from __future__ import annotations

from tests.prompt.gotemplate.cases.case import Case, fails

CASES = [
    Case(
        "{{len `abc`}} {{len `é€😀`}} {{len .L}} {{len .M}} {{len ``}}", {"L": [1], "M": {"a": 1, "b": 2}}, "3 9 1 2 0"
    ),
    Case("{{len 3}}", None, fails('1:2: executing "TEMPLATE" at <len 3>: error calling len: len of type int')),
    Case("{{len true}}", None, fails('1:2: executing "TEMPLATE" at <len true>: error calling len: len of type bool')),
    Case(
        "{{len nil}}",
        None,
        fails(
            '1:2: executing "TEMPLATE" at <len nil>: '
            "error calling len: reflect: call of reflect.Value.Type on zero Value"
        ),
    ),
    Case(
        "{{len .X}}",
        {},
        fails(
            '1:2: executing "TEMPLATE" at <len .X>: '
            "error calling len: reflect: call of reflect.Value.Type on zero Value"
        ),
    ),
    Case(
        "{{len .X}}", {"X": None}, fails('1:2: executing "TEMPLATE" at <len .X>: error calling len: len of nil pointer')
    ),
    Case("{{len 1.5}}", None, fails('1:2: executing "TEMPLATE" at <len 1.5>: error calling len: len of type float64')),
    Case("{{len}}", None, fails('1:2: executing "TEMPLATE" at <len>: wrong number of args for len: want 1 got 0')),
    Case("{{len 1 2}}", None, fails('1:2: executing "TEMPLATE" at <len>: wrong number of args for len: want 1 got 2')),
    Case("{{index .L 0}} {{index .L 2}}", {"L": [1, 2, 3]}, "1 3"),
    Case("{{index .M `a`}} {{index .M `x`}}", {"M": {"a": 1}}, "1 <no value>"),
    Case("{{index .L 1 `a` 0}}", {"L": [0, {"a": ["x"]}]}, "x"),
    Case("{{index .L}}", {"L": [1, 2, 3]}, "[1 2 3]"),
    Case("{{index `abc` 1}} {{printf `%T` (index `abc` 1)}}", None, "98 uint8"),
    Case("{{index `é` 0}}", None, "195"),
    Case(
        "{{index .L 'a'}}",
        {"L": [1, 2, 3]},
        fails("1:2: executing \"TEMPLATE\" at <index .L 'a'>: error calling index: index out of range: 97"),
    ),
    Case(
        "{{index .L 1.0}}",
        {"L": [1, 2, 3]},
        fails(
            '1:2: executing "TEMPLATE" at <index .L 1.0>: '
            "error calling index: cannot index slice/array with type float64"
        ),
    ),
    Case("{{1 | index .L}}", {"L": [1, 2, 3]}, "2"),
    Case("{{index .L (index `\x01` 0)}}", {"L": [1, 2, 3]}, "2"),
    Case(
        "{{index .L 3}}",
        {"L": [1, 2, 3]},
        fails('1:2: executing "TEMPLATE" at <index .L 3>: error calling index: reflect: slice index out of range'),
    ),
    Case(
        "{{index .L 4}}",
        {"L": [1, 2, 3]},
        fails('1:2: executing "TEMPLATE" at <index .L 4>: error calling index: index out of range: 4'),
    ),
    Case(
        "{{index .L -1}}",
        {"L": [1, 2, 3]},
        fails('1:2: executing "TEMPLATE" at <index .L -1>: error calling index: index out of range: -1'),
    ),
    Case(
        "{{index .L `a`}}",
        {"L": [1, 2, 3]},
        fails(
            '1:2: executing "TEMPLATE" at <index .L `a`>: '
            "error calling index: cannot index slice/array with type string"
        ),
    ),
    Case(
        "{{index .L nil}}",
        {"L": [1, 2, 3]},
        fails('1:2: executing "TEMPLATE" at <index .L nil>: error calling index: cannot index slice/array with nil'),
    ),
    Case(
        "{{index .L true}}",
        {"L": [1, 2, 3]},
        fails(
            '1:2: executing "TEMPLATE" at <index .L true>: error calling index: cannot index slice/array with type bool'
        ),
    ),
    Case(
        "{{index .L 0 0}}",
        {"L": [1, 2, 3]},
        fails('1:2: executing "TEMPLATE" at <index .L 0 0>: error calling index: can\'t index item of type int'),
    ),
    Case(
        "{{index .L 0 1}}",
        {"L": [None]},
        fails('1:2: executing "TEMPLATE" at <index .L 0 1>: error calling index: index of nil pointer'),
    ),
    Case(
        "{{index .M 1}}",
        {"M": {}},
        fails('1:2: executing "TEMPLATE" at <index .M 1>: error calling index: value has type int; should be string'),
    ),
    Case(
        "{{index .M nil}}",
        {"M": {}},
        fails(
            '1:2: executing "TEMPLATE" at <index .M nil>: error calling index: value is nil; should be of type string'
        ),
    ),
    Case(
        "{{index .M `a` `b`}}",
        {"M": {}},
        fails('1:2: executing "TEMPLATE" at <index .M `a` `b`>: error calling index: index of nil pointer'),
    ),
    Case(
        "{{index 1 2}}",
        None,
        fails('1:2: executing "TEMPLATE" at <index 1 2>: error calling index: can\'t index item of type int'),
    ),
    Case(
        "{{index nil}}",
        None,
        fails('1:2: executing "TEMPLATE" at <index nil>: error calling index: index of untyped nil'),
    ),
    Case(
        "{{index nil 1}}",
        None,
        fails('1:2: executing "TEMPLATE" at <index nil 1>: error calling index: index of untyped nil'),
    ),
    Case(
        "{{index .X 1}}",
        {},
        fails('1:2: executing "TEMPLATE" at <index .X 1>: error calling index: index of untyped nil'),
    ),
    Case(
        "{{index `abc` 3}}",
        None,
        fails('1:2: executing "TEMPLATE" at <index `abc` 3>: error calling index: reflect: string index out of range'),
    ),
    Case(
        "{{index `abc` 4}}",
        None,
        fails('1:2: executing "TEMPLATE" at <index `abc` 4>: error calling index: index out of range: 4'),
    ),
    Case(
        "{{index}}",
        None,
        fails('1:2: executing "TEMPLATE" at <index>: wrong number of args for index: want at least 1 got 0'),
    ),
    Case(
        "{{slice .L 1}} {{slice .L 0 2}} {{slice .L}} {{slice .L 3}} {{slice .L 1 1}}",
        {"L": [1, 2, 3]},
        "[2 3] [1 2] [1 2 3] [] []",
    ),
    Case("{{slice .L 0 1 1}} {{slice .L 1 2 3}}", {"L": [1, 2, 3]}, "[1] [2]"),
    Case(
        "{{slice `abc`}} {{slice `abc` 1}} {{slice `abc` 1 2}} {{slice `abc` 3}}|{{slice `abc` 0 0}}",
        None,
        "abc bc b |",
    ),
    Case("{{slice `héllo` 1 3}}", None, "é"),
    Case("{{slice `héllo` 0 2}}|{{slice `héllo` 2}}", None, "h�|�llo"),
    Case("{{slice `€` 0 1}}{{slice `€` 1}}", None, "€"),
    Case("{{printf `%q` (slice `€` 0 1)}}", None, r'"\xe2"'),
    Case("{{1 | slice `abc`}}", None, "bc"),
    Case(
        "{{slice .L 2 1}}",
        {"L": [1, 2, 3]},
        fails('1:2: executing "TEMPLATE" at <slice .L 2 1>: error calling slice: invalid slice index: 2 > 1'),
    ),
    Case(
        "{{slice .L -1}}",
        {"L": [1, 2, 3]},
        fails('1:2: executing "TEMPLATE" at <slice .L -1>: error calling slice: index out of range: -1'),
    ),
    Case(
        "{{slice .L 0 9}}",
        {"L": [1, 2, 3]},
        fails('1:2: executing "TEMPLATE" at <slice .L 0 9>: error calling slice: index out of range: 9'),
    ),
    Case(
        "{{slice .L 0 2 1}}",
        {"L": [1, 2, 3]},
        fails('1:2: executing "TEMPLATE" at <slice .L 0 2 1>: error calling slice: invalid slice index: 2 > 1'),
    ),
    Case(
        "{{slice .L 0 1 2 3}}",
        {"L": [1, 2, 3]},
        fails('1:2: executing "TEMPLATE" at <slice .L 0 1 2 3>: error calling slice: too many slice indexes: 4'),
    ),
    Case(
        "{{slice `abc` 1 2 3}}",
        None,
        fails('1:2: executing "TEMPLATE" at <slice `abc` 1 2 3>: error calling slice: cannot 3-index slice a string'),
    ),
    Case(
        "{{slice `abc` 4}}",
        None,
        fails('1:2: executing "TEMPLATE" at <slice `abc` 4>: error calling slice: index out of range: 4'),
    ),
    Case(
        "{{slice `abc` 2 1}}",
        None,
        fails('1:2: executing "TEMPLATE" at <slice `abc` 2 1>: error calling slice: invalid slice index: 2 > 1'),
    ),
    Case(
        "{{slice `abc` 1.0}}",
        None,
        fails(
            '1:2: executing "TEMPLATE" at <slice `abc` 1.0>: '
            "error calling slice: cannot index slice/array with type float64"
        ),
    ),
    Case(
        "{{slice `abc` nil}}",
        None,
        fails('1:2: executing "TEMPLATE" at <slice `abc` nil>: error calling slice: cannot index slice/array with nil'),
    ),
    Case(
        "{{slice 5}}",
        None,
        fails('1:2: executing "TEMPLATE" at <slice 5>: error calling slice: can\'t slice item of type int'),
    ),
    Case(
        "{{slice .M}}",
        {"M": {}},
        fails(
            '1:2: executing "TEMPLATE" at <slice .M>: '
            "error calling slice: can't slice item of type map[string]interface {}"
        ),
    ),
    Case(
        "{{slice nil}}",
        None,
        fails('1:2: executing "TEMPLATE" at <slice nil>: error calling slice: slice of untyped nil'),
    ),
    Case(
        "{{slice .X}}",
        {"X": None},
        fails('1:2: executing "TEMPLATE" at <slice .X>: error calling slice: slice of untyped nil'),
    ),
    Case(
        "{{slice .X}}", {}, fails('1:2: executing "TEMPLATE" at <slice .X>: error calling slice: slice of untyped nil')
    ),
    Case(
        "{{slice}}",
        None,
        fails('1:2: executing "TEMPLATE" at <slice>: wrong number of args for slice: want at least 1 got 0'),
    ),
]
