"""The state of several sequences over one model: batches in, logits out."""

from __future__ import annotations

import ctypes
import mmap
import struct
import sys
from collections.abc import Sequence
from typing import Any, Literal

from bundler.errors import BundleError
from bundler.runtime.engine.interface import CacheType, State
from bundler.runtime.llama.model import Model

MOST_SEQUENCES = 256
"""llama.cpp's own limit."""
_STREAMS, _STREAMS_OFFSET = struct.Struct("=I"), 8
_LEAST_COPIED = 64
_COPIED_SHARE = 64
"""Of sequences that lie apart all cells are copied: fewer tokens than one in so many cells are computed sooner."""
_PRIVATE = mmap.ACCESS_WRITE if sys.platform == "win32" else mmap.ACCESS_COPY
"""For memory of this process alone; Unix would count it as a file's, were it written through."""
_MOST_THREADS = 512
_POLL = 1
"""How long a thread without work looks for some before it sleeps: about 6 ms for each, up to 100. That is longer than
the engine takes between two steps; ggml's own 50 decodes no faster, and burns 0.16 s of a CPU after every answer."""
_DONE, _NO_ROOM, _ABORTED = 0, 1, 2
_GO_ON, _STOP = b"0", b"1"
_TYPES: dict[CacheType, int] = {
    "f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "iq4_nl": 20, "bf16": 30,
}  # fmt: skip
"""ggml.h's enum ggml_type."""
_FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}
"""llama.h's enum llama_flash_attn_type."""


class Batch:
    """Tokens of several sequences for one `Context.decode`. Refilled in place."""

    def __init__(self, model: Model, capacity: int) -> None:
        self.capacity = capacity
        self._tokens = (ctypes.c_int32 * capacity)()
        self._positions = (ctypes.c_int32 * capacity)()
        self._sequences = (ctypes.c_int32 * capacity)()
        self._wanted = (ctypes.c_int8 * capacity)()
        one = (ctypes.c_int32 * capacity)(*[1] * capacity)
        size = ctypes.sizeof(ctypes.c_int32)
        address = ctypes.addressof(self._sequences)
        pointer = ctypes.POINTER(ctypes.c_int32)
        each = (pointer * capacity)(*(ctypes.cast(address + index * size, pointer) for index in range(capacity)))
        self._kept_alive = (one, each)
        self.struct = model.library.binding.llama_batch(
            n_tokens=0, token=self._tokens, pos=self._positions, n_seq_id=one, seq_id=each, logits=self._wanted
        )

    def __len__(self) -> int:
        return int(self.struct.n_tokens)

    def clear(self) -> None:
        self.struct.n_tokens = 0

    def add(self, sequence: int, tokens: Sequence[int], position: int, *, want_logits: bool) -> int:
        """Append `tokens` of a sequence, the first at `position`; with `want_logits` those after the last one are kept.

        Returns the index in the batch of the last token: the one to sample at.
        """
        begin = len(self)
        end = begin + len(tokens)
        if end > self.capacity:
            raise ValueError(f"{end} tokens do not fit a batch of {self.capacity}")
        self._tokens[begin:end] = list(tokens)
        self._positions[begin:end] = list(range(position, position + len(tokens)))
        self._sequences[begin:end] = [sequence] * len(tokens)
        self._wanted[begin:end] = [*bytes(len(tokens) - 1), int(want_logits)]
        self.struct.n_tokens = end
        return end - 1

    def want_all(self) -> None:
        """Have what is computed kept for every token."""
        self._wanted[: len(self)] = [1] * len(self)


