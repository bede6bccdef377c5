"""Prompts that are too long, made shorter where that was asked for. Values in, values out.

Follows Ollama (server/prompt.go, its runner): of a chat all system messages and the last messages stay; of tokens the
first `keep` and the last. A prompt that fits is never touched; one that does not leaves room for an answer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bundler.runtime.engine.interface import Vocabulary
from bundler.runtime.engine.sequence import LEAST_SHIFTED

_ANSWER_SHARE = 4
"""One part of so many of the context is left for the answer, or `max_tokens` where that is less."""


def with_bos(keep: int, tokens: Sequence[int], vocabulary: Vocabulary) -> int:
    """Tokens to keep of a prompt, of which `keep` were asked for: its BOS token is kept beside them."""
    return keep + 1 if keep >= 0 and vocabulary.add_bos and list(tokens[:1]) == [vocabulary.bos] else keep


def most_tokens(context_length: int, max_tokens: int | None) -> int:
    """Tokens that a prompt which does not fit is cut to, at least 1."""
    room = max(1, context_length // _ANSWER_SHARE)
    if max_tokens is not None:
        room = min(room, max(1, max_tokens))
    return max(1, context_length - room)


def cut(tokens: Sequence[int], most: int, keep: int) -> list[int]:
    """The first `keep` tokens and as many of the last as make up `most`; below 0 `keep` counts for all."""
    kept = max(0, min(len(tokens) if keep < 0 else keep, most - LEAST_SHIFTED))
    return [*tokens[:kept], *tokens[len(tokens) - (most - kept) :]]


def starts(messages: Sequence[Mapping[str, Any]]) -> list[int]:
    """Where a shorter chat may begin: at what a user says, and at the last message."""
    last = len(messages) - 1
    return [at for at, message in enumerate(messages) if message["role"] == "user" and 0 < at < last] + [last]


def beginning_at(messages: Sequence[Mapping[str, Any]], start: int) -> list[Mapping[str, Any]]:
    """The messages from `start` on, and the system messages before it."""
    return [*(message for message in messages[:start] if message["role"] == "system"), *messages[start:]]


def first_fitting(candidates: Sequence[int], made: Callable[[int], list[int] | None]) -> list[int] | None:
    """What is made of the first candidate that anything is made of, where that holds for all after it too.

    None where nothing is made of any.
    """
    known: dict[int, list[int] | None] = {}

    def fits(candidate: int) -> bool:
        known[candidate] = made(candidate)
        return known[candidate] is not None

    at = bisect_left(candidates, True, key=fits)
    return known[candidates[at]] if at < len(candidates) else None
