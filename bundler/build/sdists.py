"""Source archives from a package index, each pinned by a lock file that holds one distribution and its hash."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from bundler.build import cache, locks, toolchain
from bundler.build.progress import Progress
from bundler.errors import BundleError


def archive(lock: str, tools: str, progress: Progress) -> Path:
    """The sdist that `requirements/<lock>.txt` pins, from the cache or downloaded.

    `tools` names the lock file of the environment whose pip takes it, and in which its build backend is found.

    Raises:
        BundleError: it cannot be downloaded, or is not the pinned archive.
    """
    (pin,) = locks.read(locks.path(lock))
    (digest,) = pin.sha256
    kept = cache.folder("downloads") / f"{pin.name}-{pin.version}-{digest[:16]}.tar.gz"
    if kept.exists() and _sha256(kept) == digest:
        return kept
    with (
        cache.locked(kept),
        progress.stage(f"Downloading {pin.name}"),
        cache.scratch(f"download-{digest[:16]}") as work,
    ):
        _download(pin.name, lock, tools, work)
        (downloaded,) = work.iterdir()
        found = _sha256(downloaded)
        if found != digest:
            raise BundleError(
                f"failed to download {pin.name} {pin.version}: its sha256 is {found}, expected {digest}",
                "the package index gave another file than the pinned one; use one that mirrors PyPI",
            )
        downloaded.replace(kept)
    return kept


def _download(name: str, lock: str, tools: str, folder: Path) -> None:
    python = toolchain.program(toolchain.environment(locks.path(tools)), "python")
    result = subprocess.run(
        [
            str(python),
            *("-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"),
            *("--no-binary", name, "--require-hashes", "--dest", str(folder), "--requirement", str(locks.path(lock))),
        ],
        env={**os.environ, "PATH": os.pathsep.join([str(python.parent), os.environ.get("PATH", "")])},
        capture_output=True,
        text=True,
    )
    if result.returncode != 0:
        raise BundleError(
            f"failed to download {name}: {toolchain.reason(result.stderr)}",
            "connect to a package index once (pip's own settings apply); later builds need no network",
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
