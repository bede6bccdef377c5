"""Floating-point numbers as Go's strconv.FormatFloat writes them (64 bits).

Knows no flags, no widths and no types of values; see fmt for those.
"""

from __future__ import annotations

import math
import struct

SHORTEST = -1
"""As precision: the fewest digits that read back as the same number."""

_FRACTION_BITS = 52
_HEX_DIGITS = _FRACTION_BITS // 4
_BIAS = 1023


def format_float(value: float, form: str, precision: int = SHORTEST) -> str:
    """The number as `e`, `E`, `f`, `g`, `G`, `x`, `X` or `b`, with `precision` as Go's documentation defines it.

    The shortest `g` has an exponent below 1e-4 and from 1e6 on. Infinity and NaN are `+Inf`, `-Inf` and `NaN`.
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if form == "b":
        return _binary(value)
    if form in "xX":
        text = _hexadecimal(value, precision)
        return text.upper() if form == "X" else text
    if precision != SHORTEST:
        return f"{value:.{precision}{form}}"
    digits, point = _shortest_digits(value)
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    if form == "f" or (form in "gG" and -4 < point <= 6):
        return sign + _positional(digits, point)
    return sign + _scientific(digits, point, "E" if form in "EG" else "e")


def _shortest_digits(value: float) -> tuple[str, int]:
    """The significant digits without zeros at either end, and where the point lies: value = 0.digits * 10**point."""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    return (digits, point) if digits else ("", 1)


def _positional(digits: str, point: int) -> str:
    if point <= 0:
        return "0." + "0" * -point + digits if digits else "0"
    whole = digits[:point].ljust(point, "0")
    return f"{whole}.{digits[point:]}" if len(digits) > point else whole


def _scientific(digits: str, point: int, letter: str) -> str:
    digits = digits or "0"
    fraction = "." + digits[1:] if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}{letter}{point - 1:+03d}"


def _hexadecimal(value: float, precision: int) -> str:
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    fraction, exponent = math.frexp(abs(value))
    bits, exponent = int(fraction * 2 ** (_FRACTION_BITS + 1)), exponent - 1
    if not bits:
        exponent = 0
    digits = _HEX_DIGITS
    if 0 <= precision < _HEX_DIGITS:
        digits = precision
        dropped = 4 * (_HEX_DIGITS - precision)
        bits, rest = bits >> dropped, bits & ((1 << dropped) - 1)
        half = 1 << (dropped - 1)
        if rest > half or (rest == half and bits & 1):
            bits += 1
        if bits >> (4 * digits + 1):
            bits, exponent = bits >> 1, exponent + 1
    lead, tail = bits >> 4 * digits, bits & ((1 << 4 * digits) - 1)
    text = f"{tail:0{digits}x}" if digits else ""
    text = text.rstrip("0") if precision < 0 else text.ljust(precision, "0")
    return f"{sign}0x{lead}{'.' if text else ''}{text}p{exponent:+03d}"


def _binary(value: float) -> str:
    (bits,) = struct.unpack(">Q", struct.pack(">d", value))
    mantissa, exponent = bits & ((1 << _FRACTION_BITS) - 1), bits >> _FRACTION_BITS & 0x7FF
    if exponent:
        mantissa |= 1 << _FRACTION_BITS
    return f"{'-' if bits >> 63 else ''}{mantissa}p{max(exponent, 1) - _BIAS - _FRACTION_BITS:+d}"
