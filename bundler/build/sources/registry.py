"""Where weights come from: the text of a FROM, an ADAPTER or a DRAFT, and what it leads to.

The spelling decides, in this order: an address (`hf.co/…`, `hf://…`, `https://…`) is downloaded; a path that exists is
read, as what its content says; a name is looked up in the local Ollama store. Nothing is ever downloaded for any other
spelling.
"""

from __future__ import annotations

from pathlib import Path

from bundler.build import bundles
from bundler.build.progress import Progress
from bundler.build.sources import bundlefile, folders, ggufs, llamafile, ollama, paths, remote
from bundler.build.sources.found import Found, SourceError
from bundler.formats.excerpt import clipped, nearest
from bundler.formats.modelfile import Command, Modelfile


def resolve(modelfile: Modelfile, command: Command, folder: Path, progress: Progress) -> Found:
    """What a command of a Modelfile in `folder` leads to.

    Raises:
        ModelfileError: there is nothing, or nothing that can be used; it points at the command's value.
        BundleError: what is there is damaged, or a download failed.
    """
    try:
        return find(command.value, folder, progress)
    except SourceError as error:
        raise modelfile.error(command.value_place, error.message, error.hint) from error


def find(text: str, folder: Path, progress: Progress) -> Found:
    """What `text` leads to; relative paths count from `folder`.

    Raises:
        SourceError: there is nothing, or nothing that can be used; the message is the cause alone.
        BundleError: what is there is damaged, or a download failed.
    """
    path = paths.expand(text, folder)
    try:
        if remote.is_spelled(text, path):
            return remote.find(text, progress)
        if path.is_dir():
            return folders.find(path, clipped(text), progress)
        if path.exists():
            return _of_file(path, clipped(text))
    except (OSError, ValueError) as cause:
        raise SourceError(f"{clipped(text)} cannot be read: {paths.reason(cause)}", paths.READABLE) from cause
    if ollama.is_name(text) and not ("/" in text and path.parent.is_dir()):
        return ollama.find(text) or _fail_name(text, path)
    raise SourceError(f"there is no file {clipped(str(path), 1000)}", paths.near(path, paths.present(path.parent)))


def _of_file(path: Path, shown: str) -> Found:
    if not path.is_file():  # a pipe would be waited for
        raise SourceError(f"{shown} is a device, a pipe or a socket", paths.NAME_A_GGUF)
    if bundles.is_bundle(path):
        return bundlefile.find(path, shown)
    found = llamafile.find(path, shown) if bundles.may_be_bundle(path) else None
    return found or Found(weights=(ggufs.find(path, shown),))


def _fail_name(text: str, path: Path) -> Found:
    store = ollama.root()
    close = nearest(text, ollama.known())
    hint = f"did you mean {close}?" if close else paths.near(path, paths.present(path.parent))
    raise SourceError(f"there is no file {clipped(text)}, and no model of this name in the Ollama store {store}", hint)
