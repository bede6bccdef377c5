"""What this process may use of the machine: CPUs and memory, limits of its cgroup included.

Linux tells through files, read below an injectable root; elsewhere the operating system is asked for the plain counts.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

_UNLIMITED = 1 << 60
"""cgroup v1 writes a number near 2^63 for `no limit`."""
_BYTES_PER_THREAD = 16 << 20
"""Weights that keep one thread busy between two of llama.cpp's barriers. Below that a second thread brings next to
nothing, and where other programs want the CPU too, both wait for each other at every barrier: a 4 MB model answers ten
times slower."""
_CPUINFO_BYTES = 16384
"""The first CPU is enough; the file grows with their number."""


class Processors(msgspec.Struct, frozen=True):
    count: int
    """Threads worth starting, at least 1."""
    reason: str


class Memory(msgspec.Struct, frozen=True):
    available: int
    """Bytes that can be allocated without swapping or hitting a limit."""
    total: int
    reason: str


def processors(root: Path = Path("/")) -> Processors:
    """Usable physical cores: those of the process's affinity, at most the CPU quota of its cgroup."""
    usable = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else list(range(os.cpu_count() or 1))
    cores = _physical_cores(usable, root)
    quota = min(_cpu_quotas(root), default=math.inf)
    if quota < cores:
        return Processors(max(1, math.floor(quota)), f"the control group allows {quota:g} CPUs of {cores}")
    if cores < len(usable):
        return Processors(cores, f"one per physical core ({len(usable)} hardware threads)")
    return Processors(cores, "one per usable CPU")


def threads(asked: int | None, weights_size: int, root: Path = Path("/")) -> Processors:
    """How many threads compute a model of `weights_size` bytes: as asked, else one a core, fewer for small weights."""
    if asked:
        return Processors(asked, "as asked")
    found = processors(root)
    useful = max(1, math.ceil(weights_size / _BYTES_PER_THREAD))
    return Processors(useful, "more gain nothing with a model this small") if useful < found.count else found


def memory(root: Path = Path("/")) -> Memory:
    """Memory that is free to use now: the system's, at most what the cgroup's limit leaves."""
    total, available = _system_memory(root)
    limits = [(limit - used, limit) for limit, used in _memory_limits(root)]
    left, limit = min(limits, default=(_UNLIMITED, _UNLIMITED))
    if left < available:
        return Memory(max(0, left), min(limit, total), "limited by the control group")
    return Memory(available, min(limit, total), "available memory of the machine")


def processor_identity(root: Path = Path("/")) -> str:
    """CPU model, flags and kernel release: what decides whether an instruction works."""
    lines = _text(root / "proc/cpuinfo", _CPUINFO_BYTES).splitlines()
    wanted = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features", "CPU implementer")
    seen: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in wanted:
            seen.setdefault(key.strip(), value.strip())
    system = os.uname() if hasattr(os, "uname") else None
    kernel = f"{system.sysname} {system.release} {system.machine}" if system else sys.platform
    return "\n".join([kernel, *(f"{key}: {value}" for key, value in sorted(seen.items()))])


def _physical_cores(usable: list[int], root: Path) -> int:
    siblings = {
        _text(root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").strip() or str(cpu)
        for cpu in usable
    }
    return max(1, len(siblings))


def _cpu_quotas(root: Path) -> Iterable[float]:
    """CPUs allowed by each cgroup that holds this process, where limited."""
    for folder in _groups(root, "cpu"):
        words = _text(folder / "cpu.max").split()
        if len(words) == 2 and words[0].isdecimal():
            yield int(words[0]) / int(words[1])
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if quota and period and quota > 0:
            yield quota / period


def _memory_limits(root: Path) -> Iterable[tuple[int, int]]:
    """(limit, used) in bytes of each cgroup around this process, where limited. Page cache does not count as used."""
    for folder in _groups(root, "memory"):
        for limit_file, used_file, cache_key in (
            ("memory.max", "memory.current", "file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache"),
        ):
            limit, used = _number(folder / limit_file), _number(folder / used_file)
            if limit is None or used is None or limit >= _UNLIMITED:
                continue
            statistics = dict(line.split(maxsplit=1) for line in _text(folder / "memory.stat").splitlines() if line)
            yield limit, max(0, used - int(statistics.get(cache_key, 0)))


def _groups(root: Path, controller: str) -> Iterable[Path]:
    """Folders of the cgroup of this process and of those above it, for v2 and v1; those that exist."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            top = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            top = root / "sys/fs/cgroup" / controller
        else:
            continue
        folder = top / path.lstrip("/")
        while folder != top and top in folder.parents:
            if folder.is_dir():
                yield folder
            folder = folder.parent
        yield top


def _system_memory(root: Path) -> tuple[int, int]:
    """(total, available) in bytes."""
    fields: dict[str, int] = {}
    for line in _text(root / "proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdecimal():
            fields[name] = int(words[0]) * 1024
    if "MemAvailable" in fields and "MemTotal" in fields:
        return fields["MemTotal"], fields["MemAvailable"]
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        total = 8 << 30
    return total, total // 2


def _number(file: Path) -> int | None:
    try:
        return int(_text(file))
    except ValueError:
        return None


def _text(file: Path, most: int = 1 << 20) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(most).decode("utf-8", "replace")
    except OSError:
        return ""
