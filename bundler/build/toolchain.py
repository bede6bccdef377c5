"""Private Python environments that hold pinned tools: CMake and Ninja, Zig, PyInstaller.

One environment per lock file content and interpreter, in the cache; made with the standard library's venv and pip.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from bundler.build import cache
from bundler.errors import BundleError


def environment(lock: Path) -> Path:
    """The virtual environment with exactly the wheels that `lock` pins by hash; made on the first call.

    Raises:
        BundleError: the venv module is missing, or the wheels cannot be had.
    """
    interpreter = f"{sys.version} {sys.base_prefix}"
    address = hashlib.sha256(lock.read_bytes() + interpreter.encode()).hexdigest()[:16]
    path = cache.folder("environments") / f"{lock.stem}-{address}"
    ready = path / "ready"
    if ready.exists():
        return path
    with cache.locked(path):
        if not ready.exists():
            # Scripts in an environment name its folder, so it is made in place and stamped, never renamed.
            _run(
                [_base_interpreter(), "-m", "venv", "--clear", str(path)],
                f"failed to make an environment for the tools of {lock.name}",
                "the venv module may be missing; on Debian and Ubuntu: "
                f"apt install python{sys.version_info.major}.{sys.version_info.minor}-venv",
            )
            _run(
                [
                    str(program(path, "python")),
                    *("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"),
                    *("--only-binary", ":all:", "--require-hashes", "--requirement", str(lock)),
                ],
                f"failed to install the tools of {lock.name}",
                "connect to a package index once (pip's own settings apply); later builds need no network",
            )
            ready.touch()
    return path


def program(environment: Path, name: str) -> Path:
    """Where the environment keeps its program `name`, given without `.exe`."""
    if sys.platform == "win32":
        return environment / "Scripts" / f"{name}.exe"
    return environment / "bin" / name


def reason(output: str) -> str:
    """Why pip or venv failed, in one line: the last error it printed, else the last line."""
    lines = output.strip().splitlines() or ["no reason given"]
    return ([line for line in lines if line.startswith("ERROR")] or lines)[-1].removeprefix("ERROR: ")


def _base_interpreter() -> str:
    return str(getattr(sys, "_base_executable", None) or sys.executable)


def _run(command: list[str], failure: str, hint: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    result = subprocess.run(command, env=kept, capture_output=True, text=True)
    if result.returncode != 0:
        raise BundleError(f"{failure}: {reason(result.stderr or result.stdout)}", hint)
