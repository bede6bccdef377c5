"""What the guide knows: the topics of facts.toml with the commands put into their answers."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Topic:
    """One thing to know; `right` is what an answer must hold."""

    name: str
    answer: str
    short: str
    more: str
    right: tuple[str, ...]

    def is_right(self, said: str) -> bool:
        """Whether the text gives the fact of this topic."""
        return holds(said, self.right)


def holds(said: str, right: Iterable[str]) -> bool:
    """Whether a text holds every entry of `right`, or of an entry with `|` one of the alternatives."""
    return all(any(option in said for option in entry.split("|")) for entry in right)


def commands() -> dict[str, str]:
    """Every command line that an answer may show, by name."""
    found: dict[str, str] = _table()["commands"]
    return found


def topics() -> dict[str, Topic]:
    """All topics by name. Raises KeyError where an answer names a command that is not listed."""
    table = _table()
    known = table["commands"]
    return {
        name: Topic(
            name=name,
            answer=_with_commands(entry["answer"], known),
            short=_with_commands(entry["short"], known),
            more=_with_commands(entry["more"], known),
            right=tuple(entry["right"]),
        )
        for name, entry in table["topics"].items()
    }


def _table() -> dict[str, Any]:
    return tomllib.loads((HERE / "facts.toml").read_text(encoding="utf-8"))


def _with_commands(text: str, known: Mapping[str, str]) -> str:
    return re.sub(r"\{([a-z_]+)\}", lambda match: known[match[1]], text)
