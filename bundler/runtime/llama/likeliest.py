"""The draw of a token from the few likeliest ones, where no other can be drawn: `native/likeliest.c`.

llama.cpp's own way looks at the whole vocabulary several times, for every sequence in turn. What comes out is the same:
the chain's first stages leave no other tokens. All of it takes microseconds, so other threads wait for the interpreter
meanwhile rather than take it away between two steps.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from bundler.runtime.llama.model import Model

MOST = 1024
"""Of the likeliest tokens asked for."""
_ROOM = 4 * MOST


class Likeliest:
    """Refilled for each draw."""

    def __init__(self, model: Model) -> None:
        library = model.library
        binding = library.binding
        self._size = model.vocabulary.size
        self._find: Callable[..., int] = library.likeliest
        self._entries = (binding.llama_token_data * _ROOM)()
        self._first = ctypes.cast(self._entries, ctypes.POINTER(binding.llama_token_data))
        self._array = binding.llama_token_data_array(self._first, 0, -1, False)
        self._reference = ctypes.byref(self._array)
        apply = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)  # leaves the interpreter to this thread
        self._apply = apply(("llama_sampler_apply", binding._lib))

    def draw(self, chain: Any, logits: int, wanted: int) -> int | None:
        """The token that `chain` draws from the `wanted` largest logits of the row at an address, and some more.

        None where these cannot be told from all others, as in a small vocabulary or where most logits are equal.
        """
        count = self._find(logits, self._size, wanted, self._entries, _ROOM)
        if not count:
            return None
        array = self._array
        array.data, array.size, array.selected, array.sorted = self._first, count, -1, False
        self._apply(chain, self._reference)
        return int(array.data[array.selected].id)  # a sampler may have moved where the array begins
