"""`_quantize`: write a GGUF again with fewer bits. The build side runs it as a process for `bundle build --quantize`.

Each tensor that is done is a line of its name; the last line is JSON.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bundler.errors import BundleError
from bundler.formats import imatrix as imatrices
from bundler.formats.source import FileSource
from bundler.runtime import libraries, machine
from bundler.runtime.llama import library as llama_library
from bundler.runtime.llama.quantizing import quantize


class Quantized(msgspec.Struct, frozen=True, kw_only=True):
    """What was written."""

    size: int


def main(arguments: Sequence[str]) -> int:
    """Write the file and return 0, or print `error: …` on stderr and return 1."""
    parser = argparse.ArgumentParser(prog="_quantize")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("file_type", type=int)
    parser.add_argument("--imatrix", type=Path)
    parser.add_argument("--imatrix-name", default="")
    parser.add_argument("--requantize", action="store_true")
    options = parser.parse_args(arguments)
    try:
        quantize(
            llama_library.load(libraries.folder(os.environ)),
            options.source,
            options.target,
            options.file_type,
            imatrix=_read(options.imatrix) if options.imatrix else None,
            imatrix_name=options.imatrix_name,
            requantize=options.requantize,
            threads=machine.processors().count,
            heard=lambda tensor: print(tensor, flush=True),
        )
    except BundleError as error:
        print(error.render(), file=sys.stderr)
        return 1
    print(msgspec.json.encode(Quantized(size=options.target.stat().st_size)).decode())
    return 0


def _read(path: Path) -> imatrices.Imatrix:
    try:
        with path.open("rb") as file:
            return imatrices.read(FileSource(file.fileno()), str(path))
    except OSError as cause:
        raise BundleError(f"failed to read the imatrix {path}: {cause.strerror}") from cause
