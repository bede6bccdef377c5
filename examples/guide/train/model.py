"""The network of the guide: llama architecture as llama.cpp computes it, small enough to train on a CPU.

RMSNorm, rotary positions on neighbouring pairs (the order a GGUF of the llama architecture expects), SwiGLU, and one
matrix shared by input embedding and output. It knows token ids only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_EMBEDDING_SCALE = 0.7
_OUTPUT_SCALE = 0.06


@dataclass(frozen=True)
class Shape:
    """Sizes of the network; each row length is a multiple of 32, as Q8_0 blocks want it."""

    vocab: int
    width: int
    layers: int
    heads: int
    feed_forward: int
    context: int
    rope_base: float
    norm_epsilon: float


class Layer(nn.Module):
    """Attention and feed-forward with their norms."""

    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.heads = shape.heads
        self.dropout = nn.Dropout(dropout)
        self.attn_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.attn_q = nn.Linear(shape.width, shape.width, bias=False)
        self.attn_k = nn.Linear(shape.width, shape.width, bias=False)
        self.attn_v = nn.Linear(shape.width, shape.width, bias=False)
        self.attn_output = nn.Linear(shape.width, shape.width, bias=False)
        self.ffn_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.ffn_gate = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.ffn_up = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.ffn_down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, width = x.shape
        normed = self.attn_norm(x)
        q, k, v = (
            project(normed).view(batch, length, self.heads, -1).transpose(1, 2)
            for project in (self.attn_q, self.attn_k, self.attn_v)
        )
        mixed = _attend(_rotate(q, cos, sin), _rotate(k, cos, sin), v)
        x = x + self.dropout(self.attn_output(mixed.transpose(1, 2).reshape(batch, length, width)))
        normed = self.ffn_norm(x)
        return x + self.dropout(self.ffn_down(functional.silu(self.ffn_gate(normed)) * self.ffn_up(normed)))


class Guide(nn.Module):
    """Token ids in, logits out."""

    def __init__(self, shape: Shape, dropout: float = 0.0) -> None:
        """`dropout`: the share of what each layer adds that is left out while training."""
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocab, shape.width)
        self.blk = nn.ModuleList(Layer(shape, dropout) for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        half = shape.width // shape.heads // 2
        frequency = shape.rope_base ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = torch.outer(torch.arange(shape.context, dtype=torch.float64), frequency)
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        """Start with an embedding that is as large as what the layers add to it: only then can words be copied.

        The norm before the shared output matrix begins small instead, so that the logits do.
        """
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=_EMBEDDING_SCALE if name.startswith("token_embd") else 0.02)
            if name.endswith(("attn_output.weight", "ffn_down.weight")):
                nn.init.zeros_(parameter)
        nn.init.constant_(self.output_norm.weight, _OUTPUT_SCALE)

    def forward(self, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Logits of shape (batch, length, vocab), or (n, vocab) for the n positions where `wanted` is true."""
        return self.read(tokens, wanted)[0]

    def read(self, tokens: Tensor, wanted: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits, and what comes into the last layer, of shape (batch, length, width)."""
        length = tokens.shape[1]
        x = before = self.token_embd(tokens)
        for layer in self.blk:
            before = x
            x = layer(x, self.cos[:length], self.sin[:length])
        if wanted is not None:
            x = x[wanted]
        return self._logits(x), before

    def _logits(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return functional.linear(self.output_norm(x.float()), self.token_embd.weight)


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention, written out: for such short sequences that is faster than torch's own, above all backwards."""
    length = q.shape[-2]
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    scores = (q @ k.mT) * q.shape[-1] ** -0.5
    return scores.masked_fill(later, float("-inf")).softmax(-1).to(v.dtype) @ v


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)
