"""What a parsed template is to its callers: positions, functions, structs, missing keys, marks and analysis."""

from __future__ import annotations

from typing import Any

import pytest

from bundler.prompt.foreign import Foreign, mark, ranges
from bundler.prompt.gotemplate import nodes
from bundler.prompt.gotemplate.errors import ExecutionError, FunctionError, GoTemplateError, ParseError
from bundler.prompt.gotemplate.template import parse
from bundler.prompt.gotemplate.values import Function, Map, Slice, Struct


def refuse(value: str) -> str:
    raise FunctionError(f"no {value}")


FUNCTIONS = {
    "join": Function(lambda separator, *items: separator.join(items), ("string", "string"), variadic=True),
    "today": Function(lambda: "2025-01-01", ()),
    "two": Function(lambda text, number: f"{text}{number}", ("string", "int")),
    "half": Function(lambda number: number / 2, ("float64",)),
    "refuse": Function(refuse, ("string",)),
}
MESSAGE = Struct("api.Message", {"Role": "user", "Calls": Slice("[]api.Call", nil=True), "Any": None})


def error_of(text: str, data: Any = None) -> str:
    with pytest.raises(GoTemplateError) as raised:
        parse(text, "T", FUNCTIONS).execute(data)
    return raised.value.message


def test_places() -> None:
    with pytest.raises(ParseError) as raised:
        parse("a\n{{.A}}\n{{if}}")
    assert (raised.value.line, raised.value.column) == (3, None)
    with pytest.raises(ExecutionError) as ran:
        parse("a\né {{.A.B}}").execute({"A": 1})
    assert (ran.value.line, ran.value.column) == (2, 7)


def test_same_text_is_parsed_once() -> None:
    assert parse("{{.A}}", functions=FUNCTIONS) is parse("{{.A}}", functions=dict(FUNCTIONS))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{join `-` `a` `b`}}|{{join `-`}}|{{`b` | join `-` `a`}}", "a-b||a-b"),
        ("{{today}} {{len today}} {{print today}} {{today | print}}", "2025-01-01 10 2025-01-01 2025-01-01"),
        ("{{two `a` 1}} {{1 | two `a`}} {{two .S .I}} {{two `c` 'd'}} {{two `e` 2.0}}", "a1 a1 x7 c100 e2"),
        ("{{half 3}} {{half 'b'}} {{half 1.5}}", "1.5 49 0.75"),
    ],
)
def test_functions_with_types(text: str, expected: str) -> None:
    assert parse(text, "T", FUNCTIONS).execute({"S": "x", "I": 7}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{two 1 2}}", "6: executing `T` at <1>: expected string; found 1"),
        ("{{two `a` `b`}}", "10: executing `T` at <`b`>: expected integer; found `b`"),
        ("{{two `a` 1.5}}", "10: executing `T` at <1.5>: expected integer; found 1.5"),
        ("{{two `a` true}}", "10: executing `T` at <true>: expected integer; found true"),
        ("{{half `a`}}", "7: executing `T` at <`a`>: expected float; found `a`"),
        ("{{two .I 1}}", "6: executing `T` at <.I>: wrong type for value; expected string; got int"),
        ("{{two .N 1}}", "6: executing `T` at <.N>: wrong type for value; expected string; got interface {}"),
        ("{{two .X 1}}", "6: executing `T` at <.X>: invalid value; expected string"),
        ("{{two nil 1}}", "6: executing `T` at <nil>: cannot assign nil to string"),
        ("{{two (len `a`) 1}}", "11: executing `T` at <`a`>: wrong type for value; expected string; got int"),
        ("{{`b` | two `a`}}", "12: executing `T` at <`a`>: wrong type for value; expected int; got string"),
        ("{{.X | two `a`}}", "11: executing `T` at <`a`>: invalid value; expected int"),
        ("{{join `,` `a` 2}}", "15: executing `T` at <2>: expected string; found 2"),
        ("{{join}}", "2: executing `T` at <join>: wrong number of args for join: want at least 1 got 0"),
        ("{{two}}", "2: executing `T` at <two>: wrong number of args for two: want 2 got 0"),
        ("{{today 1}}", "2: executing `T` at <today>: wrong number of args for today: want 0 got 1"),
        ("{{today.Year}}", "2: executing `T` at <today>: can't evaluate field Year in type string"),
        ("{{refuse `this`}}", "2: executing `T` at <refuse `this`>: error calling refuse: no this"),
        ("{{print (refuse `it`)}}", "9: executing `T` at <refuse `it`>: error calling refuse: no it"),
    ],
)
def test_wrong_arguments(text: str, expected: str) -> None:
    message = error_of(text, {"I": 7, "N": None})
    assert message.replace('"T"', "`T`") == f"template: T:1:{expected}"


