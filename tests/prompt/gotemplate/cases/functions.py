"""and, or, not, call, printing and escaping."""

from __future__ import annotations

from tests.prompt.gotemplate.cases.case import Case, fails

CASES = [
    Case("{{and 1 0 2}} {{and 1 2}} {{and 0}} {{and ``}}|{{and true false}}", None, "0 2 0 |false"),
    Case("{{or 0 `` 3 4}} {{or 0 0}} {{or 1}} {{or false true}}", None, "3 0 1 true"),
    Case("{{and .X 1}} {{or .X}} {{or .X .Y}} {{or .X 5}}", {}, "<no value> <no value> <no value> 5"),
    Case("{{1 | or 0}} {{0 | and 1}} {{1 | and}} {{0 | or 7}}", None, "1 0 1 7"),
    Case("{{and 0 (index .L 9)}} {{or 1 (index .L 9)}}", {"L": [1, 2, 3]}, "0 1"),
    Case(
        "{{and 1 (index .L 9)}}",
        {"L": [1, 2, 3]},
        fails('1:9: executing "TEMPLATE" at <index .L 9>: error calling index: index out of range: 9'),
    ),
    Case(
        "{{and 1 .X.Y.Z}}",
        {"X": None},
        fails('1:10: executing "TEMPLATE" at <.X.Y.Z>: nil pointer evaluating interface {}.Y'),
    ),
    Case("{{and .L .M}}", {"L": [1], "M": {"a": 1}}, "map[a:1]"),
    Case("{{(and .M 1)}}{{(or .M 1).a}}", {"M": {"a": 2}}, "12"),
    Case(
        "{{and}}",
        None,
        fails('1:2: executing "TEMPLATE" at <and>: wrong number of args for and: want at least 1 got 0'),
    ),
    Case(
        "{{or}}", None, fails('1:2: executing "TEMPLATE" at <or>: wrong number of args for or: want at least 1 got 0')
    ),
    Case("{{and nil 1}} {{or nil 1}}", None, "<no value> 1"),
    Case("{{not 0}} {{not 1}} {{not .X}} {{not `a`}} {{not .L}}", {"L": []}, "true false true false true"),
    Case("{{not}}", None, fails('1:2: executing "TEMPLATE" at <not>: wrong number of args for not: want 1 got 0')),
    Case("{{not 1 2}}", None, fails('1:2: executing "TEMPLATE" at <not>: wrong number of args for not: want 1 got 2')),
    Case(
        "{{1 | not 2}}", None, fails('1:6: executing "TEMPLATE" at <not>: wrong number of args for not: want 1 got 2')
    ),
    Case(
        "{{call .X}}",
        {"X": 1},
        fails('1:2: executing "TEMPLATE" at <call .X>: error calling call: non-function .X of type int'),
    ),
    Case("{{call .X}}", {}, fails('1:2: executing "TEMPLATE" at <call .X>: error calling call: call of nil')),
    Case("{{call nil}}", None, fails('1:2: executing "TEMPLATE" at <call nil>: error calling call: call of nil')),
    Case(
        "{{.X | call}}",
        {"X": 1},
        fails('1:7: executing "TEMPLATE" at <call>: error calling call: non-function <int Value> of type int'),
    ),
    Case(
        "{{.X | call}}",
        {"X": "s"},
        fails('1:7: executing "TEMPLATE" at <call>: error calling call: non-function s of type string'),
    ),
    Case(
        "{{call `x` 1}}",
        None,
        fails('1:2: executing "TEMPLATE" at <call `x` 1>: error calling call: non-function `x` of type string'),
    ),
    Case(
        "{{call}}",
        None,
        fails('1:2: executing "TEMPLATE" at <call>: wrong number of args for call: want at least 1 got 0'),
    ),
    Case(
        "{{call (print 1)}}",
        None,
        fails('1:2: executing "TEMPLATE" at <call (print 1)>: error calling call: non-function print 1 of type string'),
    ),
    Case(
        "{{print}}|{{print 1}}|{{print 1 2}}|{{print `a` `b`}}|{{print 1 `a` 2}}|{{print `a` 1 2 `b`}}",
        None,
        "|1|1 2|ab|1a2|a1 2b",
    ),
    Case("{{println}}{{println 1 `a` 2}}{{println `a` `b`}}", None, "\n1 a 2\na b\n"),
    Case("{{printf `%d %s %v %q %5d|%-5s|%05.1f` 1 `x` 2.5 `y` 3 `z` 1.25}}", None, '1 x 2.5 "y"     3|z    |001.2'),
    Case("{{printf `%x %t %c %U %%` 255 true 'a' 'b'}}", None, "ff true a U+0062 %"),
    Case(
        "{{printf `%s`}} {{printf `%d` `a`}} {{printf `x` 1}} {{printf `%z` 1}} {{printf `%`}}",
        None,
        "%!s(MISSING) %!d(string=a) x%!(EXTRA int=1) %!z(int=1) %!(NOVERB)",
    ),
    Case("{{printf 1}}", None, fails('1:9: executing "TEMPLATE" at <1>: expected string; found 1')),
    Case(
        "{{printf .N}}",
        {"N": 3},
        fails('1:9: executing "TEMPLATE" at <.N>: wrong type for value; expected string; got int'),
    ),
    Case("{{printf nil}}", None, fails('1:9: executing "TEMPLATE" at <nil>: cannot assign nil to string')),
    Case("{{printf true}}", None, fails('1:9: executing "TEMPLATE" at <true>: expected string; found true')),
    Case("{{printf .X}}", {}, fails('1:9: executing "TEMPLATE" at <.X>: invalid value; expected string')),
    Case(
        "{{printf .X}}",
        {"X": None},
        fails('1:9: executing "TEMPLATE" at <.X>: wrong type for value; expected string; got interface {}'),
    ),
    Case(
        "{{printf .}}",
        {"A": 1},
        fails('1:9: executing "TEMPLATE" at <.>: wrong type for value; expected string; got map[string]interface {}'),
    ),
    Case(
        "{{printf (1)}}",
        None,
        fails('1:10: executing "TEMPLATE" at <1>: wrong type for value; expected string; got int'),
    ),
    Case(
        "{{printf (eq 1 `a`)}}",
        None,
        fails(
            '1:10: executing "TEMPLATE" at <eq 1 `a`>: '
            "error calling eq: incompatible types for comparison: int and string"
        ),
    ),
    Case(
        "{{.N | printf}}",
        {"N": 3},
        fails('1:7: executing "TEMPLATE" at <printf>: wrong type for value; expected string; got int'),
    ),
    Case("{{.N | printf `%v`}}", {"N": 3}, "3"),
    Case(
        "{{printf}}",
        None,
        fails('1:2: executing "TEMPLATE" at <printf>: wrong number of args for printf: want at least 1 got 0'),
    ),
    Case("{{printf (print `%d`) 3}}", None, "3"),
    Case("{{printf .F 1}}", {"F": "%d"}, "1"),
    Case('{{html `<a href="x">&\'` 1}}', None, "&lt;a href=&#34;x&#34;&gt;&amp;&#39;1"),
    Case('{{js `it\'s "<a>"\n=` }}', None, 'it\\\'s \\"\\u003Ca\\u003E\\"\\u000A\\u003D'),
    Case("{{urlquery `a b&c=ü/` 1}}", None, "a+b%26c%3D%C3%BC%2F1"),
    Case(
        "{{json `<&>`}} {{json 1.0}} {{json .L}} {{json nil}}", {"L": [1, 2, 3]}, r'"\u003c\u0026\u003e" 1 [1,2,3] null'
    ),
    Case("{{json}}", None, fails('1:2: executing "TEMPLATE" at <json>: wrong number of args for json: want 1 got 0')),
    Case(
        "{{json 1 2}}", None, fails('1:2: executing "TEMPLATE" at <json>: wrong number of args for json: want 1 got 2')
    ),
]
