"""The part of the probe that may die: `_probe` evaluates one CPU variant, in a process of its own.

It says on standard output, line by line, what it is about to do, so that the parent knows what killed it:
    scoring NAME | score NAME N | testing NAME | logits HEX (float32 rows) | done
"""

from __future__ import annotations

import array
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bundler.runtime import libraries, machine, probe_model
from bundler.runtime.llama import library as llama_library
from bundler.runtime.llama.context import Batch, Context
from bundler.runtime.llama.model import Model

ROUNDS = 20
_PATIENCE = 1.0
"""Seconds after which no further round begins."""
_LEAST_ROUNDS = 3
_LIFETIME = 60
"""Seconds after which the process ends whatever happens, should its parent be gone."""

Say = Callable[[str], None]


def main(arguments: Sequence[str], folder: Path) -> int:
    """`reference NAME`: compute once, plainly; `best [EXCLUDED…]`: score the variants, then try the best one hard."""
    _die_quietly()
    variants = libraries.cpu_variants(folder)
    match list(arguments):
        case ["reference", name]:
            _evaluate(folder, name, variants[name], threads=1, rounds=1)
        case ["best", *excluded]:
            scores = dict(_scores({name: file for name, file in variants.items() if name not in excluded}))
            name = max(scores, key=lambda name: scores[name], default="")
            if not name or scores[name] <= 0:
                return 1
            _evaluate(folder, name, variants[name], threads=machine.processors().count, rounds=ROUNDS)
        case _:
            return 2
    _say("done")
    return 0


def _scores(variants: dict[str, Path]) -> Iterator[tuple[str, int]]:
    for name, file in variants.items():
        _say(f"scoring {name}")
        try:
            score = llama_library.score(file)
        except OSError:
            score = 0
        _say(f"score {name} {score}")
        yield name, score


def _evaluate(folder: Path, name: str, file: Path, *, threads: int, rounds: int) -> None:
    """Load the probe model as any model is loaded, and compute batches of 64 tokens and of one."""
    _say(f"testing {name}")
    library = llama_library.load(folder)
    library.load_backend(file)
    with _in_memory(probe_model.build()) as descriptor:
        model = Model(library, descriptor, 0)
    context = Context(model, cells=256, sequences=1, batch=probe_model.TOKENS, threads=threads)
    batch = Batch(model, probe_model.TOKENS)
    prompt = list(range(probe_model.TOKENS))
    said = set()
    began = time.monotonic()
    for done in range(rounds):
        if done >= _LEAST_ROUNDS and time.monotonic() - began > _PATIENCE:
            break
        context.keep(0, 0)
        row = array.array("f")
        for tokens, position in ((prompt, 0), (prompt[:1], len(prompt))):
            batch.clear()
            end = batch.add(0, tokens, position, want_logits=True)
            context.decode(batch)
            row.extend(context.logits(end))
        if row.tobytes() not in said:
            said.add(row.tobytes())
            _say(f"logits {row.tobytes().hex()}")
    context.close()
    model.close()


@contextlib.contextmanager
def _in_memory(data: bytes) -> Iterator[int]:
    """A descriptor of a file with this content that needs no disk where the system can do that."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("probe")
        with open(descriptor, "r+b") as file:
            file.write(data)
            file.flush()
            yield descriptor
        return
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.fileno()


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def _die_quietly() -> None:
    """A crash is expected here: it leaves no core file and outlives nobody."""
    if sys.platform == "win32":
        return
    import resource
    import signal

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(_LIFETIME)
