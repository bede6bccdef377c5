"""Headers of GGUF files: every fact that is asked of one is there or is not."""

from __future__ import annotations

import struct
from random import Random
from typing import Any

from bundler.formats import gguf, vocabulary, weights
from bundler.formats.gguf import GgufError, check_complete, read_header
from bundler.formats.source import BytesSource
from tests.formats import ggufs
from tests.fuzz.mutation import mutated

SECONDS = 5.0

_KEYS = (
    *ggufs.FIELDS, "general.type", "general.alignment", "split.count", "clip.has_vision_encoder", "adapter.type",
    "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.merges", "llama.embedding_length",
    "general.sampling.temp", "general.sampling.top_k", "tokenizer.ggml.scores", "", "k" * 70,
)  # fmt: skip
_NUMBERS = (0, 1, 2, 7, 8, 31, 32, 255, 256, 1 << 16, (1 << 24) + 1, (1 << 31) - 1, (1 << 32) - 1)
_PIECES = (
    *(struct.pack("<I", number) for number in range(14)),
    *(struct.pack("<Q", number) for number in (*_NUMBERS, 1 << 62, 1 << 63, (1 << 64) - 1)),
    *(key.encode() for key in _KEYS), b"GGUF", b"\xff", b"\xff\xff\xff\xff", b"\0", b"\xc3\x28", b"\x1b[2J",
)  # fmt: skip
_SEED = ggufs.build(
    ggufs.FIELDS | {"tokenizer.ggml.tokens": ["<s>", "</s>", "a", "ä"], "tokenizer.ggml.token_type": [3, 3, 1, 1]},
    [ggufs.tensor("a.weight", (256, 2), 12, 0), ggufs.tensor("b.weight", (3,), 0, 288)],
    bytes(300),
)


def case(chance: Random) -> bytes:
    made = _made(chance)
    if chance.random() < 0.3:
        return made
    return mutated(chance, chance.choice([_SEED, made]), _PIECES, _SEED)


def _made(chance: Random) -> bytes:
    fields = {chance.choice(_KEYS): _value(chance) for _ in range(chance.randrange(12))}
    tensors = []
    position = 0
    for number in range(chance.randrange(4)):
        kind = chance.choice([*gguf.TENSOR_TYPES, 4, 99])
        _, block, size = gguf.TENSOR_TYPES.get(kind, ("", 1, 4))
        shape = tuple(block * chance.choice([1, 1, 2, 0, 1 << 40]) for _ in range(chance.choice([0, 1, 1, 2, 4, 5])))
        tensors.append(ggufs.tensor(f"t{number}", shape, kind, position))
        position += size
    return ggufs.build(fields, tensors, bytes(position), version=chance.choice([3, 3, 3, 3, 2, 1, 4]))


def _value(chance: Random) -> Any:
    return chance.choice(
        [
            chance.choice(_NUMBERS),
            chance.random(),
            chance.random() < 0.5,
            chance.choice(_KEYS),
            ["x" * chance.choice(_NUMBERS[:6]) for _ in range(chance.randrange(70))],
            [chance.randrange(-5, 5) for _ in range(chance.randrange(5))],
        ]
    )


def attempt(case: bytes) -> bool:
    try:
        header = read_header(BytesSource(case), "m.gguf")
        for name in (*_KEYS, "no such key"):
            header.scalar(name), header.integer(name), header.boolean(name), header.string(name)
            for index in (0, 1, (header.count(name) or 0) - 1):
                header.element(name, index)
        vocabulary.control_tokens(header)
        weights.sampling(header)
        weights.own_template(header)
        weights.describe(header, "models/m.gguf")
        check_complete(header)
    except GgufError as error:
        _check_error(error)
        return False
    return True


def _check_error(error: GgufError) -> None:
    assert error.message.isprintable()
    assert len(error.message) < 1000
    assert error.hint
