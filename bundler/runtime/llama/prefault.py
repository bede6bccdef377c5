"""Memory for weights that llama.cpp copies, made present by another CPU while they are copied. Linux.

The first touch of a page costs a microsecond or two in a virtual machine, and a 1B model's weights are 110,000 pages
that one thread fills. Large pages would cost less, but where memory is fragmented making them takes seconds.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bundler.runtime.llama.library import Log

_BUFFER = re.compile(r"(?:CPU|CPU_REPACK|AMX) model buffer size = +([0-9.]+) MiB")
"""What llama.cpp logs when it has reserved memory, right before it fills it."""
_LEAST = 32 << 20
_MOST_MORE = 64 << 20
"""Bytes beside a buffer that may lie in the same mapping, as the kernel joins neighbours."""
_STEP = 8 << 20
"""Bytes at a time: nothing else can be mapped meanwhile."""
_POPULATE_WRITE = 23
"""MADV_POPULATE_WRITE, since Linux 5.14."""
_ANONYMOUS = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p 00000000 00:00 0 *")


@contextmanager
def ahead(log: Log) -> Iterator[None]:
    """While this lasts, memory that llama.cpp is about to fill is made present; nothing where that cannot be."""
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2:
        yield
        return
    before = log.listener

    def hear(line: str) -> None:
        before(line)
        if (size := announced(line)) >= _LEAST:
            threading.Thread(target=populate, args=(size,), name="prefault", daemon=True).start()

    log.listener = hear
    try:
        yield
    finally:
        log.listener = before


def announced(line: str) -> int:
    """Bytes that a line of llama.cpp's log says to be reserved in memory; 0: it says nothing of the kind."""
    found = _BUFFER.search(line)
    return round(float(found[1]) * (1 << 20)) if found else 0


def populate(size: int) -> None:
    """Make an anonymous mapping present that has `size` bytes, to a hundredth of a MiB, or a few more."""
    begin, end = _mapping(size - (1 << 14))
    advise = ctypes.CDLL(None).madvise
    advise.argtypes, advise.restype = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int], ctypes.c_int
    for address in range(begin, end, _STEP):
        if advise(address, min(_STEP, end - address), _POPULATE_WRITE):
            return


def _mapping(least: int) -> tuple[int, int]:
    """The smallest of the mappings that a buffer may lie in; an empty range where there is none."""
    with open("/proc/self/maps", encoding="ascii", errors="replace") as maps:
        found = [(int(match[1], 16), int(match[2], 16)) for line in maps if (match := _ANONYMOUS.fullmatch(line[:-1]))]
    sizes = [(end - begin, begin, end) for begin, end in found if least <= end - begin <= least + _MOST_MORE]
    _, begin, end = min(sizes, default=(0, 0, 0))
    return begin, end