class Context:
    """KV cache and compute buffers. Used by one thread at a time."""

    def __init__(
        self,
        model: Model,
        *,
        cells: int,
        sequences: int,
        batch: int,
        threads: int,
        ubatch: int | None = None,
        threads_batch: int | None = None,
        key_type: CacheType = "f16",
        value_type: CacheType = "f16",
        flash_attention: Literal["on", "off", "auto"] = "auto",
        apart: bool = False,
    ) -> None:
        """`cells`: tokens held, all `sequences` together, or with `apart` an equal part for each: attention then looks
        at the cells of its own sequence alone, and what sequences have in common is copied. `batch`: most tokens of
        one `decode`, of which `ubatch` are computed at once (None: all); `threads_batch`: for more than one token
        (None: `threads`).

        Raises:
            BundleError: there is not enough memory, or the model cannot generate.
        """
        binding = model.library.binding
        parameters = binding.llama_context_default_params()
        parameters.n_ctx = cells
        parameters.n_batch, parameters.n_ubatch = batch, ubatch or batch
        parameters.type_k, parameters.type_v = _TYPES[key_type], _TYPES[value_type]
        parameters.flash_attn_type = _FLASH_ATTENTION[flash_attention]
        parameters.n_seq_max = sequences
        parameters.n_outputs_max = sequences
        parameters.n_outputs_max_per_seq = 1
        parameters.n_threads, parameters.n_threads_batch = threads, threads_batch or threads
        parameters.kv_unified = not apart
        parameters.no_perf = True
        log = model.library.log
        log.clear()
        pointer = binding.llama_init_from_model(model.pointer, parameters)
        if not pointer:
            raise BundleError(
                f"failed to make a context of {cells} tokens: {log.cause()}",
                "ask for a smaller one (--ctx-size, --parallel), or leave out --cache-type-k and --cache-type-v",
            )
        model.apply_adapters(pointer)
        self.model = model
        self.pointer = pointer
        self.batch, self.sequences = batch, sequences
        self.cells = int(binding.llama_n_ctx(pointer))
        self.trims = model.attends_to_all
        self._decode = binding.llama_decode
        self._logits_at = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32)(
            ("llama_get_logits_ith", binding._lib)
        )  # too quick to let other threads run
        self._memory = binding.llama_get_memory(pointer)
        self._least_copied = max(_LEAST_COPIED, self.cells // sequences // _COPIED_SHARE) if apart else 1
        self._copied: set[int] = set()
        """Sequences whose cells llama.cpp will copy, or copy to, when it computes the next batch."""
        self._shifts = self.trims and bool(binding.llama_memory_can_shift(self._memory))
        self._threads = _ThreadPool(model, pointer, max(threads, threads_batch or 0))
        self._stop = ctypes.create_string_buffer(_GO_ON)
        self._watch_stop()

    def close(self) -> None:
        """Free everything, the threads too. Safe to call twice."""
        if self.pointer:
            self._threads.detach(self.pointer)
            self.model.library.binding.llama_free(self.pointer)
            self._threads.close()
            self.pointer = None

    def decode(self, batch: Batch) -> bool:
        """Compute a batch; other Python threads run meanwhile. False: interrupted; the cache may hold what was computed
        of it, and of recurrent layers a state of no use: `keep` each of its sequences as long as it was.

        Raises:
            BundleError: there is no room for it in the cache, or the computation failed.
        """
        self.model.library.log.clear()
        status = self._decode(self.pointer, batch.struct)
        self._copied.clear()
        self._stop.value = _GO_ON
        if status in (_DONE, _ABORTED):
            return bool(status == _DONE)
        cause = "the cache is full" if status == _NO_ROOM else self.model.library.log.cause()
        raise BundleError(f"failed to compute {len(batch)} tokens: {cause}")

    def encode(self, batch: Batch) -> bool:
        """Have the encoder read a batch, which is all that later batches look at beside themselves; else as `decode`.

        Raises:
            BundleError: the computation failed.
        """
        self.model.library.log.clear()
        status = self.model.library.binding.llama_encode(self.pointer, batch.struct)
        self._stop.value = _GO_ON
        if status in (_DONE, _ABORTED):
            return bool(status == _DONE)
        raise BundleError(f"failed to encode {len(batch)} tokens: {self.model.library.log.cause()}")

    def interrupt(self) -> None:
        """End a `decode` of another thread soon; without one, the next."""
        self._stop.value = _STOP

    def _watch_stop(self) -> None:
        """Have llama.cpp look at `_stop` after each operation of a graph.

        The callback is the C library's `atoi`, which reads the buffer's digit: one in Python would need the GIL.
        """
        libc = ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)
        binding = self.model.library.binding
        callback = ctypes.cast(libc.atoi, binding.ggml_abort_callback)
        binding.llama_set_abort_callback(self.pointer, callback, ctypes.addressof(self._stop))

    def keep(self, sequence: int, length: int) -> int:
        """Trim a sequence to its first `length` tokens; returns how many remain.

        That is 0 where the model's memory cannot be trimmed (recurrent layers) or has lost what lies before (windowed
        layers): the sequence is then empty.
        """
        binding = self.model.library.binding
        if length > 0:
            window = self.model.sliding_window
            oldest = binding.llama_memory_seq_pos_min(self._memory, sequence)
            lost = oldest < 0 or (window > 0 and oldest > max(0, length - window))
            if not lost and binding.llama_memory_seq_rm(self._memory, sequence, length, -1):
                return length
        binding.llama_memory_seq_rm(self._memory, sequence, -1, -1)
        return 0

    def shift(self, sequence: int, keep: int, discard: int) -> bool:
        """Take `discard` tokens out of a sequence after the first `keep` and move the rest up, where the model can.

        What moves must belong to this sequence alone: llama.cpp moves the cells, for all that share them.
        """
        if not self._shifts:
            return False
        binding, end = self.model.library.binding, keep + discard
        binding.llama_memory_seq_rm(self._memory, sequence, keep, end)
        binding.llama_memory_seq_add(self._memory, sequence, end, -1, -discard)
        return True

    def copy(self, source: int, target: int, length: int) -> int:
        """Give an empty sequence the first `length` tokens of another; 0 where the model cannot do that, or where
        sequences lie apart and so few are computed sooner than copied."""
        if not self.trims or length < self._least_copied:
            return 0
        binding = self.model.library.binding
        if self._least_copied == 1:
            binding.llama_memory_seq_cp(self._memory, source, target, 0, length)
            return length
        binding.llama_memory_seq_cp(self._memory, source, target, -1, -1)  # llama.cpp copies all cells or none
        binding.llama_memory_seq_rm(self._memory, target, length, -1)
        self._copied |= {source, target}
        return length

    def save(self, sequence: int) -> mmap.mmap | None:
        """The state of a sequence, as `restore` takes it; None where it cannot be had now.

        It lies in pages of its own, which go back to the system with it: in the heap states of all sizes leave gaps.
        """
        if sequence in self._copied:
            return None
        binding = self.model.library.binding
        size = int(binding.llama_state_seq_get_size(self.pointer, sequence))
        if not size:
            return None
        try:
            state = mmap.mmap(-1, size, access=_PRIVATE)
        except OSError:  # no memory: so it is computed again
            return None
        first = ctypes.c_uint8.from_buffer(state)
        written = int(binding.llama_state_seq_get_data(self.pointer, ctypes.byref(first), size, sequence))
        return state if written == size else None

    def restore(self, sequence: int, state: State) -> bool:
        """Put a saved state into an empty sequence; false where that cannot be: no room, no memory for a copy, or a
        state of another kind."""
        if sequence in self._copied:
            return False
        binding = self.model.library.binding
        try:
            data = self._in_streams(bytearray(state) if isinstance(state, bytes) else state)
        except OSError:
            return False
        first = ctypes.c_uint8.from_buffer(data)
        if binding.llama_state_seq_set_data(self.pointer, ctypes.byref(first), len(data), sequence) == len(data):
            return True
        self.keep(sequence, 0)
        return False

    def _in_streams(self, state: State) -> State:
        """A state of a context with one sequence, as one where sequences lie apart has it.

        llama_kv_cache::state_write gives, after the state's own head, how many parts the cache has, and for each its
        cells in this sequence: none in all but one.

        Raises:
            OSError: there is no memory for it.
        """
        begin = _STREAMS_OFFSET + _STREAMS.size
        if self._least_copied == 1 or state[_STREAMS_OFFSET:begin] != _STREAMS.pack(1):
            return state
        length = len(state)
        wider = mmap.mmap(-1, length + _STREAMS.size * (self.sequences - 1), access=_PRIVATE)
        with memoryview(state) as view:
            wider[:length] = view
        wider[_STREAMS_OFFSET:begin] = _STREAMS.pack(self.sequences)
        return wider

    def row(self, index: int) -> int:
        """The address of the logits after batch position `index`, one float for each token of the vocabulary."""
        return int(self._logits_at(self.pointer, index))

    def logits(self, index: int) -> list[float]:
        """Scores of every token of the vocabulary after batch position `index`."""
        row = self.model.library.binding.llama_get_logits_ith(self.pointer, index)
        return list(row[: self.model.vocabulary.size])


