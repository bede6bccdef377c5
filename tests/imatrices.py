"""Importance matrices of small models, as llama-imatrix writes them."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import numpy as np


def write_imatrix(path: Path, model: Path, *, legacy: bool = False, width: int = 0) -> Path:
    """One of the model's matrices, with random weights; `width` makes it one of another model."""
    random = np.random.default_rng(1)
    tensors = [tensor for tensor in gguf.GGUFReader(model).tensors if len(tensor.shape) == 2]
    sums = {
        tensor.name: random.random(width or int(tensor.shape[0])).astype(np.float32) * 100
        for tensor in tensors
        if tensor.name != "token_embd.weight"
    }
    if legacy:
        data = struct.pack("<i", len(sums))
        for name, values in sums.items():
            data += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", 3, len(values)) + values.tobytes()
        path.write_bytes(data + struct.pack("<ii", 3, 4) + b"text")
        return path
    writer = gguf.GGUFWriter(path, "imatrix")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["text"])
    writer.add_uint32("imatrix.chunk_count", 3)
    writer.add_uint32("imatrix.chunk_size", 512)
    for name, values in sums.items():
        writer.add_tensor(f"{name}.in_sum2", values.reshape(1, -1))
        writer.add_tensor(f"{name}.counts", np.array([[3.0]], np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
