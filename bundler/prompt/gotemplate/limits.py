"""How much a Go template may nest, work and write; what a chat template needs is a small part of each."""

from __future__ import annotations

from typing import Final

SOURCE: Final = 256 << 10
"""Characters of a template; the longest in use have about 20,000."""
VARIABLES: Final = 1000
"""Declarations and assignments that are in force at one place."""
NESTING: Final = 64
"""Levels of `if`, `range`, `with`, `define` and parentheses in each other."""
DEPTH: Final = 100
"""Templates that have called each other; Go's own limit of 100000 is for a stack that grows."""
STEPS: Final = 1_000_000
"""Actions run and functions called; to these come the square of the number of parts of the data, as templates in wide
use look through all messages at every message."""
CHARACTERS: Final = 64 << 20
"""Of the output, and of all strings that functions make; to these come `CHARACTERS_PER_GIVEN` for each of the data."""
CHARACTERS_PER_GIVEN: Final = 16
SECONDS: Final = 30.0
"""The end for what the others do not catch."""
