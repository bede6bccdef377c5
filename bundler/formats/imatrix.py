"""An importance matrix, as llama-imatrix writes it: how much each column of each weight matters.

Two formats: a GGUF (`<tensor>.in_sum2` and `<tensor>.counts`), and the older `.dat`. Reading follows llama.cpp's
common/imatrix-loader.cpp, and the averages are those of its tools/quantize/quantize.cpp.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from bundler.errors import BundleError
from bundler.formats import gguf
from bundler.formats.gguf import TENSOR_TYPES, Header, Tensor
from bundler.formats.source import Source

_SUMS, _COUNTS = ".in_sum2", ".counts"
_KEYS = ("imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size")
_MOST_ENTRIES = 1 << 18
_LONGEST_NAME = 1 << 10
_HINT = "make one of this very model with llama-imatrix, from the model in 16 or 32 bits"


@dataclass(frozen=True, slots=True)
class Imatrix:
    entries: dict[str, array[float]]
    """By tensor, the mean square of what came into each of its columns; one expert after the other."""
    dataset: str
    """What it was computed over, as its maker says; empty where it does not say."""
    chunks: int
    """Of how many pieces of text; 0 where the file does not say."""


def read(source: Source, label: str) -> Imatrix:
    """Read an imatrix; `label` names it in errors.

    Raises:
        BundleError: it is none, damaged or empty.
    """
    found = _of_gguf(source, label) if source.read_at(0, 4) == b"GGUF" else _Legacy(source, label).read()
    for name, values in found.entries.items():
        if not all(map(math.isfinite, values)):
            _fail(label, f"a value for {name} is no number")
    return found


def check(imatrix: Imatrix, tensors: Iterable[Tensor], label: str) -> None:
    """Check that it was made of a model with these tensors.

    Raises:
        BundleError: it was not.
    """
    known = 0
    for tensor in tensors:
        values = imatrix.entries.get(tensor.name)
        needed = tensor.shape[0] * (tensor.shape[2] if len(tensor.shape) > 2 else 1) if tensor.shape else 0
        if values is None or tensor.name == "token_embd.weight":
            continue
        known += 1
        if len(values) != needed:
            _fail(label, f"it is of another model: {len(values)} values for {tensor.name}, which has {needed} columns")
    if not known:
        _fail(label, f"it is of another model, which has {next(iter(imatrix.entries))}")


def _of_gguf(source: Source, label: str) -> Imatrix:
    header = gguf.read_header(source, label)
    gguf.check_complete(header)
    tensors = {tensor.name: tensor for tensor in header.tensors}
    sums = [name.removesuffix(_SUMS) for name in tensors if name.endswith(_SUMS)]
    if not sums:
        _fail(label, "it is a GGUF of something else")
    if any(key not in header.fields for key in _KEYS):
        _fail(label, "it does not say how it was computed")
    entries = {}
    for name in sorted(sums):
        if name + _COUNTS not in tensors:
            _fail(label, f"the counts of {name} are missing")
        own = _floats(source, header, tensors[name + _SUMS], label)
        counts = _floats(source, header, tensors[name + _COUNTS], label)
        if not counts or len(own) % len(counts):
            _fail(label, f"the counts of {name} do not fit its sums")
        entries[name] = _means(own, counts)
    return Imatrix(entries, next(header.strings(_KEYS[0]), ""), header.integer(_KEYS[1]) or 0)


def _means(sums: array[float], counts: array[float]) -> array[float]:
    """Sums divided by their expert's count; ones for experts that nothing came to."""
    width = len(sums) // len(counts)
    means = array("f")
    for expert, counted in enumerate(counts):
        count = math.floor(counted + 0.5)
        own = sums[expert * width : (expert + 1) * width]
        means.extend((value / count for value in own) if count > 0 else [1.0] * width)
    return means


def _floats(source: Source, header: Header, tensor: Tensor, label: str) -> array[float]:
    if TENSOR_TYPES[tensor.type][0] != "F32":
        _fail(label, f"{tensor.name} is not in 32 bits")
    return _array(source.read_at(header.data_offset + tensor.offset, tensor.size))


class _Legacy:
    """The older format: entries one after the other, numbers little-endian."""

    def __init__(self, source: Source, label: str) -> None:
        self._source = source
        self._label = label
        self._at = 0

    def read(self) -> Imatrix:
        entries = {}
        for _ in range(self._count("entries", _MOST_ENTRIES)):
            name = self._take(self._count("letters of a name", _LONGEST_NAME)).decode("utf-8", "replace")
            (calls,) = struct.unpack("<i", self._take(4))
            sums = _array(self._take(4 * self._count(f"values for {name}", self._source.size // 4)))
            entries[name] = array("f", (value / calls for value in sums)) if calls > 0 else sums
        chunks, dataset = 0, ""
        if self._at < self._source.size:
            (chunks,) = struct.unpack("<i", self._take(4))
        if self._at < self._source.size:
            (length,) = struct.unpack("<i", self._take(4))
            dataset = self._take(length).decode("utf-8", "replace") if 0 < length <= _LONGEST_NAME * 4 else ""
        return Imatrix(entries, dataset, max(chunks, 0))

    def _count(self, what: str, most: int) -> int:
        (count,) = struct.unpack("<i", self._take(4))
        if not 0 < count <= most:
            _fail(self._label, f"it is none, or damaged: it would have {count} {what}")
        return int(count)

    def _take(self, length: int) -> bytes:
        data = self._source.read_at(self._at, length) if self._at + length <= self._source.size else b""
        if len(data) != length:
            _fail(self._label, "it is none, or was cut short")
        self._at += length
        return data


def _array(data: bytes) -> array[float]:
    values = array("f")
    values.frombytes(data)
    return values


def _fail(label: str, cause: str) -> NoReturn:
    raise BundleError(f"failed to read the imatrix {label}: {cause}", _HINT)
