"""A template without `.Messages` for the turn that the model goes on with: it ends with the first `.Response`.

Pure functions of a tree.
"""

from __future__ import annotations

from dataclasses import replace

from bundler.prompt.gotemplate import nodes
from bundler.prompt.ollama.formats import mentions


def after_response(root: nodes.List) -> nodes.List:
    """The tree without what comes after the first place that shows `.Response`; whole where none does."""
    return _list(root)[0]


def _list(siblings: nodes.List) -> tuple[nodes.List, bool]:
    """The list, and whether it was cut."""
    kept: list[nodes.Node] = []
    for node in siblings.nodes:
        shown, ends = _node(node)
        kept.append(shown)
        if ends:
            return replace(siblings, nodes=tuple(kept)), True
    return siblings, False


def _node(node: nodes.Node) -> tuple[nodes.Node, bool]:
    if isinstance(node, nodes.Action | nodes.With) and mentions(node.pipe, "Response"):
        return node, True
    if isinstance(node, nodes.Branch):
        body, ends = _list(node.body)
        if ends:
            return replace(node, body=body, otherwise=None), True
        if node.otherwise is not None:
            otherwise, ends = _list(node.otherwise)
            return replace(node, otherwise=otherwise), ends
    return node, False