def test_own_function_in_place_of_a_builtin() -> None:
    own = {name: Function(lambda *values: len(values), variadic=True) for name in ("and", "eq", "call", "len", "index")}
    assert parse("{{and 0 1 2}}{{eq 1}}{{call 1 2}}{{len}}{{index}}", "T", own).execute(None) == "31200"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{.M.Role}} {{range .M.Calls}}{{else}}none{{end}} {{.M.Any}}", "user none <no value>"),
        ("{{if .M}}yes{{end}} {{with .M}}{{.Role}}{{end}} {{eq .M.Role `user`}}", "yes user true"),
        ("{{range .L}}{{.Role}}{{end}} {{(index .L 0).Role}} {{len .L}} {{len .M.Calls}}", "user user 1 0"),
        (
            "{{range $k, $v := .Args}}{{$k}}={{$v}} {{end}}{{.Args.b}} {{.Args}} {{.Args.no}}",
            "a=1 b=2 2 JSON <no value>",
        ),
        ("{{printf `%T %T %T` .M .L .Args}}", "api.Message []api.Message api.Args"),
        ("{{printf `%T %v` (slice .L 1) (slice .L 1)}}", "[]api.Message []"),
    ],
)
def test_values_of_named_types(text: str, expected: str) -> None:
    arguments = Map("api.Args", {"b": 2, "a": 1}, string="JSON")
    assert parse(text).execute({"M": MESSAGE, "L": Slice("[]api.Message", [MESSAGE]), "Args": arguments}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{.Foo}}", "2: executing `T` at <.Foo>: can't evaluate field Foo in type api.Message"),
        ("{{.fields}}", "2: executing `T` at <.fields>: can't evaluate field fields in type api.Message"),
        ("{{.__class__}}", "2: executing `T` at <.__class__>: can't evaluate field __class__ in type api.Message"),
        ("{{.Role.upper}}", "7: executing `T` at <.Role.upper>: can't evaluate field upper in type string"),
        ("{{.Any.Foo}}", "6: executing `T` at <.Any.Foo>: nil pointer evaluating interface {}.Foo"),
        ("{{.Role 1}}", "2: executing `T` at <.Role>: Role has arguments but cannot be invoked as function"),
        ("{{.Calls.append}}", "8: executing `T` at <.Calls.append>: can't evaluate field append in type []api.Call"),
        ("{{range .}}{{end}}", "8: executing `T` at <.>: range can't iterate over {user [] <nil>}"),
        ("{{index . 1}}", "2: executing `T` at <index . 1>: error calling index: can't index item of type api.Message"),
        ("{{len .}}", "2: executing `T` at <len .>: error calling len: len of type api.Message"),
    ],
)  # fmt: skip
def test_what_a_struct_has_not(text: str, expected: str) -> None:
    assert error_of(text, MESSAGE).replace('"T"', "`T`") == f"template: T:1:{expected}"


