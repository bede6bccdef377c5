"""CPU count and memory limits, read from trees of files as Linux shows them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bundler.runtime import machine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's files")

GIB = 1 << 30
MEMINFO = "MemTotal: 16777216 kB\nMemFree: 1048576 kB\nMemAvailable: 8388608 kB\n"


@pytest.fixture(autouse=True)
def eight_hardware_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in {"proc/meminfo": MEMINFO, **files}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_hardware_threads_of_one_core_count_once(tmp_path: Path) -> None:
    files = {
        f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": f"{cpu % 4},{cpu % 4 + 4}\n"
        for cpu in range(8)
    }
    found = machine.processors(tree(tmp_path, files))
    assert (found.count, found.reason) == (4, "one per physical core (8 hardware threads)")


@pytest.mark.parametrize(
    ("asked", "size", "count", "reason"),
    [
        (None, 4 << 20, 1, "more gain nothing with a model this small"),
        (None, 80 << 20, 5, "more gain nothing with a model this small"),
        (None, 1 << 30, 8, "one per usable CPU"),
        (3, 4 << 20, 3, "as asked"),
    ],
)
def test_small_weights_get_few_threads(tmp_path: Path, asked: int | None, size: int, count: int, reason: str) -> None:
    found = machine.threads(asked, size, tree(tmp_path, {}))
    assert (found.count, found.reason) == (count, reason)


def test_without_topology_every_cpu_counts(tmp_path: Path) -> None:
    found = machine.processors(tree(tmp_path, {}))
    assert (found.count, found.reason) == (8, "one per usable CPU")


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "300000 100000\n", "sys/fs/cgroup/a/b/x": ""}, 3),
        (
            {
                "proc/self/cgroup": "4:memory:/\n3:cpu,cpuacct:/box\n",
                "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu:/elsewhere\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
    ],
    ids=["v2", "less than one", "v2 unlimited", "v2 parent", "v1", "v1 unlimited"],
)
def test_a_cpu_quota_is_respected(tmp_path: Path, files: dict[str, str], count: int) -> None:
    assert machine.processors(tree(tmp_path, files)).count == count


def test_a_quota_says_so(tmp_path: Path) -> None:
    root = tree(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"})
    assert machine.processors(root).reason == "the control group allows 1.5 CPUs of 8"


@pytest.mark.parametrize(
    ("files", "available"),
    [
        ({}, 8 * GIB),
        (
            {
                "proc/self/cgroup": "0::/box\n",
                "sys/fs/cgroup/box/memory.max": f"{4 * GIB}\n",
                "sys/fs/cgroup/box/memory.current": f"{3 * GIB}\n",
                "sys/fs/cgroup/box/memory.stat": f"anon 5\nfile {2 * GIB}\n",
            },
            3 * GIB,
        ),
        (
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": "max\n",
                "sys/fs/cgroup/memory.current": "5\n",
            },
            8 * GIB,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/box\n",
                "sys/fs/cgroup/memory/box/memory.limit_in_bytes": f"{2 * GIB}\n",
                "sys/fs/cgroup/memory/box/memory.usage_in_bytes": f"{GIB}\n",
                "sys/fs/cgroup/memory/box/memory.stat": "cache 7\ntotal_cache 0\n",
            },
            GIB,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "5\n",
            },
            8 * GIB,
        ),
    ],
    ids=["machine", "v2", "v2 unlimited", "v1", "v1 unlimited"],
)
def test_a_memory_limit_is_respected(tmp_path: Path, files: dict[str, str], available: int) -> None:
    assert machine.memory(tree(tmp_path, files)).available == available


def test_a_tree_without_anything_still_gives_numbers(tmp_path: Path) -> None:
    assert machine.processors(tmp_path).count == 8
    assert machine.memory(tmp_path).available > 0


def test_the_identity_changes_with_the_flags(tmp_path: Path) -> None:
    cpu = "processor: 0\nmodel name: Fast\nflags: sse avx\ncpu MHz: {}\n\nprocessor: 1\nmodel name: Fast\n"
    first = machine.processor_identity(tree(tmp_path, {"proc/cpuinfo": cpu.format(1000)}))
    slower = machine.processor_identity(tree(tmp_path, {"proc/cpuinfo": cpu.format(900)}))
    other = machine.processor_identity(tree(tmp_path, {"proc/cpuinfo": cpu.format(900).replace(" avx", "")}))
    assert first == slower != other
