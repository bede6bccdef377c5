"""The arguments that a llamafile starts with (`.args`), as commands of a Modelfile.

One argument a line; `...` stands for the user's own. An option and its value may also share a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from bundler.formats import parameters
from bundler.formats.excerpt import clipped
from bundler.formats.modelfile import Instruction, kept

_PARAMETERS: Final = {
    "num_ctx": ("-c", "--ctx-size"),
    "num_predict": ("-n", "--predict", "--n-predict"),
    "num_keep": ("--keep",),
    "num_batch": ("-b", "--batch-size"),
    "num_gpu": ("-ngl", "--gpu-layers", "--n-gpu-layers"),
    "main_gpu": ("-mg", "--main-gpu"),
    "num_thread": ("-t", "--threads"),
    "seed": ("-s", "--seed"),
    "temperature": ("--temp", "--temperature"),
    "top_k": ("--top-k",),
    "top_p": ("--top-p",),
    "min_p": ("--min-p",),
    "typical_p": ("--typical", "--typical-p"),
    "repeat_penalty": ("--repeat-penalty",),
    "repeat_last_n": ("--repeat-last-n",),
    "presence_penalty": ("--presence-penalty",),
    "frequency_penalty": ("--frequency-penalty",),
    "stop": ("-r", "--reverse-prompt"),
}
_BY_OPTION: Final = {option: name for name, options in _PARAMETERS.items() for option in options}
_SYSTEM: Final = ("-sys", "--system-prompt")
_MODEL: Final = ("-m", "--model")
_PROJECTOR: Final = ("-mm", "--mmproj")
_NO_MMAP: Final = "--no-mmap"
_OPTION = re.compile(r"--?[A-Za-z]")


class Arguments(NamedTuple):
    """What was understood."""

    instructions: tuple[Instruction, ...]
    model: str
    """The member that holds the model, as it is named; empty where none is."""
    projector: str
    remarks: tuple[str, ...]
    """A line for each argument that was taken."""
    ignored: tuple[str, ...]
    """A line for each one that was not, with the reason."""


def read(text: str) -> Arguments:
    """Understand the text of `.args`; what a Modelfile cannot say is told, and never an error."""
    instructions, remarks, ignored = [], [], []
    model = projector = ""
    for option, value in _pairs(text):
        written = clipped(f"{option} {value or ''}".strip(), 100)
        if option in (*_MODEL, *_PROJECTOR) and value:
            model, projector = (value, projector) if option in _MODEL else (model, value)
            remarks.append(f"{written} names the weights")
            continue
        found, reason = _instruction(option, value)
        if found:
            instructions.append(found)
            said = f"{found.name.upper()} {found.key}".rstrip()
            remarks.append(f"{written} becomes {said} {clipped(found.value)}")
        else:
            ignored.append(f"{written} is ignored: {reason}")
    return Arguments(tuple(instructions), model, projector, tuple(remarks), tuple(ignored))


def _instruction(option: str, value: str | None) -> tuple[Instruction | None, str]:
    """The command that says the same, or why there is none."""
    if option == _NO_MMAP:
        return Instruction("parameter", "use_mmap", "false"), ""
    name = _BY_OPTION.get(option)
    if name is None and option not in _SYSTEM:
        return None, "a Modelfile has nothing like it"
    if value is None:
        return None, "its value is missing"
    if name is None:
        return Instruction("system", "", kept(value)), ""
    try:
        parameters.convert(name, value)
    except ValueError as cause:
        return None, str(cause)
    return Instruction("parameter", name, kept(value)), ""


def _pairs(text: str) -> Iterator[tuple[str, str | None]]:
    """Options with their values; what follows an option and is none itself is its value."""
    words = [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    at = 0
    while at < len(words):
        option, at = words[at].strip(), at + 1
        if option == "..." or option.startswith("#"):
            continue
        value: str | None = None
        if _OPTION.match(option) and (parts := re.split(r"[ \t]+|=", option, maxsplit=1))[1:]:
            option, value = parts
        elif _OPTION.match(option) and option != _NO_MMAP and at < len(words) and not _is_option(words[at]):
            value, at = words[at], at + 1
        yield option, value


def _is_option(word: str) -> bool:
    return _OPTION.match(word.strip()) is not None or word.strip() == "..."
