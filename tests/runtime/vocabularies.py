"""Real vocabularies out of llama.cpp's sources, in llama.cpp's own tokenizer."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from bundler.formats import gguf, vocabulary, weights
from bundler.formats.manifest import Template
from bundler.formats.source import FileSource
from bundler.prompt.specials import Specials
from bundler.runtime.engine.interface import Vocabulary
from bundler.runtime.llama import library as llama_library
from bundler.runtime.llama.model import Model
from tests import sources


class Tokenizer(NamedTuple):
    """A vocabulary, the spellings of its control tokens, and a template that names its BOS and EOS."""

    vocabulary: Vocabulary
    specials: Specials
    template: Template
    model: Model
    """Keeps the vocabulary alive."""


@cache
def tokenizer(name: str, libs: Path) -> Tokenizer:
    """The vocabulary of `ggml-vocab-<name>.gguf`; skips the test where the file is missing."""
    path = sources.models() / f"ggml-vocab-{name}.gguf"
    with path.open("rb") as file:
        header = gguf.read_header(FileSource(file.fileno()), path.name)
        control = vocabulary.control_tokens(header)
        template = weights.own_template(header) or Template(
            kind="jinja",
            text="",
            source="gguf",
            reason="for tests",
            bos_token=weights.bos_token(header),
            eos_token=weights.eos_token(header),
        )
        model = Model(llama_library.load(libs), file.fileno(), 0, vocabulary_only=True)
    return Tokenizer(model.vocabulary, Specials(control), template, model)


def vectors(name: str) -> list[tuple[str, list[int]]]:
    """Texts, and the token ids that transformers' tokenizer makes of them: llama.cpp's own test data."""
    path = sources.models() / f"ggml-vocab-{name}.gguf.inp"
    texts = path.read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
    lines = path.with_suffix(".out").read_text(encoding="utf-8").splitlines()
    return [(text, list(map(int, line.split()))) for text, line in zip(texts, lines, strict=False)]
