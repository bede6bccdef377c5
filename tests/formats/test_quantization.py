"""What a quantized model is called."""

from __future__ import annotations

import pytest

from bundler.formats.quantization import renamed


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("model", "model-Q4_K_M"),
        ("model-f16", "model-Q4_K_M"),
        ("Llama-3.2-1B.BF16", "Llama-3.2-1B-Q4_K_M"),
        ("a-F16-b", "a-F16-b-Q4_K_M"),
        ("model-Q4_K_S", "model-Q4_K_M"),
        ("F16", "F16-Q4_K_M"),
    ],
)
def test_a_type_in_the_name_is_replaced(stem: str, name: str) -> None:
    assert renamed(stem, "Q4_K_M") == name
