"""`_dry-load`: does llama.cpp know this model, and is it whole? Without memory for a single tensor.

The build side runs it as a process before it writes a bundle. It uses the plainest CPU variant, so it needs no probe.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import msgspec

from bundler.errors import BundleError
from bundler.runtime import libraries, memory
from bundler.runtime.llama import library as llama_library
from bundler.runtime.llama.model import Model


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What llama.cpp makes of the model. Sizes in bytes."""

    description: str
    architecture: str
    parameters: int
    tensors_size: int
    trained_context: int
    vocabulary: int
    add_bos: bool
    generates: bool
    """Whether it continues text; an embedding model does not."""
    cell_size: int
    """KV cache per token of context."""


def main(arguments: Sequence[str]) -> int:
    """Print the facts as JSON and return 0, or print `error: …` on stderr and return 1."""
    parser = argparse.ArgumentParser(prog="_dry-load")
    parser.add_argument("path", type=Path)
    parser.add_argument("--offset", type=int, default=0)
    parser.add_argument("--size", type=int)
    parser.add_argument("--adapter", action="append", nargs=2, default=[], metavar=("PATH", "OFFSET"))
    options = parser.parse_args(arguments)
    try:
        with ExitStack() as stack:
            file = stack.enter_context(_open(options.path))
            size = os.fstat(file.fileno()).st_size - options.offset if options.size is None else options.size
            adapters = [
                (stack.enter_context(_open(Path(path))).fileno(), int(offset)) for path, offset in options.adapter
            ]
            facts = dry_load(file.fileno(), options.offset, size, libraries.folder(os.environ), adapters)
    except BundleError as error:
        print(error.render(), file=sys.stderr)
        return 1
    print(msgspec.json.encode(facts).decode())
    return 0


def dry_load(
    descriptor: int, offset: int, size: int, libraries_folder: Path, adapters: Sequence[tuple[int, int]] = ()
) -> Facts:
    """Let llama.cpp read everything of a GGUF but its tensors, and the adapters at (descriptor, offset).

    Raises:
        BundleError: no GGUF, cut short, or of an architecture that this llama.cpp does not know; or an adapter that
            does not fit it.
    """
    if offset + size > os.fstat(descriptor).st_size:
        raise BundleError("failed to load the model: the file ends before the model does", "get the file again")
    library = llama_library.load(libraries_folder)
    variants = libraries.cpu_variants(libraries_folder)
    library.load_backend(variants[libraries.plainest(variants)])
    model = Model(library, descriptor, offset, allocate=False)
    try:
        for adapter, start in adapters:
            model.load_adapter(adapter, start, 1.0)
        return Facts(
            description=model.description,
            architecture=model.metadata("general.architecture") or "",
            parameters=model.parameters,
            tensors_size=model.size,
            trained_context=model.trained_context,
            vocabulary=model.vocabulary.size,
            add_bos=model.vocabulary.add_bos,
            generates=model.generates,
            cell_size=memory.cell_size(model.metadata, model.layers, model.heads, model.embedding_length),
        )
    finally:
        model.close()


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as cause:
        raise BundleError(f"failed to open {path}: {cause.strerror}") from cause
