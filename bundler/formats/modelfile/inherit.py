"""A Modelfile over what its FROM says itself, by Ollama's rules (server/create.go).

Parameters merge key by key, TEMPLATE, SYSTEM and the like replace, MESSAGEs replace all together, licences add up.
"""

from __future__ import annotations

from collections.abc import Iterable

from bundler.formats.modelfile.values import Command, Instruction, Modelfile
from bundler.formats.modelfile.write import write


def inherit(modelfile: Modelfile, origin: Command, base: Iterable[Instruction]) -> Modelfile:
    """The Modelfile with the commands of `base` that stay, put behind `origin`, the FROM that leads to them."""
    given = {_slot(command.instruction) for command in modelfile.commands if not command.inherited} - {None}
    commands = [_at(origin, instruction) for instruction in base if _slot(instruction) not in given]
    merged = Modelfile(modelfile.text, modelfile.path)
    merged.notices = list(modelfile.notices)
    after = modelfile.commands.index(origin) + 1
    merged.commands = [*modelfile.commands[:after], *commands, *modelfile.commands[after:]]
    return merged


def inherited_text(modelfile: Modelfile, origin: Command) -> str:
    """The commands that are inherited by way of `origin`, each on a line of its own behind a line end.

    Raises:
        BundleError: one is such that a Modelfile cannot hold it.
    """
    inherited = [
        command.instruction for command in modelfile.commands if command.inherited and command.span == origin.span
    ]
    return "\n" + write(inherited).removesuffix("\n") if inherited else ""


def _slot(instruction: Instruction) -> tuple[str, str] | None:
    """What a later command replaces; None for what it does not."""
    name = instruction.name
    if name == "license":
        return None
    return (name, instruction.key) if name == "parameter" else (name, "")


def _at(origin: Command, instruction: Instruction) -> Command:
    place = origin.value_place
    return Command(*instruction, place, place, place, origin.span, inherited=True)
