"""A tiny GGUF that makes a CPU backend show what it can do: a tensor of each common quantisation in two roles.

Deterministic and pure: random bytes with block scales that keep every weight near 0.05. Block layouts follow ggml's
`ggml-common.h` (llama-cpp-python 0.3.36). It has no vocabulary, only token ids 0..63.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

TOKENS = 64
_WIDTH = 256
_LAYERS = 4
_HEADS, _KV_HEADS = 4, 2
_ALIGNMENT = 32
_WEIGHT = 0.05
_F32 = 0


def _half(value: float) -> bytes:
    return struct.pack("<e", value)


class _Format:
    """How a quantisation lays out a block: `fixed` are the bytes that scale it, by their place in the block."""

    def __init__(self, number: int, weights: int, size: int, fixed: dict[int, bytes]) -> None:
        self.number = number
        self.weights = weights
        self.size = size
        self.fixed = fixed

    def fill(self, count: int, draw: Callable[[int], bytes]) -> bytes:
        """`count` weights as bytes."""
        data = bytearray(draw(count // self.weights * self.size))
        for place, value in self.fixed.items():
            for index, byte in enumerate(value):
                data[place + index :: self.size] = bytes([byte]) * (len(data) // self.size)
        return bytes(data)


class _FloatFormat(_Format):
    """16-bit floats: the sign and the mantissa are drawn, the exponent is that of 0.03 to 0.06."""

    def __init__(self, number: int, mask: int, exponent: int) -> None:
        super().__init__(number, 1, 2, {})
        self._table = bytes((byte & mask) | exponent for byte in range(256))
        self._low_mask = bytes(byte & 0x7F if mask == 0x80 else byte for byte in range(256))

    def fill(self, count: int, draw: Callable[[int], bytes]) -> bytes:
        data = bytearray(draw(2 * count))
        data[1::2] = data[1::2].translate(self._table)
        data[0::2] = data[0::2].translate(self._low_mask)
        return bytes(data)


FORMATS = {
    "F16": _FloatFormat(1, 0x83, 10 << 2),
    "BF16": _FloatFormat(30, 0x80, 122 >> 1),
    "Q4_0": _Format(2, 32, 18, {0: _half(_WEIGHT / 4)}),
    "Q4_1": _Format(3, 32, 20, {0: _half(_WEIGHT / 4), 2: _half(-_WEIGHT / 4 * 7.5)}),
    "Q5_0": _Format(6, 32, 22, {0: _half(_WEIGHT / 8)}),
    "Q5_1": _Format(7, 32, 24, {0: _half(_WEIGHT / 8), 2: _half(-_WEIGHT / 8 * 15.5)}),
    "Q8_0": _Format(8, 32, 34, {0: _half(_WEIGHT / 64)}),
    "Q2_K": _Format(10, 256, 84, {80: _half(_WEIGHT / 8), 82: _half(_WEIGHT / 8 * 1.5)}),
    "Q3_K": _Format(11, 256, 110, {108: _half(_WEIGHT / 32)}),
    "Q4_K": _Format(12, 256, 144, {0: _half(_WEIGHT / 128), 2: _half(_WEIGHT / 128 * 7.5)}),
    "Q5_K": _Format(13, 256, 176, {0: _half(_WEIGHT / 256), 2: _half(_WEIGHT / 256 * 15.5)}),
    "Q6_K": _Format(14, 256, 210, {208: _half(_WEIGHT / 1024)}),
    "IQ4_NL": _Format(20, 32, 18, {0: _half(_WEIGHT / 64)}),
    "IQ4_XS": _Format(23, 256, 136, {0: _half(_WEIGHT / 1024)}),
}
"""By ggml's names."""


def build() -> bytes:
    """The whole file, about 1 MB, the same bytes each time."""
    draw = random.Random(20261121).randbytes  # noqa: S311 - weights, not secrets
    formats = list(FORMATS.values())
    tensors = [_tensor("token_embd.weight", TOKENS, FORMATS["Q8_0"], draw)]
    for layer in range(_LAYERS):
        kv = _WIDTH // _HEADS * _KV_HEADS
        for place, (name, rows) in enumerate(
            {
                "attn_q": _WIDTH,
                "attn_k": kv,
                "attn_v": kv,
                "attn_output": _WIDTH,
                "ffn_gate": _WIDTH,
                "ffn_up": _WIDTH,
                "ffn_down": _WIDTH,
            }.items()
        ):
            chosen = formats[(layer * 7 + place + layer // 2) % len(formats)]
            tensors.append(_tensor(f"blk.{layer}.{name}.weight", rows, chosen, draw))
        tensors.append(_norm(f"blk.{layer}.attn_norm.weight"))
        tensors.append(_norm(f"blk.{layer}.ffn_norm.weight"))
    tensors.append(_norm("output_norm.weight"))
    tensors.append(_tensor("output.weight", TOKENS, FORMATS["Q6_K"], draw))
    return _file(tensors)


_Tensor = tuple[str, tuple[int, ...], int, bytes]


def _tensor(name: str, rows: int, layout: _Format, draw: Callable[[int], bytes]) -> _Tensor:
    return name, (_WIDTH, rows), layout.number, layout.fill(_WIDTH * rows, draw)


def _norm(name: str) -> _Tensor:
    return name, (_WIDTH,), _F32, struct.pack("<f", 1.0) * _WIDTH


def _file(tensors: list[_Tensor]) -> bytes:
    keys = [
        _text("general.architecture", "llama"),
        _text("tokenizer.ggml.model", "none"),
        _count("llama.vocab_size", TOKENS),
        _count("llama.context_length", 512),
        _count("llama.embedding_length", _WIDTH),
        _count("llama.block_count", _LAYERS),
        _count("llama.feed_forward_length", _WIDTH),
        _count("llama.attention.head_count", _HEADS),
        _count("llama.attention.head_count_kv", _KV_HEADS),
        _string("llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", 6, 1e-5),
    ]
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys)
    data = bytearray()
    for name, shape, number, content in tensors:
        header += _string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, number, len(data))
        data += content + bytes(-len(content) % _ALIGNMENT)
    return header + bytes(-len(header) % _ALIGNMENT) + bytes(data)


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _text(key: str, value: str) -> bytes:
    return _string(key) + struct.pack("<I", 8) + _string(value)


def _count(key: str, value: int) -> bytes:
    return _string(key) + struct.pack("<II", 4, value)