class _ThreadParameters(ctypes.Structure):
    _fields_ = (
        ("cpumask", ctypes.c_bool * _MOST_THREADS),
        ("n_threads", ctypes.c_int),
        ("prio", ctypes.c_int),
        ("poll", ctypes.c_uint32),
        ("strict_cpu", ctypes.c_bool),
        ("paused", ctypes.c_bool),
    )


class _ThreadPool:
    """One pool of worker threads for the life of a context; without it every graph would start its own."""

    def __init__(self, model: Model, context: Any, threads: int) -> None:
        library = model.library
        make, free = (library.backend_function(f"ggml_threadpool_{verb}") for verb in ("new", "free"))
        self._llama = library.binding._lib
        self._pool: int | None = None
        if threads < 2 or not make or not free:
            return
        parameters = _ThreadParameters()
        ggml = library.ggml
        ggml.ggml_threadpool_params_init.argtypes = [ctypes.POINTER(_ThreadParameters), ctypes.c_int]
        ggml.ggml_threadpool_params_init.restype = None
        ggml.ggml_threadpool_params_init(ctypes.byref(parameters), threads)
        parameters.poll = _POLL
        self._pool = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(make)(ctypes.addressof(parameters))
        self._free = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(free)
        attach = self._llama.llama_attach_threadpool
        attach.argtypes, attach.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p], None
        attach(context, self._pool, None)

    def detach(self, context: Any) -> None:
        if self._pool:
            detach = self._llama.llama_detach_threadpool
            detach.argtypes, detach.restype = [ctypes.c_void_p], None
            detach(context)

    def close(self) -> None:
        if self._pool:
            self._free(self._pool)
            self._pool = None
