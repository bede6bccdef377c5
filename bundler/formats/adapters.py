"""Whether a LoRA adapter fits a model, by the headers of both: as llama.cpp's src/llama-adapter.cpp checks it."""

from __future__ import annotations

from typing import Final

from bundler.formats import weights
from bundler.formats.excerpt import clipped
from bundler.formats.gguf import Header, Tensor

_PAIR: Final = (".lora_a", ".lora_b")
_IGNORED: Final = "_norm.weight"
_EMBEDDING: Final = "token_embd.weight"


def misfit(adapter: Header, model: Header) -> str:
    """Why the adapter cannot be used with the model, as a cause; empty where it can."""
    kind = adapter.string("adapter.type") or ""
    if kind != "lora":
        return f"it is an adapter of the type {clipped(kind)!r}, and only LoRA is known"
    if adapter.count("adapter.alora.invocation_tokens"):
        return "it is an activated LoRA, which works on parts of a prompt alone"
    own, base = weights.architecture(adapter), weights.architecture(model)
    if own != base:
        return f"it was made for the architecture {clipped(own)}, and the model is {clipped(base)}"
    return _misfit_of_tensors(adapter, model)


def _misfit_of_tensors(adapter: Header, model: Header) -> str:
    known = {tensor.name: tensor for tensor in model.tensors}
    pairs: dict[str, dict[str, Tensor]] = {}
    for tensor in adapter.tensors:
        name, suffix = tensor.name[: -len(_PAIR[0])], tensor.name[-len(_PAIR[0]) :]
        if suffix in _PAIR:
            pairs.setdefault(name, {})[suffix] = tensor
        elif not tensor.name.endswith(_IGNORED):
            return f"its tensor {clipped(tensor.name)} is none of a LoRA"
    if not pairs:
        return "it holds no tensor"
    for name, pair in pairs.items():
        if len(pair) != len(_PAIR):
            return f"of its tensors for {clipped(name)} one is missing"
        if name not in known:
            return f"it changes {clipped(name)}, which the model does not have"
        if not _fits(name, *(_rows_and_columns(tensor) for tensor in (pair[".lora_a"], pair[".lora_b"], known[name]))):
            return f"its tensors for {clipped(name)} have other sizes than the model's"
    return ""


def _fits(name: str, a: tuple[int, int], b: tuple[int, int], base: tuple[int, int]) -> bool:
    """Whether B x A has the shape of the weights; each is (columns, rows)."""
    if name.endswith(_EMBEDDING):  # A and B are swapped
        return base == (b[1], a[1]) and a[0] == b[0]
    return base == (a[0], b[1]) and a[1] == b[0]


def _rows_and_columns(tensor: Tensor) -> tuple[int, int]:
    columns, rows, *_ = (*tensor.shape, 1, 1)
    return columns, rows
