"""What a Go template tells by its shape: names that it mentions, how tool calls begin, what stands around thinking.

Pure functions of a tree. Follows Ollama's tools/template.go and thinking/template.go, which look at `.ToolCalls` and
`.Thinking` alone; here `$message.ToolCalls` counts as well, and a condition does not count as a place of thinking.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from bundler.prompt.gotemplate import nodes

ANY_OBJECT = "{"
"""The tag of a template whose tool calls have none: every JSON object may be one."""


class Tags(NamedTuple):
    """What stands before and after a model's thinking; both empty where the template shows none."""

    opening: str = ""
    closing: str = ""


def names(roots: Iterable[nodes.List]) -> frozenset[str]:
    """All names of fields that templates mention, wherever, in lower case."""
    walked = chain.from_iterable(root.walk() for root in roots)
    return frozenset(name.lower() for node, _ in walked for name in _names(node))


def tool_tag(root: nodes.List) -> str:
    """The text that tool calls begin with, `{` where that is the call itself."""
    for node, _ in root.walk():
        if isinstance(node, nodes.If) and _asks_for_calls(node.pipe):
            text = _first_text(node.body.nodes) or ""
            return text.replace("\r\n", "\n").partition("{")[0].strip() or ANY_OBJECT
    return ANY_OBJECT


def thinking_tags(root: nodes.List) -> Tags:
    """What stands around the thinking of a message."""
    found = Tags()
    for node, above in root.walk():
        if not _is_thinking(node) or not _is_shown(above) or not _is_of_message(above):
            continue
        siblings = next(outer for outer in reversed(above) if isinstance(outer, nodes.List)).nodes
        first, last = siblings[0], siblings[-1]
        found = Tags(
            first.text.strip() if isinstance(first, nodes.Text) else found.opening,
            last.text.strip() if isinstance(last, nodes.Text) else found.closing,
        )
    return found if found.opening and found.closing else Tags()


def mentions(node: nodes.Node, name: str) -> bool:
    """Whether a field of this name is looked up somewhere in it."""
    return any(name in _names(inner) for inner, _ in node.walk())


def _asks_for_calls(condition: nodes.Pipe) -> bool:
    """Whether the calls are an operand themselves: `not .ToolCalls` in parentheses is about something else."""
    return any("ToolCalls" in _names(operand) for command in condition.commands for operand in command.operands)


def _names(node: nodes.Node) -> tuple[str, ...]:
    return node.names if isinstance(node, nodes.Field | nodes.Variable | nodes.Chain) else ()


def _first_text(siblings: Sequence[nodes.Node]) -> str | None:
    """The first text that is not blank, before anything that is computed."""
    for node in siblings:
        if isinstance(node, nodes.Text) and node.text.strip():
            return node.text
        if isinstance(node, nodes.Branch):
            return _first_text(node.body.nodes) or _first_text(node.otherwise.nodes if node.otherwise else ())
        if isinstance(node, nodes.Action):
            return None
    return None


def _is_thinking(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Variable) and node.variable == "$":
        return False
    return _names(node)[:1] == ("Thinking",)


def _is_shown(above: Sequence[nodes.Node]) -> bool:
    holders = (outer for outer in reversed(above) if isinstance(outer, nodes.Action | nodes.Branch))
    return isinstance(next(holders, None), nodes.Action)


def _is_of_message(above: Sequence[nodes.Node]) -> bool:
    ranges = (outer for outer in reversed(above) if isinstance(outer, nodes.Range))
    innermost = next(ranges, None)
    return innermost is not None and mentions(innermost.pipe, "Messages")
