"""What long work tells of itself: stages with a title and, where it is known, a total.

The build rooms speak to this protocol; the command line draws it. `Silent` is for callers that show nothing.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol

Unit = Literal["bytes", "steps"]


class Stage(Protocol):
    def advance(self, amount: int) -> None: ...


class Progress(Protocol):
    def stage(self, title: str, total: int | None = None, unit: Unit = "bytes") -> AbstractContextManager[Stage]:
        """A stage that begins on entry and ends on exit; `total` None draws no bar, only the title."""
        ...


class _Quiet:
    def advance(self, amount: int) -> None:
        return None


class Silent:
    """Shows nothing."""

    def stage(self, title: str, total: int | None = None, unit: Unit = "bytes") -> AbstractContextManager[Stage]:
        return nullcontext(_Quiet())
