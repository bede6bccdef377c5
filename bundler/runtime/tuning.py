"""How a model is computed: batches, types of the KV cache, flash attention; each with its reason. Plain values."""

from __future__ import annotations

from typing import Final, Literal, get_args

import msgspec

from bundler.errors import BundleError
from bundler.runtime.engine.interface import CacheType, LoadOptions
from bundler.runtime.engine.sequence import CHUNK

_BATCH: Final = 512
_LARGE_BATCH: Final = 1024
_SMALL_MODEL: Final = 128 << 20
"""Bytes of weights up to which a large batch is computed in a moment."""
_SPARE: Final = 2 * CHUNK
LARGEST_BATCH: Final = 1 << 14
CACHE_TYPES: Final[tuple[CacheType, ...]] = get_args(CacheType)
_BLOCK: Final = 32
_BLOCK_BYTES: Final[dict[CacheType, int]] = {
    "f16": 64, "f32": 128, "bf16": 64, "q8_0": 34, "q4_0": 18, "q4_1": 20, "iq4_nl": 18, "q5_0": 22, "q5_1": 24,
}  # fmt: skip
_FLOATS: Final = ("f16", "f32", "bf16")


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    batch: int
    """Most tokens that one step computes for all sequences together."""
    spare: int
    """So many more, where they end a prompt."""
    batch_reason: str
    ubatch: int
    """Of these, so many at once: what compute buffers are made for."""
    ubatch_reason: str
    key_type: CacheType
    value_type: CacheType
    cache_reason: str
    flash_attention: Literal["on", "off", "auto"]
    flash_reason: str

    def at_once(self, tokens: int) -> Tuning:
        """For an encoder, which reads a prompt of up to so many tokens in one batch."""
        reason = "an encoder reads a prompt at once"
        return msgspec.structs.replace(
            self, batch=tokens, spare=0, batch_reason=reason, ubatch=tokens, ubatch_reason="a whole batch"
        )


def tune(options: LoadOptions, weights: int = 0) -> Tuning:
    """What was asked for, else what suits a model of so many bytes of `weights`; 0: unknown.

    Raises:
        BundleError: the wishes contradict each other.
    """
    batch, spare, batch_reason = _batch(options, weights)
    ubatch = min(options.ubatch or (options.batch or _BATCH), batch)
    ubatch_reason = "as asked" if options.ubatch == ubatch else "a whole batch" if ubatch == batch else "the default"
    asked_types = options.key_type or options.value_type
    value_type = options.value_type or "f16"
    if value_type not in _FLOATS and options.flash_attention == "off":
        raise BundleError(
            f"failed to make a KV cache of {value_type} values: llama.cpp computes with them by flash attention only",
            "leave out --flash-attn off, or give --cache-type-v f16",
        )
    return Tuning(
        batch=batch,
        spare=spare,
        batch_reason=batch_reason,
        ubatch=ubatch,
        ubatch_reason=ubatch_reason,
        key_type=options.key_type or "f16",
        value_type=value_type,
        cache_reason="as asked" if asked_types else "16-bit floats lose nothing that is seen; smaller types do",
        flash_attention=options.flash_attention or "auto",
        flash_reason="as asked" if options.flash_attention else "llama.cpp uses it where all backends can, as CPUs do",
    )


def _batch(options: LoadOptions, weights: int) -> tuple[int, int, str]:
    if options.batch:
        return options.batch, 0, "as asked"
    more = f"up to {_SPARE} more where they end a prompt"
    if 0 < weights <= _SMALL_MODEL:
        return _LARGE_BATCH, _SPARE, f"the model is small; {more}"
    return _BATCH, _SPARE, f"the default; {more}"


def value_bytes(kind: CacheType) -> float:
    """Bytes that one value of the KV cache takes, its share of a block's scale included."""
    return _BLOCK_BYTES[kind] / _BLOCK


def whole_chunks(tokens: int) -> int:
    """A size for batches: the next whole number of CHUNKs, within what is allowed."""
    return max(CHUNK, min(LARGEST_BATCH, -(-tokens // CHUNK) * CHUNK))
