"""The C and C++ compilers of this machine: `$CC` and `$CXX`, else `cc` and `c++`, as CMake chooses them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Literal

from bundler.errors import BundleError

Language = Literal["C", "C++"]

_NAMES: dict[Language, tuple[str, str, str]] = {"C": ("CC", "cc", "gcc"), "C++": ("CXX", "c++", "g++")}


def identity(language: Language) -> str:
    """The first line of the compiler's `--version`, which names the distribution's build of it.

    Raises:
        BundleError: there is no compiler.
    """
    return _ask(language, "--version").partition("\n")[0]


def library(name: str) -> Path:
    """Where the C++ compiler finds the shared library `name`, which programs of its making need.

    Raises:
        BundleError: there is no compiler, or it has no such library.
    """
    path = Path(_ask("C++", f"-print-file-name={name}").strip())
    if not path.is_absolute() or not path.exists():
        raise BundleError(
            f"failed to collect {name}: the C++ compiler does not know where it lies",
            "install the compiler's runtime; on Debian and Ubuntu: apt install g++",
        )
    return path.resolve()


def _ask(language: Language, question: str) -> str:
    variable, default, package = _NAMES[language]
    command = shlex.split(os.environ.get(variable) or default)
    if shutil.which(command[0]) is None:
        raise BundleError(
            f"failed to compile: there is no {language} compiler ({command[0]})",
            f"install one; on Debian and Ubuntu: apt install {package}",
        )
    return subprocess.run([*command, question], capture_output=True, text=True, check=False).stdout
