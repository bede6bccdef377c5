"""The shared libraries of a runtime, in one folder: llama.cpp's, and our own from `native/`."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from bundler import data
from bundler.build import cache, llamacpp, zig
from bundler.build.progress import Progress
from bundler.formats import targets

_OPTIONS = ("-std=gnu11", "-O3", "-s", "-shared", "-Wall", "-Wextra", "-Wconversion", "-Werror")
_ELF_OPTIONS = ("-fPIC", "-fvisibility=hidden", "-nostdlib")
_SOURCE = "likeliest.c"


def key() -> str:
    """The content address: 64 hex digits over sources, options and compilers.

    Raises:
        BundleError: there is no compiler.
    """
    target = targets.host()
    parts = [llamacpp.key(), *zig.identity(target), *_options(target), _source().read_text(encoding="utf-8")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def build(progress: Progress) -> Path:
    """The folder of this machine's libraries, nothing else in it; compiled on the first call.

    Raises:
        BundleError: no compiler, no network for the first download, or the compilation failed.
    """
    finished = cache.folder("libraries") / key()[:16]
    if finished.is_dir():
        return finished
    others = llamacpp.build(progress)
    with cache.locked(finished):
        if not finished.is_dir():
            with cache.replacing(finished) as folder:
                shutil.copytree(others, folder, symlinks=True, dirs_exist_ok=True)
                compile_own(targets.host(), folder, progress)
    return finished


def compile_own(target: str, folder: Path, progress: Progress) -> Path:
    """Compile our own library for any target into `folder`; returns its path.

    Raises:
        BundleError: the compiler cannot be had, or the compilation failed.
    """
    name = _name(target)
    with zig.compiling("the runtime's own library", target, progress) as work:
        shutil.copy(_source(), work / _SOURCE)
        zig.compile_c("the runtime's own library", target, work, [*_options(target), _SOURCE, "-o", name])
        return Path(shutil.copy(work / name, folder / name))


def _name(target: str) -> str:
    if target.startswith("windows-"):
        return "likeliest.dll"
    return "liblikeliest.dylib" if target.startswith("macos-") else "liblikeliest.so"


def _options(target: str) -> tuple[str, ...]:
    """On Linux nothing of a C library is needed, whichever one there is."""
    return (*_OPTIONS, *(_ELF_OPTIONS if target.startswith("linux-") else ()))


def _source() -> Path:
    return data.path("native") / _SOURCE
