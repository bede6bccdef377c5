"""What is known at a place of one template while it is compiled.

Knows names, slots and the wording of errors; nothing of how nodes become functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from bundler.prompt.gotemplate.errors import ExecutionError, LimitError
from bundler.prompt.gotemplate.nodes import Node, Variable
from bundler.prompt.gotemplate.parse import Trees
from bundler.prompt.gotemplate.quote import quote
from bundler.prompt.gotemplate.values import Function

MissingKey = Literal["default", "zero"]
"""What an absent key of a map gives: an absent value, or the zero value of the map's items, which is nil for `any`."""

UNSET: Final = object()
"""The value of a variable whose declaration was not run."""


class Scope:
    """What is known at a place of one template while it is compiled: its variables, and where to look things up.

    Every declaration has a slot of its own in the list of values that closures get; slot 0 is `$`.
    """

    def __init__(
        self,
        trees: Trees,
        template: str,
        builtins: Mapping[str, Function],
        others: Mapping[str, Function],
        missing_key: MissingKey,
    ) -> None:
        self.trees = trees
        self.template = template
        self.functions = {**builtins, **others}
        self._others = others
        self.missing_key = missing_key
        self.names: list[tuple[str, int]] = [("$", 0)]
        self.size = 1
        self.skippable = 0
        """How many arguments of `and` and `or` this place is in: its declarations may not be run."""
        self.uncertain: set[int] = set()
        self.items: set[int] = set()
        """Slots of variables that are items of a list or map of `any`, which Go's errors then name as their type."""
        self.dot_is_any = False
        """Whether dot is such an item."""

    def is_builtin(self, function: str) -> bool:
        """Whether a function is Go's own, not another one in its place."""
        return function not in self._others

    def declare(self, name: str) -> int:
        """A new slot for a variable."""
        slot = self.size
        self.size += 1
        self.names.append((name, slot))
        if self.skippable:
            self.uncertain.add(slot)
        return slot

    def slots(self, name: str) -> list[int]:
        """Where to look for a variable: the first slot that is set has it."""
        found: list[int] = []
        for known, slot in reversed(self.names):
            if known == name:
                found.append(slot)
                if slot not in self.uncertain:
                    break
        return found

    def limit(self, node: Node, problem: str) -> LimitError:
        """As `error`, of a limit."""
        error = self.error(node, problem)
        return LimitError(error.message, error.line, error.column)

    def error(self, node: Node, problem: str) -> ExecutionError:
        """What goes wrong at a node, in Go's words."""
        line, column = self.trees.place(node)
        where = f"template: {self.trees.name}:{line}:{column}: executing {quote(self.template)} at <{node}>"
        return ExecutionError(f"{where}: {problem}", line, column)

    def slot_of(self, variables: list[Any], slots: list[int], variable: Variable, place: Node) -> int:
        """The slot of these that has the variable.

        Raises:
            ExecutionError: none has; it is said to be at `place`.
        """
        for slot in slots:
            if variables[slot] is not UNSET:
                return slot
        raise self.error(place, f"undefined variable: {variable.variable}")
