"""`_token-ids`: the token ids of a rendered prompt, and what each of them stands for.

The build side runs it as a process for `bundle template --ids`. It needs a vocabulary alone: no tensors, no backend.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from bundler.errors import BundleError
from bundler.prompt.conversation import Rendered
from bundler.prompt.specials import Specials
from bundler.runtime import libraries
from bundler.runtime.engine.interface import Vocabulary
from bundler.runtime.llama import library as llama_library
from bundler.runtime.llama.model import Model
from bundler.runtime.prompting import ids


class Prompt(msgspec.Struct, frozen=True):
    """What stdin holds, as JSON."""

    text: str
    foreign: list[tuple[int, int]]
    specials: list[str]


class Token(msgspec.Struct, frozen=True):
    id: int
    piece: str | list[int]
    """Its text, or its bytes where they are part of a character."""


def main(arguments: Sequence[str]) -> int:
    """Print the tokens as JSON and return 0, or print `error: …` on stderr and return 1."""
    parser = argparse.ArgumentParser(prog="_token-ids")
    parser.add_argument("path", type=Path)
    options = parser.parse_args(arguments)
    try:
        prompt = _read(sys.stdin.buffer)
        with _open(options.path) as file:
            found = tokens(prompt, file.fileno(), libraries.folder(os.environ))
    except BundleError as error:
        print(error.render(), file=sys.stderr)
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
    return 0


def tokens(prompt: Prompt, descriptor: int, libraries_folder: Path) -> list[Token]:
    """The tokens of a prompt by the vocabulary of an open GGUF.

    Raises:
        BundleError: llama.cpp cannot read the vocabulary.
    """
    model = Model(llama_library.load(libraries_folder), descriptor, 0, vocabulary_only=True)
    try:
        rendered = Rendered(prompt.text, tuple(prompt.foreign))
        found = ids(rendered, Specials(prompt.specials), model.vocabulary)
        return [Token(token, _piece(model.vocabulary, token)) for token in found]
    finally:
        model.close()


def _piece(vocabulary: Vocabulary, token: int) -> str | list[int]:
    piece = vocabulary.piece(token, special=True)
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)


def _read(stream: BinaryIO) -> Prompt:
    try:
        return msgspec.json.decode(stream.read(), type=Prompt)
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise BundleError(f"failed to read the prompt: {cause}") from cause


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as cause:
        raise BundleError(f"failed to open {path}: {cause.strerror}") from cause
