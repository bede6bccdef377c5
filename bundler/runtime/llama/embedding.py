"""Texts as vectors: a context of its own that pools the states of a sequence instead of drawing tokens.

How the states of a sequence become one vector is the model's own choice (`<arch>.pooling_type`), the mean where it
makes none. A model that looks both ways takes a text at once. Any other takes it in steps: llama.cpp computes logits
for every token of an embedding batch too, so that one of a long text would take gigabytes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bundler.errors import BundleError
from bundler.runtime.engine.interface import EngineClosed, Handle, Job, Pairing, Pooling
from bundler.runtime.llama.context import Batch
from bundler.runtime.llama.model import Model

POOLINGS: dict[Pooling, int] = {"none": 0, "mean": 1, "cls": 2, "last": 3, "rank": 4}
_UNSPECIFIED = -1
_MOST_TOGETHER = 32
_LONGEST = 8192
_STEP = 128
"""Tokens of a batch, where a text need not be computed at once."""
Piece = tuple[int, Sequence[int], int]
"""Of a text: its number, some of its tokens, and the position of the first."""

Require = Callable[[int], None]
"""Raises a BundleError where memory does not suffice for so many tokens."""


class LlamaEmbedder:
    """See `interface.Embedder`. One batch is computed at a time."""

    def __init__(self, model: Model, *, threads: int, require: Require = lambda tokens: None) -> None:
        """Take memory for one batch.

        Raises:
            BundleError: there is not enough memory.
        """
        binding = model.library.binding
        self._model = model
        self._lock = threading.Lock()
        self.longest = min(model.trained_context or _LONGEST, _LONGEST)
        require(self.longest)
        self._context: Any = self._open(min(_STEP, self.longest), threads)
        looks_back = binding.llama_get_memory(self._context) and binding.llama_get_causal_attn(self._context)
        if not looks_back and self.longest > _STEP:
            self.close()
            self._context = self._open(self.longest, threads)
        self._batch = Batch(model, int(binding.llama_n_ubatch(self._context)))
        by_number = {number: name for name, number in POOLINGS.items()}
        self.pooling: Pooling = by_number[int(binding.llama_pooling_type(self._context))]
        self.pairing = _pairing(model) if self.pooling == "rank" else None
        outputs = binding.llama_model_n_cls_out if self.pooling == "rank" else binding.llama_model_n_embd_out
        self.dimensions = int(outputs(model.pointer))

    def _open(self, batch: int, threads: int) -> Any:
        binding, log = self._model.library.binding, self._model.library.log
        parameters = binding.llama_context_default_params()
        parameters.embeddings = True
        parameters.n_ctx = self.longest
        parameters.n_batch = parameters.n_ubatch = batch
        parameters.n_seq_max = _MOST_TOGETHER
        parameters.kv_unified = True
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.pooling_type = _pooling(self._model)
        parameters.no_perf = True
        log.clear()
        context = binding.llama_init_from_model(self._model.pointer, parameters)
        if not context:
            raise BundleError(f"failed to make a context for embeddings: {log.cause()}")
        self._model.apply_adapters(context)
        return context

    def embed(self, inputs: Sequence[Sequence[int]]) -> list[list[list[float]]]:
        """For each sequence of at most `longest` token ids its vectors: one, or one for each token without pooling.

        Raises:
            BundleError: a sequence is empty or too long, or the computation failed.
        """
        for tokens in inputs:
            if not 0 < len(tokens) <= self.longest:
                raise BundleError(f"failed to embed {len(tokens)} tokens: this model takes 1 to {self.longest}")
        found: list[list[list[float]]] = []
        for together in _batches(inputs, self.longest):
            with self._lock:
                found += self._compute(together)
        return found

    def close(self) -> None:
        """Free the context. Safe to call twice."""
        with self._lock:
            if self._context:
                self._model.library.binding.llama_free(self._context)
                self._context = None

    def _compute(self, together: Sequence[Sequence[int]]) -> list[list[list[float]]]:
        binding = self._model.library.binding
        if not self._context:
            raise BundleError("failed to embed: the model is being unloaded")
        memory = binding.llama_get_memory(self._context)
        if memory:
            binding.llama_memory_clear(memory, True)
        parts: list[list[tuple[int, list[list[float]]]]] = [[] for _ in together]
        for pieces in _steps(together, self._batch.capacity):
            for (index, tokens, _), vectors in zip(pieces, self._decode(pieces), strict=True):
                parts[index].append((len(tokens), vectors))
        return [self._pooled(each) for each in parts]

    def _decode(self, pieces: Sequence[Piece]) -> list[list[list[float]]]:
        """For each piece its vectors: one, or one for each token without pooling."""
        binding, batch = self._model.library.binding, self._batch
        batch.clear()
        ends = [batch.add(index, tokens, position, want_logits=True) for index, tokens, position in pieces]
        batch.want_all()
        self._model.library.log.clear()
        if binding.llama_decode(self._context, batch.struct) != 0:
            raise BundleError(f"failed to embed {len(batch)} tokens: {self._model.library.log.cause()}")
        if self.pooling != "none":
            return [[self._row(binding.llama_get_embeddings_seq(self._context, index))] for index, _, _ in pieces]
        rows = [self._row(binding.llama_get_embeddings_ith(self._context, at)) for at in range(len(batch))]
        return [rows[end + 1 - len(tokens) : end + 1] for end, (_, tokens, _) in zip(ends, pieces, strict=True)]

    def _pooled(self, parts: list[tuple[int, list[list[float]]]]) -> list[list[float]]:
        """The vectors of a text from those of its pieces, each with the number of its tokens."""
        if len(parts) == 1 or self.pooling == "none":
            return [vector for _, vectors in parts for vector in vectors]
        if self.pooling != "mean":
            return parts[0 if self.pooling == "cls" else -1][1]
        total = sum(count for count, _ in parts)
        weighted = [[number * count / total for number in vectors[0]] for count, vectors in parts]
        return [[sum(column) for column in zip(*weighted, strict=True)]]

    def _row(self, pointer: Any) -> list[float]:
        return list(pointer[: self.dimensions])


class LazyEmbedder:
    """An embedder that is made when it is first asked for: it takes memory that most chats never need."""

    def __init__(self, model: Model, threads: int, require: Require = lambda tokens: None) -> None:
        self._model = model
        self._threads = threads
        self._require = require
        self._lock = threading.Lock()
        self._made: LlamaEmbedder | None = None
        self._closed = False

    def __call__(self) -> LlamaEmbedder:
        with self._lock:
            if self._closed:
                raise BundleError("failed to embed: the model is being unloaded")
            if self._made is None:
                self._made = LlamaEmbedder(self._model, threads=self._threads, require=self._require)
            return self._made

    def close(self) -> None:
        """Free it, and make none any more. Safe to call twice."""
        with self._lock:
            self._closed = True
            if self._made is not None:
                self._made.close()


class EmbeddingEngine:
    """The engine of a model that only embeds: it takes no jobs."""

    parallel = 1

    def __init__(self, model: Model, embedder: LazyEmbedder) -> None:
        self.context_length = embedder().longest
        self._model = model
        self._embedder = embedder

    def submit(self, job: Job) -> Handle:
        """Refuses every job."""
        raise EngineClosed("this model makes embeddings and generates no text")

    def close(self) -> None:
        """Free the model."""
        self._embedder.close()
        self._model.close()


def _pooling(model: Model) -> int:
    architecture = model.metadata("general.architecture") or ""
    said = model.metadata(f"{architecture}.pooling_type")
    return POOLINGS["mean"] if said is None else _UNSPECIFIED


def _pairing(model: Model) -> Pairing:
    """As llama-server pairs them (tools/server/server-common.cpp, `format_prompt_rerank`)."""
    binding, vocabulary = model.library.binding, model.vocabulary
    separator = int(binding.llama_vocab_sep(vocabulary.pointer))
    eos = vocabulary.eos if vocabulary.eos >= 0 else separator
    ending = [eos] if vocabulary.add_eos else []
    return Pairing(
        template=model.metadata("tokenizer.chat_template.rerank") or "",
        before=[vocabulary.bos] if vocabulary.add_bos else [],
        between=[*ending, separator] if binding.llama_vocab_get_add_sep(vocabulary.pointer) else ending,
        after=ending,
    )


def _batches(inputs: Sequence[Sequence[int]], most: int) -> Iterator[list[Sequence[int]]]:
    together: list[Sequence[int]] = []
    for tokens in inputs:
        if together and (sum(map(len, together)) + len(tokens) > most or len(together) == _MOST_TOGETHER):
            yield together
            together = []
        together.append(tokens)
    if together:
        yield together


def _steps(together: Sequence[Sequence[int]], most: int) -> Iterator[list[Piece]]:
    """The texts, one after the other, in batches of at most `most` tokens."""
    pieces: list[Piece] = []
    room = most
    for index, tokens in enumerate(together):
        position = 0
        while position < len(tokens):
            some = tokens[position : position + room]
            pieces.append((index, some, position))
            position, room = position + len(some), room - len(some)
            if not room:
                yield pieces
                pieces, room = [], most
    if pieces:
        yield pieces
