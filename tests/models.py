"""Small GGUF models, made when a test asks for them.

Two kinds of weights: random ones (their text is noise, but any mistake in KV-cache handling changes it), and a
`chain`: a model that says after each token the one that the test has named, so that answers are known in advance.
Vocabularies: a tiny byte-level one of our own, or a real one copied from a vocabulary-only GGUF of llama.cpp's sources.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
WORDS = ["Hello", " world", " the", " answer", " is", "assistant", "user", "system", "Paris", ".", "\n\n", "ä", "🦙"]


@dataclass(frozen=True)
class Shape:
    """Dimensions of a llama-architecture model."""

    embedding: int = 256
    layers: int = 2
    heads: int = 8
    kv_heads: int = 4
    feed_forward: int = 512
    context: int = 2048
    vocabulary: int = 0
    """Tokens that the weights are made for; 0: as the vocabulary says."""


TINY = Shape()
CHAIN = Shape(embedding=320, layers=1, feed_forward=64)
"""As wide as the vocabulary is long: every token has a dimension of its own."""
LLAMA_1B = Shape(embedding=2048, layers=16, heads=32, kv_heads=8, feed_forward=8192, context=131072)
SMALL_128K = Shape(embedding=256, layers=6, heads=4, kv_heads=2, feed_forward=1024, context=8192)
"""With llama-bpe's 128k vocabulary about 84 MB as Q8_0."""


@dataclass(frozen=True)
class Vocabulary:
    """`tokenizer.*` keys of a GGUF with their value types, and the pieces in order of their ids."""

    keys: Mapping[str, tuple[gguf.GGUFValueType, Any, gguf.GGUFValueType | None]]
    pieces: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.pieces)


def byte_vocabulary() -> Vocabulary:
    """A BPE vocabulary of SPECIAL, the 256 bytes, and WORDS with the merges that lead to them."""
    letters = byte_letters()
    pieces = [*SPECIAL, *letters.values()]
    merges: list[str] = []
    for word in WORDS:
        spelled = [letters[byte] for byte in word.encode()]
        whole = spelled[0]
        for letter in spelled[1:]:
            if whole + letter not in pieces:
                merges.append(f"{whole} {letter}")
                pieces.append(whole + letter)
            whole += letter
    types = [gguf.TokenType.CONTROL if piece in SPECIAL else gguf.TokenType.NORMAL for piece in pieces]
    string, array, uint, boolean = (
        gguf.GGUFValueType.STRING,
        gguf.GGUFValueType.ARRAY,
        gguf.GGUFValueType.UINT32,
        gguf.GGUFValueType.BOOL,
    )
    return Vocabulary(
        {
            "tokenizer.ggml.model": (string, "gpt2", None),
            "tokenizer.ggml.pre": (string, "gpt-2", None),
            "tokenizer.ggml.tokens": (array, pieces, string),
            "tokenizer.ggml.token_type": (array, [int(kind) for kind in types], gguf.GGUFValueType.INT32),
            "tokenizer.ggml.merges": (array, merges, string),
            "tokenizer.ggml.bos_token_id": (uint, 0, None),
            "tokenizer.ggml.eos_token_id": (uint, 2, None),
            "tokenizer.ggml.add_bos_token": (boolean, False, None),
            "tokenizer.chat_template": (string, CHATML, None),
        },
        pieces,
    )


def real_vocabulary(path: Path) -> Vocabulary:
    """The vocabulary of a GGUF file (`models/ggml-vocab-*.gguf` of llama.cpp's sources)."""
    data = memoryview(path.read_bytes())
    if bytes(data[:4]) != b"GGUF":
        raise ValueError(f"{path} is no GGUF")
    (count,) = struct.unpack_from("<Q", data, 16)
    keys: dict[str, tuple[gguf.GGUFValueType, Any, gguf.GGUFValueType | None]] = {}
    at = 24
    for _ in range(count):
        key, at = _read_string(data, at)
        (kind,) = struct.unpack_from("<I", data, at)
        value, item, at = _read_value(data, at + 4, gguf.GGUFValueType(kind))
        if key.startswith("tokenizer."):
            keys[key] = (gguf.GGUFValueType(kind), value, item)
    return Vocabulary(keys, keys["tokenizer.ggml.tokens"][1])


