"""Which program listens on a port of this machine, where /proc tells (Linux, programs of the same user)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_LISTEN = "0A"


def holder(port: int, proc: Path = Path("/proc")) -> str:
    """Name and process id, `ollama (process 123)`; empty where it cannot be known."""
    if not sys.platform.startswith("linux"):
        return ""
    sockets = {f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _listening(proc / "net" / table, port)}
    if not sockets:
        return ""
    for process in proc.glob("[0-9]*"):
        if any(_target(link) in sockets for link in _entries(process / "fd")):
            return f"{_text(process / 'comm').strip() or 'a program'} (process {process.name})"
    return ""


def _listening(table: Path, port: int) -> list[str]:
    """Inodes of the sockets that listen on `port`."""
    rows = (line.split() for line in _text(table).splitlines()[1:])
    return [row[9] for row in rows if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port]


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""
