"""The lock files in `requirements/`: which exact archives the build may take from a package index."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bundler import data


@dataclass(frozen=True)
class Pin:
    """One distribution at one version; `sha256` holds the digests of its accepted archives."""

    name: str
    version: str
    sha256: tuple[str, ...]


def path(name: str) -> Path:
    """The lock file `requirements/<name>.txt`.

    Raises:
        FileNotFoundError: this installation does not carry it.
    """
    return data.path(f"requirements/{name}.txt")


def read(lock: Path) -> list[Pin]:
    """The pins of a lock file as `uv pip compile --generate-hashes` writes it, in the file's order."""
    text = re.sub(r"#.*", "", lock.read_text(encoding="utf-8")).replace("\\\n", " ")
    return [
        Pin(match[1], match[2], tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", line)))
        for line in text.splitlines()
        if (match := re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line))
    ]
