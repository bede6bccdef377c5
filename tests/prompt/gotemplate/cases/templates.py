"""`define`, `template` and `block`."""

from __future__ import annotations

from tests.prompt.gotemplate.cases.case import Case, fails

CASES = [
    Case("{{define `x`}}<{{.}}>{{end}}{{template `x` .A}}", {"A": 1}, "<1>"),
    Case("{{define `x`}}<{{.}}>{{end}}{{template `x`}}", {"A": 1}, "<<no value>>"),
    Case("{{template `x` .}}{{define `x`}}<{{.A}}>{{end}}", {"A": 1}, "<1>"),
    Case("{{define `x`}}{{template `y` .}}{{end}}{{define `y`}}{{.}}{{end}}{{template `x` 5}}", None, "5"),
    Case(r'{{define "a\tb"}}t{{end}}{{template "a\tb"}}', None, "t"),
    Case("{{define ``}}empty{{end}}{{template ``}}", None, "empty"),
    Case("{{block `x` .A}}[{{.}}]{{end}}{{template `x` 5}}", {"A": 1}, "[1][5]"),
    Case("{{block `x` .}}{{$}}{{end}}", 7, "7"),
    Case(
        "{{define `x`}}new{{end}}{{block `x` .}}old{{end}}",
        None,
        fails('1: template: multiple definition of template "x"'),
    ),
    Case(
        "{{define `r`}}{{if .}}{{len .}} {{template `r` (slice . 1)}}{{end}}{{end}}{{template `r` .A}}",
        {"A": "abcdef"},
        "6 5 4 3 2 1 ",
    ),
    Case("{{define `l`}}{{range .}}({{template `l` .}}){{end}}{{end}}{{template `l` .}}", [[[], []], []], "(()())()"),
    Case("{{range .L}}{{template `x` .}}{{end}}{{define `x`}}{{.}};{{end}}", {"L": [1, 2, 3]}, "1;2;3;"),
    Case("a {{- define `x`}} b {{end -}} c {{template `x`}}", None, "ac  b "),
    Case("{{define `x`}} {{- 1 -}} {{end}}{{template `x`}}", None, "1"),
    Case("{{template `y`}}", None, fails('1:11: executing "TEMPLATE" at <{{template "y"}}>: template "y" not defined')),
    Case(
        "a{{template `y` .A}}",
        {"A": 1},
        fails('1:12: executing "TEMPLATE" at <{{template "y" .A}}>: template "y" not defined'),
    ),
    Case(
        "{{if true}}{{template `y` print 1 2}}{{end}}",
        None,
        fails('1:22: executing "TEMPLATE" at <{{template "y" print 1 2}}>: template "y" not defined'),
    ),
    Case(
        "{{define `x`}}a{{end}}{{define `x`}}b{{end}}", None, fails('1: template: multiple definition of template "x"')
    ),
    Case("{{define `x`}}a{{end}}{{define `x`}} {{end}}{{template `x`}}", None, "a"),
    Case("{{define `x`}} {{end}}{{define `x`}}b{{end}}{{template `x`}}", None, "b"),
    Case("{{define `x`}}{{/* c */}}{{end}}{{define `x`}}b{{end}}{{template `x`}}", None, "b"),
    Case("{{define `TEMPLATE`}}inner{{end}}", None, "inner"),
    Case(
        "{{define `TEMPLATE`}}inner{{end}} outer",
        None,
        fails('1: template: multiple definition of template "TEMPLATE"'),
    ),
    Case("{{define `TEMPLATE`}}{{/* c */}}{{end}}outer", None, "outer"),
    Case(
        "{{block `x` 1}}a{{end}}{{block `x` 1}}b{{end}}",
        None,
        fails('1: template: multiple definition of template "x"'),
    ),
    Case("{{template}}", None, fails('1: unexpected "}}" in template clause')),
    Case("{{template 1}}", None, fails('1: unexpected "1" in template clause')),
    Case("{{template x}}", None, fails('1: unexpected "x" in template clause')),
    Case("{{template `x` 1 | 2}}", None, fails("1: non executable command in pipeline stage 2")),
    Case(r'{{template "x" "\q"}}', None, fails("1: invalid syntax")),
    Case(r'{{template "\q"}}', None, fails("1: invalid syntax")),
    Case("{{block `x`}}{{end}}", None, fails("1: missing value for block clause")),
    Case("{{block}}{{end}}", None, fails('1: unexpected "}}" in block clause')),
    Case("{{block `x` .}}", None, fails("1: unexpected EOF")),
    Case("{{block `x` .}}{{else}}{{end}}", None, fails("1: unexpected {{else}} in block clause")),
    Case("{{define}}{{end}}", None, fails('1: unexpected "}}" in define clause')),
    Case("{{define 1}}{{end}}", None, fails('1: unexpected "1" in define clause')),
    Case("{{define `x` 1}}{{end}}", None, fails('1: unexpected "1" in define clause')),
    Case("{{if true}}{{define `x`}}{{end}}{{end}}", None, fails("1: unexpected <define> in command")),
    Case("{{define `x`}}", None, fails("1: unexpected EOF")),
    Case("{{define `x`}}{{define `y`}}{{end}}{{end}}", None, fails("1: unexpected <define> in command")),
    Case("{{define `x`}}{{else}}{{end}}", None, fails("1: unexpected {{else}} in define clause")),
    Case("{{block `a` .}}\n{{/* x", None, fails("2: unclosed comment")),
    Case("{{block `a` .}}\n{{`", None, fails("2: unterminated raw quoted string")),
    Case(
        "{{template `a` .L}}{{define `a`}}{{.X}}{{end}}",
        {"L": [1, 2, 3]},
        fails('1:35: executing "a" at <.X>: can\'t evaluate field X in type []interface {}'),
    ),
    Case(
        "{{define `a`}}\n {{.X.Y}}{{end}}{{template `a` .}}",
        {"X": 1},
        fails('2:5: executing "a" at <.X.Y>: can\'t evaluate field Y in type interface {}'),
    ),
    Case(
        "{{define `a b`}}{{index . 5}}{{end}}{{template `a b` .L}}",
        {"L": [1, 2, 3]},
        fails('1:18: executing "a b" at <index . 5>: error calling index: index out of range: 5'),
    ),
]
