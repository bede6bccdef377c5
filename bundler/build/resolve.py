"""Which file a Modelfile is, and that its DRAFT is another one than its FROM. What they lead to: `sources.registry`."""

from __future__ import annotations

import os
from pathlib import Path

from bundler.build.sources import heads, paths
from bundler.build.sources.found import SourceError
from bundler.errors import BundleError
from bundler.formats.excerpt import clipped
from bundler.formats.modelfile import MAX_SIZE, Modelfile, parse


def read_modelfile(argument: Path) -> tuple[Path, Modelfile]:
    """The Modelfile that `argument` names: a file, or a folder that holds one called `Modelfile`.

    Raises:
        BundleError: there is none, it cannot be read, or it is wrong.
    """
    path = argument / "Modelfile" if argument.is_dir() else argument
    shown = clipped(str(path), 1000)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
    except FileNotFoundError as cause:
        raise BundleError(f"failed to read Modelfile: there is no {shown}", paths.near(path)) from cause
    except (OSError, ValueError) as cause:
        raise BundleError(f"failed to read Modelfile {shown}: {paths.reason(cause)}", paths.READABLE) from cause
    if data.startswith(b"GGUF"):
        raise BundleError(
            f"failed to read Modelfile {shown}: it is a GGUF model",
            f"write a Modelfile with the line: FROM {path.name}",
        )
    format_name = heads.other_format(data)
    if format_name:
        raise BundleError(f"failed to read Modelfile {shown}: it looks like {format_name}", "give a Modelfile")
    if len(data) > MAX_SIZE:
        raise BundleError(
            f"failed to read Modelfile {shown}: it is larger than {MAX_SIZE >> 20} MiB", "give a Modelfile"
        )
    return path, parse(data, shown)


def check_drafts(modelfile: Modelfile, folder: Path) -> None:
    """Check that no DRAFT names what a FROM names.

    Raises:
        ModelfileError: one does.
    """
    models = {_real(command.value, folder) for command in modelfile.all("from")}
    for command in modelfile.all("draft"):
        if _real(command.value, folder) in models:
            raise modelfile.error(
                command.value_place,
                f"DRAFT names the same file as FROM: {clipped(command.value)}",
                "name a smaller model with the same vocabulary, or leave DRAFT out",
            )


def _real(text: str, folder: Path) -> str:
    try:
        return os.path.realpath(paths.expand(text, folder))
    except (SourceError, ValueError):  # told where it is resolved
        return text
