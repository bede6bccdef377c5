"""The one error type that users see: what failed with what, and the next action.

Knows nothing of the rest of the program; everything may import it. Only the command lines (`bundler.cli` and
`bundler.runtime.cli`) print it and exit.
"""

from __future__ import annotations


class BundleError(Exception):
    """The work failed for a reason that the user can act on.

    `message` reads "failed to VERB WHAT: CAUSE"; `hint` is the next action, or empty where there is none.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def render(self) -> str:
        """The lines printed on stderr, without a trailing newline."""
        lines = f"error: {self.message}"
        return f"{lines}\nhint: {self.hint}" if self.hint else lines
