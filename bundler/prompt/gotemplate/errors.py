"""What goes wrong in a Go template, worded as Go's text/template words it.

Knows positions and names only, nothing of how a template is read or run.
"""

from __future__ import annotations


class GoTemplateError(Exception):
    """A template that cannot be read or run.

    `message` is Go's whole text ("template: NAME:LINE:COLUMN: executing …"). `line` counts from 1, `column` from 0 in
    bytes of UTF-8 as Go counts it; None where Go names no column, as when reading. There `at` tells where the reading
    stood, in characters of the template.
    """

    def __init__(self, message: str, line: int, column: int | None = None, at: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column
        self.at = at


class ParseError(GoTemplateError):
    """The text is no template."""


class ExecutionError(GoTemplateError):
    """The template cannot be run with this data."""


class LimitError(ExecutionError):
    """The template works or writes more than `limits` allows."""


class FunctionError(Exception):
    """A function refuses its arguments; the engine puts place and name before the text."""
