"""The runtime application, frozen by PyInstaller into a folder that needs no installed Python.

What goes in is the `bundler` package without its build side, the low-level half of llama-cpp-python's binding (no
numpy), and the pinned packages of `requirements/freeze.txt`. Knows nothing of llama.cpp's libraries or of packs.
"""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bundler
from bundler import data
from bundler.build import locks, tarball, toolchain
from bundler.build.progress import Progress
from bundler.errors import BundleError

NAME = "bundle-runtime"

BINDING = ("llama_cpp.py", "_ctypes_extensions.py")
"""The modules of llama-cpp-python that reach the C API. Its `__init__` would import numpy and is left empty."""

DATA = ("templates/chat",)
"""Folders of `bundler.data` that the runtime reads."""

EXCLUDED = (
    *("tkinter", "turtle", "idlelib", "unittest", "test", "pydoc", "pydoc_data", "doctest", "lib2to3", "distutils"),
    *("ensurepip", "venv", "setuptools", "pkg_resources", "pip", "sqlite3", "curses", "xmlrpc", "ftplib", "pdb"),
    "readline",  # GPL
    *("numpy", "diskcache", "trio", "watchfiles", "websockets", "wsproto", "uvloop", "h11", "yaml", "dotenv"),
)
"""Never wanted in a bundle, though something imports it where it is present."""

_OPTIONS = ("--noconfirm", "--log-level", "WARN", "--distpath", "dist", "--workpath", "build")

_SPEC = """\
from PyInstaller.utils.hooks import copy_metadata

analysis = Analysis(
    [{entry!r}],
    pathex=[{tree!r}],
    hiddenimports={hidden!r},
    datas=[*{data!r}, *copy_metadata("llguidance")],  # which asks for its own version when it is imported
    excludes={excluded!r},
)
# Hooks of PyInstaller that run at every start, and import what is not needed yet or never: multiprocessing, inspect.
own = [script for script in analysis.scripts if not script[0].startswith("pyi_rth_")]
program = EXE(PYZ(analysis.pure), own, [], exclude_binaries=True, name={name!r}, strip={strip}, upx=False)
COLLECT(program, analysis.binaries, analysis.datas, strip={strip}, upx=False, name={name!r})
"""

_INSTALLATION_RECORDS = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
"""Files of a package's metadata that tell how and where it was installed on this machine."""


@dataclass(frozen=True)
class Frozen:
    """The result of `freeze`."""

    folder: Path
    """Holds the program `bundle-runtime` and its `_internal` folder."""
    modules: frozenset[str]
    """Top-level names of the Python modules inside."""
    libraries: tuple[Path, ...]
    """Shared libraries inside that came from this machine, not from a Python package: where they lay."""


def sources() -> list[tuple[str, Path]]:
    """The files that are frozen, as (path below the frozen root, file here), in a fixed order."""
    package = Path(bundler.__file__).parent
    found = [
        (path.relative_to(package.parent).as_posix(), path)
        for path in package.rglob("*.py")
        if _is_runtime_side(path.relative_to(package))
    ]
    for name in DATA:
        folder = data.path(name)
        found += [(f"bundler/_data/{name}/{path.relative_to(folder).as_posix()}", path) for path in _files(folder)]
    return sorted(found)


