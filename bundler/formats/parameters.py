"""The PARAMETERs of a Modelfile: their names and types, as in Ollama's api/types.go.

Text in, typed value out. Knows nothing of where the text stood, nor of what a parameter does.
"""

from __future__ import annotations

import math
import re
from typing import Final

from bundler.formats.manifest import ParameterValue

TYPES: Final[dict[str, type[int] | type[float] | type[bool] | type[str]]] = {
    "num_ctx": int, "num_predict": int, "num_keep": int, "num_batch": int, "num_gpu": int, "main_gpu": int,
    "num_thread": int, "draft_num_predict": int, "seed": int, "top_k": int, "repeat_last_n": int,
    "temperature": float, "top_p": float, "min_p": float, "typical_p": float, "repeat_penalty": float,
    "presence_penalty": float, "frequency_penalty": float, "use_mmap": bool, "stop": str,
}  # fmt: skip
"""By name. `stop` may be given several times; its values make a list."""

DEPRECATED: Final = frozenset((
    "penalize_newline", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mlock", "mirostat", "mirostat_tau",
    "mirostat_eta",
))  # fmt: skip
"""Known to Ollama from earlier versions, and ignored."""

_INT = re.compile(r"[+-]?[0-9]{1,19}")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TRUTH = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def convert(name: str, text: str) -> ParameterValue:
    """The value of parameter `name`, which is a key of `TYPES`; one stop string for `stop`.

    Raises:
        ValueError: the text is none of that type; the message says what is needed.
    """
    kind = TYPES[name]
    if kind is int:
        if _INT.fullmatch(text) and -(1 << 63) <= int(text) < 1 << 63:
            return int(text)
        raise ValueError(f'{name} needs a whole number, and "{text[:40]}" is none')
    if kind is float:
        if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
            return float(text)
        raise ValueError(f'{name} needs a number, and "{text[:40]}" is none')
    if kind is bool:
        if text in _TRUTH:
            return _TRUTH[text]
        raise ValueError(f'{name} needs true or false, and "{text[:40]}" is neither')
    if not text:
        raise ValueError(f"{name} needs some text")
    return text