def test_missing_keys_as_zero_values() -> None:
    counts = {"Counts": Map("map[string]int", {"a": 1}), "Any": {}}
    text = "{{.Counts.a}} {{.Counts.b}} {{index .Counts `c`}} {{.Any.x}}"
    assert parse(text, missing_key="zero").execute(counts) == "1 0 0 <no value>"
    assert parse(text).execute(counts) == "1 <no value> 0 <no value>"
    assert parse("{{.Any.x.y}}").execute(counts) == "<no value>"
    with pytest.raises(ExecutionError, match=r"nil pointer evaluating interface \{\}\.y$"):
        parse("{{.Any.x.y}}", missing_key="zero").execute(counts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<{{.A}}>", "<[one]>"),
        ("{{.A}}{{.A}}", "[oneone]"),
        ("{{print `<` .A 1 2 `>`}}", "<[one]1 2>"),
        ("{{printf `<%s|%5s>` .A `x`}}", "<[one]|    x>"),
        ("{{.A | printf `%s!`}}", "[one]!"),
        ("{{slice .A 1}}{{slice .A 0 1}}", "[neo]"),
        ("{{slice .U 0 2}}{{slice `é` 0 2}}", "[é]é"),
        ("{{slice .U 0 1}}{{slice .U 1}}", "[éa]"),
        ("{{slice .U 1 2}}-", "[\ufffd]-"),
        ("{{html .A}}<", "[one]<"),
        ("{{json .L}}", '[["one"]]'),
        ("{{.L}}", "[[one]]"),
        ("{{range $k, $v := .M}}{{$k}}={{$v}}{{end}}", "[k]=[v]"),
        ("{{own .A}}{{own `x`}}{{len .A}}", "[made]made3"),
        ("{{if eq .A `one`}}yes{{end}}{{index .M `k`}}{{.M.k}}", "yes[vv]"),
        ("{{template `t` .A}}{{define `t`}}({{.}}){{end}}", "([one])"),
        ("{{or .A `x`}}{{and 1 .A `y`}}", "[one]y"),
    ],
)
def test_marks_of_foreign_text(text: str, expected: str) -> None:
    functions = {"json": Function(lambda value: f'["{value[0]}"]'), "own": Function(lambda value: "made")}
    data = mark({"A": "one", "U": "éa", "L": ["one"], "M": {"k": "v"}})
    output = parse(text, "T", functions).execute(data)
    shown, at = "", 0
    for start, end in ranges(output):
        shown += f"{output[at:start]}[{output[start:end]}]"
        at = end
    assert shown + output[at:] == expected


def test_output_is_plain_where_nothing_is_foreign() -> None:
    assert type(parse("{{.A}}").execute({"A": "x"})) is str
    assert type(parse("x").execute({"A": Foreign("y")})) is str


@pytest.mark.parametrize(
    ("data", "expected"),
    [("a\ud800b", "a\ufffdb"), ("\udcff\udce2\udc82\udcac", "\ufffd€"), (mark("x\udcc3"), "x\ufffd")],
)
def test_output_is_utf_8(data: str, expected: str) -> None:
    output = parse("{{.}}").execute(data)
    assert output == expected
    assert isinstance(output, Foreign) == isinstance(data, Foreign)


def test_fields() -> None:
    text = (
        "{{.System}}{{if .Tools}}{{range .Tools}}{{.Name}}{{$.Model}}{{else}}{{.Other.Deep}}{{end}}{{end}}"
        "{{with $.Prompt}}{{.Text}}{{template `other` .}}{{end}}{{template `mine` .}}{{template `mine` $}}"
        "{{define `mine`}}{{.Think}}{{template `mine` .}}{{end}}{{define `other`}}{{.Not}}{{$.Neither}}{{end}}"
        "{{$x := .Last}}{{$x.Role}}{{(index .List 0).Role}}{{template `none`}}"
    )
    assert parse(text).fields() == {"System", "Tools", "Model", "Other", "Prompt", "Think", "Last", "List"}


def test_walk_goes_through_the_text_in_order() -> None:
    text = "a{{if .B}}c{{else}}{{.D.E}}{{end}}{{range $i, $_ := .F}}{{(print 1).G}}{{end}}"
    root = parse(text).trees.roots["TEMPLATE"]
    leaves = [str(node) for node, _ in root.walk() if isinstance(node, nodes.Field | nodes.Variable | nodes.Chain)]
    assert leaves == [".B", ".D.E", "$i", "$_", ".F", "(print 1).G"]
    above = next(above for node, above in root.walk() if isinstance(node, nodes.Pipe) and str(node) == ".D.E")
    assert [type(node).__name__ for node in above] == ["List", "If", "List", "Action"]
