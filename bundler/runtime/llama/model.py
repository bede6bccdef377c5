"""Weights and vocabulary, loaded from a range of an open file."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property, lru_cache
from typing import Any

from bundler.errors import BundleError
from bundler.runtime.llama import prefault
from bundler.runtime.llama.library import Library

_LOAD_READ, _LOAD_MAPPED = 0, 1
_SPECIAL_PIECE_BYTES = 64
_REMEMBERED = 8192
"""Tokens whose text, and whether they end an answer, are not asked for again: each call into llama.cpp gives up the
interpreter."""


class Model:
    """A loaded GGUF."""

    def __init__(
        self,
        library: Library,
        descriptor: int,
        offset: int,
        *,
        mapped: bool = True,
        copied: bool = True,
        allocate: bool = True,
        vocabulary_only: bool = False,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        """Load the GGUF that begins at byte `offset` of an open file; the descriptor may be closed afterwards.

        `mapped`: share the file's pages rather than reading them into memory; `copied`: tensors may be copied into a
        layout that is computed faster. `allocate=False`: read what describes the
        model and check that llama.cpp knows it, but no tensor. `vocabulary_only`: nothing else is needed, so there may
        be no tensors at all. `progress` gets fractions 0..1.

        Raises:
            BundleError: with what llama.cpp said.
        """
        binding = library.binding
        parameters = binding.llama_model_default_params()
        fills = allocate and not vocabulary_only
        parameters.load_mode = _LOAD_MAPPED if mapped and fills else _LOAD_READ
        parameters.use_extra_bufts = copied
        parameters.no_alloc = not allocate
        parameters.vocab_only = vocabulary_only
        callback = binding.llama_progress_callback(_reporter(progress))
        parameters.progress_callback = callback
        library.log.clear()
        with _Stream(descriptor, offset) as stream, prefault.ahead(library.log) if fills else nullcontext():
            pointer = binding.llama_model_load_from_file_ptr(stream, parameters)
        if not pointer:
            raise BundleError(
                f"failed to load the model: {library.log.cause()}",
                "the file is damaged, cut short, or of a kind that this version of llama.cpp does not know",
            )
        self.library = library
        self.pointer = pointer
        self.vocabulary = LlamaVocabulary(library, binding.llama_model_get_vocab(pointer))
        self._adapters: list[tuple[Any, float]] = []

    def load_adapter(self, descriptor: int, offset: int, scale: float) -> None:
        """Read the LoRA adapter that begins at byte `offset` of an open file, before any context is made.

        Raises:
            BundleError: with what llama.cpp said.
        """
        self.library.log.clear()
        with _Stream(descriptor, offset) as stream:
            adapter = self.library.binding.llama_adapter_lora_init_from_file_ptr(self.pointer, stream)
        if not adapter:
            raise BundleError(
                f"failed to load an adapter: {self.library.log.cause()}",
                "the file is damaged, or the adapter is one of another model",
            )
        self._adapters.append((adapter, scale))

    def apply_adapters(self, context: Any) -> None:
        """Have a context of this model use its adapters."""
        if not self._adapters:
            return
        binding, count = self.library.binding, len(self._adapters)
        adapters = (binding.llama_adapter_lora_p_ctypes * count)(*(adapter for adapter, _ in self._adapters))
        scales = (ctypes.c_float * count)(*(scale for _, scale in self._adapters))
        binding.llama_set_adapters_lora(context, adapters, count, scales)

    def close(self) -> None:
        """Free the weights and adapters. No context of the model may be in use any more; its vocabulary is gone too."""
        if self.pointer:
            self.library.binding.llama_model_free(self.pointer)
            self.pointer = None
            _give_back_heap()

    @property
    def description(self) -> str:
        buffer = ctypes.create_string_buffer(256)
        self.library.binding.llama_model_desc(self.pointer, buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    @property
    def parameters(self) -> int:
        return int(self.library.binding.llama_model_n_params(self.pointer))

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return int(self.library.binding.llama_model_size(self.pointer))

    @property
    def trained_context(self) -> int:
        """Tokens; 0 where the file does not say."""
        return max(0, int(self.library.binding.llama_model_n_ctx_train(self.pointer)))

    @property
    def embedding_length(self) -> int:
        return int(self.library.binding.llama_model_n_embd(self.pointer))

    @property
    def layers(self) -> int:
        return int(self.library.binding.llama_model_n_layer(self.pointer))

    @property
    def heads(self) -> int:
        return int(self.library.binding.llama_model_n_head(self.pointer))

    @property
    def sliding_window(self) -> int:
        """Tokens that the windowed layers look back on; 0: there are no such layers."""
        return max(0, int(self.library.binding.llama_model_n_swa(self.pointer)))

    @property
    def attends_to_all(self) -> bool:
        """Whether every layer looks at all earlier tokens: then the state of a sequence can be cut back anywhere."""
        binding = self.library.binding
        kept_whole = binding.llama_model_is_recurrent(self.pointer) or binding.llama_model_is_hybrid(self.pointer)
        return not kept_whole and not self.sliding_window

    @property
    def generates(self) -> bool:
        """Whether it continues text at all (an embedding model does not)."""
        return bool(self.library.binding.llama_model_has_decoder(self.pointer))

    @property
    def encodes(self) -> bool:
        """Whether an encoder reads the prompt, and a decoder writes the answer (T5)."""
        return self.generates and bool(self.library.binding.llama_model_has_encoder(self.pointer))

    @property
    def decoder_start(self) -> int:
        """The token that a decoder begins with, where there is an encoder."""
        token = int(self.library.binding.llama_model_decoder_start_token(self.pointer))
        return token if token >= 0 else self.vocabulary.bos

    def metadata(self, key: str) -> str | None:
        """A metadata value as llama.cpp prints it; arrays read `[1, 2]`."""
        buffer = ctypes.create_string_buffer(16384)
        length = self.library.binding.llama_model_meta_val_str(self.pointer, key.encode(), buffer, len(buffer))
        return None if length < 0 else buffer.value.decode("utf-8", "replace")


class LlamaVocabulary:
    """Text to token ids and back; see `bundler.runtime.engine.interface.Vocabulary`."""

    def __init__(self, library: Library, pointer: object) -> None:
        self._binding = binding = library.binding
        self.pointer = pointer
        self.size = int(binding.llama_vocab_n_tokens(pointer))
        self.bos = int(binding.llama_vocab_bos(pointer))
        self.eos = int(binding.llama_vocab_eos(pointer))
        self.add_bos = bool(binding.llama_vocab_get_add_bos(pointer))
        self.add_eos = bool(binding.llama_vocab_get_add_eos(pointer))
        self.is_end = lru_cache(_REMEMBERED)(self._is_end)
        self._usual_piece = lru_cache(_REMEMBERED)(self._piece)

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        while True:
            tokens = (ctypes.c_int32 * room)()
            count = self._binding.llama_tokenize(
                self.pointer, data, len(data), tokens, room, add_special, parse_special
            )
            if count >= 0:
                return tokens[:count]
            room = -count

    def piece(self, token: int, *, special: bool = False) -> bytes:
        return self._piece(token, special=True) if special else self._usual_piece(token)

    def _piece(self, token: int, *, special: bool = False) -> bytes:
        if not 0 <= token < self.size:
            raise ValueError(f"no token has the id {token}; ids go from 0 to {self.size - 1}")
        room = _SPECIAL_PIECE_BYTES
        while True:
            buffer = ctypes.create_string_buffer(room)
            count = self._binding.llama_token_to_piece(self.pointer, token, buffer, room, 0, special)
            if count >= 0:
                return buffer.raw[:count]
            room = -count

    @cached_property
    def longest_piece(self) -> int:
        return max((len(self.piece(token, special=True)) for token in range(self.size)), default=0)

    def _is_end(self, token: int) -> bool:
        return bool(self._binding.llama_vocab_is_eog(self.pointer, token))


def _reporter(progress: Callable[[float], None] | None) -> Callable[[float, object], bool]:
    def report(fraction: float, _: object) -> bool:
        if progress is not None:
            progress(fraction)
        return True

    return report


def _give_back_heap() -> None:
    """Return freed memory to the system: glibc keeps buffers of up to 32 MiB for later, once it has seen one freed."""
    trim = None if sys.platform == "win32" else getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
        trim(0)


class _Stream:
    """A C `FILE*` over a copy of a descriptor, placed at an offset; for the libc that llama.cpp itself uses."""

    def __init__(self, descriptor: int, offset: int) -> None:
        windows = sys.platform == "win32"
        libc = ctypes.CDLL("ucrtbase" if windows else None, use_errno=True)
        self._open, self._seek, self._close = (
            (libc._fdopen, libc._fseeki64, libc.fclose) if windows else (libc.fdopen, libc.fseeko, libc.fclose)
        )
        self._open.argtypes, self._open.restype = [ctypes.c_int, ctypes.c_char_p], ctypes.c_void_p
        self._seek.argtypes, self._seek.restype = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int], ctypes.c_int
        self._close.argtypes, self._close.restype = [ctypes.c_void_p], ctypes.c_int
        self._copy = _reopen(descriptor)
        self._offset = offset

    def __enter__(self) -> ctypes.c_void_p:
        file = self._open(self._copy, b"rb")
        if not file:
            os.close(self._copy)
            raise BundleError(f"failed to open the model: {os.strerror(ctypes.get_errno())}")
        self._file = ctypes.c_void_p(file)
        if self._seek(self._file, self._offset, os.SEEK_SET) != 0:
            self._close(self._file)
            raise BundleError(f"failed to open the model: {os.strerror(ctypes.get_errno())}")
        return self._file

    def __exit__(self, *_: object) -> None:
        self._close(self._file)


def _reopen(descriptor: int) -> int:
    """The same file with a position of its own where the system can do that: a duplicate shares its position."""
    try:
        return os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, AttributeError):
        return os.dup(descriptor)
