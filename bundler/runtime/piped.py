"""What a user pipes into a command."""

from __future__ import annotations

import os
import stat
from typing import TextIO

from bundler.errors import BundleError


def piped(stdin: TextIO | None) -> str:
    """The text of a pipe or file on stdin; a terminal or device is not waited for.

    Raises:
        BundleError: it is no UTF-8.
    """
    if stdin is None:
        return ""
    mode = os.fstat(stdin.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode)):
        return ""
    try:
        return stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as cause:
        raise BundleError("failed to read stdin: it is no UTF-8 text") from cause
