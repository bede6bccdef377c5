"""JSON values as a Go template gets them: numbers are float64, text is UTF-8, and what has the wrong type is refused.

Marks text as foreign where that is asked for. Knows nothing of messages or tools.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bundler.errors import BundleError
from bundler.formats.excerpt import clipped
from bundler.prompt.foreign import Foreign

MAX_DEPTH: Final = 64
"""Levels of lists and objects in a tool, its schema, or the arguments of a call."""

_LONE: Final = re.compile("[\ud800-\udfff]")


class Reader:
    """Reads JSON values; `where` names the value in errors, as `messages[2].content`.

    Every method raises BundleError where the value has another type than asked for; null and what is missing are the
    type's zero value, as they are for Go.
    """

    def __init__(self, foreign: bool) -> None:
        self.foreign = foreign

    def text(self, value: Any, where: str) -> str:
        """A string; half a surrogate pair is U+FFFD."""
        if value is None or value == "":
            return ""
        if not isinstance(value, str):
            raise refusal(where, "is no text")
        if not value.isascii():
            value = _LONE.sub("\ufffd", value)
        return Foreign(value) if self.foreign else value

    def texts(self, value: Any, where: str) -> list[str]:
        return [self.text(item, f"{where}[{at}]") for at, item in enumerate(sequence(value, where))]

    def json(self, value: Any, where: str, depth: int = 0) -> Any:
        """Any JSON value, as Go decodes it into an `any`."""
        if depth > MAX_DEPTH:
            raise refusal(where, "nests too deeply")
        if isinstance(value, str):
            return self.text(value, where)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return _number(value, where)
        if isinstance(value, Mapping):
            return {self.text(key, where): self.json(item, f"{where}.{key}", depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.json(item, f"{where}[{at}]", depth + 1) for at, item in enumerate(value)]
        raise refusal(where, "is no JSON value")


def mapping(value: Any, where: str) -> Mapping[str, Any]:
    """An object.

    Raises:
        BundleError: it is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise refusal(where, "is no object")
    return value


def sequence(value: Any, where: str) -> Sequence[Any]:
    """A list.

    Raises:
        BundleError: it is something else.
    """
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise refusal(where, "is no list")
    return value


def member(where: str, key: str) -> str:
    """The place of a member of the object at `where`, for people; its length does not depend on what a client sent."""
    return where if len(where) > 100 else f"{where}.{key[:40]}"


def refusal(where: str, fault: str) -> BundleError:
    return BundleError(f"failed to render the messages: {clipped(where, 100)} {fault}")


def _number(value: float, where: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise refusal(where, "is no number that JSON and a float of 64 bits can hold")
    return number
