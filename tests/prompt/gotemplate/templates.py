"""Templates and data made by chance, the same for the same seed: every construct, in the ways people nest them.

A fourth of the templates is damaged: a piece of text deleted, moved or put in.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

from bundler.prompt.gotemplate.values import Slice
from tests.prompt.gotemplate import operands
from tests.prompt.gotemplate.expressions import ELEMENTS, KINDS, WRONG, Expressions, Scope

_TEXTS = ("text", " ", "\n", "\t", "  \n ", "<|im_start|>user\n", "}", "{ ", "}} ", "é", "🦙", "-", "\r\n", "[INST] ")
_COMMENTS = ("{{/* c */}}", "{{- /* c\nd */ -}}", "{{/**/}}", "{{/* }} */ -}}", "{{- /* {{ */}}")
_INSERTED = (
    "{{", "}}", "{{-", "-}}", "{{end}}", "{{else}}", "{{if}}", "{{range}}", "{{break}}", "{{continue}}", "{{nil}}",
    "{{}}", "end", "else", "if", "range", "with", "define", "template", "block", "break", "|", ":=", "=", ",", "$x",
    "$", ".", "(", ")", '"', "`", "'", "/*", "*/", "{{/*", "{{ /* c */ }}", "{{/* c */}}", "1", "nil", "len", "and",
    "nosuch", ".x.y", " ", "\n", "-", "{{/* c */ -}}", "{{-}}", "{{- -}}", "{{-1}}", "{{- 1}}", "{{1 -}}", "{{1-}}",
    '{{define "T1"}}', "{{else if .s}}", "{{else with .s}}", "{{with $x := 1}}", '{{template "T1" .}}',
    '{{ template "T9" }}', "{{.s.t}}", "{{$}}", "{{$x}}", "{{(.)}}", "{{1 | 2}}", "{{print | .s}}",
    "{{.s | len | print}}", "{{range $i, $e := .list}}", "{{range .n}}", "{{range $i, $e, $f := .list}}",
    "{{define}}", "{{template}}", '{{block "B"}}', "{{$x := 1, 2}}", "{{$x, $y := 1}}", "{{with}}", "{{if .s}}",
    "{{. .}}", "{{else}}{{else}}",
)  # fmt: skip


def data(chance: random.Random) -> dict[str, Any]:
    """What a template sees; its members are of the kinds that FIELDS says."""
    words = [chance.choice(operands.STRINGS) for _ in range(chance.choice([0, 1, 2, 3]))]
    numbers = [chance.randrange(-3, 50) for _ in range(chance.choice([0, 1, 2, 3]))]
    messages = [operands.message(chance, 2) for _ in range(chance.choice([0, 1, 2, 3]))]
    tools = [operands.tool(chance, 1) for _ in range(chance.randrange(3))]
    return {
        "s": chance.choice(operands.STRINGS),
        "t": chance.choice(operands.STRINGS),
        "n": chance.randrange(-2, 6),
        "m": chance.choice([0, 1, 2, 3, 1000, -5]),
        "f": chance.choice(operands.FLOATS),
        "yes": True,
        "no": False,
        "none": None,
        "list": [operands.operand(chance, 1) for _ in range(chance.choice([0, 1, 2, 3]))],
        "ints": Slice("[]int", numbers),
        "strs": Slice("[]string", words),
        "empty": [],
        "map": {operands.key(chance): operands.operand(chance, 1) for _ in range(chance.randrange(4))},
        "msgs": Slice("[]main.Message", messages, nil=not messages),
        "msg": operands.message(chance, 2),
        "tools": Slice("[]main.Tool", tools, nil=not tools),
        "tool": operands.tool(chance, 1),
        "call": operands.call(chance, 2),
        "z": complex(chance.randrange(3), 1),
    }


def template(chance: random.Random) -> str:
    """The text of a template."""
    defined = ["T1", "T2"][: chance.choice([0, 0, 0, 1, 2])]
    pieces = [_Writer(chance, Scope(), defined).block(2)]
    for number, name in enumerate(defined, 1):
        kind = chance.choice([*KINDS, "root"])
        body = _Writer(chance, Scope(kind, kind), defined[number:])
        definition = body.action(f'define "{name}"') + body.block(1) + body.action("end")
        pieces.insert(chance.randrange(len(pieces) + 1), definition)
    text = "".join(pieces)
    if chance.random() < 0.2:
        for _ in range(chance.choice([1, 1, 2])):
            text = _damaged(chance, text)
    return text


def _damaged(chance: random.Random, text: str) -> str:
    places = [found.start() for found in re.finditer(r"\{\{|\}\}|\b|[^\w\s]", text)] or [0]
    start = chance.choice(places)
    end = min(start + chance.choice([1, 1, 2, 3, 8]), len(text))
    return chance.choice(
        [
            text[:start] + text[end:],
            text[:end] + text[start:],
            text[:start],
            text[:start] + chance.choice(WRONG) + text[start:],
            text[:start] + chance.choice(_INSERTED) + text[start:],
            text[:start] + chance.choice(_INSERTED) + text[start:],
        ]
    )


class _Writer:
    """Writes a template's text, which may call the templates `defined`."""

    def __init__(self, chance: random.Random, scope: Scope, defined: list[str]) -> None:
        self._chance = chance
        self._scope = scope
        self._pipeline = Expressions(chance, scope).pipeline
        self._defined = defined
        self._loops = 0

    def block(self, depth: int) -> str:
        """Texts and actions, with control structures in each other down to a depth."""
        known = len(self._scope.variables)
        text = "".join(self._piece(depth) for _ in range(self._chance.choice([1, 1, 2, 2, 3])))
        del self._scope.variables[known:]
        return text

    def action(self, inside: str) -> str:
        """What stands between delimiters, which may trim."""
        chance = self._chance
        left, right = chance.choice([("{{", "}}")] * 4 + [("{{-", "-}}"), ("{{-", "}}"), ("{{", "-}}")])
        space = ["", " "] if chance.random() < 0.8 else [" ", "  ", "\n", "\t", "\r\n"]
        before = " " if left == "{{-" else chance.choice(space)
        after = " " if right == "-}}" else chance.choice(space)
        return left + before + inside + after + right

    def _piece(self, depth: int) -> str:
        if depth and self._chance.random() < 0.5:
            control = self._chance.choice(
                [self._if, self._if, self._range, self._range, self._with, self._block_action]
            )
            return control(depth - 1)
        simple: list[Callable[[], str]] = [
            self._text, self._text, self._output, self._output, self._output, self._declaration, self._comment,
            self._call, self._jump,
        ]  # fmt: skip
        return self._chance.choice([*simple, self._assignment] if self._scope.variables else simple)()

    def _kind(self) -> str:
        return self._chance.choice(KINDS)

    def _text(self) -> str:
        return "".join(self._chance.choice(_TEXTS) for _ in range(self._chance.randrange(1, 4)))

    def _output(self) -> str:
        return self.action(self._pipeline(self._kind(), 2))

    def _comment(self) -> str:
        return self._chance.choice(_COMMENTS)

    def _jump(self) -> str:
        if not self._loops and self._chance.random() < 0.99:
            return self._text()
        return self.action(self._chance.choice(["break", "continue"]))

    def _call(self) -> str:
        if not self._defined and self._chance.random() < 0.98:
            return self._text()
        name = self._chance.choice(self._defined or ["T9"])
        given = self._chance.choice(["", " .", " $", " " + self._pipeline(self._kind(), 1)])
        return self.action(f'template "{name}"{given}')

    def _declaration(self) -> str:
        kind, name = self._kind(), self._new_name()
        text = self.action(f"{name} := {self._pipeline(kind, 1)}")
        self._scope.variables.append((name, kind))
        return text

    def _new_name(self) -> str:
        return f"${self._chance.choice('abcdexyz')}"

    def _assignment(self) -> str:
        name, kind = self._chance.choice(self._scope.variables)
        return self.action(f"{name} = {self._pipeline(kind, 1)}")

    def _if(self, depth: int) -> str:
        text = self.action("if " + self._condition()) + self.block(depth)
        while self._chance.random() < 0.25:
            text += self.action("else if " + self._condition()) + self.block(depth)
        return text + self._otherwise(depth) + self.action("end")

    def _condition(self) -> str:
        kind = self._chance.choice(["bool", "bool", self._kind()])
        declared = f"{self._new_name()} := " if self._chance.random() < 0.1 else ""
        return declared + self._pipeline(kind, 2)

    def _otherwise(self, depth: int) -> str:
        return self.action("else") + self.block(depth) if self._chance.random() < 0.35 else ""

    def _range(self, depth: int) -> str:
        chance, scope = self._chance, self._scope
        kind = chance.choice([*ELEMENTS, "msgs", "strs", "int"] if chance.random() < 0.97 else ["str", "float", "any"])
        over = self._pipeline(kind, 1) if kind != "int" else chance.choice([".n", "$.n", "3", "0", "-1", "(len .s)"])
        element, index = ELEMENTS.get(kind, "int"), "str" if kind == "map" else "int"
        known, dot = len(scope.variables), scope.dot
        form = chance.randrange(5)
        if form == 0 and scope.variables:
            over = f"{chance.choice(scope.variables)[0]} = {over}"
        elif form == 1:
            over = f"$v := {over}"
            scope.variables.append(("$v", element))
        elif form >= 3:
            over = f"$i, $v := {over}"
            scope.variables += [("$i", index), ("$v", element)]
        scope.dot = element
        self._loops += 1
        text = self.action("range " + over) + self.block(depth)
        self._loops -= 1
        scope.dot = dot
        text += self._otherwise(depth)
        del scope.variables[known:]
        return text + self.action("end")

    def _with(self, depth: int) -> str:
        scope, kind = self._scope, self._kind()
        known, dot = len(scope.variables), scope.dot
        head = self._pipeline(kind, 1)
        if self._chance.random() < 0.3:
            name = self._new_name()
            head = f"{name} := {head}"
            scope.variables.append((name, kind))
        scope.dot = kind
        text = self.action("with " + head) + self.block(depth)
        scope.dot = dot
        if self._chance.random() < 0.15:
            text += self.action("else with " + self._pipeline(kind, 1)) + self.block(depth)
        text += self._otherwise(depth)
        del scope.variables[known:]
        return text + self.action("end")

    def _block_action(self, depth: int) -> str:
        kind = self._kind()
        head = f'block "B{self._chance.randrange(9)}" {self._pipeline(kind, 1)}'
        return self.action(head) + _Writer(self._chance, Scope(kind, kind), []).block(depth) + self.action("end")
