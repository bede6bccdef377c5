"""Memory that llama.cpp is about to fill is made present beside it."""

from __future__ import annotations

import mmap
import re
import sys
from pathlib import Path

import pytest

from bundler.runtime.llama import prefault
from bundler.runtime.llama.library import Log

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has MADV_POPULATE_WRITE")

INFO = 2


def present(size: int) -> int:
    """KiB in memory of the mappings of so many bytes, or a little more, as neighbours are joined."""
    found = re.findall(r"^Size: +(\d+) kB\n(?:\w+: .*\n)*?Rss: +(\d+) kB", Path("/proc/self/smaps").read_text(), re.M)
    return max((int(rss) for length, rss in found if size >> 10 <= int(length) < (size >> 10) + 4096), default=0)


@pytest.mark.parametrize(
    ("line", "size"),
    [
        ("load_tensors:   CPU_REPACK model buffer size =   445.50 MiB", 467140608),
        ("load_tensors:          CPU model buffer size =    52.00 MiB", 54525952),
        ("load_tensors:   CPU_Mapped model buffer size =   770.11 MiB", 0),
        ("load_tensors:        CUDA0 model buffer size =   770.11 MiB", 0),
        ("llama_kv_cache:        CPU KV buffer size =   128.00 MiB", 0),
    ],
)
def test_what_llama_cpp_says_that_it_reserved(line: str, size: int) -> None:
    assert prefault.announced(line) == size


def test_memory_of_that_size_is_made_present() -> None:
    size = 77 << 20
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS):
        assert present(size) < 4096  # a neighbour
        prefault.populate(size)
        assert present(size) >= size >> 10


def test_where_there_is_no_such_memory_nothing_happens() -> None:
    prefault.populate(1 << 46)


def test_the_log_is_listened_to_for_as_long_as_weights_are_loaded() -> None:
    log, heard = Log(), list[str]()
    log.listener = heard.append
    with prefault.ahead(log):
        log.add(INFO, b"load_tensors: CPU_REPACK model buffer size = 1.00 MiB\n")
    log.add(INFO, b"later\n")
    assert heard == ["load_tensors: CPU_REPACK model buffer size = 1.00 MiB", "later"]
    assert log.listener == heard.append
