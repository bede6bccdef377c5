"""Ask llama.cpp itself whether it can load a model, before anything is written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from bundler.build import cache, tool
from bundler.build.blob import Blob
from bundler.build.packs import Pack
from bundler.build.progress import Progress
from bundler.errors import BundleError
from bundler.formats import gguf


class _Facts(msgspec.Struct, frozen=True):
    """Of what the runtime tells, what decides."""

    generates: bool


def check_model(
    pack: Pack, model: Blob, progress: Progress, *, chats: bool, adapters: Sequence[Blob] = (), advice: str = ""
) -> None:
    """Let the runtime of `pack`, which must be one for this machine, load `model` without its tensors, and `adapters`.

    `advice` is what to do where llama.cpp refuses it, instead of what llama.cpp says.

    Raises:
        BundleError: llama.cpp does not know the model, it `chats` and cannot generate text, or the runtime does not
            work here.
    """
    with progress.stage(f"Checking {model.label} with llama.cpp"), ExitStack() as stack:
        arguments = stack.enter_context(_placed(model))
        for adapter in adapters:
            path, *rest = stack.enter_context(_placed(adapter))
            arguments += ["--adapter", path, rest[1] if rest else "0"]
        try:
            facts = tool.ask(pack, f"check {model.label} with llama.cpp", "_dry-load", arguments, _Facts)
        except tool.RefusedError as error:
            raise BundleError(error.message, advice or error.hint) from error
    if chats and not facts.generates:
        raise BundleError(f"failed to check {model.label}: it cannot generate text", "give the GGUF of a chat model")


@contextmanager
def _placed(model: Blob) -> Iterator[list[str]]:
    """Where the runtime finds the model, as arguments of the command."""
    if place := model.range:
        yield [os.path.abspath(place.path), "--offset", str(place.offset), "--size", str(place.size)]
        return
    with tempfile.NamedTemporaryFile(dir=cache.folder("work"), prefix="check-", suffix=".gguf") as file:
        _write_header(model, Path(file.name))
        yield [file.name]


def _write_header(model: Blob, path: Path) -> None:
    """A file as long as the model with its header and holes for its tensors, which take no space on the disk."""
    with model.opened() as source, path.open("r+b") as file:
        file.write(source.read_at(0, gguf.read_header(source, model.label).data_offset))
        file.truncate(model.size)
