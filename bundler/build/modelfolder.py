"""Which files of a folder are a model: the first class of files that is there, in the order of Ollama's parser.go.

Names only; what the files hold is read elsewhere.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, NamedTuple

CLASSES: Final = (
    "model*.safetensors", "consolidated*.safetensors", "pytorch_model*.bin", "consolidated*.pth", "*.gguf", "*.bin",
)  # fmt: skip
GGUF_CLASSES: Final = CLASSES[4:]


class ModelFiles(NamedTuple):
    """The weights in a folder, by name in order; `pattern` is the class, empty where there are none."""

    pattern: str
    files: tuple[Path, ...]


def find(folder: Path) -> ModelFiles:
    """The files of the first class that the folder has, upper and lower case of their names alike.

    Raises:
        OSError: the folder cannot be read.
    """
    paths = [folder / entry.name for entry in sorted(os.scandir(folder), key=lambda entry: entry.name)]
    for pattern in CLASSES:
        files = tuple(path for path in paths if fnmatchcase(path.name.lower(), pattern))
        if files:
            return ModelFiles(pattern, files)
    return ModelFiles("", ())


def leads_out(path: Path) -> bool:
    """Whether a file is a link that leads out of its folder."""
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(path.parent))
