"""Jinja templates: real ones with damage, and made ones; told apart or not, foreign text makes the same prompt."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from random import Random
from typing import NamedTuple

import pytest

from bundler import data
from bundler.errors import BundleError
from bundler.formats.manifest import Template
from bundler.prompt import jinja
from bundler.prompt.conversation import Conversation
from tests import sources
from tests.fuzz import chats
from tests.fuzz.mutation import mutated
from tests.fuzz.targets.gotemplates import check_ranges

SECONDS = 45.0
"""The sandbox's own clock ends after 30."""

_NAMES = (
    "messages", "message", "tools", "loop", "x", "ns", "bos_token", "add_generation_prompt", "documents", "cycler",
)  # fmt: skip
_ATTRIBUTES = (
    ".role", ".content", "['content']", "[0]", "[-1]", "[1:]", "[::-1]", "[:99999999999]", ".index0", ".first", ".x",
    ".tool_calls", ".__class__", ".items()", ".keys()", ".strip()", ".split('\\n')", ".upper()", ".format(1)", ".mro()",
    ".replace('a', 'bb')", ".startswith('x')", ".previtem", "['function']['arguments']", ".get('x', {})", ".encode()",
)  # fmt: skip
_FILTERS = (
    "tojson", "tojson(indent=4)", "trim", "length", "upper", "list", "join", "join(', ')", "first", "last", "string",
    "int", "float", "default('d')", "items", "map(attribute='role')", "selectattr('role', 'equalto', 'user')",
    "reject('none')", "sort", "unique", "reverse", "safe", "escape", "e", "indent(2)", "center(80)", "batch(2)",
    "slice(3)", "round(2)", "sum", "wordwrap(5)", "truncate(9)", "replace('a', 'b')", "format(1)", "xmlattr",
    "urlencode", "pprint", "dictsort", "groupby('role')", "from_json", "random", "abs", "attr('role')", "min", "max",
    "capitalize", "title", "wordcount", "striptags", "filesizeformat",
)  # fmt: skip
_TESTS = (
    "defined", "none", "string", "mapping", "iterable", "number", "true", "odd", "divisibleby(0)", "in messages",
    "sameas x",
)  # fmt: skip
_ATOMS = (
    "1", "0", "-1", "3.5", "1e300", "99999999", "'a'", "'ab\\n'", "\"<|im_end|>\"", "true", "none", "[]", "{}",
    "[1, 'a']", "{'a': 1}", "range(5)", "range(99999999)", "namespace(x=1)", "raise_exception('no')",
    "strftime_now('%Y')", "dict(a=1)", "'%s' % x", "'x' * 999", "'%9999999d' % 1", "lipsum()", "joiner()",
    "cycler(1, 2)", "self", "super()", "(1, 2)",
)  # fmt: skip
_OPERATORS = ("+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "in", "not in", "and", "or")
_PIECES = (
    "{{", "}}", "{%", "%}", "{%-", "-%}", "{#", "#}", "{% endfor %}", "{% endif %}", "{% else %}",
    "{% for m in messages %}", "{% if true %}", "{% set x = 1 %}", "{% set ns.x = 1 %}", "{% macro f(a) %}",
    "{% endmacro %}", "{{ f(1) }}", "{{ self }}", "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}",
    "{% block b %}", "{% raw %}", "{% generation %}", "|", ".", "{% break %}", "{% continue %}", "{% do x %}",
    "{% call f() %}", "{% filter upper %}", "{% with %}", "{% autoescape true %}", "(", ")", "[", "]", "'", '"', "\\",
    "\x00", "\ud800", "%", "loop(messages)", "{% for a in b recursive %}", "caller()",
)  # fmt: skip


class Case(NamedTuple):
    text: str
    conversation: Conversation


def case(chance: Random) -> Case:
    text = _body(chance, 3) if chance.random() < 0.5 else chance.choice(_seeds())
    if chance.random() < 0.5:
        text = mutated(chance, text, _PIECES, chance.choice(_seeds()))
    return Case(text, chats.conversation(chance))


@cache
def _seeds() -> tuple[str, ...]:
    """Our own templates, and those of llama.cpp's sources where they are there."""
    paths = sorted(data.path("templates").glob("prompts/*.jinja"))
    with suppress(pytest.skip.Exception):
        paths += sorted((sources.models() / "templates").glob("*.jinja"))
    return tuple(path.read_text(encoding="utf-8") for path in paths)


def attempt(case: Case) -> bool:
    template = Template(kind="jinja", text=case.text, source="gguf", reason="", bos_token="<s>", eos_token="<|im_end|>")
    try:
        plain = jinja.render(template, case.conversation)
    except BundleError:
        plain = None
    marked = jinja.render_marked(template, case.conversation)
    check_ranges(marked.text, marked.foreign)
    assert plain is None or marked.text == plain or "random" in case.text or "lipsum" in case.text
    return plain is not None


def _body(chance: Random, depth: int) -> str:
    return "".join(_statement(chance, depth) for _ in range(chance.choice([1, 1, 2, 4])))


def _statement(chance: Random, depth: int) -> str:
    if not depth or chance.random() < 0.4:
        return chance.choice(["{{ %s }}", "{{- %s -}}", "{%% set x = %s %%}", "text\n%s "]) % _expression(chance, 3)
    inside = _body(chance, depth - 1)
    match chance.randrange(7):
        case 0 | 1:
            name = chance.choice(["message", "x", "k, v"])
            return f"{{% for {name} in {_expression(chance, 2)} %}}{inside}{{% endfor %}}"
        case 2:
            return f"{{% if {_expression(chance, 2)} %}}{inside}{{% else %}}{_body(chance, 0)}{{% endif %}}"
        case 3:
            return f"{{% set ns = namespace(x={_expression(chance, 1)}) %}}{inside}{{% set ns.x = ns.x ~ x %}}"
        case 4:
            call = f"{{{{ f({_expression(chance, 1)}) }}}}"
            return f"{{% macro f(a, b={_expression(chance, 1)}) %}}{inside}{{% endmacro %}}{call}"
        case 5:
            return f"{{% set x %}}{inside}{{% endset %}}"
        case _:
            return f"{{% for m in messages recursive %}}{inside}{{{{ loop(m) if loop.depth < 3 }}}}{{% endfor %}}"


def _expression(chance: Random, depth: int) -> str:
    if not depth or chance.random() < 0.3:
        return chance.choice([chance.choice(_ATOMS), *(chance.choice(_NAMES) for _ in range(3))])
    left = _expression(chance, depth - 1)
    match chance.randrange(6):
        case 0 | 1:
            return f"{left}{chance.choice(_ATTRIBUTES)}"
        case 2 | 3:
            return f"{left} | {chance.choice(_FILTERS)}"
        case 4:
            return f"({left} {chance.choice(_OPERATORS)} {_expression(chance, depth - 1)})"
        case _:
            return f"({left} is {chance.choice(_TESTS)})"
