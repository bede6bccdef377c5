"""One clear end where a mapped file is lost under the program: overwritten in place, damaged, its medium pulled out.

The kernel answers the next access to a mapped page with SIGBUS, in whatever thread computes. A handler of Python's own
would wait for the interpreter, which the thread never comes back to; a callback of ctypes runs at once.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

_MESSAGE = (
    b"error: failed to read the model's file: it was changed, damaged or taken away while it was in use\n"
    b"hint: connect its medium again or get the file again, and start it again\n"
)
_telling = threading.Lock()


def watch() -> None:
    """From now on such a loss is told on stderr and ends the process with exit code 1."""
    if sys.platform != "win32":
        libc = ctypes.CDLL(None)
        libc.signal.argtypes, libc.signal.restype = [ctypes.c_int, _Handler], ctypes.c_void_p
        libc.signal(signal.SIGBUS, _handler)


def _end(number: int) -> None:
    _telling.acquire()  # never released: of several threads that come here one tells, and ends them all
    try:
        os.write(2, _MESSAGE)
    finally:
        os._exit(1)


_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int)
_handler = _Handler(_end)
