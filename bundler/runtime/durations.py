"""Lengths of time as Go and Ollama write them: `5m`, `1h30m`, `90s`, a bare number of seconds; below 0 is for ever."""

from __future__ import annotations

import math
import re

_PARTS = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST = 64
"""Characters."""


def seconds(text: str) -> float:
    """The length of time in seconds; infinity where it is negative. Follows Go's time.ParseDuration.

    Raises:
        ValueError: the text is none.
    """
    said = text.strip()
    sign, rest = (said[0], said[1:]) if said[:1] in ("+", "-") else ("", said)
    if len(said) > _LONGEST:
        raise ValueError(f"{said[:_LONGEST]!r}… is no length of time")
    if rest.replace(".", "", 1).isdecimal() and rest.isascii():
        length = float(rest)
    else:
        parts = list(_PARTS.finditer(rest))
        if not parts or "".join(part[0] for part in parts) != rest:
            raise ValueError(f"{text!r} is no length of time; give seconds, or one like 5m or 1h30m")
        length = sum(float(part[1]) * _SECONDS[part[2]] for part in parts)
    return math.inf if sign == "-" and length else length


def words(length: float) -> str:
    """For people: `5m`, `1h30m`, `0s`, `for ever`."""
    if math.isinf(length):
        return "for ever"
    hours, rest = divmod(length, 3600)
    minutes, left = divmod(rest, 60)
    parts = [f"{hours:g}h" if hours else "", f"{minutes:g}m" if minutes else "", f"{left:g}s" if left else ""]
    return "".join(parts) or "0s"
