"""The build machine's dynamic loader, C library and C++ runtime, brought along so that any Linux can start a bundle.

Linux with glibc only. Which of the brought and the host's own C library is used is the launcher's decision.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from bundler.build import compiler, elf
from bundler.errors import BundleError

FAMILY = (
    "libc.so.6",
    "libm.so.6",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "libutil.so.1",
    "libresolv.so.2",
    "libanl.so.1",
    "libnss_files.so.2",
    "libnss_dns.so.2",
)
"""Libraries of glibc that a program may need by name, or that glibc opens itself; older names are stubs since 2.34."""

CXX = ("libstdc++.so.6", "libgcc_s.so.1")


@dataclass(frozen=True)
class Libc:
    """Files to bring, each to be stored under the name of its key."""

    version: str
    """glibc's version, such as `2.36`."""
    loader: str
    """Name of the dynamic loader among `files`."""
    files: dict[str, Path]
    cxx: dict[str, Path]


def host() -> Libc:
    """The C library that this Python runs on, and the C++ runtime of the compiler.

    Raises:
        BundleError: this is no glibc system, or a part is missing.
    """
    version = (os.confstr("CS_GNU_LIBC_VERSION") if sys.platform == "linux" else None) or ""
    if not version.startswith("glibc "):
        raise BundleError(
            "failed to collect the C library: this system does not use glibc",
            "build the runtime pack on a distribution with glibc, such as Debian, and import it here",
        )
    loader = Path(elf.read(Path(sys.executable).resolve()).interpreter)
    home = loader.resolve().parent
    files = {name: home / name for name in FAMILY if (home / name).exists()}
    if "libc.so.6" not in files:
        raise BundleError(f"failed to collect the C library: there is no libc.so.6 in {home}")
    return Libc(
        version=version.removeprefix("glibc "),
        loader=loader.name,
        files={loader.name: loader.resolve(), **files},
        cxx={name: compiler.library(name) for name in CXX},
    )


def copy(libc: Libc, root: Path) -> None:
    """Put the loader and libraries into `<root>/libc`, the C++ runtime into `<root>/cxx`."""
    for folder, files in ((root / "libc", libc.files), (root / "cxx", libc.cxx)):
        folder.mkdir()
        for name, path in files.items():
            shutil.copyfile(path, folder / name)
            (folder / name).chmod(0o755)
