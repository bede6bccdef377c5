"""Commands in, the text of a Modelfile out: one command a line, quotes only where they are needed.

What is written parses to the same commands again, here and in Ollama. The grammar has no escapes, so a few texts cannot
be written at all; these are errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bundler.errors import BundleError
from bundler.formats.excerpt import clipped
from bundler.formats.modelfile.values import BLANKS, COMMANDS, NEWLINES, ROLES, Instruction, is_kept

_PARAMETER = re.compile(r"[A-Za-z0-9_]+")
_LINE_END = re.compile(r"[\r\n]")


def write(instructions: Iterable[Instruction]) -> str:
    """The Modelfile that says this, in this order, with a newline at the end of each command.

    Raises:
        BundleError: a name, a role, a parameter's name or a value is one that a Modelfile cannot hold.
    """
    return "".join(f"{_head(instruction)} {_quoted(instruction)}\n" for instruction in instructions)


def _head(instruction: Instruction) -> str:
    name, key = instruction.name, instruction.key
    fits = _PARAMETER.fullmatch(key) if name == "parameter" else key in ROLES if name == "message" else not key
    if name not in COMMANDS or not fits:
        raise BundleError(f'failed to write Modelfile: there is no command "{clipped(f"{name} {key}".strip())}"')
    return f"{name.upper()} {key}".rstrip()


def _quoted(instruction: Instruction) -> str:
    value = instruction.value
    if not all(is_kept(char) or char in NEWLINES for char in set(value)):
        char = next(char for char in value if not (is_kept(char) or char in NEWLINES))
        raise _unwritable(instruction, f"it has the character U+{ord(char):04X}, which a Modelfile leaves out")
    lines = _LINE_END.split(value)
    if len(lines) == 1 and value and value[0] not in '"' + BLANKS and value[-1] not in BLANKS:
        return value
    ends = [line.rstrip(BLANKS) for line in lines[:-1]]
    if any(end.endswith('"""') for end in ends):
        line = next(number for number, end in enumerate(ends, 1) if end.endswith('"""'))
        raise _unwritable(instruction, f'its line {line} ends with """, where a Modelfile ends the whole text')
    if len(lines) == 1 and not value.startswith('""') and value != '"':
        return f'"{value}"'
    return f'"""{value}"""'


def _unwritable(instruction: Instruction, cause: str) -> BundleError:
    what = f"{instruction.name.upper()} {instruction.key}".rstrip()
    return BundleError(
        f"failed to write Modelfile: {what} cannot be written: {cause}",
        "change the text; the grammar has no escapes",
    )
