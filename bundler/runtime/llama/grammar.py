"""A GBNF grammar, followed by llama.cpp's own sampler.

That sampler takes 0.1 µs or more for each token it is asked about, which for a whole vocabulary is as long as many a
model computes. So short tokens are asked about first: what begins like one that is forbidden is forbidden too.
"""

from __future__ import annotations

import ctypes
import re
from array import array
from collections.abc import Iterable
from itertools import compress

from bundler.errors import BundleError
from bundler.runtime.llama.model import LlamaVocabulary, Model

_ACCEPTED = bytes([1] + [0] * 255)
"""By the highest byte of a token's logit, which is 0 or minus infinity."""
_FEW = 4
"""Where fewer than one in so many tokens are left to ask about, they alone are."""
_ASCII = 0x80
_LITERALS = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^]\\])*]|#.*')
"""Texts, sets of characters, comments."""
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]|\\x[89a-fA-F]|\\[uU]")


class Beginnings:
    """The tokens of a vocabulary by how their bytes begin."""

    def __init__(self, vocabulary: LlamaVocabulary) -> None:
        self.all = array("i", range(vocabulary.size))
        self.short = array("i")
        """Those of one byte, and those that end an answer, whatever their text."""
        self.single: list[tuple[int, int]] = []
        """Byte and token of those of one byte."""
        self.pairs: dict[int, list[tuple[int, int]]] = {}
        """By the first byte, second byte and token of those of two bytes."""
        self.longer: dict[int, dict[int, array[int]]] = {}
        """By the first byte and by the second one."""
        for token in self.all:
            piece = vocabulary.piece(token, special=True)
            if vocabulary.is_end(token):
                self.short.append(token)
            elif len(piece) == 1:
                self.short.append(token)
                self.single.append((piece[0], token))
            elif len(piece) == 2:
                self.pairs.setdefault(piece[0], []).append((piece[1], token))
            elif piece:
                self.longer.setdefault(piece[0], {}).setdefault(piece[1], array("i")).append(token)


class GrammarMatcher:
    """See `engine.interface.Matcher`."""

    def __init__(self, model: Model, text: str, beginnings: Beginnings) -> None:
        """`beginnings`: those of the model's vocabulary.

        Raises:
            BundleError: `text` is no GBNF with a rule `root`.
        """
        self._binding = binding = model.library.binding
        self._beginnings = beginnings
        self._one = (binding.llama_token_data * 1)()
        self._only = ctypes.pointer(binding.llama_token_data_array(self._one, 1, -1, False))
        self._by_bytes = "<" not in _LITERALS.sub("", text)
        """Else it may name whole tokens, and one that begins alike is another one."""
        self._most = 0x100 if not _BEYOND_ASCII.search(text) else _ASCII
        """Only bytes below say that what begins with them is forbidden: of a character's first bytes alone llama.cpp
        takes those to be forbidden that `[^é]` has."""
        self._sampler = binding.llama_sampler_init_grammar(model.vocabulary.pointer, text.encode(), b"root")
        if not self._sampler:
            raise BundleError("failed to read the grammar: it is no GBNF with a rule `root`", "see the server's log")

    def allows(self, token: int) -> bool:
        entry = self._one[0]
        entry.id, entry.logit = token, 0
        self._binding.llama_sampler_apply(self._sampler, self._only)
        return bool(entry.logit == 0)

    def allowed(self) -> bytes:
        known = self._beginnings
        if not self._by_bytes:
            return self._accepts(known.all)
        found = bytearray(len(known.all))
        self._ask(known.short, found)
        closed = self._closed(known.single, found)
        open_pairs = (pairs for byte, pairs in known.pairs.items() if byte not in closed)
        self._ask(array("i", (token for pairs in open_pairs for _, token in pairs)), found)
        rest = array("i")
        for byte, groups in known.longer.items():
            if byte not in closed:
                pairs = known.pairs.get(byte, []) if byte < self._most else []
                barred = self._closed(pairs, found)
                for second, tokens in groups.items():
                    if second not in barred:
                        rest += tokens
        if len(rest) * _FEW > len(known.all):
            return self._accepts(known.all)
        self._ask(rest, found)
        return bytes(found)

    def accept(self, token: int) -> None:
        self._binding.llama_sampler_accept(self._sampler, token)

    def close(self) -> None:
        if self._sampler:
            self._binding.llama_sampler_free(self._sampler)
            self._sampler = None

    def _closed(self, of: Iterable[tuple[int, int]], found: bytearray) -> set[int]:
        """The bytes that nothing allowed goes on with, of those that are tokens `of` their own."""
        return {byte for byte, token in of if byte < self._most and not found[token]}

    def _ask(self, tokens: array[int], found: bytearray) -> None:
        """Put a 1 into `found` for each of the tokens that may come next."""
        for token in compress(tokens, self._accepts(tokens)):
            found[token] = 1

    def _accepts(self, tokens: array[int]) -> bytes:
        """For each token 1 where it may come next, else 0."""
        entries = (self._binding.llama_token_data * len(tokens))()
        data = memoryview(entries).cast("B")
        data.cast("i")[0::3] = memoryview(tokens)
        if tokens:
            candidates = self._binding.llama_token_data_array(entries, len(tokens), -1, False)
            self._binding.llama_sampler_apply(self._sampler, ctypes.byref(candidates))
        return bytes(data[7::12]).translate(_ACCEPTED)
