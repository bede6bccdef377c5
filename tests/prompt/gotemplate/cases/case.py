"""A template, what it is executed with, and what comes out. The answers are Go's own; a test compares them."""

from __future__ import annotations

from typing import Any, NamedTuple


class Failure(NamedTuple):
    """An error, with Go's whole text."""

    message: str


class Case(NamedTuple):
    """`expected` is the output, or the error of reading or executing the template."""

    template: str
    data: Any
    expected: str | Failure


def fails(message: str) -> Failure:
    """An error of a template called TEMPLATE, its text from the line on."""
    return Failure(f"template: TEMPLATE:{message}")
