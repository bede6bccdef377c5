"""What loading is going to plan for a model, by its header alone: context, batches, and what is kept beside them."""

from __future__ import annotations

import msgspec

from bundler.formats import gguf, weights
from bundler.runtime import memory
from bundler.runtime.engine.interface import LoadOptions, WeightsRange
from bundler.runtime.tuning import Tuning, tune, value_bytes


class Foreseen(msgspec.Struct, frozen=True, kw_only=True):
    context: memory.ContextPlan
    cell: int
    """Bytes of KV cache per token."""
    tuning: Tuning
    """As the model takes it."""
    saved: int
    """Most bytes of conversations that had to leave the KV cache."""
    saved_reason: str
    """Empty where the model keeps none."""


def foresee(header: gguf.Header, place: WeightsRange, options: LoadOptions, free: int) -> Foreseen:
    """What `loading` would do with `free` bytes of memory.

    Raises:
        BundleError: see `tune`.
    """
    tuning = tune(options, place.size)
    cell = _cell(header, tuning)
    encodes = weights.encodes(header)
    plan = memory.plan(
        asked_context=options.context_length,
        asked_parallel=options.parallel,
        trained=weights.context_length(header),
        cell=cell,
        free=free,
        weights=place.size,
        encodes=encodes,
    )
    saved, saved_reason = 0, ""
    if not options.embeds and not encodes:
        context_size = plan.context_size if weights.attends_to_all(header) else None
        saved, saved_reason = memory.saved_limit(free, context_size, options.saved)
    return Foreseen(
        context=plan,
        cell=cell,
        tuning=tuning.at_once(plan.cells) if encodes else tuning,
        saved=saved,
        saved_reason=saved_reason,
    )


def _cell(header: gguf.Header, tuning: Tuning) -> int:
    def metadata(key: str) -> str | None:
        value = header.scalar(key)
        return header.string(key) if value is None else str(value)

    def count(key: str) -> int:
        return header.integer(f"{weights.architecture(header)}.{key}") or 0

    return memory.cell_size(
        metadata,
        count("block_count"),
        count("attention.head_count"),
        count("embedding_length"),
        value_bytes(tuning.key_type),
        value_bytes(tuning.value_type),
    )
