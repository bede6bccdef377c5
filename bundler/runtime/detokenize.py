"""Token ids to text, one token at a time, never half a character.

Plain state. Knows nothing of the engine or of stop strings.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable


class Detokenizer:
    """Joins the bytes of tokens into text.

    Bytes of a character that is not complete yet are kept back; what is left of one at the end of an answer is
    dropped, so an answer that is cut off by its length still ends in a whole character. Bytes that can be no UTF-8
    become U+FFFD.
    """

    def __init__(self, piece: Callable[[int], bytes]) -> None:
        self._piece = piece
        self._incomplete = b""

    def push(self, token: int) -> str:
        """The characters that `token` completes, maybe none."""
        data = self._incomplete + self._piece(token)
        text, used = codecs.utf_8_decode(data, "replace", False)
        self._incomplete = data[used:]
        return text
