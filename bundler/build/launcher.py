"""Compile the launcher of `stub/` for any target, with Zig's C compiler and zstd's decoder.

Content-addressed by sources, pinned tools and options; the same address gives the same bytes on every machine.
Knows nothing of bundles or packs.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from pathlib import Path

from bundler import data
from bundler.build import cache, locks, sdists, zig
from bundler.build.progress import Progress, Silent
from bundler.errors import BundleError

_OPTIONS = (
    *("-std=gnu11", "-O2", "-s", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"),
    *("-Wall", "-Wextra", "-Wconversion", "-Wno-sign-conversion", "-Werror"),
    *("-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64"),
)
_ZSTD = "zstandard"

_DECODER_LACKS = (
    ("/**** start inlining compress/fse_compress.c ****/", "/**** start inlining decompress/huf_decompress.c ****/"),
    ("/**** start inlining dictBuilder/cover.c ****/", None),
)
"""What is cut out of the amalgamated zstd.c, from and to these lines: compressing takes a minute to compile."""


def build_launcher(target: str, cache_root: Path, progress: Progress | None = None) -> Path:
    """The launcher for `target`, compiled on the first call and kept below `cache_root`.

    Raises:
        BundleError: Zig or the source of zstd cannot be had, or the compilation failed.
    """
    folder = cache_root / "build" / "launchers" / f"{target}-{key(target)[:16]}"
    program = folder / ("launcher.exe" if target.startswith("windows-") else "launcher")
    if not program.exists():
        with cache.locked(folder):
            if not program.exists():
                _compile(target, program, progress or Silent())
    return program


def key(target: str) -> str:
    """The content address: 64 hexadecimal digits over everything that decides the launcher's bytes."""
    parts = [target, *zig.identity(target), *_options(target), *map(repr, _DECODER_LACKS)]
    parts += [repr(pin) for pin in locks.read(locks.path(_ZSTD))]
    parts += [f"{path.name} {path.read_text(encoding='utf-8')}" for path in _sources("*.[ch]")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _options(target: str) -> list[str]:
    return [*(["-static"] if target.startswith("linux-") else []), *_OPTIONS]


def _sources(pattern: str) -> list[Path]:
    return sorted(data.path("stub").glob(pattern))


def _compile(target: str, program: Path, progress: Progress) -> None:
    archive = sdists.archive(_ZSTD, zig.LOCK, progress)
    with zig.compiling("the launcher", target, progress) as work:
        _lay_out(work, archive, target)
        inputs = ("-isystem", "zstd", "-I.", "all.c", "zstd/decoder.c")
        arguments = [*_options(target), f'-DTARGET="{target}"', *inputs, "-o", program.name]
        zig.compile_c("the launcher", target, work, arguments)
        with cache.replacing(program.parent) as finished:
            shutil.move(work / program.name, finished / program.name)


def _lay_out(work: Path, archive: Path, target: str) -> None:
    """Write the sources as the compiler takes them: one file includes all others, as each run of Zig costs seconds."""
    foreign = "_posix.c" if target.startswith("windows-") else "_windows.c"
    for path in _sources("*.[ch]"):
        shutil.copy(path, work / path.name)
    names = [path.name for path in _sources("*.c") if not path.name.endswith(foreign)]
    (work / "all.c").write_text("".join(f'#include "{name}"\n' for name in names), encoding="utf-8")
    (work / "zstd").mkdir()
    for name in ("zstd.c", "zstd.h", "zstd_errors.h"):
        (work / "zstd" / name).write_bytes(_member(archive, f"zstd/{name}"))
    amalgamation = work / "zstd" / "zstd.c"
    decoder = '#pragma clang diagnostic ignored "-Weverything"\n' + _decoder(amalgamation.read_text(encoding="utf-8"))
    (work / "zstd" / "decoder.c").write_text(decoder, encoding="utf-8", newline="\n")


def _decoder(text: str) -> str:
    for first, last in _DECODER_LACKS:
        begin = text.index(first)
        text = text[:begin] + (text[text.index(last, begin) :] if last else "")
    return text


def _member(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.partition("/")[2] == name and (content := tar.extractfile(member)):
                return content.read()
    raise BundleError(
        f"failed to compile the launcher: there is no {name} in {archive.name}",
        "remove it from the cache and try again",
    )


def zstd_license() -> str:
    """The licence text of zstd, whose decoder is part of every launcher.

    Raises:
        BundleError: the source of zstd cannot be had.
    """
    return _member(sdists.archive(_ZSTD, zig.LOCK, Silent()), "zstd/LICENSE").decode()
