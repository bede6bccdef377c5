"""Modelfiles: bytes in, commands with their places out, and back to text.

The grammar and its oddities are Ollama's (parser/parser.go); `parse` says where it differs. Knows no files and nothing
of what a command leads to.
"""

from bundler.formats.modelfile.inherit import inherit, inherited_text
from bundler.formats.modelfile.parse import parse
from bundler.formats.modelfile.values import (
    COMMANDS,
    MAX_SIZE,
    Command,
    Instruction,
    Modelfile,
    ModelfileError,
    Notice,
    Place,
    kept,
)
from bundler.formats.modelfile.write import write

__all__ = [
    "COMMANDS",
    "MAX_SIZE",
    "Command",
    "Instruction",
    "Modelfile",
    "ModelfileError",
    "Notice",
    "Place",
    "inherit",
    "inherited_text",
    "kept",
    "parse",
    "write",
]
