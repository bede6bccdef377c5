"""LoRA adapters of small models, with random weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from tests.models import Floats

Q = "blk.0.attn_q.weight"
OUTPUT = "output.weight"


def write_adapter(
    path: Path,
    model: Path,
    *,
    targets: Sequence[str] = (Q, OUTPUT),
    rank: int = 4,
    alpha: float = 8.0,
    seed: int = 0,
    architecture: str = "llama",
    kind: str = "lora",
    metadata: Mapping[str, Any] | None = None,
    suffixes: tuple[str, str] = (".lora_a", ".lora_b"),
    width: int = 0,
    matrices: Mapping[str, tuple[Floats, Floats]] | None = None,
) -> Path:
    """One that changes `targets` of the model; `width` gives it columns that the model does not have.

    `matrices` are A and B by tensor, instead of random ones.
    """
    random = np.random.default_rng(seed)
    shapes = {tensor.name: [int(size) for size in tensor.shape] for tensor in gguf.GGUFReader(model).tensors}
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", kind)
    writer.add_float32("adapter.lora.alpha", alpha)
    for key, value in (metadata or {}).items():
        writer.add_key_value(key, value, gguf.GGUFValueType.get_type(value))
    for name in targets:
        columns, rows = shapes.get(name, [32, 32])
        a = random.standard_normal((rank, width or columns), dtype=np.float32)
        b = random.standard_normal((rows, rank), dtype=np.float32)
        a, b = (matrices or {}).get(name, (a, b))
        for suffix, values in zip(suffixes, (a, b), strict=False):
            if suffix:
                writer.add_tensor(name + suffix, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