def write_random(
    path: Path,
    *,
    shape: Shape = TINY,
    vocabulary: Vocabulary | None = None,
    seed: int = 0,
    quantization: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F16,
    tied: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """A llama model with random weights. `tied`: the output uses the embedding's weights."""
    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> Floats:
        return random.standard_normal((rows, columns), dtype=np.float32) / np.float32(columns**0.5)

    vocabulary = vocabulary or byte_vocabulary()
    width = shape.embedding
    kv_width = width // shape.heads * shape.kv_heads
    tokens = shape.vocabulary or len(vocabulary)
    writer = begin(path, shape, vocabulary, metadata or {})
    _add(writer, "token_embd.weight", random.standard_normal((tokens, width), dtype=np.float32), quantization)
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        _add(writer, f"{block}attn_norm.weight", np.ones(width, np.float32))
        _add(writer, f"{block}attn_q.weight", matrix(width, width), quantization)
        _add(writer, f"{block}attn_k.weight", matrix(kv_width, width), quantization)
        _add(writer, f"{block}attn_v.weight", matrix(kv_width, width), quantization)
        _add(writer, f"{block}attn_output.weight", matrix(width, width), quantization)
        _add(writer, f"{block}ffn_norm.weight", np.ones(width, np.float32))
        _add(writer, f"{block}ffn_gate.weight", matrix(shape.feed_forward, width), quantization)
        _add(writer, f"{block}ffn_up.weight", matrix(shape.feed_forward, width), quantization)
        _add(writer, f"{block}ffn_down.weight", matrix(width, shape.feed_forward), quantization)
    _add(writer, "output_norm.weight", np.ones(width, np.float32))
    if not tied:
        _add(writer, "output.weight", matrix(tokens, width), quantization)
    return finish(writer, path)


def write_recurrent(path: Path, *, seed: int = 0, layers: int = 2, width: int = 64) -> Path:
    """A mamba model with random weights: the state of a sequence is one vector, which cannot be cut back."""
    random = np.random.default_rng(seed)
    inner, state, rank, kernel = 2 * width, 8, 4, 4

    def matrix(rows: int, columns: int) -> Floats:
        return random.standard_normal((rows, columns), dtype=np.float32) / np.float32(columns**0.5)

    vocabulary = byte_vocabulary()
    writer = begin(path, Shape(embedding=width, layers=layers), vocabulary, {"general.architecture": "mamba"})
    writer.add_ssm_conv_kernel(kernel)
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_state_size(state)
    writer.add_ssm_time_step_rank(rank)
    _add(writer, "token_embd.weight", matrix(len(vocabulary), width))
    for layer in range(layers):
        block = f"blk.{layer}."
        _add(writer, f"{block}attn_norm.weight", np.ones(width, np.float32))
        _add(writer, f"{block}ssm_in.weight", matrix(2 * inner, width))
        _add(writer, f"{block}ssm_conv1d.weight", matrix(inner, kernel))
        _add(writer, f"{block}ssm_conv1d.bias", np.zeros(inner, np.float32))
        _add(writer, f"{block}ssm_x.weight", matrix(rank + 2 * state, inner))
        _add(writer, f"{block}ssm_dt.weight", matrix(inner, rank))
        _add(writer, f"{block}ssm_dt.bias", np.zeros(inner, np.float32))
        _add(writer, f"{block}ssm_a", -np.tile(np.arange(1, state + 1, dtype=np.float32), (inner, 1)))
        _add(writer, f"{block}ssm_d", np.ones(inner, np.float32))
        _add(writer, f"{block}ssm_out.weight", matrix(width, inner))
    _add(writer, "output_norm.weight", np.ones(width, np.float32))
    return finish(writer, path)


def write_encoder(
    path: Path, vocabulary: Vocabulary, *, pooling: gguf.PoolingType = gguf.PoolingType.MEAN, seed: int = 0
) -> Path:
    """A BERT model with random weights, which makes embeddings; `vocabulary` is one of WordPiece."""
    random = np.random.default_rng(seed)
    shape = Shape(embedding=64, layers=2, heads=4, kv_heads=4, feed_forward=128, context=128)
    width = shape.embedding

    def matrix(rows: int, columns: int) -> Floats:
        return random.standard_normal((rows, columns), dtype=np.float32) / np.float32(columns**0.5)

    writer = begin(path, shape, vocabulary, {"general.architecture": "bert"})
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(pooling)
    half = gguf.GGMLQuantizationType.F16
    _add(writer, "token_embd.weight", random.standard_normal((len(vocabulary), width), dtype=np.float32), half)
    _add(writer, "token_types.weight", matrix(2, width))
    _add(writer, "position_embd.weight", matrix(shape.context, width))
    names = ["token_embd_norm"]
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            _add(writer, f"{block}{name}.weight", matrix(width, width), half)
        _add(writer, f"{block}ffn_up.weight", matrix(shape.feed_forward, width), half)
        _add(writer, f"{block}ffn_down.weight", matrix(width, shape.feed_forward), half)
        names += [f"{block}attn_output_norm", f"{block}layer_output_norm"]
    if pooling == gguf.PoolingType.RANK:
        _add(writer, "cls.weight", matrix(width, width))
        _add(writer, "cls.bias", matrix(1, width)[0])
        _add(writer, "cls.output.weight", matrix(1, width))
        _add(writer, "cls.output.bias", matrix(1, 1)[0])
    for name in names:
        _add(writer, f"{name}.weight", np.ones(width, np.float32))
        _add(writer, f"{name}.bias", np.zeros(width, np.float32))
    return finish(writer, path)


def write_chain(
    path: Path,
    chain: str = "abcdefghijklmnopqrstuvwxyz",
    *,
    start: str = "\n",
    shape: Shape = CHAIN,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """A model that says `chain` letter by letter after `start`, then ends its turn.

    Its next token depends on the last one alone, with near certainty at any usual temperature; so no letter may come
    twice. With the ChatML template every chat is
    answered by the whole chain. A letter of several bytes comes out byte by byte. Tokens outside the chain end it.
    """
    vocabulary = byte_vocabulary()
    letters = byte_letters()
    steps = [vocabulary.pieces.index(letters[byte]) for byte in (start + chain).encode()]
    if len(set(steps)) != len(steps):
        raise ValueError("a byte comes twice")
    end = SPECIAL.index("<|im_end|>")
    follower = dict.fromkeys(range(len(vocabulary)), end) | dict(zip(steps, [*steps[1:], end], strict=True))

    width = shape.embedding
    embedding = np.eye(len(vocabulary), width, dtype=np.float32)
    output = np.zeros_like(embedding)
    for token, after in follower.items():
        output[after, token] = 1

    kv_width = width // shape.heads * shape.kv_heads
    writer = begin(path, shape, vocabulary, metadata or {})
    half = gguf.GGMLQuantizationType.F16
    _add(writer, "token_embd.weight", embedding, half)
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        _add(writer, f"{block}attn_norm.weight", np.ones(width, np.float32))
        for name, rows, columns in (
            ("attn_q", width, width),
            ("attn_k", kv_width, width),
            ("attn_v", kv_width, width),
            ("attn_output", width, width),
            ("ffn_gate", shape.feed_forward, width),
            ("ffn_up", shape.feed_forward, width),
            ("ffn_down", width, shape.feed_forward),
        ):
            _add(writer, f"{block}{name}.weight", np.zeros((rows, columns), np.float32), half)
        _add(writer, f"{block}ffn_norm.weight", np.ones(width, np.float32))
    _add(writer, "output_norm.weight", np.ones(width, np.float32))
    _add(writer, "output.weight", output, half)
    return finish(writer, path)


def begin(path: Path, shape: Shape, vocabulary: Vocabulary, metadata: Mapping[str, Any]) -> gguf.GGUFWriter:
    writer = gguf.GGUFWriter(path, str(metadata.get("general.architecture", "llama")))
    writer.add_name(path.stem)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.embedding)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.embedding // shape.heads)
    writer.add_rope_freq_base(500000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocabulary or len(vocabulary))
    for key, (kind, value, item) in vocabulary.keys.items():
        if key not in metadata:
            writer.add_key_value(key, value, kind, item)
    for key, value in metadata.items():
        if key != "general.architecture":
            writer.add_key_value(key, value, gguf.GGUFValueType.get_type(value))
    return writer


def _add(
    writer: gguf.GGUFWriter,
    name: str,
    values: Floats,
    quantization: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
) -> None:
    writer.add_tensor(name, gguf.quantize(values, quantization), raw_dtype=quantization)


def finish(writer: gguf.GGUFWriter, path: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def byte_letters() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + index) for index, byte in enumerate(others)}


_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


def _read_string(data: memoryview, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<Q", data, at)
    return bytes(data[at + 8 : at + 8 + length]).decode("utf-8", "surrogateescape"), at + 8 + length


def _read_value(data: memoryview, at: int, kind: gguf.GGUFValueType) -> tuple[Any, gguf.GGUFValueType | None, int]:
    if kind == gguf.GGUFValueType.STRING:
        text, at = _read_string(data, at)
        return text, None, at
    if kind != gguf.GGUFValueType.ARRAY:
        form = "<" + _SCALARS[kind]
        return struct.unpack_from(form, data, at)[0], None, at + struct.calcsize(form)
    item, count = struct.unpack_from("<IQ", data, at)
    at += 12
    if item == gguf.GGUFValueType.STRING:
        texts = []
        for _ in range(count):
            text, at = _read_string(data, at)
            texts.append(text)
        return texts, gguf.GGUFValueType.STRING, at
    form = f"<{count}{_SCALARS[item]}"
    return list(struct.unpack_from(form, data, at)), gguf.GGUFValueType(item), at + struct.calcsize(form)
