"""C for any target, compiled with Zig's compiler: the same sources and options give the same bytes on every machine."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bundler.build import cache, locks, toolchain
from bundler.build.progress import Progress
from bundler.errors import BundleError

LOCK = "launcher"
"""The lock file that pins the compiler."""

_TRIPLES = {
    "linux-x86_64": "x86_64-linux-musl",
    "linux-aarch64": "aarch64-linux-musl",
    "windows-x86_64": "x86_64-windows-gnu",
    "macos-arm64": "aarch64-macos.11.0",
    "macos-x86_64": "x86_64-macos.11.0",
}


def identity(target: str) -> list[str]:
    """What decides the compiler's output beside sources and options."""
    return [_TRIPLES[target], *(repr(pin) for pin in locks.read(locks.path(LOCK)))]


@contextmanager
def compiling(what: str, target: str, progress: Progress) -> Iterator[Path]:
    """A stage, and an empty folder for `compile_c`, gone afterwards."""
    with (
        progress.stage(f"Compiling {what} for {target}"),
        tempfile.TemporaryDirectory(prefix="zig-", dir=cache.folder("work")) as work,
    ):
        yield Path(work)


def compile_c(what: str, target: str, folder: Path, arguments: Sequence[str]) -> None:
    """Run the compiler in `folder`, whose files are named without any path: none of this machine gets into the output.

    Raises:
        BundleError: Zig cannot be had, or the compilation failed.
    """
    python = toolchain.program(toolchain.environment(locks.path(LOCK)), "python")
    result = subprocess.run(
        [str(python), "-m", "ziglang", "cc", "-target", _TRIPLES[target], *arguments],
        cwd=folder,
        env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(cache.folder("zig")), "ZIG_LOCAL_CACHE_DIR": "zig"},
        capture_output=True,
        text=True,
    )
    if result.returncode != 0:
        lines = result.stderr.splitlines() or ["the compiler gives no reason"]
        cause = next((line for line in lines if "error" in line), lines[-1])
        raise BundleError(
            f"failed to compile {what} for {target}: {cause}",
            "its source and this version of bundle belong together; install bundle again",
        )
