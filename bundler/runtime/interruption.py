"""Signals that ask the program to end: the first one politely, the second one now."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType


class Interruption:
    """Takes over SIGINT, SIGTERM and, on Windows, SIGBREAK. Install it in the main thread.

    Until `on_first` is set there is nothing to finish, and the process ends at once with exit code 0.
    """

    def __init__(self) -> None:
        self.on_first: Callable[[], None] | None = None
        self._asked = False

    def install(self) -> None:
        for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            os._exit(128 + number)
        if self.on_first is None:
            os._exit(0)
        self._asked = True
        self.on_first()
