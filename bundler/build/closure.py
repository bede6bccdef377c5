"""Whether a laid-out runtime needs nothing from the machine it runs on: every library that anything in it asks for.

Linux. Works on the tree of a base part; the folders searched are those that the launcher will name to the loader.
"""

from __future__ import annotations

from pathlib import Path

from bundler.build import elf
from bundler.errors import BundleError

SEARCHED = ("libc", "app/_internal", "lib", "cxx")


def missing(root: Path) -> dict[str, list[str]]:
    """By needed library that is nowhere in the searched folders: the files that need it, below `root`."""
    present = {path.name for folder in SEARCHED for path in (root / folder).glob("*")}
    absent: dict[str, list[str]] = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink() and elf.is_elf(path):
            for name in elf.read(path).needed:
                if name not in present:
                    absent.setdefault(name, []).append(path.relative_to(root).as_posix())
    return absent


def check(root: Path) -> None:
    """Refuse a tree that is not closed.

    Raises:
        BundleError: naming the first library that is missing.
    """
    for name, users in missing(root).items():
        raise BundleError(
            f"failed to complete the runtime: {users[0]} needs {name}, which is not part of it",
            f"install the package that holds {name} and build again",
        )
