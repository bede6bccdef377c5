"""The header of a GGUF file: metadata, tensor infos, and where the data lies.

Reads little and allocates less: long arrays are stepped over, not turned into objects, so a vocabulary of 128k tokens
costs milliseconds. Every length is checked against the file before anything is read. Knows the container only; what the
keys mean for a model is in `weights.py`. Format: ggml's docs/gguf.md, limits as in llama.cpp's ggml/src/gguf.cpp.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from math import prod
from typing import Final, NamedTuple

from bundler.formats.cursor import MAX_STRING, U32, U64, Cursor, GgufBytes
from bundler.formats.cursor import GgufError as GgufError
from bundler.formats.source import CHUNK, Source

Scalar = int | float | bool

MAX_KEYS: Final = 1 << 16
MAX_TENSORS: Final = 1 << 18
MAX_ARRAY_STRINGS: Final = 1 << 24
"""Strings in all arrays together; the largest vocabularies have under a million with their merges."""
_MAX_KEY = 0xFFFF
_MAX_TENSOR_NAME = 63
_MAX_DIMENSIONS = 4

_STRING, _ARRAY = 8, 9
_SCALARS: Final = {
    code: struct.Struct("<" + letter)
    for code, letter in zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True)
}
_WHOLE: Final = frozenset((0, 1, 2, 3, 4, 5, 10, 11))

TENSOR_TYPES: Final[dict[int, tuple[str, int, int]]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18), 42: ("Q2_0", 64, 18),
}  # fmt: skip
"""ggml's tensor types: name, weights in a block, bytes of a block."""


class Tensor(NamedTuple):
    name: str
    shape: tuple[int, ...]
    """Numbers of elements, fastest dimension first; at most four."""
    type: int
    """Key of `TENSOR_TYPES`."""
    offset: int
    """First byte, counted from the start of the data section."""
    size: int
    """Bytes, without padding."""

    @property
    def elements(self) -> int:
        return prod(self.shape)


class _Text(NamedTuple):
    """A string value that stays in the file until it is asked for."""

    offset: int
    size: int


class _Array(NamedTuple):
    """An array that stays in the file; `anchors` are (index, offset) pairs of strings along it."""

    type: int
    length: int
    offset: int
    anchors: tuple[tuple[int, int], ...]


_Value = Scalar | _Text | _Array


