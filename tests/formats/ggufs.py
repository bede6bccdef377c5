"""GGUF files as bytes, made by hand so that they can be wrong in any way."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from bundler.formats.gguf import Header, read_header
from bundler.formats.source import BytesSource

U32, STRING, ARRAY = 4, 8, 9
TOKENS = [
    "<unk>",
    "<s>",
    "</s>",
    "a" * 100,
    "",
    "ä🦙",
    *(f"token {number}" for number in range(300)),
    "x" * 70000,
    "end",
]


def string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def value(content: object) -> bytes:
    if isinstance(content, bool):
        return struct.pack("<IB", 7, content)
    if isinstance(content, int):
        return struct.pack("<II", U32, content)
    if isinstance(content, float):
        return struct.pack("<If", 6, content)
    if isinstance(content, str):
        return struct.pack("<I", STRING) + string(content)
    assert isinstance(content, list)
    if content and isinstance(content[0], str):
        return struct.pack("<IIQ", ARRAY, STRING, len(content)) + b"".join(map(string, content))
    return struct.pack("<IIQ", ARRAY, 5, len(content)) + struct.pack(f"<{len(content)}i", *content)


def tensor(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    return string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def build(
    fields: Mapping[str, object], tensors: list[bytes] | None = None, data: bytes = b"", *, version: int = 3
) -> bytes:
    tensors = tensors or []
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(fields))
    head += b"".join(string(key) + value(content) for key, content in fields.items()) + b"".join(tensors)
    return head + bytes(-len(head) % 32) * bool(tensors) + data


FIELDS: dict[str, object] = {
    "general.architecture": "llama",
    "general.name": "Tiny ä",
    "general.file_type": 15,
    "llama.context_length": 4096,
    "llama.rope.freq_base": 0.5,
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": TOKENS,
    "tokenizer.ggml.token_type": list(range(1000)),
    "tokenizer.ggml.eot_token_id": 3,
    "tokenizer.ggml.add_bos_token": False,
    "tokenizer.chat_template": "{{ messages }}",
    "tokenizer.chat_template.tool_use": "{{ tools }}",
}


def header(data: bytes, offset: int = 0, size: int | None = None) -> Header:
    return read_header(BytesSource(data), "m.gguf", offset, size)
