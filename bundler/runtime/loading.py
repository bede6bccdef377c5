"""From an open file to a running engine: libraries, backend, weights, context.

May run in any thread; the slow calls leave other Python threads running.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import msgspec

from bundler.errors import BundleError
from bundler.runtime import libraries, machine, memory, weights
from bundler.runtime.announce import size
from bundler.runtime.engine.cache import Cache
from bundler.runtime.engine.encoder import EncoderDecoderEngine
from bundler.runtime.engine.engine import RunningEngine
from bundler.runtime.engine.interface import (
    BEGUN,
    Engine,
    Loaded,
    LoadFacts,
    LoadOptions,
    Progress,
    Verdict,
    Warmth,
    WeightsRange,
)
from bundler.runtime.engine.runner import LlamaRunner
from bundler.runtime.engine.scheduler import Scheduler
from bundler.runtime.engine.sequence import CHUNK
from bundler.runtime.engine.store import Saved
from bundler.runtime.llama import library as llama_library
from bundler.runtime.llama.constraints import LlamaConstraints
from bundler.runtime.llama.context import MOST_SEQUENCES, Context
from bundler.runtime.llama.embedding import EmbeddingEngine, LazyEmbedder
from bundler.runtime.llama.model import Model
from bundler.runtime.tuning import Tuning, tune, value_bytes

_IDLE_SEQUENCES = 28
"""Conversations that stay in the KV cache beside the running ones, where each costs no more than its cells."""
_QUEUE = 64
_STALLED_WORK = 2 * 10**12
"""Weights times prompt tokens that sequences wait for, where several prompts have come: 1,600 tokens of a 1B model."""
_MOST_STALLED = 8192
_PREFETCH_SHARE = 0.7
"""Of the progress, where the weights come from a disk."""


class _Stages(msgspec.Struct):
    """Seconds by stage."""

    seconds: dict[str, float] = {}
    began: float = msgspec.field(default_factory=time.monotonic)

    def end(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] = now - self.began
        self.began = now


def load(
    source: WeightsRange, libraries_folder: Path, verdict: Verdict, options: LoadOptions, progress: Progress
) -> Loaded:
    """Load a model and start its engine.

    Raises:
        BundleError: the libraries, the weights or the memory do not suffice; says which.
    """
    stages = _Stages()
    progress(0.0, "loading llama.cpp")
    library = llama_library.load(libraries_folder)
    library.log.verbose = options.verbose
    library.log.lines.clear()  # what other models logged is not about this one
    library.load_backend(libraries.cpu_variants(libraries_folder)[verdict.chosen])
    stages.end("libraries")

    tuning = tune(options, source.size)
    free = _free(options)
    file_size = os.fstat(source.descriptor).st_size
    mode = weights.load_mode(source, file_size, free=free.available, asked=options.load_mode)
    _require_weights(source, mode, free, options)
    fetched = _fetch(source, free.available, progress)
    stages.end("prefetch")
    before = _PREFETCH_SHARE if fetched else BEGUN
    progress(before, "loading the weights")
    model = Model(
        library,
        source.descriptor,
        source.offset,
        mapped=mode.mode == "mapped",
        copied=mode.copied,
        progress=lambda fraction: progress(before + (0.95 - before) * fraction, "loading the weights"),
    )
    stages.end("model")

    progress(0.95, "making room for the context")
    threads = machine.threads(options.threads, model.size)
    cell = _cell(model, tuning)
    embedder = LazyEmbedder(
        model, threads.count, lambda tokens: memory.require(tokens, cell, _free(options), adjustable=False)
    )
    warm_tokens = 0
    try:
        for adapter in options.adapters:
            model.load_adapter(adapter.weights.descriptor, adapter.weights.offset, adapter.scale)
        plan = _plan(model, cell, source, options, free.available)
        tuning = tuning.at_once(plan.cells) if model.encodes else tuning
        if options.embeds:
            engine: Engine = EmbeddingEngine(model, embedder)
        else:
            memory.require(plan.cells, cell, _free(options))
            context = _context(model, plan, tuning, threads.count, options.threads_batch)
            context_size = plan.context_size if model.attends_to_all else None
            saved, _ = memory.saved_limit(free.available, context_size, options.saved)
            engine, warm_tokens = _engine(model, context, plan, embedder, saved, tuning, options)
            engine = _after_encoder(model, engine) if model.encodes else engine
    except BundleError:
        embedder.close()
        model.close()
        raise
    stages.end("context")

    facts = LoadFacts(
        description=model.description,
        parameters=model.parameters,
        weights_size=model.size,
        trained_context=model.trained_context,
        context_length=engine.context_length,
        context_reason=plan.context_reason,
        context_size=0 if options.embeds else plan.size,
        cells=0 if options.embeds else plan.cells,
        parallel=plan.parallel,
        parallel_reason=plan.parallel_reason,
        threads=threads.count,
        threads_reason=threads.reason,
        load_mode=mode.mode,
        load_reason=mode.reason,
        repacked_size=library.log.buffer_size("REPACK"),
        warm_tokens=warm_tokens,
        seconds=stages.seconds,
    )
    progress(1.0, "ready")
    return Loaded(
        engine=engine,
        vocabulary=model.vocabulary,
        constraints=None if options.embeds else LlamaConstraints(model),
        embedder=None if model.encodes else embedder,
        facts=facts,
    )


def _free(options: LoadOptions) -> machine.Memory:
    """Memory that is free now, without the weights that other models of this process use in the page cache."""
    free = machine.memory()
    if not options.beside:
        return free
    mapped = sum(facts.mapped_size for facts in options.beside)
    others = f"{len(options.beside)} other model{'s' if len(options.beside) > 1 else ''} loaded"
    return machine.Memory(max(0, free.available - mapped), free.total, f"{free.reason}, with {others}")


def _require_weights(source: WeightsRange, mode: weights.LoadMode, free: machine.Memory, options: LoadOptions) -> None:
    """See that weights that are read fit into memory, and weights beside other models however they are loaded.

    Raises:
        BundleError: they do not; with the numbers.
    """
    if options.beside and source.size + memory.LEAST_BESIDE > free.available:
        raise BundleError(
            f"failed to load the model: its weights take {size(source.size)}, and {size(free.available)} are free "
            f"({free.reason})",
            "ask again when another model is unloaded (keep_alive 0 does it), or use a smaller one",
        )
    if mode.mode == "read" and source.size + memory.LEAST_BESIDE > free.available:
        raise BundleError(
            f"failed to read the weights: they take {size(source.size)}, and {size(free.available)} are free "
            f"({free.reason})",
            "with --load-mode mmap they stay in the file, which is slower; or use a smaller model",
        )


def _cell(model: Model, tuning: Tuning) -> int:
    """Bytes of KV cache per token."""
    return memory.cell_size(
        model.metadata,
        model.layers,
        model.heads,
        model.embedding_length,
        value_bytes(tuning.key_type),
        value_bytes(tuning.value_type),
    )


def _plan(model: Model, cell: int, source: WeightsRange, options: LoadOptions, free: int) -> memory.ContextPlan:
    return memory.plan(
        asked_context=options.context_length,
        asked_parallel=options.parallel,
        trained=model.trained_context,
        cell=cell,
        free=free,
        weights=source.size,
        encodes=model.encodes,
    )


def _context(
    model: Model, plan: memory.ContextPlan, tuning: Tuning, threads: int, threads_batch: int | None
) -> Context:
    if not model.generates:
        raise BundleError("failed to load the model: it cannot generate text", "build the bundle from a chat model")
    keeps = model.attends_to_all and not model.encodes
    apart = keeps and plan.apart
    idle = min(_IDLE_SEQUENCES, MOST_SEQUENCES - plan.parallel) if keeps and not apart else 0
    return Context(
        model,
        cells=plan.cells,
        sequences=plan.parallel + idle,
        apart=apart,
        batch=max(tuning.batch + tuning.spare, plan.parallel + CHUNK),
        ubatch=tuning.ubatch,
        threads=threads,
        threads_batch=threads_batch,
        key_type=tuning.key_type,
        value_type=tuning.value_type,
        flash_attention=tuning.flash_attention,
    )


def _engine(
    model: Model,
    context: Context,
    plan: memory.ContextPlan,
    embedder: LazyEmbedder,
    saved: int,
    tuning: Tuning,
    options: LoadOptions,
) -> tuple[RunningEngine, int]:
    """The engine, and how many tokens of a prompt it knows already."""
    warmth = options.warmth
    if warmth is not None and len(warmth.tokens) >= plan.context_length:
        warmth = None
    cache = Cache(
        context,
        slots=context.sequences,
        cells=context.cells,
        saved_limit=0 if model.encodes else saved,
        beginning=warmth.tokens if warmth else (),
    )
    warm_tokens = _preload(cache, warmth) if warmth else 0
    length, batch = plan.context_length, context.batch - tuning.spare
    runner = LlamaRunner(model, context, batch=context.batch, context_length=length, beside=[embedder])
    stalled = min(max(_STALLED_WORK // max(1, model.parameters), batch), _MOST_STALLED)
    scheduler = Scheduler(
        cache,
        parallel=plan.parallel,
        context_length=length,
        batch=batch,
        spare=tuning.spare,
        ubatch=tuning.ubatch,
        most_stalled=stalled,
        queue=_QUEUE if options.queue is None else options.queue,
    )
    return RunningEngine(runner, scheduler), warm_tokens


def _after_encoder(model: Model, decoder: Engine) -> Engine:
    return EncoderDecoderEngine(
        decoder,
        vocabulary=model.vocabulary.size,
        start=model.decoder_start,
        ending=[model.vocabulary.eos] if model.vocabulary.add_eos else [],
    )


def _preload(cache: Cache, warmth: Warmth) -> int:
    """Begin with the state that came with the bundle; a damaged one is left alone, and computed again."""
    try:
        state = warmth.read()
    except BundleError as error:
        print(error.render().replace("error:", "warning:", 1), file=sys.stderr)
        return 0
    return len(warmth.tokens) if cache.preload(Saved(warmth.tokens, warmth.exact, state)) else 0


def _fetch(source: WeightsRange, free: int, progress: Progress) -> bool:
    """Bring weights that are still on the disk into memory in order; whether that was needed."""
    if source.size > free or weights.is_cached(source):
        return False
    try:
        weights.prefetch(source, lambda done: progress(done * _PREFETCH_SHARE, "reading the weights"))
    except OSError as cause:
        raise BundleError(
            f"failed to read the weights: {cause.strerror}", "check that the file is whole and its medium is connected"
        ) from cause
    return True
