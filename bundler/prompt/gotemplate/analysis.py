"""What a template asks of its data: the names that it looks up in what it is executed with.

Follows dot through the tree: in `range` and `with` it is another value, in a called template what it was called with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bundler.prompt.gotemplate import nodes


def fields(roots: Mapping[str, nodes.List], main: str) -> frozenset[str]:
    """The first names of `.Name` where dot is the data itself, and of `$.Name`."""
    search = _Search(roots)
    search.template(main)
    return frozenset(search.found)


@dataclass(slots=True)
class _Search:
    roots: Mapping[str, nodes.List]
    found: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)

    def template(self, name: str) -> None:
        """A template that is executed with the data."""
        if name in self.roots and name not in self.seen:
            self.seen.add(name)
            self.node(self.roots[name], True)

    def node(self, node: nodes.Node, dot_is_data: bool) -> None:
        is_field = isinstance(node, nodes.Field) and dot_is_data
        if is_field or (isinstance(node, nodes.Variable) and node.variable == "$"):
            assert isinstance(node, nodes.Field | nodes.Variable)
            self.found.update(node.names[:1])
        if isinstance(node, nodes.Call) and node.pipe and _is_data(node.pipe, dot_is_data):
            self.template(node.name)
        for child in node.children():
            changed = isinstance(node, nodes.Range | nodes.With) and child is node.body
            self.node(child, dot_is_data and not changed)


def _is_data(pipe: nodes.Pipe, dot_is_data: bool) -> bool:
    """Whether a pipeline is `.` or `$` and means the data."""
    operands = pipe.commands[0].operands
    if len(pipe.commands) > 1 or len(operands) > 1:
        return False
    first = operands[0]
    if isinstance(first, nodes.Variable):
        return first.variable == "$" and not first.names
    return isinstance(first, nodes.Dot) and dot_is_data
