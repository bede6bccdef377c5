"""Where the build side keeps what it makes, and how two builds at once stay out of each other's way.

Everything here is content-addressed and can be deleted at any time; the next build makes it again.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bundler.errors import BundleError


def root() -> Path:
    """`$BUNDLE_CACHE`, else the user's cache folder followed by `bundle`. It need not exist yet."""
    if chosen := os.environ.get("BUNDLE_CACHE"):
        return Path(chosen).absolute()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "bundle"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "bundle"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "bundle"


def folder(*names: str) -> Path:
    """`<cache>/build/<names>`, created.

    Raises:
        BundleError: the cache cannot be written.
    """
    path = root().joinpath("build", *names)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise BundleError(
            f"failed to create {path}: {cause.strerror}", "set BUNDLE_CACHE to a folder that can be written"
        ) from cause
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold `<path>.lock` exclusively, waiting for whoever holds it; the system releases it when a process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(path.name + ".lock"), "ab") as file:
        _lock(file.fileno())
        yield


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new empty folder that becomes `path` when the block ends well, and vanishes when it does not.

    The caller holds the lock for `path`; what lay there before is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in path.parent.glob(f".{path.name}.*"):  # by a process that was killed, as the lock is ours
        shutil.rmtree(abandoned, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        work.chmod(0o755)
        yield work
        if path.exists():
            shutil.rmtree(path)
        work.rename(path)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def scratch(*names: str) -> Iterator[Path]:
    """An empty folder `<cache>/build/work/<names>` for the block, whose name only the holder of some lock uses.

    What a killed process left under that name is removed first.
    """
    path = folder("work").joinpath(*names)
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


if sys.platform == "win32":
    import msvcrt
    import time

    def _lock(descriptor: int) -> None:
        while True:
            try:
                return msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            except OSError:
                time.sleep(0.1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
