"""Parses the arguments of one command. Errors are `UsageError`s; `--help` prints and exits."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from bundler.runtime.helptext import COMMANDS
from bundler.runtime.settings import SERVING, Option, UsageError, number, switch, whole_number

JSON = Option("json", "print JSON for scripts", switch)
MODEL = Option("model", "which model of the file (default: the main one; info lists them)", str, "NAME")
ASKING = (
    MODEL,
    Option("system", "instructions that replace those of the bundle", str, "TEXT"),
    Option("max-tokens", "longest answer, in tokens", whole_number(1, 1 << 24), "N"),
    Option("temperature", "0 always takes the likeliest token; higher is more varied", number(0, 100), "T"),
    Option("top-k", "choose among the K likeliest tokens; 0 is off", whole_number(0, 1 << 24), "K"),
    Option("top-p", "choose among the likeliest tokens that make up this share", number(0, 1), "P"),
    Option("min-p", "leave out tokens below this share of the likeliest one", number(0, 1), "P"),
    Option("repeat-penalty", "above 1, make repetitions less likely", number(0, 100), "R"),
    Option("seed", "the same seed and question give the same answer", whole_number(-1, 2**32 - 1), "N"),
    Option("stop", "end the answer where this text would come (may be repeated)", str, "TEXT"),
)
EMBEDDING = (
    MODEL,
    Option("dimensions", "the first so many numbers of each vector only", whole_number(1, 1 << 20), "N"),
    Option("truncate", "cut a text that is too long for the model", switch),
)
_LISTS = ("stop",)
_WORDS = {
    "run": (("prompt", "PROMPT", "the question; what is piped in is put before it"),),
    "embed": (("text", "TEXT", "a text; without any, what is piped in is one"),),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"{self.prog} --help explains it")


def parse(program: str, command: str, argv: Sequence[str], options: Sequence[Option]) -> dict[str, Any]:
    """Values by option key, those given only; the words of `run` under `prompt`, those of `embed` under `text`.

    Raises:
        UsageError: an option is unknown or its value is wrong.
        SystemExit: `--help` was given, and has been printed.
    """
    variables = [option.variable for option in options if option in SERVING]
    parser = _Parser(
        prog=f"{program} {command}",
        description=COMMANDS[command].description,
        epilog=f"Environment variables do the same: {', '.join(variables)}." if variables else None,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    for name, metavar, words in _WORDS.get(command, ()):
        parser.add_argument(name, nargs="*", metavar=metavar, default=[], help=words)
    for option in options:
        if option.metavar:
            parser.add_argument(
                f"--{option.name}",
                metavar=option.metavar,
                help=option.help,
                type=_type(option.parse),
                action="append" if option.name in _LISTS else "store",
            )
        else:
            parser.add_argument(f"--{option.name}", help=option.help, action="store_true")
    return vars(parser.parse_intermixed_args(argv))


def _type(parse_value: Callable[[str], Any]) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return parse_value(text)
        except ValueError as cause:
            raise argparse.ArgumentTypeError(str(cause)) from cause

    return convert
