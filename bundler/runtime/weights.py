"""How the weights come from the file: mapped or read, and fetched in order when they are not in memory yet.

llama.cpp maps the WHOLE file and faults all of it in, whatever part the model is. So mapping pays where the model is
most of the file; where much else lies in it (a second model, a GPU overlay), reading its own range costs less.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Literal

import msgspec

from bundler.runtime.announce import size
from bundler.runtime.engine.interface import WeightsRange
from bundler.runtime.memory import LEAST_BESIDE

_FOREIGN_SHARE = 0.25
_FOREIGN_BYTES = 64 << 20
_SAMPLES = 64
_CHUNK = 4 << 20


class LoadMode(msgspec.Struct, frozen=True):
    mode: Literal["mapped", "read"]
    reason: str
    copied: bool = True
    """Whether weights may be copied into a layout that the CPU is faster with: memory of the process's own."""


def load_mode(
    weights: WeightsRange, file_size: int, *, free: int | None = None, asked: Literal["mmap", "read"] | None = None
) -> LoadMode:
    """As asked; else map when at most a quarter of the model's size, or 64 MiB, lies in the file beside it.

    Weights that do not fit into `free` bytes are mapped and left as they are, unless reading was asked for: the system
    takes such pages away and brings them back, where it would end a program that took as much memory of its own.
    """
    beside = file_size - weights.size
    share = 100 * weights.size // max(1, file_size)
    if asked:
        chosen = LoadMode("mapped" if asked == "mmap" else "read", "as asked")
    elif beside <= max(_FOREIGN_BYTES, int(weights.size * _FOREIGN_SHARE)):
        chosen = LoadMode("mapped", "the model is most of the file, so its pages are shared with the page cache")
    else:
        chosen = LoadMode("read", f"the model is only {share} % of the file, and mapping would fetch the rest too")
    if free is None or asked == "read" or weights.size + LEAST_BESIDE <= free:
        return chosen
    tight = f"{size(weights.size)} of weights do not fit into {size(free)} of free memory, so they stay in the file"
    return LoadMode("mapped", tight, copied=False)


def is_cached(weights: WeightsRange) -> bool:
    """Whether the range is in the page cache, by samples; True also where the system cannot tell."""
    nowait = getattr(os, "RWF_NOWAIT", 0)
    if sys.platform != "linux" or not nowait:
        return True
    byte = bytearray(1)
    step = max(4096, weights.size // _SAMPLES)
    for position in range(weights.offset, weights.offset + weights.size, step):
        try:
            os.preadv(weights.descriptor, [byte], position, nowait)
        except OSError as error:
            return error.errno != errno.EAGAIN
    return True


def prefetch(weights: WeightsRange, progress: Callable[[float], None]) -> None:
    """Bring the range into the page cache, in order; `progress` gets fractions 0..1.

    Raises:
        OSError: the file cannot be read (a pulled stick).
    """
    buffer = bytearray(_CHUNK)
    done = 0
    while done < weights.size:
        view = memoryview(buffer)[: min(_CHUNK, weights.size - done)]
        count = os.preadv(weights.descriptor, [view], weights.offset + done)
        if count == 0:
            raise OSError(errno.EIO, "the file ends before the model does")
        done += count
        progress(done / weights.size)
