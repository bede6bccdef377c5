"""What a GGUF says about its model: architecture, size, quantisation, special tokens, chat template.

Reads a `gguf.Header`; where the file is silent it answers as llama.cpp (src/llama-vocab.cpp) would.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Final

from bundler.formats.gguf import TENSOR_TYPES, Header
from bundler.formats.manifest import Model, ParameterValue, Role, Template

_TOKENS = "tokenizer.ggml.tokens"
_TEMPLATE = "tokenizer.chat_template"

_FILE_TYPES: Final[dict[int, str]] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4", 39: "NVFP4", 40: "Q1_0",
    41: "Q2_0",
}  # fmt: skip
"""`general.file_type` to the label people know (llama_ftype of llama.h)."""

_SAMPLING: Final = {
    "temp": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p", "penalty_last_n": "repeat_last_n",
    "penalty_repeat": "repeat_penalty", "xtc_probability": "xtc_probability", "xtc_threshold": "xtc_threshold",
    "mirostat": "mirostat", "mirostat_tau": "mirostat_tau", "mirostat_eta": "mirostat_eta",
}  # fmt: skip
"""Names under `general.sampling.` (llama.cpp's src/llama-arch.cpp), and under those of PARAMETERs or requests."""
_SAMPLING_COUNTS: Final = frozenset(("top_k", "penalty_last_n", "mirostat"))
_MIROSTAT: Final = (0, 1, 2)

_PARTLY: Final = ("ssm.conv_kernel", "wkv.head_size", "shortconv.l_cache", "attention.sliding_window")
"""Keys of layers that do not attend to all tokens."""
_PARTLY_ALWAYS: Final = frozenset(("llama4", "minimax-01", "deepseek4"))
"""Architectures with such layers whatever their keys, by llama.cpp's src/models."""
_WINDOW_UNUSED: Final = frozenset(("phi3",))
"""Architectures whose window llama.cpp does not use."""

_BOS_BY_PRETOKENIZER: Final = frozenset((
    "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano", "tekken",
    "chameleon",
))  # fmt: skip
_BOS_ALWAYS: Final = frozenset(("gemma4", "granite-embed-multi-311m"))


def architecture(header: Header) -> str:
    """`general.architecture`; empty where the file does not say."""
    return header.string("general.architecture") or ""


def kind(header: Header) -> str:
    """What the file holds: `model`, `adapter`, `projector`, `vocab`, …"""
    if architecture(header) == "clip":
        return "projector"
    kind = header.string("general.type")
    if kind == "mmproj":
        return "projector"
    return kind or ("model" if header.tensors else "vocab")


def embeds(header: Header) -> bool:
    """Whether the model makes embeddings and no text: it pools, attends in both directions, or is an encoder."""
    architecture_name = architecture(header)
    pooling = header.integer(f"{architecture_name}.pooling_type")
    causal = header.boolean(f"{architecture_name}.attention.causal")
    return bool(pooling) or causal is False or "bert" in architecture_name or architecture_name == "t5encoder"


def encodes(header: Header) -> bool:
    """Whether an encoder reads the prompt, and a decoder writes the answer."""
    return architecture(header) == "t5"


def attends_to_all(header: Header) -> bool:
    """Whether every layer looks at all earlier tokens: none is recurrent, a convolution or windowed."""
    architecture_name = architecture(header)
    if architecture_name in _WINDOW_UNUSED:
        return True
    partly = any(header.integer(f"{architecture_name}.{key}") for key in _PARTLY)
    return not partly and architecture_name not in _PARTLY_ALWAYS


def name(header: Header) -> str:
    return header.string("general.name") or ""


def split_count(header: Header) -> int:
    """Files over which the model is split; 1 where it is whole."""
    return header.integer("split.count") or 1


def quantization(header: Header) -> str:
    """The label of the quantisation, such as `Q4_K_M`; else the type of most weights; empty for a bare vocabulary."""
    file_type = header.integer("general.file_type")
    if file_type in _FILE_TYPES and header.tensors:
        return _FILE_TYPES[file_type]
    weights: Counter[int] = Counter()
    for tensor in header.tensors:
        weights[tensor.type] += tensor.elements
    return TENSOR_TYPES[weights.most_common(1)[0][0]][0] if weights else ""


def parameters(header: Header) -> int:
    """The number of weights in all tensors."""
    return sum(tensor.elements for tensor in header.tensors)


def context_length(header: Header) -> int:
    """The trained context in tokens; 0 where the file does not say."""
    return max(header.integer(f"{architecture(header)}.context_length") or 0, 0)


def vocabulary(header: Header) -> int:
    """The number of tokens."""
    return header.count(_TOKENS) or header.integer(f"{architecture(header)}.vocab_size") or 0


def chat_template(header: Header) -> str | None:
    """The default Jinja chat template; None where there is none."""
    return header.string(_TEMPLATE) or None


def chat_template_names(header: Header) -> list[str]:
    """Names of further chat templates (`tool_use`, `rag`, …)."""
    return sorted(key.removeprefix(_TEMPLATE + ".") for key in header.fields if key.startswith(_TEMPLATE + "."))


def named_chat_template(header: Header, name: str) -> str | None:
    return header.string(f"{_TEMPLATE}.{name}")


def token(header: Header, index: int | None) -> str:
    """The spelling of one token; empty where there is none of that number."""
    return "" if index is None else header.element(_TOKENS, index) or ""


def bos_token(header: Header) -> str:
    """The spelling of the begin-of-sequence token; empty where the model has none."""
    return token(header, _special(header, "bos_token_id", 1))


def eos_token(header: Header) -> str:
    """The spelling of the end-of-sequence token; empty where the model has none."""
    return token(header, _special(header, "eos_token_id", 2))


def eot_token(header: Header) -> str:
    """The spelling of the end-of-turn token; empty where the model names none."""
    return token(header, header.integer("tokenizer.ggml.eot_token_id"))


def eom_token(header: Header) -> str:
    """The spelling of the end-of-message token; empty where the model names none."""
    return token(header, header.integer("tokenizer.ggml.eom_token_id"))


def add_bos(header: Header) -> bool:
    """Whether llama.cpp's tokenizer puts the begin-of-sequence token before a text by itself."""
    model = header.string("tokenizer.ggml.model")
    pretokenizer = "gemma4" if model == "gemma4" else header.string("tokenizer.ggml.pre")
    if pretokenizer in _BOS_ALWAYS:
        return True
    said = header.boolean("tokenizer.ggml.add_bos_token")
    if said is not None:
        return said
    return model in ("llama", "bert") or (model == "gpt2" and pretokenizer in _BOS_BY_PRETOKENIZER)


def sampling(header: Header) -> dict[str, ParameterValue]:
    """The sampling settings that the file recommends, by the names of PARAMETERs; what is no usable number is left out.

    A count may be stored as a float, and the other way round, as llama.cpp reads them both. `samplers` are llama.cpp's
    names in the order of their work.
    """
    found: dict[str, ParameterValue] = {}
    for key, parameter in _SAMPLING.items():
        said = header.scalar(f"general.sampling.{key}")
        if said is None or isinstance(said, bool) or not math.isfinite(said) or abs(said) >= 1 << 31:
            continue
        found[parameter] = int(said) if key in _SAMPLING_COUNTS else _shortest(said)
    if found.get("mirostat", 0) not in _MIROSTAT:
        del found["mirostat"]
    if samplers := header.string("general.sampling.sequence"):
        found["samplers"] = samplers.split(";")
    return found


def _shortest(number: float) -> float:
    """A 32-bit float as the shortest decimal that means it: 0.6, not 0.6000000238418579."""
    return float(f"{number:.7g}")


def _special(header: Header, key: str, sentencepiece_default: int) -> int | None:
    said = header.integer(f"tokenizer.ggml.{key}")
    if said is None and header.string("tokenizer.ggml.model") == "llama":
        return sentencepiece_default
    return said


def describe(header: Header, member: str, role: Role | None = None) -> Model:
    """What the manifest says of a model; its digests are for whoever writes the bundle.

    Without a `role` it is what the model does: chat, or embeddings.
    """
    return Model(
        role=role or ("embedding" if embeds(header) else "chat"),
        member=member,
        size=header.size,
        sha256="",
        architecture=architecture(header),
        name=name(header),
        quantization=quantization(header),
        parameters=parameters(header),
        context_length=context_length(header),
        vocabulary=vocabulary(header),
        header_size=header.data_offset,
        sampling=sampling(header),
    )


def own_template(header: Header) -> Template | None:
    """The GGUF's own chat template as the manifest keeps it; None where it brings none."""
    text = chat_template(header)
    return None if text is None else template(header, text)


def template(header: Header, text: str) -> Template:
    """A chat template of the GGUF, with what the file says of its special tokens."""
    return Template(
        kind="jinja",
        text=text,
        source="gguf",
        reason="the GGUF brings its own chat template",
        bos_token=bos_token(header),
        eos_token=eos_token(header),
        add_bos=add_bos(header),
    )
