"""Every token of the vocabulary with its logit, as llama.cpp's samplers take them.

For what `llama_sampler_sample` cannot do: draw again among some tokens only, and tell probabilities. A vocabulary may
have 250,000 tokens, so everything works on whole buffers.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Iterator
from typing import Any, NamedTuple

from bundler.errors import BundleError
from bundler.runtime.llama.model import Model

_ALLOWED = bytes([0] + [0xFF] * 255)
_FORBIDDEN = bytes([0xFF] + [0] * 255)
_MINUS_INFINITY_LOW = 0x80
_FLOAT = 4
_FEW = 4096
"""Tokens that are taken one by one sooner than all others are masked."""


class Probability(NamedTuple):
    """A token and the natural logarithm's argument: its probability before any sampler."""

    token: int
    probability: float


class Candidates:
    """Refilled for each draw."""

    def __init__(self, model: Model) -> None:
        self._binding = binding = model.library.binding
        self._size = size = model.vocabulary.size
        self._entries = (binding.llama_token_data * size)()
        self._bytes = memoryview(self._entries).cast("B")
        floats = self._bytes.cast("f")
        self._logits, self._probabilities = floats[1::3], floats[2::3]
        self._ids = self._bytes.cast("i")
        self._ids[0::3] = memoryview((ctypes.c_int32 * size)(*range(size))).cast("B").cast("i")
        self._in_order = bytes(self._bytes)
        self._first = ctypes.cast(self._entries, ctypes.POINTER(binding.llama_token_data))
        self._array = binding.llama_token_data_array(self._first, size, -1, False)
        self._softmax = binding.llama_sampler_init_dist(0)

    def fill(self, logits: int, allowed: bytes | None = None) -> None:
        """Take the logits at an address; where `allowed` has a 0 for a token it cannot be drawn (a byte a token).

        Raises:
            BundleError: no token is allowed.
        """
        row: Any = (ctypes.c_float * self._size).from_address(logits)
        values = memoryview(row).cast("B")
        count = self._size if allowed is None else self._size - allowed.count(0)
        if allowed is not None and count <= _FEW:
            self._fill_few(values.cast("f"), allowed)
        else:
            self._bytes[:] = self._in_order
            self._logits[:] = (values if allowed is None else memoryview(_masked(values, allowed))).cast("f")
            count = self._size
        self._array.data, self._array.size = self._first, count
        self._array.selected, self._array.sorted = -1, False

    def _fill_few(self, logits: memoryview[float], allowed: bytes) -> None:
        """Take those tokens alone that are allowed."""
        tokens = array("i", _places(allowed.translate(_ALLOWED)))
        if not tokens:
            raise BundleError("failed to follow the form of the answer further: no token is allowed")
        end = len(tokens) * 3
        self._ids[0:end:3] = memoryview(tokens)
        self._logits[: len(tokens)] = memoryview(array("f", map(logits.__getitem__, tokens)))

    def draw(self, chain: Any) -> int:
        """Apply a chain and return the token that it draws."""
        self._binding.llama_sampler_apply(chain, ctypes.byref(self._array))
        return int(self._array.data[self._array.selected].id)  # a sampler may have moved where the array begins

    def probabilities(self, token: int, most: int) -> tuple[float, list[Probability]]:
        """That of a token, and the likeliest `most` tokens in order; needs `fill`, and leaves nothing to draw from."""
        binding, array = self._binding, ctypes.byref(self._array)
        binding.llama_sampler_apply(self._softmax, array)
        own = float(self._probabilities[token])
        if not most:
            return own, []
        first = binding.llama_sampler_init_top_k(most)
        binding.llama_sampler_apply(first, array)
        binding.llama_sampler_free(first)
        return own, [Probability(entry.id, entry.p) for entry in self._entries[: min(most, self._size)]]

    def close(self) -> None:
        """Free what llama.cpp holds."""
        if self._softmax:
            self._binding.llama_sampler_free(self._softmax)
            self._softmax = None


def _places(flags: bytes) -> Iterator[int]:
    """Where 255 stands."""
    at = flags.find(0xFF)
    while at >= 0:
        yield at
        at = flags.find(0xFF, at + 1)


def _masked(logits: memoryview, allowed: bytes) -> bytes:
    """The logits with minus infinity for each token whose byte in `allowed` is 0."""
    keep, put = bytearray(len(logits)), bytearray(len(logits))
    kept, forbidden = allowed.translate(_ALLOWED), allowed.translate(_FORBIDDEN)
    for byte in range(_FLOAT):
        keep[byte::_FLOAT] = kept
    put[3::_FLOAT] = forbidden
    put[2::_FLOAT] = forbidden.translate(bytes(each & _MINUS_INFINITY_LOW for each in range(256)))
    number = int.from_bytes(logits, "little") & int.from_bytes(keep, "little") | int.from_bytes(put, "little")
    return number.to_bytes(len(logits), "little")
