"""How long a context this machine can hold: from the model's dimensions and the memory that is free."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bundler.errors import BundleError
from bundler.runtime.machine import Memory

DEFAULT_CONTEXT = 4096
DEFAULT_PARALLEL = 4
SMALLEST_CONTEXT = 512
LEAST_BESIDE = 64 << 20
"""What the program takes beside weights and KV cache, at the very least."""
_CELLS_STEP = 256
"""llama.cpp rounds the cells of a sequence up to a multiple of this."""
_CHEAP = 32 << 20
"""llama.cpp writes zeros over the whole cache at the start; beyond one full context, so much of it is not felt."""
_RESERVED = 256 << 20
"""Left for compute buffers and the rest of the program."""
_LEAST_SAVED, _MOST_SAVED = 64 << 20, 2 << 30
_SAVED_CONTEXTS = 4
"""Conversations that had to leave the KV cache may take as much memory as so many full contexts, lest it grow for
hours: a state takes as much as its cells did. Not so with recurrent layers, which take the same for any number of
tokens (256 MiB in a Mamba of 7 billion weights) and no cells; there and with windowed layers, where several states of
each conversation are kept, memory alone sets the limit."""
_SAVED_SHARE = 8
"""But never more than one part of so many of the free memory."""


class ContextPlan(msgspec.Struct, frozen=True, kw_only=True):
    context_length: int
    """Tokens of one sequence, prompt and answer together."""
    context_reason: str
    parallel: int
    parallel_reason: str
    cells: int
    """Tokens held by all sequences together: one full context at least."""
    size: int
    """Bytes of these cells."""

    @property
    def context_size(self) -> int:
        """Bytes of the cells of one full context."""
        return self.size * self.context_length // self.cells

    @property
    def apart(self) -> bool:
        """Whether each of several sequences has cells for a full context of its own; else they share all cells."""
        return self.parallel > 1 and self.cells >= self.parallel * self.context_length


def cell_size(
    metadata: Callable[[str], str | None],
    layers: int,
    heads: int,
    embedding: int,
    key_bytes: float = 2,
    value_bytes: float = 2,
) -> int:
    """Bytes of KV cache per token, by its metadata (`<arch>.attention.*`); at most, where layers are windowed.

    `key_bytes`, `value_bytes`: what one value takes; 16-bit floats are the default.
    """
    architecture = metadata("general.architecture") or ""
    head_width = embedding // max(1, heads)
    key = _number(metadata(f"{architecture}.attention.key_length"), head_width)
    value = _number(metadata(f"{architecture}.attention.value_length"), head_width)
    if rank := _number(metadata(f"{architecture}.attention.kv_lora_rank"), 0):
        rope = _number(metadata(f"{architecture}.rope.dimension_count"), 0)
        return int(layers * (rank + rope) * key_bytes)
    kv_heads = _numbers(metadata(f"{architecture}.attention.head_count_kv")) or [heads]
    in_all = sum(kv_heads) if len(kv_heads) > 1 else kv_heads[0] * layers
    return int(in_all * (key * key_bytes + value * value_bytes))


def plan(
    *,
    asked_context: int | None,
    asked_parallel: int | None,
    trained: int,
    cell: int,
    free: int,
    weights: int,
    encodes: bool = False,
) -> ContextPlan:
    """Fit context and parallel sequences to `free` bytes, of which `weights` are about to be used.

    `encodes`: an encoder reads the prompts, which takes one request at a time, whatever was asked for.
    What was asked for is taken as asked. Otherwise: at most the trained length, DEFAULT_CONTEXT tokens and
    DEFAULT_PARALLEL sequences; then fewer sequences, then shorter ones, until the cache takes at most half of what the
    weights leave.
    """
    budget = max(0, free - weights - _RESERVED) // 2
    affordable = budget // cell if cell else 1 << 31
    usual = min(trained or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
    if asked_context:
        context, context_reason = asked_context, "as asked"
        if trained and asked_context > trained:
            context_reason = f"as asked, though the model was trained with {trained}"
    elif affordable < usual:
        context = max(min(SMALLEST_CONTEXT, usual), affordable // 256 * 256)
        context_reason = f"fitted to memory ({_size(free)} free, {_size(weights)} for the weights)"
    else:
        context = usual
        context_reason = "all that the model was trained with" if usual == trained else "the default"
    if encodes:
        parallel, parallel_reason = 1, "an encoder reads one prompt at a time"
    elif asked_parallel:
        parallel, parallel_reason = asked_parallel, "as asked"
    else:
        parallel = min(DEFAULT_PARALLEL, max(1, affordable // context))
        parallel_reason = "the default" if parallel == DEFAULT_PARALLEL else "as far as memory goes"
    most = -(-context // _CELLS_STEP) * _CELLS_STEP * parallel
    cheap = most if asked_parallel or encodes else _CHEAP // cell if cell else most
    cells = max(context, min(most, affordable, cheap))
    cells = -(-cells // _CELLS_STEP) * _CELLS_STEP
    return ContextPlan(
        context_length=context,
        context_reason=context_reason,
        parallel=parallel,
        parallel_reason=parallel_reason,
        cells=cells,
        size=cells * cell,
    )


def require(tokens: int, cell: int, free: Memory, *, adjustable: bool = True) -> None:
    """See that the KV cache of so many tokens, each of `cell` bytes, fits into memory beside the weights.

    `adjustable`: the user can ask for another number.

    Raises:
        BundleError: it does not; with the numbers.
    """
    if tokens * cell + LEAST_BESIDE <= free.available:
        return
    most = max(0, free.available - LEAST_BESIDE) // cell // 256 * 256
    raise BundleError(
        f"failed to make room for a context of {tokens:,} tokens: it takes {_size(tokens * cell)}, and "
        f"{_size(free.available)} are free beside the weights ({free.reason})",
        f"--ctx-size {most} fits" if most and adjustable else "close other programs, or use a smaller model",
    )


def saved_limit(free: int, context: int | None, asked: int | None) -> tuple[int, str]:
    """Bytes that conversations outside of the KV cache may take, and why; `asked` is taken as asked.

    `free`: bytes before the weights are loaded; `context`: those of the KV cache of one full context; None
    where some layers do not attend to all tokens, so that the size of a state does not follow from it.
    """
    if asked is not None:
        return asked, "as asked"
    wanted = _MOST_SAVED if context is None else max(_SAVED_CONTEXTS * context, _LEAST_SAVED)
    most = min(_MOST_SAVED, free // _SAVED_SHARE)
    return min(wanted, most), "as far as memory goes" if most < wanted else "the default"


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isdecimal() else otherwise


def _numbers(text: str | None) -> list[int]:
    """`8`, or `[8, 8, 0]`."""
    words = (text or "").strip("[]").replace(",", " ").split()
    return [int(word) for word in words if word.isdecimal()]


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count / (1 << 20):.0f} MiB"
