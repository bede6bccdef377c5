"""Small files of every kind that a FROM may lead to."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from bundler.build.blob import Blob
from bundler.build.progress import Silent
from bundler.build.sources import registry
from bundler.build.sources.found import Found, SourceError
from tests.formats import ggufs

FIELDS: dict[str, object] = {
    "general.architecture": "llama",
    "general.name": "Small",
    "llama.context_length": 128,
    "tokenizer.ggml.tokens": ["<unk>", "<s>", "ä"],
    "llama.rope.freq_base": 0.5,
}
F32 = 0


class Short(int):
    """A number that goes into a GGUF with 16 bits."""


def gguf(fields: Mapping[str, object] = FIELDS, tensors: int = 5, first: int = 0) -> bytes:
    """A GGUF with `tensors` tensors of 3 numbers each, which padding follows; their names count from `first`."""
    infos, data = [], b""
    for number in range(first, first + tensors):
        infos.append(ggufs.tensor(f"blk.{number}.weight", (3,), F32, len(data)))
        data += struct.pack("<3f", number, number + 0.25, number + 0.5).ljust(32, b"\0")
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(fields))
    head += b"".join(ggufs.string(key) + _value(value) for key, value in fields.items()) + b"".join(infos)
    return head.ljust(-(-len(head) // 32) * 32 if infos else len(head), b"\0") + data


def part(
    number: int, count: int, tensors: Sequence[int], total: int, fields: Mapping[str, object] | None = None
) -> bytes:
    """The part `number` (from 0) of a split model, with the tensors counted from `tensors[0]`."""
    given = (FIELDS if number == 0 else {}) if fields is None else fields
    keys = {**given, "split.no": Short(number), "split.count": Short(count), "split.tensors.count": total}
    return gguf(keys, len(tensors), tensors[0] if tensors else 0)


def split(folder: Path, name: str = "m") -> list[Path]:
    """A model of five tensors in three parts, the first of them without a tensor."""
    paths = [folder / f"{name}-{number:05d}-of-00003.gguf" for number in (1, 2, 3)]
    for number, tensors in enumerate(([], [0, 1, 2], [3, 4])):
        paths[number].write_bytes(part(number, 3, tensors, 5))
    return paths


def find(text: str, folder: Path) -> Found:
    return registry.find(text, folder, Silent())


def fails(text: str, folder: Path) -> tuple[str, str]:
    """The cause and the hint of a source that cannot be used."""
    try:
        found = find(text, folder)
    except SourceError as error:
        return error.message, error.hint
    raise AssertionError(f"it is {found}")


def content(blob: Blob) -> bytes:
    with blob.opened() as source:
        return source.read_at(0, source.size)


def _value(value: object) -> bytes:
    if isinstance(value, Short):
        return struct.pack("<IH", 2, value)
    return ggufs.value(value)
