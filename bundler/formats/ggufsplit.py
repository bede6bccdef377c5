"""A model over several GGUF files, as llama.cpp's gguf-split makes them, and the one GGUF that they are together.

The merged file is the one that `llama-gguf-split --merge` writes: the first part's metadata, `split.count` moved to
their end and set to 0, then the tensors of all parts in order. Values only; which files the parts are is found
elsewhere.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from bundler.errors import BundleError
from bundler.formats.gguf import Header, Tensor, padded

COUNT: Final = "split.count"
NUMBER: Final = "split.no"
TENSORS: Final = "split.tensors.count"

_NAME = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})(\.gguf)", re.IGNORECASE | re.DOTALL)
_WHOLE: Final = struct.pack("<Q11sIH", len(COUNT), COUNT.encode(), 2, 0)
"""The key that says that a file is whole: an unsigned 16-bit 0."""
_SAME_SOURCE = "get all parts again from the same source"


class PartName(NamedTuple):
    """What the name of a part says, `model-00002-of-00003.gguf`."""

    prefix: str
    number: int
    """From 1."""
    parts: int
    """How many there are."""
    ending: str

    def sibling(self, number: int) -> str:
        """The name of another part."""
        return f"{self.prefix}-{number:05d}-of-{self.parts:05d}{self.ending}"


class Stretch(NamedTuple):
    """Bytes of one part that go into the whole, and the zeros that follow them there."""

    part: int
    offset: int
    """In the part's file."""
    size: int
    padding: int


class Merged(NamedTuple):
    head: bytes
    """All that comes before the data of the tensors."""
    data: list[Stretch]


def part_name(name: str) -> PartName | None:
    """The parts of a file's name; None where it is not named as a part."""
    found = _NAME.fullmatch(name)
    return PartName(found[1], int(found[2]), int(found[3]), found[4]) if found else None


def merge(parts: Sequence[Header]) -> Merged:
    """The one GGUF that `parts`, in their order, are together.

    Raises:
        BundleError: they are not the parts of one model, or not all of them.
    """
    first = parts[0]
    _check(parts)
    tensors, data, position = [], [], 0
    for index, part in enumerate(parts):
        for tensor in part.tensors:
            padding = padded(tensor.size, first.alignment) - tensor.size
            tensors.append(tensor._replace(offset=position))
            data.append(Stretch(index, part.data_offset + tensor.offset, tensor.size, padding))
            position += tensor.size + padding
    kept = [first.raw(key) for key in first.fields if key != COUNT]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(kept) + 1)
    head += b"".join([*kept, _WHOLE, *map(_info, tensors)])
    return Merged(head.ljust(padded(len(head), first.alignment), b"\0"), _joined(data))


def _check(parts: Sequence[Header]) -> None:
    first = parts[0]
    total = first.integer(TENSORS)
    names: dict[str, str] = {}
    for index, part in enumerate(parts):
        said, count = part.integer(NUMBER), part.integer(COUNT)
        if count != len(parts):
            raise _failed(part, f"it says that it is one of {count} parts, and there are {len(parts)}")
        if said != index:
            raise _failed(part, f"it says that it is part {said + 1 if said is not None else '?'}, not {index + 1}")
        for key in part.fields:
            ours = key in (NUMBER, COUNT)
            if not ours and (key not in first.fields or part.raw(key) != first.raw(key)):
                raise _failed(part, f"its {key} is not that of {first.label}: they are parts of different models")
        for tensor in part.tensors:
            if tensor.name in names:
                cause = f"tensor {tensor.name!r} is in {names[tensor.name]} too: they are parts of different models"
                raise _failed(part, cause)
            names[tensor.name] = part.label
    if total is not None and total != len(names):
        cause = f"its parts hold {len(names)} tensors together, and it says {total}: they are parts of different models"
        raise _failed(first, cause)


def _info(tensor: Tensor) -> bytes:
    name, dimensions = tensor.name.encode(), len(tensor.shape)
    numbers = struct.pack(f"<I{dimensions}QIQ", dimensions, *tensor.shape, tensor.type, tensor.offset)
    return struct.pack("<Q", len(name)) + name + numbers


def _joined(data: list[Stretch]) -> list[Stretch]:
    """The same bytes in as few stretches as can be: padding inside a part is taken along."""
    found: list[Stretch] = []
    for stretch in data:
        last = found[-1] if found else None
        if last and last.part == stretch.part and last.offset + last.size + last.padding == stretch.offset:
            size = last.size + last.padding + stretch.size
            found[-1] = Stretch(last.part, last.offset, size, stretch.padding)
        else:
            found.append(stretch)
    return found


def _failed(part: Header, cause: str) -> BundleError:
    return BundleError(f"failed to merge the parts of a model: {part.label}: {cause}", _SAME_SOURCE)