class Header:
    """The header of one GGUF. Strings are read from the source when asked for: it has to stay open as long."""

    def __init__(
        self, source: GgufBytes, version: int, fields: dict[str, _Value], places: dict[str, tuple[int, int]]
    ) -> None:
        self._source = source
        self._places = places
        self.version = version
        self.fields = fields
        self.alignment = self._alignment()
        self.fields_end = 0
        """First byte after the metadata."""
        self.tensors: tuple[Tensor, ...] = ()
        self.data_offset = 0
        """First byte of the tensor data, counted from the start of the GGUF."""

    @property
    def label(self) -> str:
        """What the file is called in errors."""
        return self._source.label

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self._source.size

    @property
    def expected_size(self) -> int:
        """Bytes that the header and its tensors need; what is there beyond them is padding."""
        last = self.tensors[-1] if self.tensors else None
        return self.data_offset + (last.offset + last.size if last else 0)

    def scalar(self, key: str) -> Scalar | None:
        """The number or truth value under `key`; None where there is no such key or it is of another kind."""
        value = self.fields.get(key)
        return value if isinstance(value, int | float) else None

    def integer(self, key: str) -> int | None:
        value = self.scalar(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def boolean(self, key: str) -> bool | None:
        value = self.scalar(key)
        return value if isinstance(value, bool) else None

    def string(self, key: str) -> str | None:
        """The text under `key`; None where there is no such key or it is no text.

        Raises:
            GgufError: it is longer than `MAX_STRING` or no UTF-8.
        """
        value = self.fields.get(key)
        if not isinstance(value, _Text):
            return None
        if value.size > MAX_STRING:
            self._source.fail(f"the value of {key} is {value.size} bytes long, more than {MAX_STRING}", value.offset)
        return self._source.decode(self._source.read(value.offset, value.size), key, value.offset)

    def count(self, key: str) -> int | None:
        """The number of elements of the array under `key`; None where there is no such array."""
        value = self.fields.get(key)
        return value.length if isinstance(value, _Array) else None

    def element(self, key: str, index: int) -> str | None:
        """One string of the array under `key`, bytes that are no UTF-8 replaced; None where there is none."""
        value = self.fields.get(key)
        if not isinstance(value, _Array) or value.type != _STRING or not 0 <= index < value.length:
            return None
        first, offset = value.anchors[bisect_right(value.anchors, (index, self.size)) - 1]
        cursor = Cursor(self._source, offset)
        cursor.skip_strings(index - first, key)
        return cursor.content(f"element {index} of {key}").decode("utf-8", "replace")

    def strings(self, key: str) -> Iterator[str]:
        """The strings of the array under `key` in order, bytes that are no UTF-8 replaced; none without such an array.

        Raises:
            GgufError: one is longer than `MAX_STRING`.
        """
        value = self.fields.get(key)
        if not isinstance(value, _Array) or value.type != _STRING:
            return
        cursor = Cursor(self._source, value.offset)
        for _ in range(value.length):
            yield cursor.content(key).decode("utf-8", "replace")

    def integers(self, key: str) -> tuple[int, ...]:
        """The whole numbers of the array under `key`, as they lie there; empty without such an array.

        Raises:
            GgufError: there are more than `MAX_ARRAY_STRINGS`.
        """
        value = self.fields.get(key)
        if not isinstance(value, _Array) or value.type not in _WHOLE:
            return ()
        if value.length > MAX_ARRAY_STRINGS:
            self._source.fail(f"{key} has {value.length} numbers, more than {MAX_ARRAY_STRINGS}", value.offset)
        kind = struct.Struct(f"<{value.length}{_SCALARS[value.type].format[-1]}")
        return kind.unpack(self._source.read(value.offset, kind.size))

    def raw(self, key: str) -> bytes:
        """The metadata key and its value as they lie in the file.

        Raises:
            KeyError: there is no such key.
        """
        start, end = self._places[key]
        return self._source.read(start, end - start)

    def without_tensors(self) -> Iterator[bytes]:
        """The bytes of a GGUF that has this one's metadata and no tensor, in pieces."""
        yield self._source.read(0, 8) + bytes(8) + self._source.read(16, 8)
        for start in range(24, self.fields_end, CHUNK):
            yield self._source.read(start, min(CHUNK, self.fields_end - start))

    def _alignment(self) -> int:
        value = self.fields.get("general.alignment", 32)
        if not isinstance(value, int) or value <= 0 or value & (value - 1) or value > 1 << 30:
            self._source.fail("general.alignment is no power of two", 0)
        return value


def read_header(source: Source, label: str, offset: int = 0, size: int | None = None) -> Header:
    """Read the header of the GGUF that starts at `offset` of `source` and is `size` bytes long (default: to its end).

    `label` names the file in errors. Whether the tensors' data is there is not looked at: see `check_complete`.

    Raises:
        GgufError: the bytes are no GGUF, one of a version that llama.cpp does not read, cut short or damaged.
    """
    there = max(source.size - offset, 0)
    cursor = Cursor(GgufBytes(source, offset, there if size is None else min(size, there), label))
    version = _read_version(cursor)
    tensor_count = cursor.number(U64, "number of tensors")
    key_count = cursor.number(U64, "number of keys")
    if tensor_count > MAX_TENSORS:
        cursor.source.fail(f"it claims {tensor_count} tensors, more than {MAX_TENSORS}", 8)
    if key_count > MAX_KEYS:
        cursor.source.fail(f"it claims {key_count} metadata keys, more than {MAX_KEYS}", 16)
    header = Header(cursor.source, version, *_read_fields(cursor, key_count))
    header.fields_end = cursor.at
    header.tensors = _read_tensors(cursor, tensor_count, header.alignment)
    header.data_offset = padded(cursor.at, header.alignment) if tensor_count else cursor.at
    return header


def check_complete(header: Header) -> None:
    """Check that every tensor's data lies within the file.

    Raises:
        GgufError: the file is shorter than its tensors need.
    """
    if header.size < header.expected_size:
        raise GgufError(
            f"failed to read GGUF {header.label}: it is {_amount(header.size)}, and its tensors need "
            f"{_amount(header.expected_size)}: the download was cut short",
            "get the file again from its source",
            header.size,
        )


def _read_version(cursor: Cursor) -> int:
    source = cursor.source
    if source.size < 4 or cursor.take(4, "magic") != b"GGUF":
        source.fail("it does not begin with the letters GGUF", 0, "give a model file in GGUF format")
    version = cursor.number(U32, "version")
    if version == 1:
        source.fail("it is of GGUF version 1, which llama.cpp no longer reads", 4, "convert the model again")
    if version & 0xFFFF == 0:
        source.fail("it is a big-endian GGUF", 4, "convert it with gguf-convert-endian (Python package gguf)")
    if version not in (2, 3):
        source.fail(f"it is of GGUF version {version}; known are 2 and 3", 4, "use a newer version of bundle")
    return version


def _read_fields(cursor: Cursor, count: int) -> tuple[dict[str, _Value], dict[str, tuple[int, int]]]:
    """The values by key, and from where to where each key lies with its value."""
    fields: dict[str, _Value] = {}
    places: dict[str, tuple[int, int]] = {}
    strings = 0
    for index in range(count):
        start = cursor.at
        key = cursor.text(_MAX_KEY, f"name of metadata key {index}")
        if not key or key in fields:
            cursor.source.fail(f"metadata key {index} is {f'{key!r} a second time' if key else 'empty'}", start)
        value = fields[key] = _read_value(cursor, key)
        places[key] = start, cursor.at
        if isinstance(value, _Array) and value.type == _STRING:
            strings += value.length
            if strings > MAX_ARRAY_STRINGS:
                cursor.source.fail(f"its arrays hold more than {MAX_ARRAY_STRINGS} strings", start)
    return fields, places


def _read_value(cursor: Cursor, key: str) -> _Value:
    kind = cursor.number(U32, key)
    if kind == _ARRAY:
        return _read_array(cursor, key)
    if kind == _STRING:
        size = cursor.number(U64, key)
        text = _Text(cursor.at, size)
        cursor.skip(size, key)
        return text
    scalar = _SCALARS.get(kind)
    if scalar is None:
        cursor.source.fail(f"{key} is of unknown type {kind}", cursor.at - 4)
    value: Scalar = scalar.unpack(cursor.take(scalar.size, key))[0]
    return value


def _read_array(cursor: Cursor, key: str) -> _Array:
    start = cursor.at
    kind = cursor.number(U32, key)
    count = cursor.number(U64, key)
    offset = cursor.at
    if kind == _STRING:
        if count > MAX_ARRAY_STRINGS:
            cursor.source.fail(f"{key} claims {count} strings, more than {MAX_ARRAY_STRINGS}", start)
        return _Array(kind, count, offset, cursor.skip_strings(count, key))
    scalar = _SCALARS.get(kind)
    if scalar is None:
        cursor.source.fail(f"{key} is an array of unknown type {kind}", start)
    cursor.skip(count * scalar.size, key)
    return _Array(kind, count, offset, ())


def _read_tensors(cursor: Cursor, count: int, alignment: int) -> tuple[Tensor, ...]:
    tensors = []
    names = set()
    position = 0
    for index in range(count):
        start = cursor.at
        tensor = _read_tensor(cursor, index)
        if tensor.name in names:
            cursor.source.fail(f"tensor {tensor.name!r} is there a second time", start)
        if tensor.offset != position:
            cursor.source.fail(f"tensor {tensor.name!r} claims to start at {tensor.offset}, not at {position}", start)
        names.add(tensor.name)
        tensors.append(tensor)
        position += padded(tensor.size, alignment)
    return tuple(tensors)


def _read_tensor(cursor: Cursor, index: int) -> Tensor:
    source, start = cursor.source, cursor.at
    name = cursor.text(_MAX_TENSOR_NAME, f"name of tensor {index}")
    dimensions = cursor.number(U32, name)
    if dimensions > _MAX_DIMENSIONS:
        source.fail(f"tensor {name!r} has {dimensions} dimensions, more than {_MAX_DIMENSIONS}", start)
    shape = tuple(cursor.number(U64, name) for _ in range(dimensions))
    kind = cursor.number(U32, name)
    if kind not in TENSOR_TYPES:
        source.fail(
            f"tensor {name!r} is of unknown type {kind}", start, "the file is damaged or newer than this program"
        )
    label, block, block_bytes = TENSOR_TYPES[kind]
    elements = prod(shape)
    if elements >= 1 << 63 or any(size >= 1 << 63 for size in shape):
        source.fail(f"tensor {name!r} has an impossible shape", start)
    if (shape[0] if shape else 1) % block:
        source.fail(f"rows of tensor {name!r} are no multiple of {block}, the block of type {label}", start)
    return Tensor(name, shape, kind, cursor.number(U64, name), elements // block * block_bytes)


def padded(size: int, alignment: int) -> int:
    """`size` rounded up to a multiple of `alignment`."""
    return (size + alignment - 1) // alignment * alignment


def _amount(size: int) -> str:
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.2f} {unit}"
    return f"{size} bytes"
