"""The parts that models of many architectures are made of, as random tensors of a GGUF.

The weights are scaled so that what a model says next hangs on its whole past, not on its last token alone.
"""

from __future__ import annotations

from typing import Any

import gguf
import numpy as np

from tests.models import Vocabulary

WIDTH, HEADS, KV_HEADS, FEED_FORWARD = 64, 4, 2, 128
HEAD = WIDTH // HEADS
KV_WIDTH = HEAD * KV_HEADS
EXPERTS, EXPERTS_USED = 8, 2
CONV, STATE, INNER, SSM_HEADS = 4, 16, 128, 8
"""Of a Mamba 2 layer."""


class Weights:
    """Adds random tensors to a file. Shapes are llama.cpp's: the fastest dimension first."""

    def __init__(self, writer: gguf.GGUFWriter, vocabulary: Vocabulary, seed: int) -> None:
        self.writer = writer
        self.tokens = len(vocabulary)
        self._control = np.array(vocabulary.keys["tokenizer.ggml.token_type"][1]) != gguf.TokenType.NORMAL
        self._random = np.random.default_rng(seed)

    def matrix(self, name: str, *shape: int, gain: float = 1.0, spread: float = 0.0, whole: bool = False) -> None:
        """Random numbers that multiply a vector's length by `gain`, or with that `spread`; `whole`: in 32 bits."""
        spread = spread or gain / shape[0] ** 0.5
        values = self._random.standard_normal(shape[::-1], dtype=np.float32) * np.float32(spread)
        self._add(f"{name}.weight", values if whole else values.astype(np.float16))

    def vector(self, name: str, *shape: int, around: float = 1.0, spread: float = 0.1) -> None:
        """Random numbers around one value, in 32 bits."""
        values = self._random.standard_normal(shape[::-1], dtype=np.float32) * np.float32(spread)
        self._add(name, values + np.float32(around))

    def norm(self, name: str, width: int = WIDTH, *, bias: bool = False) -> None:
        self.vector(f"{name}.weight", width)
        if bias:
            self.vector(f"{name}.bias", width, around=0.0)

    def vocabulary(self, *, norm: str = "output_norm", bias: bool = False) -> None:
        """Embedding and output; each token's output is another's embedding, so that none repeats itself or ends."""
        drawn = self._random.standard_normal((self.tokens, WIDTH), dtype=np.float32)
        rows = (drawn * np.float32(0.4)).astype(np.float16)
        self._add("token_embd.weight", rows)
        output = np.roll(rows, self.tokens // 3, axis=0)
        output[self._control] = 0
        self._add("output.weight", output)
        self.norm(norm, bias=bias)

    def attention(
        self, block: str, *, norms: int = 0, sharpness: float = 2.0, queries: int = WIDTH, bias: bool = False
    ) -> None:
        """Query, key, value and output; `norms`: the width of the norms of queries and keys, 0 for none."""
        for name, width in (("attn_q", queries), ("attn_k", KV_WIDTH), ("attn_v", KV_WIDTH)):
            self.matrix(f"{block}{name}", WIDTH, width, gain=1.5)
            if bias:
                self.vector(f"{block}{name}.bias", width, around=0.0)
        self.matrix(f"{block}attn_output", WIDTH, WIDTH, gain=3)
        if norms:
            self.vector(f"{block}attn_q_norm.weight", norms, around=sharpness)
            self.vector(f"{block}attn_k_norm.weight", norms, around=sharpness)

    def feed_forward(self, block: str, *, gate: bool = True) -> None:
        for name in ("ffn_gate", "ffn_up") if gate else ("ffn_up",):
            self.matrix(f"{block}{name}", WIDTH, FEED_FORWARD)
        self.matrix(f"{block}ffn_down", FEED_FORWARD, WIDTH)

    def experts(self, block: str) -> None:
        self.matrix(f"{block}ffn_gate_inp", WIDTH, EXPERTS, gain=6, whole=True)
        for name in ("ffn_gate_exps", "ffn_up_exps"):
            self.matrix(f"{block}{name}", WIDTH, FEED_FORWARD, EXPERTS)
        self.matrix(f"{block}ffn_down_exps", FEED_FORWARD, WIDTH, EXPERTS)

    def mamba(self, block: str) -> None:
        """A Mamba 2 layer."""
        groups = 1
        convolved = INNER + 2 * groups * STATE
        self.matrix(f"{block}ssm_in", WIDTH, INNER + convolved + SSM_HEADS)
        self.matrix(f"{block}ssm_conv1d", CONV, convolved, whole=True)
        self.vector(f"{block}ssm_conv1d.bias", convolved, around=0.0)
        self.vector(f"{block}ssm_dt.bias", SSM_HEADS, around=-2.0, spread=1.0)
        self.vector(f"{block}ssm_a", 1, SSM_HEADS, around=-0.04, spread=0.01)
        self.vector(f"{block}ssm_d", 1, SSM_HEADS)
        self.vector(f"{block}ssm_norm.weight", INNER // groups, groups)
        self.matrix(f"{block}ssm_out", INNER, WIDTH, gain=2)

    def _add(self, name: str, values: Any) -> None:
        self.writer.add_tensor(name, np.ascontiguousarray(values))
