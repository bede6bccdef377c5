"""How Jinja templates are told to think: their variables for it, which every family has named in its own way.

Only what a template reads is set, and of levels only what it takes: some refuse all others. Knows Jinja's syntax tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeVar

from jinja2 import meta, nodes

from bundler.prompt.conversation import ThinkLevel

NodeKind = TypeVar("NodeKind", bound=nodes.Node)

_SWITCHES: Final[dict[str, tuple[Any, Any]]] = {
    "enable_thinking": (True, False),
    "thinking": (True, False),
    "reasoning": (True, False),
    "thinking_mode": ("enabled", "disabled"),
    "thinking_budget": (None, 0),
}
"""Variable, its value to think, and its value not to; None: left to the template."""
_EFFORTS: Final = ("reasoning_effort", "thinking_effort", "reasoning_strength")
_LEVELS: Final[tuple[ThinkLevel, ...]] = ("low", "medium", "high", "max")
_OFF: Final = ("none", "no_think", "minimal")


def variables(think: bool | ThinkLevel, tree: nodes.Template) -> dict[str, Any]:
    """The variables that tell a template to think or not to."""
    wanted = {name: values[0 if think else 1] for name, values in _SWITCHES.items()}
    wanted |= {name: _effort(think, tree, name) for name in _EFFORTS}
    read = meta.find_undeclared_variables(tree)  # which takes the tree apart
    return {name: value for name, value in wanted.items() if name in read and value is not None}


def _effort(think: bool | ThinkLevel, tree: nodes.Template, name: str) -> str | None:
    """The word for a variable like `reasoning_effort`, None where its default is as near as one gets."""
    compared = list(_compared(tree, name))
    words = {word for _, word in compared}
    off = next((word for word in _OFF if word in words), None)
    if think is False:
        return off
    if think is True:
        return "high" if off else None
    taken = [level for level in _LEVELS if ("notin", level) in compared]
    if taken:  # all others are refused
        wanted = _LEVELS.index(think)
        return next((level for level in taken if _LEVELS.index(level) >= wanted), taken[-1])
    return "high" if think == "max" and "max" not in words else think


def _compared(tree: nodes.Template, name: str) -> Iterator[tuple[str, str]]:
    """Each operator and text that the variable is compared with."""
    for comparison in tree.find_all(nodes.Compare):
        if all(variable.name != name for variable in _within(comparison.expr, nodes.Name)):
            continue
        for operand in comparison.ops:
            for constant in _within(operand.expr, nodes.Const):
                if isinstance(constant.value, str):
                    yield operand.op, constant.value


def _within(node: nodes.Node, kind: type[NodeKind]) -> Iterator[NodeKind]:
    if isinstance(node, kind):
        yield node
    yield from node.find_all(kind)
