"""Texts to vectors: the tokenizer, the limit of the model, and its embedder. Knows no HTTP."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from bundler.errors import BundleError
from bundler.runtime.engine.interface import Loaded, Pooling, Vocabulary


class Embedded(msgspec.Struct, frozen=True, kw_only=True):
    """The vectors of some texts, not normalised."""

    vectors: list[list[list[float]]]
    """For each text one, or without pooling one for each of its tokens."""
    dimensions: int
    pooling: Pooling
    tokens: int
    """Of all texts, those that the tokenizer adds included."""


class TextTooLong(Exception):  # noqa: N818 - what clients know it by
    """A text has more tokens than the model takes."""

    def __init__(self, index: int, tokens: int, longest: int) -> None:
        super().__init__(f"text {index} has {tokens} tokens, and this model takes {longest}")


def embed(loaded: Loaded, inputs: Sequence[str | Sequence[int]], *, truncate: bool = False) -> Embedded:
    """Vectors of texts, or of texts that are token ids already; blocks while they are computed.

    `truncate`: cut what is too long at its end.

    Raises:
        TextTooLong: without `truncate`.
        BundleError: a token id is none of the model's, or the computation failed.
    """
    if loaded.embedder is None:
        raise BundleError("failed to embed: this model makes no embeddings")
    embedder, vocabulary = loaded.embedder(), loaded.vocabulary
    all_tokens = [_tokens(text, vocabulary) for text in inputs]
    for index, tokens in enumerate(all_tokens):
        if len(tokens) > embedder.longest:
            if not truncate:
                raise TextTooLong(index, len(tokens), embedder.longest)
            all_tokens[index] = _cut(tokens, embedder.longest, vocabulary)
    return Embedded(
        vectors=embedder.embed(all_tokens),
        dimensions=embedder.dimensions,
        pooling=embedder.pooling,
        tokens=sum(map(len, all_tokens)),
    )


def normalised(vector: Sequence[float], dimensions: int | None = None) -> list[float]:
    """A vector of Euclidean length 1, of the first `dimensions` numbers only where that is given."""
    kept = list(vector[:dimensions])
    length = math.hypot(*kept)
    return [number / length for number in kept] if length else kept


def _tokens(text: str | Sequence[int], vocabulary: Vocabulary) -> Sequence[int]:
    if isinstance(text, str):
        return vocabulary.tokenize(text, add_special=True, parse_special=False)
    if any(not 0 <= token < vocabulary.size for token in text):
        raise BundleError(f"failed to read the text: token ids of this model are 0 to {vocabulary.size - 1}")
    return text


def _cut(tokens: Sequence[int], longest: int, vocabulary: Vocabulary) -> Sequence[int]:
    """The first tokens, and at their end the marker that all texts end with, where there is one."""
    ending = tokens[-1:] if tokens[-1:] == vocabulary.tokenize("", add_special=True, parse_special=False)[-1:] else []
    return [*tokens[: longest - len(ending)], *ending]