def key() -> str:
    """The content address of what is frozen: 64 hex digits over `sources()`, their packages and this module."""
    digest = hashlib.sha256(locks.path("freeze").read_bytes() + Path(__file__).read_bytes())
    for name, path in sources():
        content = path.read_bytes()
        digest.update(f"\n{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def freeze(llama_cpp_python: Path, work: Path, progress: Progress) -> Frozen:
    """Freeze the runtime; `llama_cpp_python` is its unpacked sdist, `work` an empty folder for everything made.

    The same inputs give the same bytes, whatever `work` is called.

    Raises:
        BundleError: the packages cannot be had, or PyInstaller failed.
    """
    environment = toolchain.environment(locks.path("freeze"))
    tree = work / "tree"
    _stage(llama_cpp_python, tree)
    spec = work / f"{NAME}.spec"
    spec.write_text(_SPEC.format(**_settings(tree)), encoding="utf-8")
    log = work / "pyinstaller.log"
    with progress.stage("Freezing the runtime"), log.open("w", encoding="utf-8") as output:
        status = subprocess.run(
            [str(toolchain.program(environment, "python")), "-m", "PyInstaller", *_OPTIONS, str(spec)],
            env=_environment(work),
            cwd=work,
            stdout=output,
            stderr=subprocess.STDOUT,
        ).returncode
    if status != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no reason given"]
        raise BundleError(f"failed to freeze the runtime: {lines[-1]}", "\n".join(lines[-20:]))
    folder = work / "dist" / NAME
    for name in _INSTALLATION_RECORDS:
        for path in folder.glob(f"_internal/*.dist-info/{name}"):
            path.unlink()
    return Frozen(folder, _modules(work / "build" / NAME), tuple(_system_libraries(work / "build" / NAME, environment)))


def _is_runtime_side(path: Path) -> bool:
    top = path.parts[0]
    return (
        top not in ("build", "_data") and top != "terminal.py" and not (len(path.parts) == 1 and top.startswith("cli"))
    )


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "node_modules" not in path.parts)


def _stage(llama_cpp_python: Path, tree: Path) -> None:
    """Lay out what is frozen under one root, away from whatever else is installed beside this package."""
    for name, path in sources():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, tree / name)
    binding = tree / "llama_cpp"
    binding.mkdir()
    (binding / "__init__.py").touch()
    for name in BINDING:
        text = (llama_cpp_python / "llama_cpp" / name).read_text(encoding="utf-8")
        # Slow to import, before the weights are loaded; what is taken from it is in `typing` since Python 3.10.
        (binding / name).write_text(text.replace("from typing_extensions import", "from typing import"), "utf-8")
    # As the entry script itself is looked for beside the other modules, `__main__` gets a name and folder of its own.
    (tree / "entry").mkdir()
    shutil.copyfile(tree / "bundler" / "runtime" / "__main__.py", tree / "entry" / "bundle_runtime.py")


def _settings(tree: Path) -> dict[str, object]:
    """What the spec for PyInstaller names."""
    packaged = tree / "bundler" / "_data"
    return {
        "name": NAME,
        "entry": str(tree / "entry" / "bundle_runtime.py"),
        "tree": str(tree),
        "hidden": _hidden_modules(),
        "data": [(str(packaged), "bundler/_data")] if packaged.exists() else [],
        "excluded": list(EXCLUDED),
        "strip": sys.platform != "win32",
    }


def _hidden_modules() -> list[str]:
    """Modules that only functions import, or import by name."""
    return [
        name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        for name, _ in sources()
        if name.startswith(("bundler/runtime/", "bundler/prompt/")) and name.endswith(".py")
    ] + [f"llama_cpp.{name.removesuffix('.py')}" for name in BINDING]


def _environment(work: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "_PYI", "PYI"))}
    return {
        **kept,
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": str(tarball.TIME),
        "PYINSTALLER_CONFIG_DIR": str(work / "config"),
        "PYINSTALLER_ZLIB_COMPRESSION_LEVEL": "0",  # the pack is compressed as a whole, and better
    }


def _modules(build: Path) -> frozenset[str]:
    _, entries = ast.literal_eval((build / "PYZ-00.toc").read_text(encoding="utf-8"))[:2]
    return frozenset(name.partition(".")[0] for name, *_ in entries)


def _system_libraries(build: Path, environment: Path) -> Iterator[Path]:
    collected = ast.literal_eval((build / "COLLECT-00.toc").read_text(encoding="utf-8"))[0]
    for _, path, kind in collected:
        if kind == "BINARY" and not Path(path).is_relative_to(environment):
            yield Path(path)
