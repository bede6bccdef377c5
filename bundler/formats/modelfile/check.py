"""What one command of a Modelfile may say: roles, parameters and their values, versions, paths that must be there."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bundler.formats import parameters
from bundler.formats.excerpt import clipped, nearest
from bundler.formats.modelfile.values import ROLES, Command, Modelfile, ModelfileError, Notice, Place

_NUMBER = r"(?:0|[1-9][0-9]*)"
_VERSION = re.compile(
    rf"v?{_NUMBER}(?:\.{_NUMBER}(?:\.{_NUMBER}"
    rf"(?:-(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?)?)?"
)
_MAX_VERSION = 256
_NEEDED = ("from", "adapter", "draft")
_EXAMPLES = {
    "from": "./model.gguf",
    "adapter": "./adapter.gguf",
    "draft": "./draft.gguf",
    "parameter": "temperature 0.7",
    "message": "user Hello",
    "requires": "0.14.0",
}
_EXAMPLE_VALUES = {int: "42", float: "0.7", bool: "true", str: '"<|end|>"'}


def check_command(modelfile: Modelfile, command: Command) -> None:
    """Check one command; what is ignored is added to the Modelfile's notices.

    Raises:
        ModelfileError: the command cannot have this role or this value.
    """
    name, value = command.name, command.value
    if name in _NEEDED and not value:
        raise modelfile.error(command.value_place, f"{name.upper()} has no value", example(name))
    if name == "message" and command.key not in ROLES:
        raise unknown(modelfile, command.key_place, "role", command.key, ROLES)
    if name == "requires" and (len(value) > _MAX_VERSION or not _VERSION.fullmatch(value)):
        cause = f'REQUIRES needs a semantic version, and "{clipped(value)}" is none'
        raise modelfile.error(command.value_place, cause, example(name))
    if name == "parameter":
        _parameter(modelfile, command)


def unknown(modelfile: Modelfile, place: Place, what: str, word: str, known: Iterable[str]) -> ModelfileError:
    """The error about a word that is none of the known ones; it names the nearest."""
    words = list(known)
    near = nearest(word, words)
    hint = f"did you mean {near}?" if near else f"known are {', '.join(words)}"
    return modelfile.error(place, f'unknown {what} "{clipped(word)}"', hint)


def example(name: str) -> str:
    """A hint that shows how a command is written."""
    return f"write it on one line, such as: {name.upper()} {_EXAMPLES.get(name, 'text')}"


def _parameter(modelfile: Modelfile, command: Command) -> None:
    key = command.key
    if key in parameters.DEPRECATED:
        modelfile.notices.append(Notice(command.key_place, f"parameter {key} is deprecated and ignored"))
    elif key not in parameters.TYPES:
        near = nearest(key, parameters.TYPES)
        advice = f"; did you mean {near}?" if near else ""
        modelfile.notices.append(Notice(command.key_place, f'unknown parameter "{clipped(key)}" is ignored{advice}'))
    else:
        try:
            parameters.convert(key, command.value)
        except ValueError as cause:
            hint = f"such as: PARAMETER {key} {_EXAMPLE_VALUES[parameters.TYPES[key]]}"
            raise modelfile.error(command.value_place, str(cause), hint) from cause
