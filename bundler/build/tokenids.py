"""Ask llama.cpp itself for the token ids of a prompt; tensors may be missing."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from bundler.build import tool
from bundler.build.packs import Pack
from bundler.build.progress import Progress
from bundler.build.prompts import Subject
from bundler.prompt.conversation import Rendered


class Token(msgspec.Struct, frozen=True):
    """One token, as the runtime tells it."""

    id: int
    piece: str | list[int]
    """Its text, or its bytes where they are part of a character."""


def token_ids(pack: Pack, subject: Subject, prompt: Rendered, progress: Progress) -> list[Token]:
    """The tokens that a bundle's engine gets, the first of them BOS where the model wants one.

    Raises:
        BundleError: llama.cpp cannot read the vocabulary, or the runtime does not work here.
    """
    asked = {"text": prompt.text, "foreign": prompt.foreign, "specials": subject.specials}
    with tempfile.TemporaryDirectory() as folder, progress.stage("Tokenizing"):
        vocabulary = Path(folder) / "vocabulary.gguf"
        with subject.weights() as header, vocabulary.open("wb") as file:
            file.writelines(header.without_tensors())
        task = f"tokenize with {header.label}"
        return tool.ask(pack, task, "_token-ids", [vocabulary], list[Token], msgspec.json.encode(asked))
