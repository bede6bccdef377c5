"""`_warm`: evaluate what every chat of a bundle begins with, and write down the state.

The build side runs it as a process for `bundle build --warm`, with the manifest to be on stdin.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from bundler.errors import BundleError
from bundler.formats import manifest as manifests
from bundler.formats.manifest import Manifest
from bundler.formats.source import FileSource, chunks
from bundler.runtime import libraries, machine
from bundler.runtime.engine.interface import State, WeightsRange
from bundler.runtime.engine.sequence import CHUNK, stretch
from bundler.runtime.llama import library as llama_library
from bundler.runtime.llama.context import Batch, Context
from bundler.runtime.llama.model import Model
from bundler.runtime.startup import choose_variant
from bundler.runtime.warm import beginning, guard

_BATCH = 512
_LEAST = 16
"""Tokens; fewer are not worth a member."""


class Warmed(msgspec.Struct, frozen=True, kw_only=True):
    """What was written."""

    tokens: list[int]
    exact: int
    guard: str
    seconds: float
    """That the evaluation took."""


def main(arguments: Sequence[str]) -> int:
    """Write the state and print what it is as JSON; returns 0, or prints `error: …` on stderr and returns 1."""
    parser = argparse.ArgumentParser(prog="_warm")
    parser.add_argument("weights", type=Path)
    parser.add_argument("state", type=Path)
    parser.add_argument("llama_cpp")
    parser.add_argument("--offset", type=int, default=0)
    parser.add_argument("--size", type=int)
    parser.add_argument("--adapter", action="append", nargs=3, default=[], metavar=("PATH", "OFFSET", "SIZE"))
    options = parser.parse_args(arguments)
    try:
        manifest = manifests.decode(sys.stdin.buffer.read())
        with ExitStack() as stack:
            file = stack.enter_context(options.weights.open("rb"))
            size = os.fstat(file.fileno()).st_size - options.offset if options.size is None else options.size
            weights = WeightsRange(descriptor=file.fileno(), offset=options.offset, size=size)
            adapters = [
                WeightsRange(
                    descriptor=stack.enter_context(Path(path).open("rb")).fileno(), offset=int(offset), size=int(length)
                )
                for path, offset, length in options.adapter
            ]
            warmed, state = warm_up(manifest, weights, adapters, options.llama_cpp)
        options.state.write_bytes(state)
    except BundleError as error:
        print(error.render(), file=sys.stderr)
        return 1
    except OSError as error:
        print(BundleError(f"failed to compute the prompt: {error}").render(), file=sys.stderr)
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(warmed) + b"\n")
    return 0


def warm_up(
    manifest: Manifest, weights: WeightsRange, adapters: Sequence[WeightsRange], llama_cpp: str
) -> tuple[Warmed, State]:
    """Evaluate the beginning of every chat with the weights of a GGUF, as the first request would.

    `adapters` are those of the manifest, in its order.

    Raises:
        BundleError: there is no such beginning, or the model cannot be loaded.
    """
    folder = libraries.folder(os.environ)
    library = llama_library.load(folder)
    library.load_backend(libraries.cpu_variants(folder)[choose_variant(os.environ).chosen])
    model = Model(library, weights.descriptor, weights.offset)
    if model.encodes:
        raise BundleError(
            "failed to compute the prompt: the encoder of this model reads a prompt as a whole", "leave out --warm"
        )
    scales = [adapter.scale for adapter in manifest.adapters]
    for adapter, scale in zip(adapters, scales, strict=True):
        model.load_adapter(adapter.descriptor, adapter.offset, scale)
    tokens = beginning(manifest, model.vocabulary)
    if len(tokens) < _LEAST:
        raise BundleError(
            f"failed to compute the prompt: all chats have only {len(tokens)} tokens at their beginning in common",
            "give a SYSTEM or MESSAGEs, or leave out --warm",
        )
    began = time.monotonic()
    tokens, state = evaluate(model, tokens, threads=machine.threads(None, model.size).count)
    warmed = Warmed(
        tokens=tokens,
        exact=len(tokens),
        guard=guard(_digest(weights), llama_cpp, adapters=list(zip(map(_digest, adapters), scales, strict=True))),
        seconds=time.monotonic() - began,
    )
    model.close()
    return warmed, state


def evaluate(model: Model, tokens: list[int], *, threads: int) -> tuple[list[int], State]:
    """The state of a sequence after `tokens`, computed in the pieces that an engine computes them in.

    Where it cannot be cut back later, it is that after whole CHUNKs of them only.

    Returns the tokens that it is the state of, too.

    Raises:
        BundleError: there is not enough memory, or llama.cpp gives no state of this model.
    """
    if not model.attends_to_all and len(tokens) > CHUNK:
        tokens = tokens[: len(tokens) // CHUNK * CHUNK]
    cells = -(-len(tokens) // 256) * 256
    context = Context(model, cells=cells, sequences=1, batch=_BATCH, threads=threads)
    batch = Batch(model, _BATCH)
    try:
        begin = 0
        while begin < len(tokens):
            end = begin + stretch(len(tokens) - begin, _BATCH)
            batch.clear()
            batch.add(0, tokens[begin:end], begin, want_logits=False)
            context.decode(batch)
            begin = end
        state = context.save(0)
    finally:
        context.close()
    if state is None:
        raise BundleError("failed to compute the prompt: llama.cpp gives no state of this model")
    return tokens, state


def _digest(weights: WeightsRange) -> str:
    digest = hashlib.sha256()
    for chunk in chunks(FileSource(weights.descriptor), weights.offset, weights.size):
        digest.update(chunk)
    return digest.hexdigest()
