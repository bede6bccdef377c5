"""The types that a model can be quantized to, by the names that llama-quantize gives them."""

from __future__ import annotations

import re
from typing import Final

TYPES: Final[dict[str, int]] = {
    "Q1_0": 40, "Q2_0": 41, "Q4_0": 2, "Q4_1": 3, "MXFP4_MOE": 38, "Q5_0": 8, "Q5_1": 9, "IQ2_XXS": 19, "IQ2_XS": 20,
    "IQ2_S": 28, "IQ2_M": 29, "IQ1_S": 24, "IQ1_M": 31, "TQ1_0": 36, "TQ2_0": 37, "Q2_K": 10, "Q2_K_S": 21,
    "IQ3_XXS": 23, "IQ3_S": 26, "IQ3_M": 27, "Q3_K": 12, "IQ3_XS": 22, "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13,
    "IQ4_NL": 25, "IQ4_XS": 30, "Q4_K": 15, "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K": 17, "Q5_K_S": 16, "Q5_K_M": 17,
    "Q6_K": 18, "Q8_0": 7, "F16": 1, "BF16": 32, "F32": 0,
}  # fmt: skip
"""Name to llama_ftype, in llama-quantize's order (QUANT_OPTIONS of its quantize.cpp, all but COPY)."""

_LABEL = re.compile(rf"[-._](?:{'|'.join(sorted(TYPES, key=len, reverse=True))})", re.IGNORECASE)


def renamed(stem: str, type_name: str) -> str:
    """What a model's file would be called as this type: `model-F16` becomes `model-Q4_K_M`."""
    found = list(_LABEL.finditer(stem))
    own = stem[: found[-1].start()] if found and found[-1].end() == len(stem) else stem
    return f"{own}-{type_name}"
