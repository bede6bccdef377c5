"""Small random GGUFs of many architectures, each with a real vocabulary of llama.cpp's sources.

For every kind the keys and tensors that llama.cpp's loader wants of it (src/models/<architecture>.cpp).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf

from tests import models, sources
from tests.tensors import (
    CONV,
    EXPERTS,
    EXPERTS_USED,
    FEED_FORWARD,
    HEAD,
    HEADS,
    INNER,
    KV_HEADS,
    KV_WIDTH,
    SSM_HEADS,
    STATE,
    WIDTH,
    Weights,
)

CONTEXT = 2048
WINDOW = 64
"""Tokens that a windowed layer looks back on."""


@dataclass(frozen=True)
class Kind:
    """One architecture."""

    architecture: str
    vocabulary: str
    """`ggml-vocab-<…>.gguf`."""
    tensors: Callable[[Weights], None]
    keys: Mapping[str, Any] = field(default_factory=dict)
    """Beside those that all have; names without the architecture, and `tokenizer.*`."""
    layers: int = 2
    whole: bool = True
    """Whether every layer looks at all earlier tokens: such a sequence can be cut back to any of its beginnings."""

    @property
    def tokens(self) -> int:
        """Of its vocabulary."""
        return len(_vocabulary(self.vocabulary))

    def write(self, path: Path) -> Path:
        """Write the model; the same bytes each time."""
        vocabulary = _vocabulary(self.vocabulary)
        writer = gguf.GGUFWriter(path, self.architecture)
        for key, (kind, value, item) in vocabulary.keys.items():
            if key not in self.keys:
                writer.add_key_value(key, value, kind, item)
        usual = {
            "context_length": CONTEXT,
            "embedding_length": WIDTH,
            "block_count": self.layers,
            "feed_forward_length": FEED_FORWARD,
            "attention.head_count": HEADS,
            "attention.head_count_kv": KV_HEADS,
            "attention.layer_norm_rms_epsilon": 1e-5,
            "rope.dimension_count": HEAD,
        }
        for key, value in {**usual, **self.keys}.items():
            name = key if key.startswith("tokenizer.") else f"{self.architecture}.{key}"
            _add_key(writer, name, value)
        self.tensors(Weights(writer, vocabulary, seed=sum(self.architecture.encode())))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path


def _llama(weights: Weights) -> None:
    weights.vocabulary()
    for block in ("blk.0.", "blk.1."):
        weights.norm(f"{block}attn_norm")
        weights.attention(block)
        weights.norm(f"{block}ffn_norm")
        weights.feed_forward(block)


def _qwen2(weights: Weights) -> None:
    weights.vocabulary()
    for block in ("blk.0.", "blk.1."):
        weights.norm(f"{block}attn_norm")
        weights.attention(block, bias=True)
        weights.norm(f"{block}ffn_norm")
        weights.feed_forward(block)


def _qwen3(weights: Weights) -> None:
    weights.vocabulary()
    for block in ("blk.0.", "blk.1."):
        weights.norm(f"{block}attn_norm")
        weights.attention(block, norms=HEAD)
        weights.norm(f"{block}ffn_norm")
        weights.feed_forward(block)


def _qwen3moe(weights: Weights) -> None:
    weights.vocabulary()
    for block in ("blk.0.", "blk.1."):
        weights.norm(f"{block}attn_norm")
        weights.attention(block, norms=HEAD)
        weights.norm(f"{block}ffn_norm")
        weights.experts(block)


def _phi3(weights: Weights) -> None:
    """Query, key and value in one matrix, gate and up in another."""
    weights.vocabulary()
    for block in ("blk.0.", "blk.1."):
        weights.norm(f"{block}attn_norm")
        weights.matrix(f"{block}attn_qkv", WIDTH, WIDTH + 2 * KV_WIDTH, gain=1.5)
        weights.matrix(f"{block}attn_output", WIDTH, WIDTH, gain=3)
        weights.norm(f"{block}ffn_norm")
        weights.matrix(f"{block}ffn_up", WIDTH, 2 * FEED_FORWARD)
        weights.matrix(f"{block}ffn_down", FEED_FORWARD, WIDTH)


def _gemma3(weights: Weights) -> None:
    weights.vocabulary()
    for layer in range(4):
        _gemma_layer(weights, f"blk.{layer}.", sharpness=1.2)


def _gemma4(weights: Weights) -> None:
    """Each layer also takes an embedding of its own; the last layer uses the keys and values of an earlier one."""
    layers, own = 5, 8
    weights.vocabulary()
    weights.matrix("per_layer_token_embd", own * layers, weights.tokens, spread=0.4)
    weights.matrix("per_layer_model_proj", WIDTH, own * layers)
    weights.norm("per_layer_proj_norm", own)
    weights.vector("rope_freqs.weight", HEAD // 2, spread=0.0)
    for layer in range(layers):
        block = f"blk.{layer}."
        _gemma_layer(weights, block, sharpness=0.7)
        weights.matrix(f"{block}inp_gate", WIDTH, own)
        weights.matrix(f"{block}proj", own, WIDTH)
        weights.norm(f"{block}post_norm")


def _gemma_layer(weights: Weights, block: str, *, sharpness: float) -> None:
    weights.attention(block, norms=HEAD, sharpness=sharpness)
    weights.feed_forward(block)
    for name, around in (("attn_norm", 1), ("post_attention_norm", 6), ("ffn_norm", 1), ("post_ffw_norm", 2)):
        weights.vector(f"{block}{name}.weight", WIDTH, around=around)


def _mamba2(weights: Weights) -> None:
    weights.vocabulary()
    for block in ("blk.0.", "blk.1."):
        weights.norm(f"{block}attn_norm")
        weights.mamba(block)


def _falcon_h1(weights: Weights) -> None:
    """Attention and a Mamba 2 layer side by side in every block."""
    weights.vocabulary()
    for block in ("blk.0.", "blk.1."):
        weights.norm(f"{block}attn_norm")
        weights.attention(block)
        weights.mamba(block)
        weights.vector(f"{block}ffn_norm", WIDTH)
        weights.feed_forward(block)


def _qwen35(weights: Weights) -> None:
    """Gated delta nets, and full attention in every second layer."""
    weights.vocabulary()
    state, key_heads, value_heads = 16, 2, 4
    convolved = state * (2 * key_heads + value_heads)
    for layer in range(4):
        block = f"blk.{layer}."
        weights.norm(f"{block}attn_norm")
        weights.norm(f"{block}post_attention_norm")
        if layer % 2:
            weights.attention(block, norms=HEAD, queries=2 * WIDTH)
        else:
            weights.matrix(f"{block}attn_qkv", WIDTH, convolved)
            weights.matrix(f"{block}attn_gate", WIDTH, state * value_heads)
            weights.matrix(f"{block}ssm_conv1d", CONV, convolved, whole=True)
            weights.vector(f"{block}ssm_dt.bias", value_heads, around=-2.0, spread=1.0)
            weights.vector(f"{block}ssm_a", value_heads, around=-0.04, spread=0.01)
            weights.matrix(f"{block}ssm_beta", WIDTH, value_heads)
            weights.matrix(f"{block}ssm_alpha", WIDTH, value_heads)
            weights.norm(f"{block}ssm_norm", state)
            weights.matrix(f"{block}ssm_out", state * value_heads, WIDTH, gain=3)
        weights.feed_forward(block)


def _lfm2(weights: Weights) -> None:
    """Short convolutions, and attention in every second layer."""
    weights.vocabulary(norm="token_embd_norm")
    for layer in range(4):
        block = f"blk.{layer}."
        weights.norm(f"{block}attn_norm")
        if layer % 2:
            weights.attention(block, norms=HEAD)
        else:
            weights.matrix(f"{block}shortconv.conv", 3, WIDTH, whole=True)
            weights.matrix(f"{block}shortconv.in_proj", WIDTH, 3 * WIDTH)
            weights.matrix(f"{block}shortconv.out_proj", WIDTH, WIDTH)
        weights.norm(f"{block}ffn_norm")
        weights.feed_forward(block)


def _rwkv7(weights: Weights) -> None:
    rank = 16
    weights.vocabulary(bias=True)
    weights.norm("token_embd_norm", bias=True)
    for layer in range(2):
        block = f"blk.{layer}."
        for name in ("attn_norm", "attn_norm_2", "time_mix_ln"):
            weights.norm(f"{block}{name}", bias=True)
        for name in ("w", "a", "v", "g"):
            if name != "g":
                weights.vector(f"{block}time_mix_{name}0.weight", WIDTH, around=-7.0 if name == "w" else 0.0)
            weights.matrix(f"{block}time_mix_{name}1", WIDTH, rank)
            weights.matrix(f"{block}time_mix_{name}2", rank, WIDTH)
        weights.vector(f"{block}time_mix_lerp_fused.weight", WIDTH, 1, 1, 6, around=0.5)
        for name in ("k_k", "k_a", "r_k"):
            weights.vector(f"{block}time_mix_{name}.weight", WIDTH, around=0.7)
        for name in ("key", "value", "receptance", "output"):
            weights.matrix(f"{block}time_mix_{name}", WIDTH, WIDTH)
        weights.vector(f"{block}channel_mix_lerp_k.weight", WIDTH, 1, 1, around=0.5)
        weights.matrix(f"{block}channel_mix_key", WIDTH, FEED_FORWARD)
        weights.matrix(f"{block}channel_mix_value", FEED_FORWARD, WIDTH)


def _qwen3_reranker(weights: Weights) -> None:
    _qwen3(weights)
    weights.matrix("cls.output", WIDTH, 2, gain=0.3)


def _t5encoder(weights: Weights) -> None:
    weights.matrix("token_embd", WIDTH, weights.tokens, spread=0.4)
    weights.norm("enc.output_norm")
    for layer in range(2):
        _t5_layer(weights, f"enc.blk.{layer}.", ["attn"])


def _t5(weights: Weights) -> None:
    weights.vocabulary(norm="dec.output_norm")
    weights.norm("enc.output_norm")
    for layer in range(2):
        _t5_layer(weights, f"enc.blk.{layer}.", ["attn"])
        _t5_layer(weights, f"dec.blk.{layer}.", ["attn", "cross_attn"])


def _t5_layer(weights: Weights, block: str, attentions: Sequence[str]) -> None:
    for name in attentions:
        weights.norm(f"{block}{name}_norm")
        weights.matrix(f"{block}{name}_q", WIDTH, WIDTH, gain=0.5)
        weights.matrix(f"{block}{name}_k", WIDTH, WIDTH)
        weights.matrix(f"{block}{name}_v", WIDTH, WIDTH)
        weights.matrix(f"{block}{name}_o", WIDTH, WIDTH, gain=3)
    weights.matrix(f"{block}attn_rel_b", HEADS, 32, gain=2, whole=True)
    weights.norm(f"{block}ffn_norm")
    weights.feed_forward(block)


_SSM = {
    "ssm.conv_kernel": CONV,
    "ssm.inner_size": INNER,
    "ssm.state_size": STATE,
    "ssm.time_step_rank": SSM_HEADS,
    "ssm.group_count": 1,
}
_MOE = {"expert_count": EXPERTS, "expert_used_count": EXPERTS_USED, "expert_feed_forward_length": FEED_FORWARD}
_GEMMA4 = {
    "attention.sliding_window": WINDOW,
    "attention.sliding_window_pattern": [True, False, True, False, False],
    "attention.shared_kv_layers": 1,
    "attention.key_length": HEAD,
    "attention.value_length": HEAD,
    "attention.key_length_swa": HEAD,
    "attention.value_length_swa": HEAD,
    "rope.dimension_count_swa": HEAD,
    "rope.freq_base_swa": 10000.0,
    "embedding_length_per_layer_input": 8,
}
_LFM2 = {"shortconv.l_cache": 3, "attention.head_count_kv": [0, KV_HEADS, 0, KV_HEADS]}
_QWEN35 = {
    "attention.key_length": HEAD,
    "attention.value_length": HEAD,
    "full_attention_interval": 2,
    "rope.dimension_sections": [3, 3, 2, 0],
    "ssm.conv_kernel": CONV,
    "ssm.inner_size": 64,
    "ssm.state_size": 16,
    "ssm.time_step_rank": 4,
    "ssm.group_count": 2,
}
_RWKV7 = {
    "attention.layer_norm_epsilon": 1e-5,
    "wkv.head_size": HEAD,
    "attention.decay_lora_rank": 16,
    "attention.iclr_lora_rank": 16,
    "attention.value_residual_mix_lora_rank": 16,
    "attention.gate_lora_rank": 16,
    "token_shift_count": 2,
    "attention.head_count": 0,
    "attention.head_count_kv": 0,
}

KINDS = {
    kind.architecture: kind
    for kind in (
        Kind("llama", "llama-spm", _llama),
        Kind("qwen2", "qwen2", _qwen2),
        Kind("qwen3", "deepseek-coder", _qwen3),
        Kind("qwen3moe", "gpt-2", _qwen3moe, _MOE),
        Kind("phi3", "phi-3", _phi3, {"rope.scaling.original_context_length": CONTEXT}),
        Kind(
            "gemma3",
            "llama-spm",
            _gemma3,
            {"attention.sliding_window": WINDOW, "attention.sliding_window_pattern": [True, True, False, True]},
            layers=4,
            whole=False,
        ),
        Kind("gemma4", "gemma-4", _gemma4, _GEMMA4, layers=5, whole=False),
        Kind("mamba2", "gpt-neox", _mamba2, _SSM, whole=False),
        Kind("rwkv7", "gpt-neox", _rwkv7, _RWKV7, whole=False),
        Kind("falcon-h1", "falcon", _falcon_h1, _SSM, whole=False),
        Kind("qwen35", "qwen35", _qwen35, _QWEN35, layers=4, whole=False),
        Kind("lfm2", "gpt-2", _lfm2, _LFM2, layers=4, whole=False),
    )
}
"""Those that continue a text, by architecture."""

_SHORT = {"context_length": 512}
_T5 = {"attention.relative_buckets_count": 32, "attention.head_count_kv": HEADS}
ENCODER_DECODER = Kind("t5", "nomic-bert-moe", _t5, {**_T5, "decoder_start_token_id": 0})
ENCODER = Kind(
    "t5encoder", "nomic-bert-moe", _t5encoder, {**_T5, **_SHORT, "pooling_type": gguf.PoolingType.MEAN.value}
)
LAST_POOLING = Kind("qwen3", "deepseek-coder", _qwen3, {**_SHORT, "pooling_type": gguf.PoolingType.LAST.value})
RERANKER = Kind(
    "qwen3",
    "gpt-2",
    _qwen3_reranker,
    {
        **_SHORT,
        "pooling_type": gguf.PoolingType.RANK.value,
        "classifier.output_labels": ["yes", "no"],
        "tokenizer.chat_template.rerank": "<|endoftext|>Query: {query}<|endoftext|>Document: {document}\nRelevant:",
    },
)
"""Takes a query and a document in a text of its own."""


@functools.cache
def _vocabulary(name: str) -> models.Vocabulary:
    return models.real_vocabulary(sources.models() / f"ggml-vocab-{name}.gguf")


def _add_key(writer: gguf.GGUFWriter, name: str, value: Any) -> None:
    if isinstance(value, list):
        writer.add_array(name, value)
    elif isinstance(value, bool):
        writer.add_bool(name, value)
    elif isinstance(value, int):
        writer.add_uint32(name, value)
    elif isinstance(value, float):
        writer.add_float32(name, value)
    else:
        writer.add_string(name, value)
