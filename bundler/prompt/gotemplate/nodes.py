"""The tree of a template. A node's str is the text that Go's errors quote; `at` is its place in the template.

Plain values: the parser makes them, `compile` turns them into functions, `analysis` looks at them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bundler.prompt.gotemplate.literals import Constant
from bundler.prompt.gotemplate.quote import quote


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """Something at a place: characters of the template before it."""

    at: int

    def children(self) -> tuple[Node, ...]:
        """The nodes right below, in the order of the text."""
        return ()

    def walk(self, above: tuple[Node, ...] = ()) -> Iterator[tuple[Node, tuple[Node, ...]]]:
        """This node and all below it in the order of the text, each with the nodes it is in, outermost first."""
        yield self, above
        for child in self.children():
            yield from child.walk((*above, self))


@dataclass(frozen=True, slots=True, eq=False)
class Text(Node):
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class List(Node):
    """What stands between two control actions, or is a whole template."""

    nodes: tuple[Node, ...]

    def children(self) -> tuple[Node, ...]:
        return self.nodes

    def is_empty(self) -> bool:
        """Whether it holds nothing but space."""
        return all(isinstance(node, Text) and not node.text.strip() for node in self.nodes)


@dataclass(frozen=True, slots=True, eq=False)
class Dot(Node):
    def __str__(self) -> str:
        return "."


@dataclass(frozen=True, slots=True, eq=False)
class Nil(Node):
    def __str__(self) -> str:
        return "nil"


@dataclass(frozen=True, slots=True, eq=False)
class Bool(Node):
    value: bool

    def __str__(self) -> str:
        return "true" if self.value else "false"


@dataclass(frozen=True, slots=True, eq=False)
class Number(Node):
    spelling: str
    constant: Constant

    def __str__(self) -> str:
        return self.spelling


@dataclass(frozen=True, slots=True, eq=False)
class String(Node):
    spelling: str
    value: str

    def __str__(self) -> str:
        return self.spelling


@dataclass(frozen=True, slots=True, eq=False)
class Identifier(Node):
    """The name of a function."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, eq=False)
class Field(Node):
    """`.A.B`: names to look up one in the other, from dot on."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return "." + ".".join(self.names)


@dataclass(frozen=True, slots=True, eq=False)
class Variable(Node):
    """`$x.A.B`: a variable, `$x` or `$`, and names to look up from its value on."""

    variable: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join((self.variable, *self.names))


@dataclass(frozen=True, slots=True, eq=False)
class Chain(Node):
    """`(expression).A.B`."""

    node: Node
    names: tuple[str, ...]

    def __str__(self) -> str:
        inside = f"({self.node})" if isinstance(self.node, Pipe) else str(self.node)
        return ".".join((inside, *self.names))

    def children(self) -> tuple[Node, ...]:
        return (self.node,)


@dataclass(frozen=True, slots=True, eq=False)
class Command(Node):
    """An operand, or a function and its arguments."""

    operands: tuple[Node, ...]

    def __str__(self) -> str:
        return " ".join(f"({operand})" if isinstance(operand, Pipe) else str(operand) for operand in self.operands)

    def children(self) -> tuple[Node, ...]:
        return self.operands


@dataclass(frozen=True, slots=True, eq=False)
class Pipe(Node):
    """Commands, each getting the value of the one before, and the variables that get the value of the last."""

    variables: tuple[Variable, ...]
    assigns: bool
    """`=`, to variables that exist, not `:=`."""
    commands: tuple[Command, ...]

    def __str__(self) -> str:
        text = " | ".join(map(str, self.commands))
        if not self.variables:
            return text
        return f"{', '.join(map(str, self.variables))} {'=' if self.assigns else ':='} {text}"

    def children(self) -> tuple[Node, ...]:
        return (*self.variables, *self.commands)


@dataclass(frozen=True, slots=True, eq=False)
class Action(Node):
    """`{{pipeline}}`."""

    pipe: Pipe

    def children(self) -> tuple[Node, ...]:
        return (self.pipe,)


@dataclass(frozen=True, slots=True, eq=False)
class Break(Node):
    pass


@dataclass(frozen=True, slots=True, eq=False)
class Continue(Node):
    pass


@dataclass(frozen=True, slots=True, eq=False)
class Branch(Node):
    """`if`, `range` or `with`."""

    pipe: Pipe
    body: List
    otherwise: List | None

    def children(self) -> tuple[Node, ...]:
        return (self.pipe, self.body) if self.otherwise is None else (self.pipe, self.body, self.otherwise)


@dataclass(frozen=True, slots=True, eq=False)
class If(Branch):
    pass


@dataclass(frozen=True, slots=True, eq=False)
class Range(Branch):
    pass


@dataclass(frozen=True, slots=True, eq=False)
class With(Branch):
    pass


@dataclass(frozen=True, slots=True, eq=False)
class Call(Node):
    """`{{template "name" pipeline}}`."""

    name: str
    pipe: Pipe | None

    def __str__(self) -> str:
        return f"{{{{template {quote(self.name)}{f' {self.pipe}' if self.pipe else ''}}}}}"

    def children(self) -> tuple[Node, ...]:
        return (self.pipe,) if self.pipe else ()


def last_at(node: Node) -> Node:
    """The node that Go looked at last when this one is evaluated: where it says that something with the value is."""
    match node:
        case Pipe():
            return last_at(node.commands[-1])
        case Chain():
            return last_at(node.node)
        case Command() if isinstance(node.operands[0], Identifier):
            return last_at(node.operands[-1])
        case Command():
            return last_at(node.operands[0])
    return node
