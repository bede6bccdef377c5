"""What a machine lacks for building a runtime pack, found before anything long begins.

Standard library only, and a plain script too: `python3 bundler/build/preflight.py` runs before any environment exists,
on any Python 3, and prints one error and one hint. Knows nothing of the rest of the program.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

OLDEST = (3, 11)


@dataclass(frozen=True)
class Lack:
    """Something that is missing."""

    what: str
    packages: tuple[str, ...]
    """Debian's and Ubuntu's packages that bring it."""
    otherwise: str
    """What to do where those packages do not help."""


def check() -> list[Lack]:
    """Everything that is missing, not only the first thing; empty where a pack can be built."""
    return [lack for lack in (*_check_python(), *_check_compilers()) if lack is not None]


def message(lacks: list[Lack]) -> tuple[str, str]:
    """The error and the hint for people."""
    packages = list(dict.fromkeys(package for lack in lacks for package in lack.packages))
    hints = [f"on Debian and Ubuntu: apt install {' '.join(packages)}"] if packages else []
    hints += [lack.otherwise for lack in lacks if lack.otherwise]
    return f"failed to start: this machine lacks {_listed([lack.what for lack in lacks])}", "; ".join(hints)


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _check_python() -> list[Lack | None]:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if sys.version_info[:2] < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        return [
            Lack(
                f"Python {wanted} or newer (this is {version})",
                (f"python{wanted}", f"python{wanted}-venv", f"libpython{wanted}"),
                f"then make PYTHON=python{wanted}",
            )
        ]
    lacks: list[Lack | None] = []
    if any(importlib.util.find_spec(name) is None for name in ("venv", "ensurepip")):
        lacks.append(Lack(f"Python's venv module (for Python {version})", (f"python{version}-venv",), ""))
    if sys.platform != "win32" and not _has_shared_library(version):
        of_distribution = sys.base_prefix == "/usr"
        lacks.append(
            Lack(
                f"the shared library of Python {version}",
                (f"libpython{version}",) if of_distribution else (),
                ""
                if of_distribution
                else f"{sys.base_prefix} holds a Python without it: use the distribution's "
                "(make PYTHON=/usr/bin/python3) or rebuild this one with --enable-shared",
            )
        )
    if sys.platform == "linux" and not _is_glibc():
        lacks.append(Lack("glibc", (), "build on a distribution with glibc and bring the pack here with `import`"))
    return lacks


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (OSError, ValueError):
        return False


def _has_shared_library(version: str) -> bool:
    """Whether PyInstaller will find libpython: beside the interpreter, or where its build says."""
    variables = sysconfig.get_config_vars()
    if variables.get("PYTHONFRAMEWORK"):
        return True
    names = [f"libpython{version}.so.1.0", f"libpython{version}.so", f"libpython{version}.dylib"]
    if variables.get("Py_ENABLE_SHARED"):
        names.insert(0, str(variables.get("INSTSONAME")))
    folders = [Path(sys.base_prefix) / "lib"]
    if variables.get("LIBDIR"):
        folders += [Path(variables["LIBDIR"]), Path(variables["LIBDIR"]) / str(variables.get("MULTIARCH"))]
    return any((folder / name).exists() for folder in folders for name in names)


def _check_compilers() -> list[Lack | None]:
    return [
        Lack(f"a {language} compiler ({command})", (package,), "")
        for variable, command, language, package in (("CC", "cc", "C", "gcc"), ("CXX", "c++", "C++", "g++"))
        if shutil.which((os.environ.get(variable) or command).split()[0]) is None
    ]


def main() -> int:
    """Print what is missing; 0 where nothing is."""
    lacks = check()
    if lacks:
        error, hint = message(lacks)
        print(f"error: {error}\nhint: {hint}", file=sys.stderr)
    return 1 if lacks else 0


if __name__ == "__main__":
    sys.exit(main())
