"""Files and folders as a Modelfile names them, and what to say of those that are not there. Path rules: Ollama's."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

from bundler.build.sources.found import SourceError
from bundler.formats.excerpt import clipped

READABLE = "check the path and its permissions"
NAME_A_GGUF = "give a path to a .gguf"


def expand(text: str, folder: Path) -> Path:
    """Absolute, `~`, `~/x`, `~user/x`, else relative to the folder; `..` takes away the name before it, link or not.

    Raises:
        SourceError: there is no such user.
    """
    path = Path(text)
    try:
        return Path(os.path.normpath(path.expanduser() if text.startswith("~") else folder / path))
    except RuntimeError as cause:
        raise SourceError(f"the home folder of {path.parts[0]} is not known", "give the whole path") from cause


def near(path: Path, otherwise: str = "check the path") -> str:
    """A hint with the names in the folder that are most like the missing one."""
    if not path.parent.is_dir():
        return f"there is no folder {clipped(str(path.parent), 1000)} either"
    known = {name.lower(): name for name in names(path.parent)}
    found = [clipped(known[name]) for name in get_close_matches(path.name.lower(), known, 3)]
    return f"did you mean {' or '.join(found)}?" if found else otherwise


def present(folder: Path, otherwise: str = NAME_A_GGUF) -> str:
    """A hint with the GGUF files of the folder."""
    models = [clipped(name) for name in names(folder) if name.lower().endswith(".gguf")]
    if not models:
        return otherwise
    return f"name one of them: {', '.join(models[:5])}" if len(models) > 1 else f"the folder has {models[0]}"


def names(folder: Path) -> list[str]:
    """What the folder holds, in order; nothing where it cannot be read."""
    try:
        return sorted(entry.name for entry in os.scandir(folder))
    except OSError:
        return []


def reason(cause: OSError | ValueError) -> str:
    """What the system said."""
    return (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
