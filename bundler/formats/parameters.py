"""The PARAMETERs of a Modelfile: their names and types, as in Ollama's api/types.go.

Text in, typed value out. Knows nothing of where the text stood, nor of what a parameter does.
"""

from __future__ import annotations

import math
import re
import struct
from typing import Final

from bundler.formats.excerpt import clipped
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

_INT = re.compile(r"([+-]?)0*([0-9]{1,19})")
_DIGITS, _HEX = r"[0-9](?:_?[0-9])*+", r"[0-9a-fA-F](?:_?[0-9a-fA-F])*+"
_FLOAT = re.compile(rf"[+-]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?")
_HEX_FLOAT = re.compile(rf"[+-]?0[xX](?:_?{_HEX}(?:\.(?:{_HEX})?)?|\.{_HEX})[pP][+-]?{_DIGITS}")
_MAX_DIGITS = 400
"""Characters of a number; no longer one means anything, and reading it would take long."""
_SINGLE = struct.Struct("<f")
_TRUTH = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def convert(name: str, text: str) -> ParameterValue:
    """The value of parameter `name`, which is a key of `TYPES`; one stop string for `stop`.

    Numbers as Go's strconv.ParseInt(…, 10, 64) and ParseFloat(…, 32) take them, hexadecimal ones and underscores
    included; `inf` and `nan` are refused, which Ollama fails at later.

    Raises:
        ValueError: the text is none of that type; the message says what is needed.
    """
    kind = TYPES[name]
    if kind is int:
        whole = _INT.fullmatch(text)
        if whole and -(1 << 63) <= (value := int(whole[1] + whole[2])) < 1 << 63:
            return value
        raise ValueError(f'{name} needs a whole number, and "{clipped(text)}" is none')
    if kind is float:
        number = _float(text)
        if number is not None:
            return number
        raise ValueError(f'{name} needs a number, and "{clipped(text)}" is none')
    if kind is bool:
        if text in _TRUTH:
            return _TRUTH[text]
        raise ValueError(f'{name} needs true or false, and "{clipped(text)}" is neither')
    if not text:
        raise ValueError(f"{name} needs some text")
    return text


def _float(text: str) -> float | None:
    """The number that fits a 32-bit float, or None."""
    if len(text) > _MAX_DIGITS:
        return None
    digits = text.replace("_", "")
    try:
        if _FLOAT.fullmatch(text):
            value = float(digits)
        elif _HEX_FLOAT.fullmatch(text):
            value = float.fromhex(digits)
        else:
            return None
        _SINGLE.pack(value)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None
