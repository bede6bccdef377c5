"""A Go template: parsed once, run with any data, and open to analysis.

The one door to this folder: `parse` a text, `execute` what comes out. Knows nothing of chats.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from bundler.prompt.gotemplate import analysis
from bundler.prompt.gotemplate.builtins import BUILTINS
from bundler.prompt.gotemplate.compile import Program
from bundler.prompt.gotemplate.errors import LimitError
from bundler.prompt.gotemplate.execute import Exhausted, Run
from bundler.prompt.gotemplate.parse import Trees, parse_trees
from bundler.prompt.gotemplate.scope import MissingKey
from bundler.prompt.gotemplate.values import Function

_CACHED: Final = 32
"""Parsed templates that are kept."""


class Template:
    """A parsed template; `trees` are its nodes. It may be executed by several threads at once."""

    def __init__(self, trees: Trees, functions: Mapping[str, Function], missing_key: MissingKey = "default") -> None:
        self.trees = trees
        self._program = Program(trees, functions, missing_key)

    def fields(self) -> frozenset[str]:
        """The names that it looks up in its data: `Messages` for `.Messages` and `$.Messages`."""
        return analysis.fields(self.trees.roots, self.trees.name)

    def execute(self, data: Any) -> str:
        """What the template writes with this data, a value as `values` has them; a Foreign where the data was.

        Raises:
            ExecutionError: it cannot be run with this data, in Go's words.
            LimitError: it works or writes too much.
        """
        try:
            run = Run(data)
            self._program.run(run, data)
            return run.output()
        except Exhausted as error:
            raise LimitError(f"template: {self.trees.name}: it takes {error}", 1) from None
        except RecursionError:
            raise LimitError(f"template: {self.trees.name}: it nests too deeply", 1) from None


def parse(
    text: str,
    name: str = "TEMPLATE",
    functions: Mapping[str, Function] | None = None,
    missing_key: MissingKey = "default",
) -> Template:
    """The template, out of a cache where it was parsed before; `functions` are those besides Go's own.

    Raises:
        ParseError: the text is no template, in Go's words, `name` before them.
        LimitError: it is too long or nests too deeply.
    """
    return _parsed(text, name, tuple((functions or {}).items()), missing_key)


@lru_cache(maxsize=_CACHED)
def _parsed(text: str, name: str, functions: tuple[tuple[str, Function], ...], missing_key: MissingKey) -> Template:
    others = dict(functions)
    trees = parse_trees(text, name, {*BUILTINS, *others})
    return Template(trees, others, missing_key)
