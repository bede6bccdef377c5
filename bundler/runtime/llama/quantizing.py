"""Quantize a GGUF file into another one, tensor by tensor."""

from __future__ import annotations

import ctypes
import os
import re
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bundler.errors import BundleError
from bundler.formats.imatrix import Imatrix
from bundler.runtime.llama.library import Library

_BUFFER: Final = 256 << 20
"""Bytes of a tensor that are worked on at a time."""
_NUMBER, _TEXT = 0, 3
"""llama.h's enum llama_model_kv_override_type."""
_TENSOR = re.compile(r"\[ *\d+/ *\d+\] (\S+)")
_FAILED = "failed to quantize: "


def quantize(
    library: Library,
    source: Path,
    target: Path,
    file_type: int,
    *,
    imatrix: Imatrix | None,
    imatrix_name: str,
    requantize: bool,
    threads: int,
    heard: Callable[[str], None],
) -> None:
    """Write `target`: the model `source` as `file_type` (llama_ftype). `heard` is told each tensor that is done.

    The same bytes whatever the number of threads. `imatrix_name` is what the new file says of the imatrix.

    Raises:
        BundleError: with what llama.cpp said.
    """
    binding = library.binding
    parameters = binding.llama_model_quantize_default_params()
    parameters.ftype = file_type
    parameters.nthread = threads
    parameters.allow_requantize = requantize
    parameters.max_buf_size = _BUFFER
    kept_alive = _give(binding, parameters, imatrix, imatrix_name) if imatrix else None
    library.log.clear()
    library.log.listener = lambda line: _tell(line, heard)
    try:
        status = binding.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(parameters))
    finally:
        library.log.listener = lambda line: None
    del kept_alive
    if status:
        raise BundleError(*_cause(list(library.log.errors), target))


def _give(binding: Any, parameters: Any, imatrix: Imatrix, name: str) -> object:
    """Point the parameters at the imatrix, and at what the new file says of it; returns what has to stay alive."""
    values = {key: (ctypes.c_float * len(own)).from_buffer(array("f", own)) for key, own in imatrix.entries.items()}
    data = (binding.llama_model_imatrix_data * (len(values) + 1))()
    for entry, (key, own) in zip(data, values.items(), strict=False):
        entry.name, entry.data, entry.size = key.encode(), own, len(own)
    said: dict[str, str | int] = {"quantize.imatrix.file": name}
    if imatrix.dataset:
        said["quantize.imatrix.dataset"] = imatrix.dataset
    said["quantize.imatrix.entries_count"] = len(values)
    if imatrix.chunks:
        said["quantize.imatrix.chunks_count"] = imatrix.chunks
    overrides = (binding.llama_model_kv_override * (len(said) + 1))()
    for override, (key, value) in zip(overrides, said.items(), strict=False):
        override.key = key.encode()
        if isinstance(value, str):
            override.tag, override.value.val_str = _TEXT, value.encode()[:127]
        else:
            override.tag, override.value.val_i64 = _NUMBER, value
    parameters.imatrix, parameters.kv_overrides = data, overrides
    return values, data, overrides


def _tell(line: str, heard: Callable[[str], None]) -> None:
    if found := _TENSOR.match(line):
        heard(found[1])


def _cause(errors: list[str], target: Path) -> tuple[str, str]:
    """The message and the hint of what llama.cpp logged."""
    said = next((line.partition(_FAILED)[2] for line in errors if _FAILED in line), "llama.cpp does not say why")
    if "imatrix" in said or "importance matrix" in said:
        return f"{said.rstrip('!')}", "give one with --imatrix (llama-imatrix makes it), or choose a larger type"
    if "requantizing" in said:
        return said, "start from a model in 16 or 32 bits, or lose more with --requantize"
    if "iostream" in said and (free := _free(target)) is not None:
        return f"{target.parent} cannot be written to; {free} bytes are free there", "set BUNDLE_CACHE to another disk"
    return said, "give a whole GGUF in 16 or 32 bits"


def _free(target: Path) -> int | None:
    try:
        place = os.statvfs(target.parent)
    except (OSError, AttributeError):
        return None
    return place.f_bavail * place.f_frsize
