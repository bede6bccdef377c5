"""Pipelines of Go templates made by chance: of the kind asked for mostly, now and then of a wrong one."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

FIELDS = {
    "root": {
        "s": "str", "t": "str", "n": "int", "m": "int", "f": "float", "yes": "bool", "no": "bool", "none": "any",
        "list": "list", "ints": "ints", "strs": "strs", "empty": "list", "map": "map", "msgs": "msgs", "msg": "msg",
        "tools": "tools", "tool": "tool", "call": "call", "missing": "any", "z": "complex",
    },
    "map": {"a": "any", "b": "any", "name": "any", "nope": "any"},
    "msg": {"Role": "str", "Content": "str", "Images": "list", "ToolCalls": "calls"},
    "one call": {"ID": "str", "Function": "call"},
    "call": {"Index": "int", "Name": "str", "Arguments": "map"},
    "tool": {"Type": "str", "Items": "any", "Required": "strs"},
}  # fmt: skip
"""What a value of a kind has by name, and of which kind that is."""
ELEMENTS = {
    "list": "any", "ints": "int", "strs": "str", "msgs": "msg", "calls": "one call", "tools": "tool", "map": "any",
}  # fmt: skip
"""What is in a value of a kind."""
KINDS = sorted({kind for fields in FIELDS.values() for kind in fields.values()} | {"one call"})

_STRINGS = (
    '""', '"a"', '"hello"', r'"x\ty\n"', r"`raw \n`", r'"\u00e9\U0001F999"', '"user"', '"%v|%5d"', r'"\xff"',
    "`two\nlines`",
    r'"\""', '`"`', '"<b>"', '"{{.s}}"', '"}}"',
    r'"\101"',
)  # fmt: skip
_INTEGERS = (
    "0", "1", "2", "3", "-1", "+4", "10", "0x1F", "0b11", "0o17", "017", "1_000", "'a'", r"'\n'", "'é'", r"'\''",
    r"'\x41'",
    "9223372036854775807", "1e3", "1.0", "0X_f",
)  # fmt: skip
_LITERALS = {
    "str": _STRINGS,
    "int": _INTEGERS,
    "float": ("1.5", ".5", "1e3", "-2.5", "1.", "1e-7", "0x1p-2", "1e21", "3.14", "1_0.2_5"),
    "bool": ("true", "false"),
    "complex": ("1i", "2.5i", "1+2i", "0x1p1i"),
    "any": ("nil", "1", '"x"', "true", "1.5"),
}
WRONG = (
    "0x", "1a", "'ab'", "''", '"a', "`a", "99999999999999999999", "1e400", "08", "'", "$", ".", "_", "1__0", r'"\q"',
    '"a\nb"', "..", ".1.2", "@", "é", "nil.x", "(", ")", "|", ":=", "=", ",", "&", "%", "\\", r"'\400'", "$nosuch",
    ".nosuch.at.all", "nosuch", ".s.x", ".none.x", ".n.x", "true.x", "1.x", "().x", "(nil)", "(1)", "$.", ".é", "$é",
    "9223372036854775808",
)  # fmt: skip
"""What is no literal, no name, or not there."""
_FORMS = (
    '"%v"',
    '"%s %d"',
    '"%q"',
    '"%5.2f|%-8s|"',
    '"%x"',
    '"%[2]v %[1]v"',
    '"%T"',
    '"%t"',
    '"%d%%"',
    '"%+v"',
    '"%#v"',
)
_FILTERS = (
    "print", 'printf "%v"', "html", "js", "json", 'printf "%q"', "not", "and true", "or .s", "println", "urlquery",
    "printf", 'printf "%s %v" 1', "print 1", "len", "eq 1",
)  # fmt: skip
_WRONG_FILTERS = ("index .map", "slice", "eq .s", "call", "index", ".s", "$", "nil", "1", "(print)", "nosuch")
_PARTS = ("", "0", "0", "0 1", "0 0", "1")
_RARE_PARTS = ("(.n)", "$i", "1 2", "2 1", "-1", "99", '"a"', "0 (.m)", "0 1 2", "0 1 1", "1.0", "nil", "'\\x00'")


@dataclass
class Scope:
    """The kinds of what can be named at a place."""

    dot: str = "root"
    root: str = "root"
    variables: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Expressions:
    """Makes expressions for places in `scope`, whose names its owner keeps up to date."""

    chance: random.Random
    scope: Scope

    def pipeline(self, kind: str, depth: int) -> str:
        """Commands with bars between them."""
        chance = self.chance
        text = self._call(kind, depth) if depth and chance.random() < 0.5 else self._operand(kind, depth)
        while chance.random() < 0.13:
            filters = _FILTERS if chance.random() < 0.95 else _WRONG_FILTERS
            text += chance.choice([" | ", "|"]) + chance.choice(filters)
        return text

    def _operand(self, kind: str, depth: int) -> str:
        chance = self.chance
        luck = chance.random()
        if luck < 0.003:
            return chance.choice(WRONG)
        if luck < 0.02:
            kind = chance.choice(KINDS)
        if depth and chance.random() < 0.25:
            field_of = chance.choice([".x", ".Role", ".a.b"]) if chance.random() < 0.05 else ""
            return f"({self._call(kind, depth - 1)}){field_of}"
        named = self._named(kind)
        literals = _LITERALS.get(kind, ())
        if named and (not literals or chance.random() < 0.7):
            return chance.choice(named)
        return chance.choice(literals or (".", "$", ".missing", '"x"', "1", "nil"))

    def _named(self, kind: str) -> list[str]:
        """Paths to values of the kind."""
        scope = self.scope
        variables = [name for name, held in scope.variables if held == kind]
        dot = ["."] if scope.dot == kind else []
        starts = [("", scope.dot), ("$", scope.root), *scope.variables[-2:]]
        return variables * 3 + dot * 3 + [path for start, held in starts for path in self._paths(start, held, kind)]

    def _paths(self, start: str, held: str, kind: str) -> list[str]:
        fields = FIELDS.get(held, {})
        direct = [f"{start}.{name}" for name, of in fields.items() if of == kind]
        deeper = [
            f"{start}.{name}.{inner}"
            for name, of in fields.items()
            for inner, inner_kind in FIELDS.get(of, {}).items()
            if inner_kind == kind
        ]
        return direct + self.chance.sample(deeper, min(2, len(deeper)))

    def _several(self, depth: int, *kinds: str) -> str:
        times = self.chance.choice([1, 2, 2, 3])
        return " ".join(self._operand(self.chance.choice(kinds), depth) for _ in range(times))

    def _call(self, kind: str, depth: int) -> str:
        """A function and its arguments.

        What `slice` has made is not sliced again, as Go would show there what was cut off.
        """
        chance = self.chance
        if chance.random() < 0.2:
            return f"{chance.choice(['and', 'or'])} {self._several(depth, kind, kind, 'bool', 'any')}"
        if kind == "bool":
            return self._comparison(depth)
        if kind == "str":
            return self._text(depth)
        if kind == "int":
            counted = self._operand(chance.choice(["str", "list", "map", "msgs", "strs", "any"]), depth)
            indexed = f"index {self._operand(chance.choice(['ints', 'str']), depth)} {self._number(depth)}"
            return chance.choice([f"len {counted}", indexed])
        if kind in ELEMENTS and kind != "map":
            whole = [path for path in self._named(kind) if "." in path[1:]] or ["(slice nil)", '"a"', "1", "nil"]
            return f"slice {chance.choice(whole)} {self._parts()}".rstrip()
        for holder, element in ELEMENTS.items():
            if element == kind and kind != "any":
                return f"index {self._operand(holder, depth)} {chance.choice('0001')}"
        return self._element(depth)

    def _comparison(self, depth: int) -> str:
        chance = self.chance
        if ("$i", "int") in self.scope.variables and chance.random() < 0.3:
            return chance.choice(
                ["eq (len (slice $.msgs $i)) 1", "lt $i (len $.msgs)", "eq $i 0", "gt (len (slice .strs $i)) 1"]
            )
        kind = chance.choice(["str", "int", "float"] if chance.random() < 0.9 else ["bool", "any", *KINDS])
        first = self._operand(kind, depth)
        if chance.random() < 0.3:
            return f"eq {first} {self._several(depth, kind)}"
        if chance.random() < 0.3:
            return f"not {first}"
        return f"{chance.choice(['eq', 'ne', 'lt', 'le', 'gt', 'ge'])} {first} {self._operand(kind, depth)}"

    def _text(self, depth: int) -> str:
        chance = self.chance
        name = chance.choice(
            ["print", "println", "printf", "html", "js", "urlquery", "json", "slice", "index", "printf"]
        )
        if name == "printf":
            return f"printf {chance.choice(_FORMS)} {self._several(depth, *KINDS)}"
        if name == "json":
            return f"json {self._operand(chance.choice(KINDS), depth)}"
        if name == "slice":
            return f"slice {self._operand('str', depth)} {self._parts()}".rstrip()
        if name == "index":
            return f"index {self._operand('strs', depth)} {self._number(depth)}"
        return f"{name} {self._several(depth, *KINDS)}"

    def _number(self, depth: int) -> str:
        """Of an element, which there often is."""
        return "0" if self.chance.random() < 0.8 else self._operand("int", depth)

    def _parts(self) -> str:
        """From where to where to slice."""
        return self.chance.choice(_PARTS if self.chance.random() < 0.9 else _RARE_PARTS)

    def _element(self, depth: int) -> str:
        chance = self.chance
        return chance.choice(
            [
                f"index {self._operand('list', depth)} {self._number(depth)}",
                f"index {self._operand('map', depth)} {self._operand('str', depth)}",
                f"index {self._operand('map', depth)} {self._operand('str', depth)}",
                f"index {self._operand(chance.choice(['map', 'list']), depth)} {self._several(depth, 'str', 'int')}",
                f"call {self._operand('str', depth)} {self._operand('int', depth)}",
            ]
        )
