"""The phrase grammar of the corpus: `(a|b)` is a choice, `[a]` is optional, `<name>` is a class.

Knows text only: no topics, no answers.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(r"[()\[\]|]|<\w+>|[^()\[\]|<]+|<")
_CLOSING = {"(": ")", "[": "]"}


@dataclass(frozen=True)
class Literal:
    text: str


@dataclass(frozen=True)
class Reference:
    name: str


@dataclass(frozen=True)
class Chain:
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    options: tuple[Node, ...]


Node = Literal | Reference | Chain | Choice


def parse(text: str) -> Node:
    """The phrase as a tree. Raises ValueError where brackets do not match."""
    tokens = _TOKEN.findall(text)
    node, end = _choice(tokens, 0)
    if end != len(tokens):
        raise ValueError(f"unbalanced brackets in phrase: {text}")
    return node


def _choice(tokens: Sequence[str], at: int) -> tuple[Node, int]:
    options: list[Node] = []
    parts: list[Node] = []
    while at < len(tokens) and tokens[at] not in (")", "]"):
        piece = tokens[at]
        if piece == "|":
            options.append(Chain(tuple(parts)))
            parts = []
        elif piece in _CLOSING:
            inner, at = _choice(tokens, at + 1)
            if at >= len(tokens) or tokens[at] != _CLOSING[piece]:
                raise ValueError(f"bracket {piece} is not closed")
            parts.append(inner if piece == "(" else Choice((inner, Literal(""))))
        elif piece.startswith("<") and piece.endswith(">"):
            parts.append(Reference(piece[1:-1]))
        else:
            parts.append(Literal(piece))
        at += 1
    options.append(Chain(tuple(parts)))
    return (options[0] if len(options) == 1 else Choice(tuple(options))), at


class Phrases:
    """Draws sentences from phrase trees, with classes looked up by name."""

    def __init__(self, classes: Mapping[str, Node]) -> None:
        self._classes = classes
        self._variety: dict[Node, float] = {}

    def draw(self, node: Node, rng: random.Random) -> str:
        """One sentence, its spaces made single."""
        return " ".join(self._expand(node, rng).split())

    def variety(self, node: Node) -> float:
        """How many sentences the phrase can make."""
        known = self._variety.get(node)
        if known is None:
            match node:
                case Literal():
                    known = 1.0
                case Reference(name):
                    known = self.variety(self._classes[name])
                case Chain(parts):
                    known = 1.0
                    for part in parts:
                        known *= self.variety(part)
                case Choice(options):
                    known = sum(self.variety(option) for option in options)
            self._variety[node] = known
        return known

    def _expand(self, node: Node, rng: random.Random) -> str:
        match node:
            case Literal(text):
                return text
            case Reference(name):
                return self._expand(self._classes[name], rng)
            case Chain(parts):
                return "".join(self._expand(part, rng) for part in parts)
            case Choice(options):
                weights = [self.variety(option) ** 0.3 for option in options]
                return self._expand(rng.choices(options, weights)[0], rng)
