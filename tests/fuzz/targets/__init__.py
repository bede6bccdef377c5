"""What is fuzzed. Each module makes cases by chance and tries them; `running` says what it has to have."""

from __future__ import annotations

import importlib
from random import Random
from typing import Any, Final, Protocol, cast

MODULES: Final = {
    "modelfile": "tests.fuzz.targets.modelfiles",
    "go": "tests.fuzz.targets.gotemplates",
    "jinja": "tests.fuzz.targets.jinjatemplates",
    "gguf": "tests.fuzz.targets.ggufs",
    "sources": "tests.fuzz.targets.sourcefiles",
    "messages": "tests.fuzz.targets.requests",
}
"""By name."""


class Target(Protocol):
    """A module of this folder."""

    SECONDS: float
    """Processor time that one case may take."""

    def case(self, chance: Random) -> Any:
        """A case, the same for the same chance; its `repr` can be read."""
        ...

    def attempt(self, case: Any) -> bool:
        """Try a case: true where it was accepted, false where it was refused with an error of the expected kind.

        A BundleError counts as refused too; every other exception is a find.
        """
        ...


def load(module: str) -> Target:
    """The target that a module is."""
    return cast(Target, importlib.import_module(module))
