"""How well documents answer a query, by a reranker: pairs become token ids, and those a score. Knows no HTTP."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from bundler.errors import BundleError
from bundler.prompt.conversation import Rendered
from bundler.prompt.specials import Specials
from bundler.runtime.engine.interface import Loaded, Pairing, Vocabulary
from bundler.runtime.tokenizing import tokenize

_PLACE = re.compile(r"{(query|document)}")


class NoReranker(Exception):  # noqa: N818 - a property of the model, not of the request
    """The model gives no scores."""

    def __init__(self) -> None:
        super().__init__("this model is no reranker: it gives no scores")


class PairTooLong(Exception):  # noqa: N818 - as TextTooLong, which clients know
    """A query and a document have more tokens together than the model takes."""

    def __init__(self, index: int, tokens: int, longest: int) -> None:
        super().__init__(f"document {index} and the query have {tokens} tokens, and this model takes {longest}")


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """The score of each document, in their order: the higher, the better it answers the query."""

    scores: list[float]
    tokens: int
    """Of all pairs."""


def rank(loaded: Loaded, specials: Specials, query: str, documents: Sequence[str]) -> Ranked:
    """Compare a query with each of some documents; blocks while they are computed.

    Raises:
        NoReranker: the model gives no scores.
        PairTooLong: one pair is.
        BundleError: the computation failed.
    """
    embedder = loaded.embedder() if loaded.embedder else None
    if embedder is None or embedder.pairing is None:
        raise NoReranker
    pairs = [_pair(embedder.pairing, specials, loaded.vocabulary, query, document) for document in documents]
    for index, pair in enumerate(pairs):
        if len(pair) > embedder.longest:
            raise PairTooLong(index, len(pair), embedder.longest)
        if not pair:
            raise BundleError(f"failed to rank: the query and document {index} are empty")
    scores = [vectors[0][0] for vectors in embedder.embed(pairs)]
    return Ranked(scores=scores, tokens=sum(map(len, pairs)))


def _pair(form: Pairing, specials: Specials, vocabulary: Vocabulary, query: str, document: str) -> list[int]:
    if form.template:
        return tokenize(_filled(form.template, {"query": query, "document": document}), specials, vocabulary)
    said = [vocabulary.tokenize(text, add_special=False, parse_special=False) for text in (query, document)]
    return [*form.before, *said[0], *form.between, *said[1], *form.after]


def _filled(template: str, values: dict[str, str]) -> Rendered:
    """The template with its places filled, and where what comes from outside lies in it."""
    text, done, foreign = "", 0, []
    for place in _PLACE.finditer(template):
        text += template[done : place.start()]
        foreign.append((len(text), len(text) + len(values[place[1]])))
        text += values[place[1]]
        done = place.end()
    return Rendered(text + template[done:], tuple(foreign))
